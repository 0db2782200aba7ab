"""SQL of a tenant's move. Every function runs in the tenant's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.files.models import Status
from strongroom.files.tables import files, versions
from strongroom.moving.models import Failure, Left, Move, MoveState, Stored
from strongroom.moving.tables import move_failures, moves
from strongroom.uploads.models import State
from strongroom.uploads.tables import uploads

_MOVE = (
    moves.c.provider_id, moves.c.state, moves.c.moved_objects, moves.c.moved_bytes, moves.c.problem, moves.c.began_at, moves.c.ended_at,
)  # fmt: skip


def get_move(connection: Connection, *, lock: bool = False) -> Move | None:
    """Return the present move, or the last one; None when there never was one."""
    query = select(*_MOVE)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return Move(**{**row._mapping, "state": MoveState(row.state)}) if row else None


def begin(connection: Connection, provider_id: UUID) -> None:
    """Begin a move, or go on with the one to that provider; what failed before is tried again."""
    fresh = {"state": MoveState.RUNNING, "problem": "", "ended_at": None}
    goes_on = (moves.c.provider_id == provider_id) & (moves.c.state == MoveState.RUNNING)
    query = upsert(moves).values(only_row=True, provider_id=provider_id, **fresh)
    anew = {**fresh, "provider_id": provider_id, "moved_objects": 0, "moved_bytes": 0, "began_at": func.now()}
    connection.execute(query.on_conflict_do_update(index_elements=[moves.c.only_row], set_=anew, where=~goes_on))
    connection.execute(delete(move_failures))


def change(connection: Connection, provider_id: UUID, **values: Any) -> bool:
    """Change the move to that provider while it runs; tell whether it does."""
    mine = (moves.c.provider_id == provider_id) & (moves.c.state == MoveState.RUNNING)
    return connection.execute(update(moves).where(mine).values(**values)).rowcount == 1


def to_move(connection: Connection, sources: Sequence[UUID], after: UUID | None, limit: int) -> list[Stored]:
    """Walk the versions at these providers whose digests are known, by id; those that failed are left out."""
    known = versions.c.fingerprint.is_not(None) | versions.c.blake3.is_not(None) | (versions.c.status != Status.PENDING)
    columns = (
        versions.c.id, versions.c.bucket_id, versions.c.provider_id, versions.c.size_bytes, versions.c.fingerprint, versions.c.blake3,
    )  # fmt: skip
    query = select(*columns).where(versions.c.provider_id.in_(sources), known, versions.c.id.not_in(select(move_failures.c.version_id)))
    if after is not None:
        query = query.where(versions.c.id > after)
    return [Stored(**row._mapping) for row in connection.execute(query.order_by(versions.c.id).limit(limit))]


def count(connection: Connection, sources: Sequence[UUID]) -> Left:
    """Return what lies at these providers."""
    found = select(func.count(), func.coalesce(func.sum(versions.c.size_bytes), 0)).where(versions.c.provider_id.in_(sources))
    open_uploads = select(func.count()).select_from(uploads).where(uploads.c.provider_id.in_(sources), uploads.c.state == State.OPEN)
    objects, size_bytes = connection.execute(found).one()
    return Left(int(objects), int(size_bytes), int(connection.execute(open_uploads).scalar_one()))


def list_failures(connection: Connection) -> list[Failure]:
    """Return what was left where it is, by path."""
    query = select(move_failures.c.version_id, files.c.path, move_failures.c.reason).join(
        versions, versions.c.id == move_failures.c.version_id
    )
    rows = connection.execute(query.join(files, files.c.id == versions.c.file_id).order_by(files.c.path, versions.c.id))
    return [Failure(row.version_id, row.path, row.reason) for row in rows]


def note_failure(connection: Connection, version_id: UUID, reason: str) -> None:
    """Note that a version is left where it is, unless it is gone."""
    still = select(versions.c.id, literal(reason, move_failures.c.reason.type)).where(versions.c.id == version_id)
    query = upsert(move_failures).from_select(["version_id", "reason"], still)
    connection.execute(query.on_conflict_do_update(index_elements=[move_failures.c.version_id], set_={"reason": reason}))


def flip(connection: Connection, stored: Stored, provider_id: UUID, tag: str) -> bool:
    """Have a version's row name its new provider; False when it is gone, or names another than the old one by now."""
    mine = (versions.c.id == stored.id) & (versions.c.provider_id == stored.provider_id)
    return connection.execute(update(versions).where(mine).values(provider_id=provider_id, provider_tag=tag)).rowcount == 1


def resume(connection: Connection) -> None:
    """Have a move that was done go on."""
    connection.execute(update(moves).values(state=MoveState.RUNNING, ended_at=None))
