"""The walls of background work: a job acts in the tenant that the database stamped on it; an archive holds its own tenant only."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from strongroom.db.ids import new_id
from strongroom.errors import DomainError
from strongroom.files.service import PURGE
from strongroom.isolation.models import Wall
from strongroom.jobs import queue
from strongroom.probe.bytes import is_there
from strongroom.probe.rows import LOGIN, OTHERS
from strongroom.probe.stage import Stage
from strongroom.probe.tally import HERE, STAND_IN, Tally
from strongroom.takeout import service as takeout
from strongroom.uploads.service import CHECK
from workers.handlers import handle

JOB = "job of another tenant"
ADD = text("INSERT INTO strongroom.jobs (tenant_id, realm, kind) VALUES (:id, 'platform', 'probe.nothing')")


def jobs(stage: Stage, tally: Tally) -> None:
    """Jobs of the stand-in that name others' things, done as a worker does them."""
    target, victim = stage.target, stage.victim
    wanted = {"tenant_id": str(victim.tenant.id), "version_id": victim.things["unchecked"]}
    _run(stage, tally, STAND_IN, CHECK, wanted)
    tally.attempt(Wall.JOBS, JOB, STAND_IN, "another's file checked", "" if _is_pending(stage) else "it reached the file")
    wanted = {"tenant_id": str(target.tenant.id), "provider_id": str(target.tenant.provider_id)}
    _run(stage, tally, HERE, PURGE, {**wanted, "bucket_id": str(target.bucket_id), "version_ids": [str(target.version_id)]})
    tally.attempt(Wall.JOBS, JOB, HERE, "another's bytes removed", "" if is_there(target) else "it reached the bytes")
    _written_directly(stage, tally)


def _run(stage: Stage, tally: Tally, at: str, kind: str, ids: dict[str, Any]) -> None:
    runtime, tenant = stage.runtime, stage.attacker.tenant
    with runtime.databases.tenant(tenant.ref) as connection:
        queue.enqueue(connection, kind, ids)
        ((job_id, _),) = queue.enqueued(connection)
        queue.enqueued(connection).clear()
    with runtime.databases.cell(tenant.cell) as connection:
        job = queue.get_job(connection, job_id)
        queue.forget(connection, [job_id])
    stamped = job.tenant_id == tenant.id and job.realm == "tenant"
    tally.attempt(Wall.JOBS, JOB, at, f"{kind}: whose it is", "" if stamped else "stamped with another tenant")
    with suppress(Exception):  # it found nothing, as it should: what it did is looked at
        handle(runtime, job)


def _is_pending(stage: Stage) -> bool:
    query = text("SELECT status FROM versions WHERE id = :id")
    with stage.runtime.databases.tenant(stage.victim.tenant.ref) as connection:
        return connection.execute(query, {"id": UUID(stage.victim.things["unchecked"])}).scalar() == "pending"


def _written_directly(stage: Stage, tally: Tally) -> None:
    """A job for another, past the function that stamps it; and one by nobody, by way of it."""
    databases, target = stage.runtime.databases, stage.target.tenant
    try:
        with databases.tenant(stage.attacker.tenant.ref) as connection:
            connection.execute(ADD, {"id": stage.victim.tenant.id})
            found = "the job was written"
    except DBAPIError:
        found = ""
    tally.attempt(Wall.JOBS, OTHERS, STAND_IN, "a job written for another", found)
    try:
        with databases.cell(target.cell) as connection:
            queue.enqueue(connection, "probe.nothing", {"tenant_id": str(stage.victim.tenant.id)})
            found = "the job was taken"
    except DBAPIError:
        found = ""
    tally.attempt(Wall.JOBS, LOGIN, STAND_IN, "a job by no tenant", found)


def exports(stage: Stage, tally: Tally) -> None:
    """The stand-in's whole archive: its own secret is in it, and nobody else's."""
    data = _archive(stage)
    own = stage.attacker.canary.encode()
    tally.control(Wall.EXPORTS, STAND_IN, "its own secret in its archive", lambda: own in data)
    for at, secrets in ((STAND_IN, stage.victim.secrets), (HERE, [stage.target.canary, stage.target.tenant.ref.role])):
        found = "it is in another's archive" if any(each.encode() in data for each in secrets) else ""
        tally.attempt(Wall.EXPORTS, "archive of another tenant", at, "the secret", found)
    for wanted in (UUID(stage.victim.things["export_id"]), new_id()):
        try:
            takeout.get(stage.runtime, stage.attacker.tenant, wanted)
            found = "it was given"
        except DomainError:
            found = ""
        tally.attempt(Wall.EXPORTS, stage.attacker.owner.name, STAND_IN, "another's archive by its id", found)


def _archive(stage: Stage) -> bytes:
    runtime, tenant = stage.runtime, stage.attacker.tenant
    made = takeout.get(runtime, tenant, UUID(stage.attacker.things["export_id"]))
    return b"".join(takeout.pieces(runtime, tenant, made))
