"""`strongroom domain …`"""

from __future__ import annotations

from typing import Any

import click

from strongroom.cli.context import OPERATOR, Session, command_options, table
from strongroom.domains.schemas import shown_domain
from strongroom.operating import domains

ALL = 1_000_000


@click.group()
def domain() -> None:
    """Tenants' own domains, each proven by a DNS record."""


def _record(shown: dict[str, Any]) -> str:
    proof = shown["proof"]
    return f'{proof["name"]}. {proof["type"]} "{proof["value"]}"'


@domain.command()
@click.argument("slug")
@click.argument("domain")
@command_options
def add(session: Session, slug: str, domain: str) -> None:
    """Claim a domain for a tenant; shows the DNS record that proves it."""
    with session.runtime() as runtime:
        shown = shown_domain(runtime.settings, domains.claim_domain(runtime, OPERATOR, slug, domain))
    text = f"Have this record set, and leave it there:\n  {_record(shown)}\nThen: strongroom domain verify {slug} {shown['domain']}"
    session.show(shown, text)


@domain.command(name="list")
@click.argument("slug", required=False)
@command_options
def list_(session: Session, slug: str | None) -> None:
    """List a tenant's domains, or those of all tenants."""
    with session.runtime() as runtime:
        if slug:
            found = [(slug, each) for each in domains.list_domains_of(runtime, slug)]
        else:
            found = [(owner, each) for owner, _, each in domains.list_domains(runtime, limit=ALL)[0]]
        items = [{"tenant": owner, **shown_domain(runtime.settings, each)} for owner, each in found]
    rows = [
        [each["domain"], each["tenant"], each["status"], each["finding"] or "-", each["lapses_at"] or "-", _record(each)] for each in items
    ]
    session.show({"items": items}, table(["DOMAIN", "TENANT", "STATUS", "LAST LOOK", "LAPSES", "RECORD"], rows) if rows else "No domains.")


@domain.command()
@click.argument("slug")
@click.argument("domain")
@command_options
def verify(session: Session, slug: str, domain: str) -> None:
    """Look for a domain's DNS record now."""
    with session.runtime() as runtime:
        shown = shown_domain(runtime.settings, domains.verify_domain(runtime, OPERATOR, slug, domain))
    session.show(shown, f"{shown['domain']} leads to '{slug}' now: {shown['url']}")


@domain.command()
@click.argument("slug")
@click.argument("domain")
@command_options
def remove(session: Session, slug: str, domain: str) -> None:
    """Take a domain from a tenant. It leads nowhere at once, and others can prove it."""
    with session.runtime() as runtime:
        domains.remove_domain(runtime, OPERATOR, slug, domain)
    session.show({"removed": domain, "tenant": slug}, f"{domain} is no longer in the list of '{slug}'.")
