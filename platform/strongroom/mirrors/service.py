"""Copying to hosts. Knows no HTTP. Every function is idempotent.

A copy is made by whoever has its row under a lease; it counts once it was held against the version's hashes, and its provider
told of it. Each host has jobs of its own, so that one that is down delays no other; they give way after a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from strongroom.errors import DomainError
from strongroom.files import claims, copies
from strongroom.files.service import enqueue_purge
from strongroom.jobs.queue import AGAIN, enqueue, run_again
from strongroom.mirrors import repository
from strongroom.mirrors.models import Task
from strongroom.moving.copying import Corrupt, SourceFailed, TargetFailed, already_there, copy
from strongroom.runtime import Runtime
from strongroom.storage.base import ObjectMeta
from tenants.hosts import MIRROR
from tenants.models import Host, Tenant

log = logging.getLogger(__name__)
AT_ONCE = 4
TURN_S = 30.0
"""After so long a job gives way to others and goes on as another one."""
LEASE_S = 60.0
POSTPONED_S = 30.0
FAILED_S = (60.0, 300.0, 1800.0, 7200.0, 21600.0)
"""So long until a copy is tried again that could not be made: after the first attempt, the second …"""
DOWN_S = (30.0, 60.0, 120.0, 300.0, 600.0)
"""The same for a host at which nothing could be done."""


@dataclass(frozen=True)
class Place:
    """A tenant's host, on whose behalf a job works."""

    runtime: Runtime
    tenant: Tenant
    host: Host


def enqueue_for(connection: Connection, host: Host, **more: Any) -> None:
    """Have what is due at a host copied. One job that waits is enough, also where it waits for the host."""
    enqueue(connection, MIRROR, {"provider_id": str(host.provider_id), **more}, dedupe_key=str(host.provider_id))


def run(runtime: Runtime, tenant: Tenant, ids: Mapping[str, Any]) -> None:
    """Copy what is due to one host, or have it done for all of them, for a while; see to it that another job does the rest."""
    wanted = ids.get("provider_id")
    if wanted is None:
        with runtime.tenant(tenant) as connection:
            for each in tenant.settings.hosts:
                enqueue_for(connection, each, **{AGAIN: True})
        return
    host = tenant.settings.host_at(UUID(wanted))
    if host is None or not host.enabled:
        return
    ended = _turn(Place(runtime, tenant, host))
    with runtime.tenant(tenant) as connection:
        _then(connection, host, ids, ended)
        run_again(connection, MIRROR, ids, runtime.settings.statement_timeout_s + 1)


@dataclass(frozen=True)
class Ended:
    """How a turn ended. `has_time`: nothing more was due."""

    copied: int
    is_down: bool
    has_time: bool


def _then(connection: Connection, host: Host, ids: Mapping[str, Any], ended: Ended) -> None:
    """Have the rest done when it is due: at once, when the host may be there again, or when the next copy is tried again."""
    kept = {AGAIN: True} if ids.get(AGAIN) else {}
    if ended.is_down:
        tries = 0 if ended.copied else int(ids.get("tries", 0))
        more = {"provider_id": str(host.provider_id), "tries": tries + 1, **kept}
        enqueue(connection, MIRROR, more, dedupe_key=str(host.provider_id), delay_s=_of(DOWN_S, tries))
    elif not ended.has_time:
        enqueue_for(connection, host, **kept)
    elif (due_s := repository.next_s(connection, host.provider_id)) is not None:
        more = {"provider_id": str(host.provider_id), **kept}
        enqueue(connection, MIRROR, more, dedupe_key=f"{host.provider_id} later", delay_s=max(1.0, due_s))


def _of(steps: Sequence[float], number: int) -> float:
    return steps[min(number, len(steps) - 1)]


def _turn(place: Place) -> Ended:
    ends, copied = time.monotonic() + TURN_S, 0
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mirror") as pool:
        while time.monotonic() < ends:
            with place.runtime.tenant(place.tenant) as connection:
                group = repository.take(connection, place.host.provider_id, AT_ONCE, LEASE_S)
            if not group:
                return Ended(copied, is_down=False, has_time=True)
            with _held(place, group) as under_way:
                ways = list(pool.map(partial(_mirror_held, place, under_way), group))
            copied += ways.count(_STORED)
            if _DOWN in ways and _STORED not in ways:
                return Ended(copied, is_down=True, has_time=True)
    return Ended(copied, is_down=False, has_time=False)


@contextmanager
def _held(place: Place, group: Sequence[Task]) -> Iterator[set[UUID]]:
    """Prolong the leases of copies while they are under way, as the set tells."""
    over, under_way = threading.Event(), {task.stored.id for task in group}

    def prolong() -> None:
        while not over.wait(LEASE_S / 3):
            try:
                with place.runtime.tenant(place.tenant) as connection:
                    repository.prolong(connection, place.host.provider_id, list(under_way), LEASE_S)
                    claims.prolong_mirrors(connection, list(under_way), place.host.provider_id)
            except DomainError:  # the copies go on: without their leases others may make them, too
                log.warning("could not prolong the lease of copies", extra={"tenant_id": str(place.tenant.id)})

    thread = threading.Thread(target=prolong, name="mirror lease", daemon=True)
    thread.start()
    try:
        yield under_way
    finally:
        over.set()
        thread.join()


_STORED, _LEFT, _DOWN = "stored", "left", "down"


def _mirror_held(place: Place, under_way: set[UUID], task: Task) -> str:
    try:
        return _mirror(place, task)
    finally:
        under_way.discard(task.stored.id)


def _mirror(place: Place, task: Task) -> str:
    """Make one copy; tell how it went. `_DOWN`: one of the two providers may do nothing at present. What lies there stays until then."""
    if not _begin(place, task):
        return _LEFT
    try:
        meta = _copy(place, task)
    except Corrupt as error:
        return _failed(place, task, str(error), _LEFT)
    except SourceFailed as error:
        return _failed(place, task, f"Where the file lies: {error}", _DOWN)
    except TargetFailed as error:
        return _failed(place, task, f"At the host: {error}", _DOWN)
    with place.runtime.tenant(place.tenant) as connection:
        stored = repository.mark_stored(connection, task, meta.tag)
        _let_go(connection, task)
    return _STORED if stored else _LEFT


def _begin(place: Place, task: Task) -> bool:
    with place.runtime.tenant(place.tenant) as connection:
        if not claims.take_for_mirror(connection, task.stored.id, task.provider_id):
            repository.postpone(connection, task, POSTPONED_S)  # it is being moved there, or what once lay there removed
            return False
        if repository.is_wanted(connection, task, place.host, place.tenant.settings.scanning):
            return True
        copies.forget(connection, task.stored.id, task.provider_id)
        _let_go(connection, task)
        return False


def _let_go(connection: Connection, task: Task) -> None:
    """Give the place back; what no row wants there goes."""
    claims.release(connection, [task.stored.id], task.provider_id, claims.MIRROR)
    if not repository.is_there(connection, task):
        enqueue_purge(connection, task.provider_id, task.stored.bucket_id, [task.stored.id])


def _copy(place: Place, task: Task) -> ObjectMeta:
    stored = task.stored
    try:
        target = place.runtime.storage(place.tenant, task.provider_id)
    except DomainError as error:
        raise TargetFailed(error.detail) from error
    if task.attempt > 1 and (found := already_there(target, stored)) is not None:
        return found  # whoever made it died before it could be told, or its provider gave it another tag
    try:
        source = place.runtime.storage(place.tenant, stored.provider_id)
    except DomainError as error:
        raise SourceFailed(error.detail) from error
    return copy(source, target, stored)


def _failed(place: Place, task: Task, problem: str, way: str) -> str:
    context = {"tenant_id": str(place.tenant.id), "version_id": str(task.stored.id), "provider_id": str(task.provider_id)}
    log.warning("a version could not be mirrored", extra={**context, "problem": problem})
    with place.runtime.tenant(place.tenant) as connection:
        repository.mark_failed(connection, task, problem, _of(FAILED_S, task.attempt - 1))
        _let_go(connection, task)
    return way
