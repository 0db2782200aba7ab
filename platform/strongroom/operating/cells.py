"""What an operator sees of the cells and says of them: how full each is and may become, how large, who is next. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from strongroom.auth import operators
from strongroom.errors import CellsFull, DatabaseUnavailable, NotFound
from strongroom.runtime import Runtime
from tenants import placement
from tenants.placement import Room

_LOOK = text("SELECT pg_database_size(current_database()) AS size_bytes, current_setting('server_version') AS server_version")


@dataclass(frozen=True)
class Cell:
    """One cell. Size and version are None while it does not answer. `configured`: the settings of this process name it.

    `prepared`: 'migrate' or 'cell add' made it ready; before that it has no limit and takes nobody. `share`: 0, empty; 1, full.
    """

    name: str
    tenants: int
    max_tenants: int | None
    share: float
    closed: bool
    size_bytes: int | None
    server_version: str | None
    takes_new: bool
    configured: bool = True
    prepared: bool = True


def list_cells(runtime: Runtime) -> list[Cell]:
    """Return all cells: in the order of the settings, then those that the settings of this process do not name."""
    names = runtime.databases.cell_names
    with runtime.databases.control() as connection:
        rooms = placement.rooms(connection)
    try:
        chosen = placement.roomiest(names, rooms)
    except CellsFull:
        chosen = ""
    everyone = [*names, *(name for name in rooms if name not in names)]
    return [_look(runtime, name, rooms.get(name), is_chosen=name == chosen) for name in everyone]


def amiss(runtime: Runtime) -> dict[str, str]:
    """Return, by cell, what is to be done where the settings of this process and the registry do not name the same cells.

    One that the registry alone names, and that is empty, is not amiss: it was added a moment ago, or is out of use.
    """
    names = runtime.databases.cell_names
    with runtime.databases.control() as connection:
        rooms = placement.rooms(connection)
    found = {
        name: f"The settings name the cell '{name}', but it is not ready: run 'strongroom cell add {name}', or take it out of the settings."
        for name in names if name not in rooms
    }  # fmt: skip
    for room in rooms.values():
        if room.name not in names and room.tenants:
            found[room.name] = (
                f"The cell '{room.name}' holds tenants ({room.tenants}), but the settings of this process do not name it, so it cannot "
                "serve them: add it to STRONGROOM_CELLS and STRONGROOM_MIGRATION_CELLS, and restart."
            )
    return found


def get_cell(runtime: Runtime, name: str) -> Cell:
    """Return one cell.

    Raises:
        NotFound
    """
    for each in list_cells(runtime):
        if each.name == name:
            return each
    raise NotFound(f"There is no cell '{name}'. See 'strongroom cell list'.")


def set_cell(runtime: Runtime, operator: str, name: str, *, max_tenants: int | None = None, closed: bool | None = None) -> Cell:
    """Change how many tenants a cell may hold, and whether it takes new ones; those that it holds stay. Idempotent.

    Raises:
        NotFound
    """
    with runtime.databases.control() as connection:
        placement.change(connection, name, max_tenants=max_tenants, closed=closed)
    wanted = {"max_tenants": max_tenants, "closed": closed}
    data = {key: value for key, value in wanted.items() if value is not None}
    operators.record(runtime.databases, operator, "cell.set", name, data)
    return get_cell(runtime, name)


def _look(runtime: Runtime, name: str, room: Room | None, *, is_chosen: bool) -> Cell:
    configured = name in runtime.databases.cell_names
    size_bytes, version = _answer(runtime, name) if configured else (None, None)
    if room is None:
        return Cell(name, 0, None, 0.0, True, size_bytes, version, takes_new=False, configured=configured, prepared=False)
    return Cell(
        name, room.tenants, room.max_tenants, round(room.share, 4), room.closed, size_bytes, version, takes_new=is_chosen,
        configured=configured,
    )  # fmt: skip


def _answer(runtime: Runtime, name: str) -> tuple[int | None, str | None]:
    try:
        with runtime.databases.cell(name) as connection:
            row = connection.execute(_LOOK).one()
    except DatabaseUnavailable:
        return None, None
    return int(row.size_bytes), str(row.server_version).split()[0]
