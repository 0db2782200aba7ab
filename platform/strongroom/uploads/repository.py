"""SQL of uploads under way. Every function runs in a tenant's transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update

from strongroom.uploads.models import Abandoned, Reservation
from strongroom.uploads.tables import uploads


def insert_upload(connection: Connection, *, lifetime_s: int, **values: Any) -> None:
    """Add an upload."""
    connection.execute(insert(uploads).values(**values, expires_at=func.now() + timedelta(seconds=lifetime_s)))


def count_open(connection: Connection) -> int:
    """Return how many uploads are under way."""
    return connection.execute(select(func.count()).select_from(uploads).where(uploads.c.expires_at > func.now())).scalar_one()


def prolong(connection: Connection, upload_id: UUID, lifetime_s: int) -> bool:
    """Keep an upload alive; False when it has been swept."""
    query = update(uploads).where(uploads.c.id == upload_id).values(expires_at=func.now() + timedelta(seconds=lifetime_s))
    return connection.execute(query).rowcount == 1


def take(connection: Connection, upload_id: UUID) -> Reservation | None:
    """Remove an upload; return what it had reserved, or None when somebody else has removed it."""
    query = delete(uploads).where(uploads.c.id == upload_id).returning(uploads.c.reserved_bytes, uploads.c.reserved_files)
    row = connection.execute(query).first()
    return Reservation(row.reserved_bytes, row.reserved_files) if row else None


def expired(connection: Connection, limit: int) -> list[tuple[UUID, Abandoned]]:
    """Return, locked, uploads whose time is over."""
    query = select(uploads.c.id, uploads.c.bucket_id, uploads.c.version_id).where(uploads.c.expires_at <= func.now())
    rows = connection.execute(query.limit(limit).with_for_update(skip_locked=True))
    return [(row.id, Abandoned(row.bucket_id, row.version_id)) for row in rows]


def versions_under_way(connection: Connection) -> set[UUID]:
    """Return the version ids of all uploads that have not ended."""
    return set(connection.execute(select(uploads.c.version_id)).scalars())
