"""`strongroom doctor|stats|bootstrap-sql`"""

from __future__ import annotations

from contextlib import suppress

import click

from strongroom.cli import checkup
from strongroom.cli.context import Session, command_options
from strongroom.db.bootstrap import bootstrap_sql as sql_for
from strongroom.errors import UnknownHost
from strongroom.operating import service
from strongroom.usage import service as usage


@click.command()
@command_options
def doctor(session: Session) -> None:
    """Check every part that Strongroom depends on; say what is wrong and how to mend it."""
    with session.settings() as settings:
        findings = checkup.examine(settings)
    ok = all(finding.ok for finding in findings)
    lines = [f"{'ok     ' if finding.ok else 'PROBLEM'}  {finding.part}: {finding.text}" for finding in findings]
    session.show({"ok": ok, "findings": findings}, "\n".join(lines))
    if not ok:
        raise SystemExit(1)


@click.group()
def stats() -> None:
    """Usage statistics."""


@stats.command()
@click.option("--tenant", "slug", help="Only this tenant.")
@command_options
def verify(session: Session, slug: str | None) -> None:
    """Compare rolled-up usage with the single accesses it was made from."""
    with session.runtime() as runtime:
        figures = [service.find_tenant(runtime, slug)] if slug else service.living_tenants(runtime)
        differences = {}
        for each in figures:
            with suppress(UnknownHost):  # it was deleted after it had been listed
                usage.roll_up(runtime, each)
                differences[each.slug] = usage.verify(runtime, each)
    wrong = {name: found for name, found in differences.items() if found}
    text = "\n".join(f"{name}: {found}" for name, found in wrong.items()) or f"Exact for {len(differences)} tenants."
    session.show({"ok": not wrong, "differences": wrong, "tenants": len(differences)}, text)
    if wrong:
        raise SystemExit(1)


@click.command(name="bootstrap-sql")
@click.option("--database", default="strongroom", show_default=True)
def bootstrap_sql(database: str) -> None:
    """Print what a database superuser runs once per cluster."""
    click.echo(sql_for(database))
