"""In which cell a new tenant is put: of those that are open and have room, the one that is the least full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update
from strongroom.errors import CellsFull, NotFound

from tenants.models import TenantStatus
from tenants.tables import cells, tenants


@dataclass(frozen=True)
class Room:
    """How full a cell is, and may become. `max_tenants` may be passed by as many as are made at one moment."""

    name: str
    tenants: int
    max_tenants: int
    closed: bool

    @property
    def takes_new(self) -> bool:
        """Tell whether it may be given another tenant."""
        return not self.closed and self.tenants < self.max_tenants

    @property
    def share(self) -> float:
        """How full it is: 0, empty; 1, full."""
        return self.tenants / self.max_tenants if self.max_tenants else 1.0


def rooms(connection: Connection) -> dict[str, Room]:
    """Return every prepared cell by name."""
    living = tenants.c.status != TenantStatus.DELETED
    held = select(tenants.c.cell, func.count().label("tenants")).where(living).group_by(tenants.c.cell).subquery()
    query = select(cells, func.coalesce(held.c.tenants, 0).label("tenants")).outerjoin(held, held.c.cell == cells.c.name)
    found = connection.execute(query.order_by(cells.c.added_at, cells.c.name))
    return {row.name: Room(row.name, row.tenants, row.max_tenants, row.closed) for row in found}


def known(connection: Connection) -> list[str]:
    """Return the names of all prepared cells."""
    return list(connection.execute(select(cells.c.name).order_by(cells.c.added_at, cells.c.name)).scalars())


def roomiest(names: Sequence[str], found: dict[str, Room]) -> str:
    """Return the least full of the named cells that take new tenants; of several the first named.

    Raises:
        CellsFull
    """
    open_ = [found[name] for name in names if name in found and found[name].takes_new]
    if not open_:
        raise CellsFull
    return min(open_, key=lambda room: room.share).name


def change(connection: Connection, name: str, *, max_tenants: int | None = None, closed: bool | None = None) -> Room:
    """Change how many tenants a cell may hold, and whether it takes new ones; None leaves it as it is.

    Raises:
        NotFound
    """
    wanted = {"max_tenants": max_tenants, "closed": closed}
    values = {key: value for key, value in wanted.items() if value is not None}
    if values:
        connection.execute(update(cells).where(cells.c.name == name).values(**values))
    found = rooms(connection).get(name)
    if found is None:
        raise NotFound(f"There is no cell '{name}'. See 'strongroom cell list'; 'strongroom cell add' prepares one.")
    return found
