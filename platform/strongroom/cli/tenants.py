"""`strongroom tenant …`"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from strongroom.cli.context import OPERATOR, Session, command_options, read_password, size, table
from strongroom.config import Settings
from strongroom.errors import ConfigurationError
from strongroom.operating import service
from tenants.models import LIMIT_NAMES, Tenant


@click.group()
def tenant() -> None:
    """Make tenants, and see to them for as long as they live."""


def shown_tenant(tenant: Tenant, settings: Settings) -> dict[str, Any]:
    """Return a tenant as commands show it."""
    return {
        "id": tenant.id, "slug": tenant.slug, "name": tenant.name, "status": tenant.status, "cell": tenant.cell, "plan": tenant.plan,
        "limits": asdict(tenant.limits), "overrides": tenant.overrides,
        "url": settings.tenant_url(tenant.slug), "schema_revision": tenant.schema_revision, "created_at": tenant.created_at,
    }  # fmt: skip


@tenant.command()
@click.argument("slug")
@click.option("--owner-email", required=True, help="E-mail of the first owner.")
@click.option("--owner-password-stdin", is_flag=True, help="Read the owner's password from standard input instead of asking.")
@click.option("--name", default="", help="Name that users see; default: the slug, capitalised.")
@click.option("--provider", help="Where its bytes live; default: the default provider.")
@click.option("--plan", default="standard", show_default=True)
@click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER", help=f"A limit of its own; names: {', '.join(LIMIT_NAMES)}.")
@command_options
def create(
    session: Session,
    slug: str,
    owner_email: str,
    owner_password_stdin: bool,
    name: str,
    provider: str | None,
    plan: str,
    limits: tuple[str, ...],
) -> None:
    """Make a tenant with its first owner."""
    password = read_password(owner_password_stdin, "Owner's password")
    with session.runtime() as runtime:
        made = service.create_tenant(
            runtime, OPERATOR, slug=slug, owner_email=owner_email, owner_password=password, name=name, provider=provider, plan=plan,
            limits=parse_limits(limits),
        )  # fmt: skip
        shown = {**shown_tenant(made, runtime.settings), "owner_email": owner_email}
    session.show(shown, f"Tenant '{slug}' is ready: {shown['url']}/console\nSign in there as {owner_email}.")


def parse_limits(pairs: tuple[str, ...]) -> dict[str, int]:
    """Return limits written as NAME=NUMBER.

    Raises:
        ConfigurationError
    """
    limits = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not value.isdigit():
            raise ConfigurationError(f"Write --limit NAME=NUMBER, not '{pair}'.")
        limits[name] = int(value)
    return limits


@tenant.command(name="list")
@command_options
def list_(session: Session) -> None:
    """List tenants with what they hold."""
    today = datetime.now(UTC).date()
    with session.runtime() as runtime:
        found = service.list_figures(runtime, start=today - timedelta(days=29), end=today)
        shown = [
            {**shown_tenant(each.tenant, runtime.settings), **{k: v for k, v in vars(each).items() if k != "tenant"}} for each in found
        ]
    rows = [
        [each["slug"], each["status"], each["plan"], each["provider"], size(each["stored_bytes"]), each["stored_files"], each["url"]]
        for each in shown
    ]
    session.show(
        {"items": shown}, table(["SLUG", "STATUS", "PLAN", "PROVIDER", "STORED", "FILES", "ADDRESS"], rows) if rows else "No tenants yet."
    )


@tenant.command()
@click.argument("slug")
@command_options
def show(session: Session, slug: str) -> None:
    """Show one tenant."""
    with session.runtime() as runtime:
        shown = shown_tenant(service.find_tenant(runtime, slug), runtime.settings)
    session.show(shown, "\n".join(f"{name}: {value}" for name, value in shown.items()))


@tenant.command()
@click.argument("slug")
@click.option("--plan", help="Another plan.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER", help="Replaces all limits agreed for this tenant alone.")
@command_options
def limits(session: Session, slug: str, plan: str | None, limits: tuple[str, ...]) -> None:
    """Change a tenant's plan, or give it limits of its own."""
    with session.runtime() as runtime:
        changed = service.set_limits(runtime, OPERATOR, slug, plan=plan, limits=parse_limits(limits) if limits else None)
        shown = shown_tenant(changed, runtime.settings)
    session.show(shown, "\n".join(f"{name}: {value}" for name, value in shown["limits"].items()))
