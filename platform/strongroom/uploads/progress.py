"""SQL of uploads that come in several requests: who is writing, and how far it is. Each runs in a tenant's transaction.

The lock is a lease on the upload's row: it runs out by itself when its process dies, and whatever its holder writes down
is fenced by the lease's id, so that a holder that lost it can write nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, tuple_, update

from strongroom.uploads import repository
from strongroom.uploads.models import State, Upload, UploadPart
from strongroom.uploads.tables import uploads

LOCK_S = 6


@dataclass(frozen=True)
class Progress:
    """What is durable at the provider: how far in order, of which `tail_bytes` are too few for a part, and the parts since."""

    offset_bytes: int
    tail_bytes: int = 0
    parts: tuple[UploadPart, ...] = ()


@dataclass(frozen=True)
class Held:
    """An upload whose lock is held, with the room that is reserved for it."""

    upload: Upload
    lock_id: UUID
    reserved_bytes: int


def _until(seconds: float) -> ColumnElement[Any]:
    return func.now() + timedelta(seconds=seconds)


def _is_free() -> ColumnElement[bool]:
    return or_(uploads.c.locked_until.is_(None), uploads.c.locked_until <= func.now())


def lock(connection: Connection, upload_id: UUID, lock_id: UUID, *, lifetime_s: int = 0) -> Held | None:
    """Take the lock of an open upload, which then lives on for at least `lifetime_s`; None when somebody else has it."""
    mine = and_(uploads.c.id == upload_id, uploads.c.state == State.OPEN, _is_free())
    lives_until = func.greatest(uploads.c.expires_at, _until(lifetime_s))
    query = update(uploads).where(mine).values(lock_id=lock_id, locked_until=_until(LOCK_S), lock_wanted=False, expires_at=lives_until)
    reserved = connection.execute(query.returning(uploads.c.reserved_bytes)).scalar()
    return None if reserved is None else Held(repository.get_upload(connection, upload_id), lock_id, reserved)


def want_lock(connection: Connection, upload_id: UUID) -> None:
    """Ask whoever has the lock to let go of it, if nothing comes from its client any more."""
    connection.execute(update(uploads).where(uploads.c.id == upload_id, ~_is_free()).values(lock_wanted=True))


def is_locked(connection: Connection, upload_id: UUID) -> bool:
    """Tell whether somebody is writing to an open upload."""
    query = select(uploads.c.id).where(uploads.c.id == upload_id, uploads.c.state == State.OPEN, ~_is_free())
    return connection.execute(query).first() is not None


def renew(connection: Connection, held: Sequence[tuple[UUID, UUID]]) -> dict[UUID, bool]:
    """Renew locks, given as (upload id, lock id); return, for those that are still held, whether somebody else wants them."""
    mine = and_(tuple_(uploads.c.id, uploads.c.lock_id).in_(list(held)), uploads.c.state == State.OPEN)
    query = update(uploads).where(mine).values(locked_until=_until(LOCK_S)).returning(uploads.c.id, uploads.c.lock_wanted)
    return {row.id: row.lock_wanted for row in connection.execute(query)}


def unlock(connection: Connection, upload_id: UUID, lock_id: UUID) -> None:
    """Let go of a lock; nothing happens when it was lost."""
    free: dict[str, Any] = {"lock_id": None, "locked_until": None, "lock_wanted": False}
    connection.execute(update(uploads).where(uploads.c.id == upload_id, uploads.c.lock_id == lock_id).values(**free))


def checkpoint(connection: Connection, upload_id: UUID, lock_id: UUID, progress: Progress, more: Mapping[str, Any]) -> bool:
    """Write down what is durable, with `more` columns; False, and nothing is written, when the lock was lost."""
    values = {"offset_bytes": progress.offset_bytes, "tail_bytes": progress.tail_bytes, "locked_until": _until(LOCK_S), **more}
    mine = and_(uploads.c.id == upload_id, uploads.c.lock_id == lock_id, uploads.c.state == State.OPEN)
    if connection.execute(update(uploads).where(mine).values(**values)).rowcount != 1:
        return False
    for part in progress.parts:
        repository.put_part(connection, upload_id, part)
    return True


def reservations(connection: Connection, upload_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return, locked until the transaction ends, how many bytes each of these open uploads has reserved."""
    query = select(uploads.c.id, uploads.c.reserved_bytes).where(uploads.c.id.in_(upload_ids), uploads.c.state == State.OPEN)
    return {row.id: row.reserved_bytes for row in connection.execute(query.order_by(uploads.c.id).with_for_update())}


def prolong(connection: Connection, upload_ids: Sequence[UUID], lifetime_s: int) -> None:
    """Keep uploads alive for at least `lifetime_s`."""
    lives_until = func.greatest(uploads.c.expires_at, _until(lifetime_s))
    connection.execute(update(uploads).where(uploads.c.id.in_(upload_ids), uploads.c.state == State.OPEN).values(expires_at=lives_until))
