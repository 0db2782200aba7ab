"""`strongroom cell …`"""

from __future__ import annotations

from typing import Any

import click

from strongroom.cli.context import Session, command_options, size, table
from strongroom.operating import cells as operated
from strongroom.operating.cells import Cell


@click.group()
def cell() -> None:
    """Look at the cells: the PostgreSQL clusters that hold tenants."""


@cell.command(name="list")
@command_options
def list_(session: Session) -> None:
    """List the cells with what they hold."""
    with session.runtime() as runtime:
        found = operated.list_cells(runtime)
    session.show({"items": found}, table(["CELL", "TENANTS", "SIZE", "POSTGRESQL", ""], [_row(each) for each in found]))


@cell.command()
@click.argument("name")
@command_options
def show(session: Session, name: str) -> None:
    """Show one cell."""
    with session.runtime() as runtime:
        found = operated.get_cell(runtime, name)
    session.show(found, table(["CELL", "TENANTS", "SIZE", "POSTGRESQL", ""], [_row(found)]))


def _row(found: Cell) -> list[Any]:
    held = size(found.size_bytes) if found.size_bytes is not None else "does not answer"
    return [found.name, found.tenants, held, found.server_version or "-", "the next tenant goes here" if found.takes_new else ""]
