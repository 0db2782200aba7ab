"""What an operator sees of the cells: how many tenants each holds, how large it is, and where the next tenant goes. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from strongroom.errors import DatabaseUnavailable, NotFound
from strongroom.runtime import Runtime
from tenants import placement

_LOOK = text("SELECT pg_database_size(current_database()) AS size_bytes, current_setting('server_version') AS server_version")


@dataclass(frozen=True)
class Cell:
    """One cell. Size and version are None while it does not answer."""

    name: str
    tenants: int
    size_bytes: int | None
    server_version: str | None
    takes_new: bool


def list_cells(runtime: Runtime) -> list[Cell]:
    """Return all cells, in the order of the settings."""
    names = runtime.databases.cell_names
    with runtime.databases.control() as connection:
        counts = placement.count_tenants(connection)
    chosen = placement.roomiest(names, counts)
    return [_look(runtime, name, counts.get(name, 0), is_chosen=name == chosen) for name in names]


def get_cell(runtime: Runtime, name: str) -> Cell:
    """Return one cell.

    Raises:
        NotFound
    """
    for each in list_cells(runtime):
        if each.name == name:
            return each
    raise NotFound(f"There is no cell '{name}'. See 'strongroom cell list'.")


def _look(runtime: Runtime, name: str, tenants: int, *, is_chosen: bool) -> Cell:
    try:
        with runtime.databases.cell(name) as connection:
            row = connection.execute(_LOOK).one()
    except DatabaseUnavailable:
        return Cell(name, tenants, None, None, is_chosen)
    return Cell(name, tenants, int(row.size_bytes), str(row.server_version).split()[0], is_chosen)
