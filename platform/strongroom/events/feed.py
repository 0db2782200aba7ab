"""Reading the change feed: in which order, and up to where. Every reader goes by this.

An event's place is (epoch, xid, id). xid is that of its transaction in its cell; one that began earlier may commit later, so of
the present epoch only what is below the oldest transaction still open is seen, and nothing can come before it any more. In
another cell xids are others, mostly lower ones: with each move there the next epoch begins. All events of epochs before
were committed before the tenant went, so they are seen whatever their xid.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, order=True)
class Place:
    """Where an event stands in its tenant's feed. Good for as long as the tenant lives, whatever cell it is in."""

    epoch: int
    xid: int
    id: int


START = Place(0, 0, 0)


@dataclass(frozen=True)
class Event:
    """An entry of the feed."""

    place: Place
    kind: str
    subject: UUID | None
    data: dict[str, Any]
    actor: dict[str, Any]
    at: datetime


_EPOCH = """(
    SELECT CAST(pg_get_expr(d.adbin, d.adrelid) AS integer) FROM pg_attrdef d
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE d.adrelid = CAST('events' AS regclass) AND a.attname = 'epoch'
)"""
"""The present epoch is what events get: the column's default. So the two cannot differ."""
_READ = text(f"""
SELECT epoch, CAST(CAST(xid AS text) AS bigint) AS xid, id, kind, subject, data, actor, at FROM events
WHERE (epoch, xid, id) > (:epoch, CAST(CAST(:xid AS text) AS xid8), :id)
AND (epoch < {_EPOCH} OR xid < pg_snapshot_xmin(pg_current_snapshot()))
ORDER BY epoch, events.xid, id LIMIT :limit
""")  # noqa: S608 - constants


def epoch(connection: Connection) -> int:
    """Return the present epoch of the feed of the tenant whose transaction this is."""
    return int(connection.execute(text(f"SELECT {_EPOCH}")).scalar_one())


def read(connection: Connection, after: Place, limit: int) -> list[Event]:
    """Return the events after a place, in their order; those that are not settled yet come with a later call."""
    values = {"epoch": after.epoch, "xid": str(after.xid), "id": after.id, "limit": limit}
    rows = connection.execute(_READ, values)
    return [Event(Place(row.epoch, row.xid, row.id), row.kind, row.subject, row.data, row.actor, row.at) for row in rows]
