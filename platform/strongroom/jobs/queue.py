"""The queue in SQL: enqueue, claim, renew, finish, fail, and what the dispatcher and the operator need.

Fair: a worker that is free takes the next job of the tenant that has the fewest running and whose last turn is longest
ago, so ten thousand jobs of one tenant do not stand before the single one of another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.db.ids import new_id
from strongroom.errors import NotFound
from strongroom.jobs.tables import jobs, paused_tenants

MAX_ERROR = 2000
BACKOFF_S = (1, 5, 15, 60, 300, 900, 1800)


@dataclass(frozen=True)
class Job:
    """A job as its worker and the operator see it."""

    id: UUID
    tenant_id: UUID
    realm: str
    kind: str
    ids: dict[str, Any]
    state: str
    attempts: int
    error: str | None
    run_at: datetime
    created_at: datetime
    finished_at: datetime | None
    lease_id: UUID | None


def enqueue(connection: Connection, kind: str, ids: Mapping[str, Any], *, dedupe_key: str | None = None, delay_s: float = 0.0) -> None:
    """Add a job in the tenant's open transaction. With a `dedupe_key`, one that is already waiting is enough."""
    job_id = connection.execute(
        text("SELECT strongroom.enqueue_job(:kind, CAST(:ids AS jsonb), CAST(:dedupe AS text), :delay)"),
        {"kind": kind, "ids": json.dumps(dict(ids)), "dedupe": dedupe_key, "delay": float(delay_s)},
    ).scalar_one()
    if job_id is not None:
        enqueued(connection).append((job_id, delay_s))


def enqueue_ids(connection: Connection, *added: tuple[UUID | None, float]) -> None:
    """Note jobs that a statement of its own has added, as (id or None where one was waiting already, delay)."""
    enqueued(connection).extend((job_id, delay_s) for job_id, delay_s in added if job_id is not None)


AGAIN = "again"


def run_again(connection: Connection, kind: str, ids: Mapping[str, Any], delay_s: float) -> None:
    """Have a deduplicated job run once more, after every transaction that relied on it has ended; not again after that.

    Whoever adds a job that is waiting already relies on that one, which a worker may take before the adder's rows can be seen.
    """
    if not ids.get(AGAIN):
        enqueue(connection, kind, {AGAIN: True}, dedupe_key=AGAIN, delay_s=delay_s)


def enqueue_platform(connection: Connection, tenant_id: UUID, kind: str, ids: Mapping[str, Any], *, delay_s: float = 0.0) -> None:
    """Add a job that works on a tenant from outside, in a cell's transaction. Tenants cannot add such jobs."""
    job_id = new_id()
    run_at = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, delay_s)
    connection.execute(jobs.insert().values(id=job_id, tenant_id=tenant_id, realm="platform", kind=kind, ids=dict(ids), run_at=run_at))
    enqueued(connection).append((job_id, delay_s))


def enqueued(connection: Connection) -> list[tuple[UUID, float]]:
    """Return the (job id, delay) pairs added in this transaction so far; whoever commits it announces them."""
    pairs: list[tuple[UUID, float]] = connection.info.setdefault("jobs_enqueued", [])
    return pairs


CLAIM = text("""
WITH RECURSIVE waiting(tenant_id) AS (
    (SELECT tenant_id FROM strongroom.jobs WHERE state = 'queued' AND run_at <= now() ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT j.tenant_id FROM strongroom.jobs j
            WHERE j.state = 'queued' AND j.run_at <= now() AND j.tenant_id > w.tenant_id ORDER BY j.tenant_id LIMIT 1)
    FROM waiting w WHERE w.tenant_id IS NOT NULL
), turns AS (
    SELECT w.tenant_id, t.claimed_at,
           (SELECT count(*) FROM strongroom.jobs r WHERE r.state = 'running' AND r.tenant_id = w.tenant_id
            AND r.lease_until > now()) AS running
    FROM waiting w LEFT JOIN strongroom.job_turns t USING (tenant_id) WHERE w.tenant_id IS NOT NULL
    AND (NOT EXISTS (SELECT FROM strongroom.paused_tenants p WHERE p.tenant_id = w.tenant_id)
         OR EXISTS (SELECT FROM strongroom.jobs j WHERE j.state = 'queued' AND j.run_at <= now() AND j.tenant_id = w.tenant_id
                    AND j.realm = 'platform'))
), fairest AS (
    SELECT * FROM turns WHERE running < :tenant_limit ORDER BY running, claimed_at NULLS FIRST LIMIT 16
), candidate AS (
    SELECT j.id, j.tenant_id FROM fairest f, LATERAL (
        SELECT id, tenant_id FROM strongroom.jobs
        WHERE state = 'queued' AND tenant_id = f.tenant_id AND run_at <= now()
        AND (realm = 'platform' OR NOT EXISTS (SELECT FROM strongroom.paused_tenants p WHERE p.tenant_id = f.tenant_id))
        ORDER BY run_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ) j ORDER BY f.running, f.claimed_at NULLS FIRST LIMIT 1
), turn AS (
    INSERT INTO strongroom.job_turns SELECT tenant_id, clock_timestamp() FROM candidate
    ON CONFLICT (tenant_id) DO UPDATE SET claimed_at = excluded.claimed_at
)
UPDATE strongroom.jobs SET state = 'running', attempts = attempts + 1, lease_id = :lease_id,
       lease_until = now() + make_interval(secs => :lease_s)
WHERE id = (SELECT id FROM candidate) RETURNING *
""")


def claim(connection: Connection, *, lease_s: int, tenant_limit: int) -> Job | None:
    """Take the fairest job that is due, under a lease; None when there is nothing to do."""
    row = connection.execute(CLAIM, {"lease_id": new_id(), "lease_s": lease_s, "tenant_limit": tenant_limit}).first()
    return _to_job(row) if row else None


def renew(connection: Connection, job: Job, lease_s: int) -> bool:
    """Prolong a lease; False when it was lost to another worker."""
    result = connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.lease_id == job.lease_id, jobs.c.state == "running")
        .values(lease_until=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s))
    )
    return result.rowcount == 1


_FINISH = (
    update(jobs)
    .where(jobs.c.id == bindparam("job_id"), jobs.c.lease_id == bindparam("lease"))
    .values(state="done", error=None, finished_at=func.now())
)


def finish(connection: Connection, job: Job) -> None:
    """Mark a job as done, if the lease is still ours."""
    connection.execute(_FINISH, {"job_id": job.id, "lease": job.lease_id})


def fail(connection: Connection, job: Job, error: str, *, max_attempts: int) -> bool:
    """Put a job back with a growing pause, or park it after the last try. Return whether it was parked."""
    parked = job.attempts >= max_attempts
    pause_s = BACKOFF_S[min(job.attempts - 1, len(BACKOFF_S) - 1)]
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.lease_id == job.lease_id)
        .values(
            state="parked" if parked else "queued",
            error=_storable(error),
            run_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, pause_s),
            finished_at=func.now() if parked else None,
            dedupe_key=None,
        )
    )
    return parked


def _storable(error: str) -> str:
    """Return an error's text as a text column takes it."""
    return error.encode(errors="backslashreplace").decode().replace("\0", "\\0")[:MAX_ERROR]


_RELEASE = text("""
UPDATE strongroom.jobs SET
    state = CASE WHEN attempts >= :max_attempts THEN 'parked' ELSE 'queued' END,
    finished_at = CASE WHEN attempts >= :max_attempts THEN now() END,
    error = 'the worker fell silent', dedupe_key = NULL, sent_at = NULL,
    run_at = now() + make_interval(secs => least(power(4, attempts - 1), 1800))
WHERE state = 'running' AND lease_until < now()
""")


def release_expired(connection: Connection, *, max_attempts: int) -> int:
    """Give back jobs whose worker has been silent for longer than its lease; park those that ended too many workers."""
    return connection.execute(_RELEASE, {"max_attempts": max_attempts}).rowcount


_MAY_RUN = (jobs.c.realm == "platform") | ~exists().where(paused_tenants.c.tenant_id == jobs.c.tenant_id)


def pause(connection: Connection, tenant_id: UUID) -> None:
    """Have a tenant's own jobs wait from now on; those that run come to their end. Idempotent."""
    connection.execute(upsert(paused_tenants).values(tenant_id=tenant_id).on_conflict_do_nothing())


def unpause(connection: Connection, tenant_id: UUID) -> None:
    """Have a tenant's own jobs go on; the dispatcher announces those that are due. Idempotent."""
    connection.execute(delete(paused_tenants).where(paused_tenants.c.tenant_id == tenant_id))


def has_unfinished(connection: Connection, tenant_id: UUID, kind: str) -> bool:
    """Tell whether a platform job of that kind is waiting or running for a tenant."""
    mine = (jobs.c.tenant_id == tenant_id) & (jobs.c.kind == kind) & (jobs.c.realm == "platform")
    return bool(connection.execute(select(exists().where(mine, jobs.c.state.in_(("queued", "running"))))).scalar())


def has_running(connection: Connection, tenant_id: UUID) -> bool:
    """Tell whether a worker is at one of a tenant's own jobs."""
    mine = (jobs.c.tenant_id == tenant_id) & (jobs.c.realm == "tenant") & (jobs.c.state == "running") & (jobs.c.lease_until > func.now())
    return bool(connection.execute(select(exists().where(mine))).scalar())


TAKEN_AT_ONCE = 500
_TAKEN = ("id", "tenant_id", "realm", "kind", "ids", "dedupe_key", "state", "attempts", "error", "run_at", "created_at", "finished_at")


def unfinished(connection: Connection, tenant_id: UUID) -> list[dict[str, Any]]:
    """Return some of a tenant's own jobs that are not done, for another cell to take over; one that runs counts as waiting."""
    mine = (jobs.c.tenant_id == tenant_id) & (jobs.c.realm == "tenant") & (jobs.c.state != "done")
    rows = connection.execute(select(*(jobs.c[name] for name in _TAKEN)).where(mine).limit(TAKEN_AT_ONCE)).mappings()
    return [{**row, "state": "queued" if row["state"] == "running" else row["state"]} for row in rows]


def take_over(connection: Connection, found: Sequence[Mapping[str, Any]]) -> None:
    """Add jobs of another cell to this one; those that are here, or of whose kind one waits that will do, are not added. Idempotent."""
    connection.execute(upsert(jobs).values([dict(row) for row in found]).on_conflict_do_nothing())
    enqueued(connection).extend((row["id"], 0.0) for row in found[:1])


def forget(connection: Connection, job_ids: Sequence[UUID]) -> None:
    """Forget jobs, whatever their state: another cell has taken them over, or they were a probe."""
    connection.execute(delete(jobs).where(jobs.c.id.in_(job_ids)))


def overlooked(connection: Connection, limit: int) -> Sequence[UUID]:
    """Return, and mark as sent, jobs that are due but that nobody took: their message was lost or never sent."""
    due = (
        select(jobs.c.id)
        .where(
            jobs.c.state == "queued",
            _MAY_RUN,
            jobs.c.run_at < func.now() - text("interval '1 second'"),
            jobs.c.sent_at.is_(None) | (jobs.c.sent_at < func.now() - text("interval '20 seconds'")),
        )
        .order_by(jobs.c.run_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(update(jobs).where(jobs.c.id.in_(due)).values(sent_at=func.now()).returning(jobs.c.id)).scalars())


def delete_done(connection: Connection, older_than_days: int) -> int:
    """Forget jobs that were done long ago."""
    old = jobs.c.finished_at < func.now() - func.make_interval(0, 0, 0, older_than_days)
    return connection.execute(delete(jobs).where(jobs.c.state == "done", old)).rowcount


def counts(connection: Connection) -> dict[str, int]:
    """Return the number of jobs by state."""
    rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
    return {row[0]: row[1] for row in rows}


def list_jobs(connection: Connection, *, state: str | None = None, before: UUID | None = None, limit: int = 100) -> list[Job]:
    """Return jobs, newest first."""
    query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
    if state:
        query = query.where(jobs.c.state == state)
    if before is not None:
        created = select(jobs.c.created_at).where(jobs.c.id == before).scalar_subquery()
        query = query.where((jobs.c.created_at < created) | ((jobs.c.created_at == created) & (jobs.c.id < before)))
    return [_to_job(row) for row in connection.execute(query)]


def of_tenant(connection: Connection, tenant_id: UUID) -> list[Job]:
    """Return a tenant's own jobs that wait, the oldest first."""
    mine = (jobs.c.tenant_id == tenant_id) & (jobs.c.realm == "tenant") & (jobs.c.state == "queued")
    return [_to_job(row) for row in connection.execute(select(jobs).where(mine).order_by(jobs.c.created_at, jobs.c.id))]


def get_job(connection: Connection, job_id: UUID) -> Job:
    """Return one job.

    Raises:
        NotFound
    """
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
    if row is None:
        raise NotFound("There is no such job.")
    return _to_job(row)


def retry(connection: Connection, job_id: UUID) -> Job:
    """Put a parked job back into the queue.

    Raises:
        NotFound: there is no parked job of that id.
    """
    query = update(jobs).where(jobs.c.id == job_id, jobs.c.state == "parked")
    row = connection.execute(
        query.values(state="queued", attempts=0, run_at=func.now(), sent_at=None, finished_at=None).returning(jobs)
    ).first()
    if row is None:
        raise NotFound("There is no parked job of that id.")
    enqueued(connection).append((job_id, 0.0))
    return _to_job(row)


def retry_all(connection: Connection) -> int:
    """Put every parked job back into the queue; return how many."""
    query = update(jobs).where(jobs.c.state == "parked")
    ids = connection.execute(
        query.values(state="queued", attempts=0, run_at=func.now(), sent_at=None, finished_at=None).returning(jobs.c.id)
    ).scalars()
    announced = [(job_id, 0.0) for job_id in ids]
    enqueued(connection).extend(announced)
    return len(announced)


def oldest_due(connection: Connection) -> datetime | None:
    """Return since when the job that waits longest has been due."""
    moment: datetime | None = connection.execute(
        select(func.min(jobs.c.run_at)).where(jobs.c.state == "queued", jobs.c.run_at < func.now(), _MAY_RUN)
    ).scalar()
    return moment


def _to_job(row: Row[Any]) -> Job:
    return Job(
        row.id, row.tenant_id, row.realm, row.kind, row.ids, row.state, row.attempts, row.error, row.run_at, row.created_at,
        row.finished_at, row.lease_id,
    )  # fmt: skip
