"""Writing events, in the transaction that makes them true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert

from strongroom.events.tables import events

SYSTEM_ACTOR = {"system": "worker"}
_EMIT = insert(events)


def emit(connection: Connection, kind: str, subject: UUID | None, data: Mapping[str, Any], actor: Mapping[str, Any] = SYSTEM_ACTOR) -> None:
    """Add an event to the tenant's feed, in its open transaction."""
    connection.execute(_EMIT, {"kind": kind, "subject": subject, "data": dict(data), "actor": dict(actor)})
