"""SQL of a tenant's archives. Every function runs in the tenant's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from strongroom.errors import Conflict, NotFound
from strongroom.files.tables import export_segments, versions
from strongroom.takeout.models import Export, ExportState, Item, Segment
from strongroom.takeout.tables import export_items, exports


def _to_export(row: Row[Any]) -> Export:
    return Export(**{**row._mapping, "state": ExportState(row.state)})


def add(connection: Connection, export_id: UUID, created_by: UUID | None) -> None:
    """Begin an archive.

    Raises:
        Conflict: one is being made.
    """
    try:
        connection.execute(insert(exports).values(id=export_id, state=ExportState.RUNNING, created_by=created_by))
    except IntegrityError:
        raise Conflict("An archive is being made already.") from None


def get(connection: Connection, export_id: UUID, *, lock: bool = False) -> Export:
    """Return one archive.

    Raises:
        NotFound
    """
    query = select(exports).where(exports.c.id == export_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound("There is no such export.")
    return _to_export(row)


def listed(connection: Connection, *, expired: bool = False) -> list[Export]:
    """Return the archives, newest first; or those whose time is over."""
    query = select(exports).order_by(exports.c.id.desc())
    if expired:
        query = query.where(exports.c.expires_at < func.now())
    return [_to_export(row) for row in connection.execute(query)]


def change(connection: Connection, export_id: UUID, **values: Any) -> None:
    """Change columns of an archive."""
    connection.execute(update(exports).where(exports.c.id == export_id).values(**values))


def remove(connection: Connection, export_id: UUID) -> None:
    """Forget an archive whose bytes are gone. Idempotent."""
    connection.execute(delete(export_items).where(export_items.c.export_id == export_id))
    connection.execute(delete(exports).where(exports.c.id == export_id))


def begin_segment(connection: Connection, segment: Segment) -> Segment | None:
    """Note a segment before its bytes come; return one of the same number that an earlier try has left."""
    mine = (export_segments.c.export_id == segment.export_id) & (export_segments.c.number == segment.number)
    row = connection.execute(delete(export_segments).where(mine).returning(export_segments)).first()
    connection.execute(insert(export_segments).values(**vars(segment)))
    return Segment(**row._mapping) if row else None


def end_segment(connection: Connection, segment: Segment, size_bytes: int) -> bool:
    """Note that a segment is whole; False when another worker has begun it anew."""
    mine = (export_segments.c.export_id == segment.export_id) & (export_segments.c.segment_id == segment.segment_id)
    return connection.execute(update(export_segments).where(mine).values(size_bytes=size_bytes)).rowcount == 1


def segments(connection: Connection, export_id: UUID) -> list[Segment]:
    """Return an archive's segments in order."""
    query = select(export_segments).where(export_segments.c.export_id == export_id).order_by(export_segments.c.number)
    return [Segment(**row._mapping) for row in connection.execute(query)]


def add_items(connection: Connection, export_id: UUID, version_ids: Iterable[UUID]) -> None:
    """Note versions whose bytes have to go in, or to come out. Idempotent."""
    rows = [{"export_id": export_id, "version_id": version_id} for version_id in version_ids]
    if rows:
        connection.execute(upsert(export_items).on_conflict_do_nothing(), rows)


def remove_items(connection: Connection, export_id: UUID, version_ids: Sequence[UUID] | None = None) -> int:
    """Note that versions' bytes are through; return how many were waited for. None: forget all."""
    mine = export_items.c.export_id == export_id
    if version_ids is not None:
        mine &= export_items.c.version_id.in_(version_ids)
    return connection.execute(delete(export_items).where(mine)).rowcount


def count_items(connection: Connection, export_id: UUID) -> int:
    """Return how many versions' bytes are waited for."""
    return int(connection.execute(select(func.count()).where(export_items.c.export_id == export_id)).scalar_one())


def next_items(connection: Connection, export_id: UUID, limit: int) -> list[tuple[UUID, Item | None]]:
    """Return the next versions by id, each with where its bytes are; None for one that is gone."""
    query = select(
        export_items.c.version_id, versions.c.bucket_id, versions.c.provider_id, versions.c.size_bytes, versions.c.blake3
    ).outerjoin(versions, versions.c.id == export_items.c.version_id)
    rows = connection.execute(query.where(export_items.c.export_id == export_id).order_by(export_items.c.version_id).limit(limit))
    return [(row.version_id, Item(**row._mapping) if row.bucket_id else None) for row in rows]
