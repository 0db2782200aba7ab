"""SQL of quotas. Every function runs in a tenant's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Text, cast, func, literal_column, select, update

from strongroom.auth.tables import users
from strongroom.buckets.repository import THIS_MONTH, TRANSFERRED
from strongroom.buckets.tables import buckets, counters
from strongroom.quotas.models import Totals

_TOTALS = select(
    counters.c.used_bytes, counters.c.used_files, counters.c.reserved_bytes, counters.c.reserved_files,
    select(func.count()).select_from(users).scalar_subquery(), select(func.count()).select_from(buckets).scalar_subquery(),
    TRANSFERRED, cast(literal_column(THIS_MONTH), Text), counters.c.warned,
)  # fmt: skip
_RECIPIENTS = select(users.c.id).where(users.c.role.in_(("owner", "admin")), users.c.status == "active").order_by(users.c.id)


def totals(connection: Connection) -> Totals:
    """Return what the tenant has, in one statement."""
    return Totals(*connection.execute(_TOTALS).one())


def note_levels(connection: Connection, former: Mapping[str, int], levels: Mapping[str, int]) -> bool:
    """Note which levels were told; False when somebody else has done so since `former` was read."""
    query = update(counters).where(counters.c.warned == dict(former)).values(warned=dict(levels))
    return connection.execute(query).rowcount == 1


def recipients(connection: Connection) -> list[Any]:
    """Return the ids of those who manage the tenant and may sign in."""
    return list(connection.execute(_RECIPIENTS).scalars())
