"""`strongroom cell …`"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy.engine import make_url

from strongroom.auth import operators
from strongroom.cli.context import OPERATOR, Session, command_options, size, table
from strongroom.config import Settings
from strongroom.db.cells import Addresses, prepare
from strongroom.operating import cells as operated
from strongroom.operating.cells import Cell

HEADERS = ["CELL", "TENANTS", "OF", "FULL", "SIZE", "POSTGRESQL", ""]
Limit = click.IntRange(0, 1_000_000)


@click.group()
def cell() -> None:
    """See to the cells: the PostgreSQL clusters that hold tenants."""


@cell.command(name="list")
@command_options
def list_(session: Session) -> None:
    """List the cells with what they hold."""
    with session.runtime() as runtime:
        found = operated.list_cells(runtime)
    session.show({"items": found}, table(HEADERS, [_row(each) for each in found]))


@cell.command()
@click.argument("name")
@command_options
def show(session: Session, name: str) -> None:
    """Show one cell."""
    with session.runtime() as runtime:
        found = operated.get_cell(runtime, name)
    session.show(found, table(HEADERS, [_row(found)]))


@cell.command(name="set")
@click.argument("name")
@click.option("--max-tenants", type=Limit, help="How many tenants it may hold. Those that it holds stay.")
@click.option("--closed/--open", default=None, help="Whether new tenants are put elsewhere.")
@command_options
def set_(session: Session, name: str, max_tenants: int | None, closed: bool | None) -> None:
    """Say how many tenants a cell may hold, and whether it takes new ones."""
    with session.runtime() as runtime:
        found = operated.set_cell(runtime, OPERATOR, name, max_tenants=max_tenants, closed=closed)
    session.show(found, table(HEADERS, [_row(found)]))


@cell.command()
@click.argument("name")
@click.option("--superuser-url", envvar="CELL_SUPERUSER_URL", help="A superuser's URL of the cluster: roles and database are made, too.")
@click.option("--database", default="strongroom", show_default=True, help="Name of the database that is made there.")
@click.option("--max-tenants", type=Limit, help="How many tenants it may hold; 10000 if not said.")
@click.option("--closed", is_flag=True, default=None, help="Put no new tenants there yet: to move some there first.")
@command_options
def add(session: Session, name: str, superuser_url: str | None, database: str, max_tenants: int | None, closed: bool | None) -> None:
    """Make a PostgreSQL cluster (15 or later) ready to hold tenants, look whether its doors are closed, and note it in the registry.

    With a superuser's URL everything is made; it is used now and kept nowhere. Without, the settings must name the cell
    already, and 'strongroom bootstrap-sql' must have been run there. Can be run again at any time.
    """
    with session.runtime() as runtime:
        addresses = prepare(runtime.settings, name, superuser_url=superuser_url, database=database)
        if max_tenants is not None or closed is not None:
            operated.set_cell(runtime, OPERATOR, name, max_tenants=max_tenants, closed=closed)
        operators.record(runtime.databases, OPERATOR, "cell.add", name, {})
        found, settings = operated.get_cell(runtime, name), _settings(runtime.settings, name, addresses)
    session.show({**asdict(found), "settings": settings}, _advice(found, settings))


def _settings(settings: Settings, name: str, addresses: Addresses) -> dict[str, dict[str, str]]:
    """Return what the settings must be that they may name the cell; passwords are not shown."""
    app = {**settings.cell_urls(), name: addresses.app}
    owner = {**settings.migration_cell_urls(), name: addresses.owner}
    both = {"STRONGROOM_CELLS": app, "STRONGROOM_MIGRATION_CELLS": owner}
    return {key: {each: make_url(url).render_as_string() for each, url in urls.items()} for key, urls in both.items()}


def _advice(found: Cell, settings: dict[str, dict[str, str]]) -> str:
    ready = f"Cell '{found.name}' is ready."
    if found.configured:
        return f"{ready} The settings name it: processes that were started before are to be restarted."
    lines = [f"{name}='{json.dumps(urls)}'" for name, urls in settings.items()]
    return "\n".join([
        f"{ready} Name it in the settings (*** are the passwords of the control database's roles), then restart all processes;",
        "until then nothing is put there:", *lines,
    ])  # fmt: skip


def _row(found: Cell) -> list[Any]:
    limit = "-" if found.max_tenants is None else found.max_tenants
    held = size(found.size_bytes) if found.size_bytes is not None else "-"
    return [found.name, found.tenants, limit, f"{found.share:.0%}", held, found.server_version or "-", _stands(found)]


def _stands(found: Cell) -> str:
    if not found.configured:
        return "not in the settings: add it to STRONGROOM_CELLS, and restart"
    if not found.prepared:
        return f"not ready: run 'strongroom cell add {found.name}'"
    if found.server_version is None:
        return "does not answer"
    if found.closed:
        return "closed for new tenants"
    return "the next tenant goes here" if found.takes_new else ""
