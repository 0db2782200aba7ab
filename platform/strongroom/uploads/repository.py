"""SQL of uploads. Every function runs in a tenant's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Float, Row, cast, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.buckets.models import Bucket
from strongroom.buckets.repository import get_bucket_by_id
from strongroom.errors import NotFound
from strongroom.uploads.models import Abandoned, Kind, Reservation, State, Upload, UploadPart, UploadRequest
from strongroom.uploads.tables import parts, uploads

_LEFT_S = cast(func.coalesce(func.extract("epoch", uploads.c.expires_at - func.now()), 0), Float).label("left_s")
"""What the database's clock says: no machine's own decides what has expired."""


def insert_upload(connection: Connection, *, lifetime_s: int, **values: Any) -> datetime:
    """Add an upload; return when it expires."""
    query = insert(uploads).values(**values, expires_at=func.now() + timedelta(seconds=lifetime_s)).returning(uploads.c.expires_at)
    expires_at: datetime = connection.execute(query).scalar_one()
    return expires_at


def get_upload(connection: Connection, upload_id: UUID, *, lock: bool = False) -> Upload:
    """Return an upload; with `lock`, hold its row until the transaction ends.

    Raises:
        NotFound
    """
    query = select(uploads, _LEFT_S).where(uploads.c.id == upload_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound("There is no such upload.")
    return _to_upload(row, get_bucket_by_id(connection, row.bucket_id))


def list_uploads(connection: Connection, *, created_by: UUID | None, after: UUID | None, limit: int) -> list[Upload]:
    """Return the uploads of several requests, newest first: of one user, or of all."""
    query = select(uploads, _LEFT_S).where(uploads.c.kind != Kind.STREAM)
    if created_by is not None:
        query = query.where(uploads.c.created_by == created_by)
    if after is not None:
        query = query.where(uploads.c.id < after)
    rows = connection.execute(query.order_by(uploads.c.id.desc()).limit(limit)).all()
    buckets = {bucket_id: get_bucket_by_id(connection, bucket_id) for bucket_id in {row.bucket_id for row in rows}}
    return [_to_upload(row, buckets[row.bucket_id]) for row in rows]


def _to_upload(row: Row[Any], bucket: Bucket) -> Upload:
    return Upload(
        id=row.id, kind=Kind(row.kind), state=State(row.state), bucket=bucket, path=row.path, version_id=row.version_id,
        provider_id=row.provider_id, size_bytes=row.size_bytes, declared_type=row.content_type,
        request=request_from_json(row.request, bucket.name, row.path, row.size_bytes, row.content_type), created_by=row.created_by,
        session=row.session, part_size_bytes=row.part_size_bytes, offset_bytes=row.offset_bytes, tail_bytes=row.tail_bytes,
        detected_type=row.detected_type, concat=row.concat, api_key_id=row.api_key_id, file_id=row.file_id, reason=row.reason,
        created_at=row.created_at, expires_at=row.expires_at, left_s=row.left_s,
    )  # fmt: skip


def request_to_json(request: UploadRequest) -> dict[str, Any]:
    """Return what has to be remembered of a request until its upload completes."""
    tags = {name: sorted(value) for name in ("if_match", "if_none_match") if (value := getattr(request, name)) is not None}
    digests = {name: value.hex() for name, value in request.digests.items()}
    rest = {"digests": digests, **{name: dict(getattr(request, name)) for name in ("metadata", "claims", "remembered")}}
    return {**tags, **{name: value for name, value in rest.items() if value}}


def request_from_json(stored: Mapping[str, Any], bucket: str, path: str, size_bytes: int | None, content_type: str) -> UploadRequest:
    """Return the request that `request_to_json` wrote down."""
    tags: dict[str, Any] = {name: frozenset(stored[name]) for name in ("if_match", "if_none_match") if name in stored}
    digests = {name: bytes.fromhex(value) for name, value in stored.get("digests", {}).items()}
    rest = {name: stored.get(name, {}) for name in ("metadata", "claims", "remembered")}
    return UploadRequest(bucket, path, size_bytes, content_type, **tags, digests=digests, **rest)


COUNT_OPEN = select(
    func.count().filter(or_(uploads.c.kind == Kind.STREAM, uploads.c.locked_until > func.now())).label("moving"),
    func.count().label("still_open"),
).where(uploads.c.state == State.OPEN, uploads.c.expires_at > func.now())
"""How many uploads have bytes travelling right now, and how many are open in all."""


def count_open(connection: Connection) -> tuple[int, int]:
    """Return how many uploads have bytes travelling right now, and how many are open in all."""
    row = connection.execute(COUNT_OPEN).one()
    return row[0], row[1]


def prolong(connection: Connection, upload_id: UUID, lifetime_s: int, *, more_bytes: int = 0) -> bool:
    """Keep an upload alive, with `more_bytes` reserved; False when it has been swept."""
    lives_until = func.greatest(uploads.c.expires_at, func.now() + timedelta(seconds=lifetime_s))
    query = update(uploads).where(uploads.c.id == upload_id, uploads.c.state == State.OPEN)
    return connection.execute(query.values(expires_at=lives_until, reserved_bytes=uploads.c.reserved_bytes + more_bytes)).rowcount == 1


def take(connection: Connection, upload_id: UUID) -> Reservation | None:
    """Remove an upload; return what it had reserved, or None when somebody else has removed it."""
    query = delete(uploads).where(uploads.c.id == upload_id, uploads.c.state == State.OPEN)
    row = connection.execute(query.returning(uploads.c.reserved_bytes, uploads.c.reserved_files)).first()
    return Reservation(row.reserved_bytes, row.reserved_files) if row else None


def end(connection: Connection, upload_id: UUID, state: State, *, lifetime_s: int, **values: Any) -> Reservation | None:
    """End an upload, and keep its row for `lifetime_s`; return what it had reserved, None when it had ended already."""
    query = select(uploads.c.reserved_bytes, uploads.c.reserved_files).where(uploads.c.id == upload_id, uploads.c.state == State.OPEN)
    row = connection.execute(query.with_for_update()).first()
    if row is None:
        return None
    expires_at = func.now() + timedelta(seconds=lifetime_s)
    ended = {"state": state, "reserved_bytes": 0, "reserved_files": 0, "lock_id": None, "locked_until": None, "expires_at": expires_at}
    ended["source_url"] = None  # it may hold secrets
    connection.execute(update(uploads).where(uploads.c.id == upload_id).values(**ended, **values))
    connection.execute(delete(parts).where(parts.c.upload_id == upload_id))
    return Reservation(row.reserved_bytes, row.reserved_files)


def update_upload(connection: Connection, upload_id: UUID, **values: Any) -> None:
    """Change columns of an upload's row."""
    connection.execute(update(uploads).where(uploads.c.id == upload_id).values(**values))


def put_part(connection: Connection, upload_id: UUID, part: UploadPart) -> None:
    """Write down a part that is durable; one of the same number is replaced."""
    values = {"offset_bytes": part.offset_bytes, "size_bytes": part.size_bytes, "tag": part.tag, "blocks": part.blocks}
    query = upsert(parts).values(upload_id=upload_id, number=part.number, **values)
    connection.execute(query.on_conflict_do_update(index_elements=[parts.c.upload_id, parts.c.number], set_=values))


def forget_part(connection: Connection, upload_id: UUID, number: int) -> None:
    """Forget that a part has arrived: it is about to be sent again."""
    connection.execute(delete(parts).where(parts.c.upload_id == upload_id, parts.c.number == number))


def list_parts(connection: Connection, upload_id: UUID) -> list[UploadPart]:
    """Return what has arrived of an upload, by number."""
    query = select(parts.c.number, parts.c.offset_bytes, parts.c.size_bytes, parts.c.tag, parts.c.blocks)
    return [UploadPart(*row) for row in connection.execute(query.where(parts.c.upload_id == upload_id).order_by(parts.c.number))]


def expired(connection: Connection, limit: int) -> list[tuple[UUID, bool, Abandoned]]:
    """Return, locked, uploads whose time is over, with whether they were still open."""
    columns = (uploads.c.id, uploads.c.state, uploads.c.bucket_id, uploads.c.version_id, uploads.c.provider_id)
    query = select(*columns).where(uploads.c.expires_at <= func.now()).limit(limit).with_for_update(skip_locked=True)
    rows = connection.execute(query)
    return [(row.id, row.state == State.OPEN, Abandoned(row.bucket_id, row.version_id, row.provider_id)) for row in rows]


def forget(connection: Connection, upload_ids: Sequence[UUID]) -> None:
    """Remove the rows of uploads that have ended."""
    connection.execute(delete(uploads).where(uploads.c.id.in_(upload_ids), uploads.c.state != State.OPEN))


def next_sweep_s(connection: Connection) -> float | None:
    """Return in how many seconds the next open upload expires; None when there is none."""
    seconds = func.extract("epoch", func.min(uploads.c.expires_at) - func.now())
    found = connection.execute(select(seconds).where(uploads.c.state == State.OPEN)).scalar()
    return None if found is None else float(found)


def versions_under_way(connection: Connection) -> set[UUID]:
    """Return the version ids of all uploads that have not ended."""
    return set(connection.execute(select(uploads.c.version_id).where(uploads.c.state == State.OPEN)).scalars())
