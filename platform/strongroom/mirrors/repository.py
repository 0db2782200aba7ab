"""SQL of mirroring. Every function runs in the tenant's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Connection, Row, case, delete, exists, false, func, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from strongroom.buckets.tables import buckets
from strongroom.files.copies import FAILED, PENDING, STORED, wanted_at
from strongroom.files.tables import mirrors, versions
from strongroom.mirrors.models import Mirror, Progress, Task
from strongroom.moving.models import Stored
from strongroom.uploads.models import State
from strongroom.uploads.tables import uploads
from tenants.models import Host, ScanPolicy

MAX_PROBLEM, MAX_TAG = 300, 128
_KEY = (mirrors.c.version_id, mirrors.c.provider_id)


def _in_s(seconds: float | ColumnElement[Any]) -> ColumnElement[Any]:
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _is_among(keys: CTE) -> ColumnElement[bool]:
    return (mirrors.c.version_id == keys.c.version_id) & (mirrors.c.provider_id == keys.c.provider_id)


def take(connection: Connection, provider_id: UUID, limit: int, lease_s: float) -> list[Task]:
    """Take some of the copies that are due, the longest waiting first; nobody else does for as long as the lease lasts."""
    due = select(*_KEY).where(mirrors.c.provider_id == provider_id, mirrors.c.state != STORED, mirrors.c.at <= func.now())
    due_keys = due.order_by(mirrors.c.at).limit(limit).with_for_update(skip_locked=True).cte("due")
    query = update(mirrors).where(_is_among(due_keys), versions.c.id == mirrors.c.version_id)
    columns = (
        versions.c.id, versions.c.bucket_id, versions.c.provider_id, versions.c.size_bytes, versions.c.fingerprint, versions.c.blake3,
    )  # fmt: skip
    taken = query.values(at=_in_s(lease_s), attempts=mirrors.c.attempts + 1).returning(*columns, mirrors.c.attempts)
    return [Task(Stored(*row[:6]), provider_id, row.attempts) for row in connection.execute(taken)]


def prolong(connection: Connection, provider_id: UUID, version_ids: Sequence[UUID], lease_s: float) -> None:
    """Have nobody else take copies that are still being made."""
    mine = (mirrors.c.provider_id == provider_id) & mirrors.c.version_id.in_(version_ids) & (mirrors.c.state != STORED)
    connection.execute(update(mirrors).where(mine).values(at=_in_s(lease_s)))


def _mine(task: Task) -> ColumnElement[bool]:
    at = (mirrors.c.version_id == task.stored.id) & (mirrors.c.provider_id == task.provider_id)
    return at & (mirrors.c.attempts == task.attempt) & (mirrors.c.state != STORED)


def is_wanted(connection: Connection, task: Task, host: Host, policy: ScanPolicy) -> bool:
    """Tell whether a copy is still to be made, and by us."""
    still = select(exists().where(_mine(task), versions.c.id == mirrors.c.version_id, wanted_at(host, policy)))
    return bool(connection.execute(still).scalar())


def is_there(connection: Connection, task: Task) -> bool:
    """Tell whether a row still wants bytes at a host."""
    mine = (mirrors.c.version_id == task.stored.id) & (mirrors.c.provider_id == task.provider_id)
    return bool(connection.execute(select(exists().where(mine))).scalar())


def mark_stored(connection: Connection, task: Task, tag: str) -> bool:
    """Note that a copy is whole and verified; False when it is wanted no longer, or somebody else makes it."""
    values = {"state": STORED, "problem": "", "provider_tag": tag[:MAX_TAG], "at": func.now()}
    return connection.execute(update(mirrors).where(_mine(task)).values(**values)).rowcount == 1


def mark_failed(connection: Connection, task: Task, problem: str, again_s: float) -> None:
    """Note why a copy could not be made; it is tried again after so long."""
    text = problem.replace("\0", "")[:MAX_PROBLEM]
    connection.execute(update(mirrors).where(_mine(task)).values(state=FAILED, problem=text, at=_in_s(again_s)))


def postpone(connection: Connection, task: Task, again_s: float) -> None:
    """Leave a copy for later; that is no failure."""
    values = {"at": _in_s(again_s), "attempts": mirrors.c.attempts - 1}
    connection.execute(update(mirrors).where(_mine(task)).values(**values))


def next_s(connection: Connection, provider_id: UUID) -> float | None:
    """Return in how many seconds the next copy is due at a host; None when none is to be made."""
    first = select(func.min(mirrors.c.at)).where(mirrors.c.provider_id == provider_id, mirrors.c.state != STORED).scalar_subquery()
    found = connection.execute(select(func.extract("epoch", first - func.now()))).scalar()
    return None if found is None else float(found)


def retry(connection: Connection, provider_id: UUID) -> int:
    """Have all failed copies tried again now; return how many."""
    failed = (mirrors.c.provider_id == provider_id) & (mirrors.c.state == FAILED)
    return connection.execute(update(mirrors).where(failed).values(state=PENDING, at=func.now())).rowcount


def drop_unwanted(connection: Connection, hosts: Sequence[Host], policy: ScanPolicy, limit: int) -> list[Row[Any]]:
    """Remove rows of copies that belong to no host (any more); return (version id, provider id, bucket id) of each."""
    wanted = or_(false(), *((mirrors.c.provider_id == host.provider_id) & wanted_at(host, policy) for host in hosts))
    columns = (*_KEY, versions.c.bucket_id)
    chosen = select(*columns).join(versions, versions.c.id == mirrors.c.version_id).where(~wanted).limit(limit).cte("chosen")
    return list(connection.execute(delete(mirrors).where(_is_among(chosen)).returning(*_KEY, chosen.c.bucket_id)))


def forget_at(connection: Connection, provider_id: UUID, limit: int) -> int:
    """Forget copies at a provider, without removing them; return how many."""
    chosen = select(*_KEY).where(mirrors.c.provider_id == provider_id).limit(limit).cte("chosen")
    return connection.execute(delete(mirrors).where(_is_among(chosen))).rowcount


def lies_at(connection: Connection, provider_id: UUID) -> bool:
    """Tell whether versions themselves, or uploads under way, are at a provider."""
    stored = exists().where(versions.c.provider_id == provider_id)
    open_uploads = exists().where(uploads.c.provider_id == provider_id, uploads.c.state == State.OPEN)
    return bool(connection.execute(select(stored | open_uploads)).scalar())


def progress(connection: Connection) -> dict[UUID, Progress]:
    """Return how far each host is, by its provider."""
    counts = [func.count().filter(mirrors.c.state == state).label(state) for state in (STORED, PENDING, FAILED)]
    sizes = func.coalesce(func.sum(case((mirrors.c.state == STORED, mirrors.c.size_bytes), else_=0)), 0).label("stored_bytes")
    left = func.coalesce(func.sum(case((mirrors.c.state != STORED, mirrors.c.size_bytes), else_=0)), 0).label("open_bytes")
    rows = connection.execute(select(mirrors.c.provider_id, *counts, sizes, left).group_by(mirrors.c.provider_id)).all()
    problems = _problems(connection)
    return {
        row.provider_id: Progress(
            row.stored, row.pending, row.failed, int(row.stored_bytes), int(row.open_bytes), problems.get(row.provider_id, "")
        )
        for row in rows
    }


def _problems(connection: Connection) -> dict[UUID, str]:
    query = select(mirrors.c.provider_id, mirrors.c.problem).where(mirrors.c.state == FAILED)
    query = query.ext(distinct_on(mirrors.c.provider_id))
    return {row.provider_id: row.problem for row in connection.execute(query.order_by(mirrors.c.provider_id, mirrors.c.at.desc()))}


def of_version(connection: Connection, version_id: UUID) -> dict[UUID, Mirror]:
    """Return where a version stands at each host that it belongs to, by the host's provider."""
    columns = (mirrors.c.provider_id, mirrors.c.state, mirrors.c.attempts, mirrors.c.problem, mirrors.c.at)
    rows = connection.execute(select(*columns).where(mirrors.c.version_id == version_id))
    return {row.provider_id: Mirror(**row._mapping) for row in rows}


def stored_after(connection: Connection, provider_id: UUID, after: UUID | None, limit: int) -> list[Row[Any]]:
    """Walk the copies at a host by version: version id, bucket id, size, tag."""
    columns = (mirrors.c.version_id, versions.c.bucket_id, mirrors.c.size_bytes, mirrors.c.provider_tag)
    query = select(*columns).join(versions, versions.c.id == mirrors.c.version_id)
    query = query.where(mirrors.c.provider_id == provider_id, mirrors.c.state == STORED)
    if after is not None:
        query = query.where(mirrors.c.version_id > after)
    return list(connection.execute(query.order_by(mirrors.c.version_id).limit(limit)))


def make_again(connection: Connection, provider_id: UUID, version_ids: Sequence[UUID], problem: str) -> int:
    """Have copies made anew that are not what they were; return how many."""
    lost = (mirrors.c.provider_id == provider_id) & mirrors.c.version_id.in_(version_ids) & (mirrors.c.state == STORED)
    values = {"state": FAILED, "problem": problem, "at": func.now()}
    return connection.execute(update(mirrors).where(lost).values(**values)).rowcount


def unknown_buckets(connection: Connection, bucket_ids: Sequence[UUID]) -> list[UUID]:
    """Return which of these buckets there are not."""
    known = set(connection.execute(select(buckets.c.id).where(buckets.c.id.in_(bucket_ids))).scalars())
    return [bucket_id for bucket_id in bucket_ids if bucket_id not in known]
