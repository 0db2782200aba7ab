"""The live move of a tenant's bytes: new files go to the new provider at once, the others follow one by one. Knows no HTTP.

Every version flips in a transaction of its own after its copy was verified, so that whatever dies in between loses one copy at
most. The old bytes stay for `moved_bytes_kept_s`: downloads that run on them end well. Uploads end where they began.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func

from strongroom.events.service import emit
from strongroom.files import claims, copies
from strongroom.files.service import enqueue_purge
from strongroom.jobs.queue import enqueue
from strongroom.moving import repository
from strongroom.moving.copying import Corrupt, SourceFailed, TargetFailed, already_there, copy
from strongroom.moving.models import Left, Move, MoveState, Report, Stored
from strongroom.moving.tables import moves
from strongroom.runtime import Runtime
from strongroom.storage.base import ObjectMeta
from strongroom.storage.everywhere import at_each
from strongroom.storage.probe import must_work
from tenants import providers as registered
from tenants import repository as registry
from tenants.models import ProviderInfo, Tenant

log = logging.getLogger(__name__)
MOVE, LEAVE = "tenant.move_bytes", "tenant.leave_providers"
BATCH, AT_ONCE = 64, 4
TURN_S = 30.0
"""After so long a job gives way to others and goes on as another one."""
AGAIN_S = 30.0
"""So long until what holds a move up is tried again: uploads under way, checks to come, a provider that is down or full."""
LEAVE_MARGIN_S = 60.0


def plan(runtime: Runtime, tenant: Tenant, provider: ProviderInfo) -> Left:
    """Return what a move to that provider would have to move; nothing is changed."""
    with runtime.tenant(tenant) as connection:
        return repository.count(connection, _sources(runtime, tenant, provider.id))


def begin(runtime: Runtime, tenant: Tenant, provider: ProviderInfo) -> Report:
    """Have new files go to a provider from now on, and all others follow by jobs. Idempotent: one that runs goes on.

    Raises:
        StorageUnavailable: the provider does not pass its test; nothing was changed.
        NotFound: it is another tenant's.
    """
    must_work(runtime.make_provider(provider), *([] if provider.tenant_id is None else [runtime.outbound.pools]))
    tenant = registered.assign(runtime.databases, tenant.id, provider.id)
    runtime.registry.forget()
    with runtime.tenant(tenant) as connection:
        repository.begin(connection, provider.id)
        enqueue(connection, MOVE, {}, dedupe_key="move")
        emit(connection, "tenant.move_began", tenant.id, {"provider_id": str(provider.id)})
    return report(runtime, tenant)


def report(runtime: Runtime, tenant: Tenant) -> Report:
    """Tell how a tenant's move stands."""
    tenant = _as_it_is(runtime, tenant)
    with runtime.databases.control() as connection:
        provider = registry.get_provider(connection, provider_id=tenant.provider_id)
    sources = _sources(runtime, tenant, tenant.provider_id)
    with runtime.tenant(tenant) as connection:
        left, move = repository.count(connection, sources), repository.get_move(connection)
        return Report(tenant.slug, provider.name, move, left, tuple(repository.list_failures(connection)))


def _as_it_is(runtime: Runtime, tenant: Tenant) -> Tenant:
    with runtime.databases.control() as connection:
        return registry.get_tenant(connection, tenant.id)


def _sources(runtime: Runtime, tenant: Tenant, target: UUID) -> list[UUID]:
    return [each for each in runtime.provider_ids(tenant) if each != target]


def run(runtime: Runtime, tenant: Tenant, ids: Mapping[str, Any]) -> None:
    """Move the next versions, and see to it that another job does the rest. Idempotent."""
    with runtime.tenant(tenant) as connection:
        move = repository.get_move(connection)
    if move is None or move.state != MoveState.RUNNING:
        return
    if tenant.provider_id != move.provider_id:
        _stop(runtime, tenant, move)
        return
    after = UUID(ids["after"]) if ids.get("after") else None
    sources = _sources(runtime, tenant, move.provider_id)
    with runtime.tenant(tenant) as connection:
        if after is None:
            repository.change(connection, move.provider_id, problem="")
        batch = repository.to_move(connection, sources, after, BATCH)
    last, problem = _move_batch(runtime, tenant, move.provider_id, batch)
    with runtime.tenant(tenant) as connection:
        if problem:
            repository.change(connection, move.provider_id, problem=problem)
            enqueue(connection, MOVE, {}, dedupe_key="move", delay_s=AGAIN_S)
        elif last is not None and (len(batch) == BATCH or last != batch[-1].id):
            enqueue(connection, MOVE, {"after": str(last)}, dedupe_key="move")
        else:
            _end_pass(runtime, connection, move, sources)


def _stop(runtime: Runtime, tenant: Tenant, move: Move) -> None:
    """New files have been sent elsewhere meanwhile: the move would never end."""
    with runtime.tenant(tenant) as connection:
        text = "Ended early: new files go to another provider by now."
        repository.change(connection, move.provider_id, state=MoveState.DONE, problem=text, ended_at=func.now())


def _end_pass(runtime: Runtime, connection: Connection, move: Move, sources: Sequence[UUID]) -> None:
    left, failures = repository.count(connection, sources), repository.list_failures(connection)
    if left.objects > len(failures) or left.uploads:
        enqueue(connection, MOVE, {}, dedupe_key="move", delay_s=AGAIN_S)
        return
    if repository.change(connection, move.provider_id, state=MoveState.DONE, problem="", ended_at=func.now()):
        emit(connection, "tenant.move_ended", None, {"provider_id": str(move.provider_id), "left_behind": len(failures)})
    enqueue(connection, LEAVE, {}, dedupe_key="leave", delay_s=runtime.settings.moved_bytes_kept_s + LEAVE_MARGIN_S)


def _move_batch(runtime: Runtime, tenant: Tenant, target: UUID, batch: Sequence[Stored]) -> tuple[UUID | None, str]:
    """Move versions, a few at a time; return the last one that had its turn, and what holds the move up."""
    ends, last = time.monotonic() + TURN_S, None
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="move") as pool:
        for start in range(0, len(batch), AT_ONCE):
            group = batch[start : start + AT_ONCE]
            problems = [each for each in pool.map(lambda stored: _move_one(runtime, tenant, target, stored), group) if each]
            last = group[-1].id
            for error in problems:
                if isinstance(error, TargetFailed):
                    return last, f"The new provider: {error}"
                with runtime.tenant(tenant) as connection:
                    repository.change(connection, target, problem=f"The old provider: {error}")
            if time.monotonic() > ends:
                break
    return last, ""


def _move_one(runtime: Runtime, tenant: Tenant, target: UUID, stored: Stored) -> SourceFailed | TargetFailed | None:
    """Move one version, or note why it stays; return what went wrong but may go well another time."""
    with runtime.tenant(tenant) as connection:
        if not claims.take_for_copy(connection, stored.id, target):
            return None  # what once lay there is being removed: the next pass comes by again
        mirrored = target in copies.stored_at(connection, stored.id)
    try:
        meta = _bring(runtime, tenant, target, stored, mirrored)
    except Corrupt as error:
        with runtime.tenant(tenant) as connection:
            claims.release(connection, [stored.id], target, claims.COPY)
            repository.note_failure(connection, stored.id, str(error))
        return None
    except (SourceFailed, TargetFailed) as error:
        log.warning("a version could not be moved", extra={"tenant_id": str(tenant.id), "version_id": str(stored.id)})
        with runtime.tenant(tenant) as connection:
            claims.release(connection, [stored.id], target, claims.COPY)
        return error
    _flip(runtime, tenant, target, stored, meta.tag)
    return None


def _bring(runtime: Runtime, tenant: Tenant, target: UUID, stored: Stored, mirrored: bool) -> ObjectMeta:
    """Have a version's bytes at the new provider; a mirror that stands there is taken as it is, so nothing is written over it."""
    there = runtime.storage(tenant, target)
    if mirrored and (found := already_there(there, stored)) is not None:
        return found
    return copy(runtime.storage(tenant, stored.provider_id), there, stored)


def _flip(runtime: Runtime, tenant: Tenant, target: UUID, stored: Stored, tag: str) -> None:
    with runtime.tenant(tenant) as connection:
        claims.release(connection, [stored.id], target, claims.COPY)
        if repository.flip(connection, stored, target, tag):
            copies.forget(connection, stored.id, target)  # no longer a mirror: its own place
            copies.want(connection, tenant, stored.id)  # perhaps where it comes from
            kept_s = runtime.settings.moved_bytes_kept_s
            enqueue_purge(connection, stored.provider_id, stored.bucket_id, [stored.id], delay_s=kept_s)
            moved = {"moved_objects": moves.c.moved_objects + 1, "moved_bytes": moves.c.moved_bytes + stored.size_bytes}
            repository.change(connection, target, **moved)
        else:
            enqueue_purge(connection, target, stored.bucket_id, [stored.id])


def leave_providers(runtime: Runtime, tenant: Tenant) -> None:
    """Forget the providers at which nothing of a tenant is left; go on with a move that somebody's late upload has outrun.

    Raises:
        DomainError: one of them does not answer; the others have been looked at.
    """
    tenant = _as_it_is(runtime, tenant)
    former = [each for each in _sources(runtime, tenant, tenant.provider_id) if tenant.settings.host_at(each) is None]
    at_each(former, lambda each: _leave(runtime, tenant, each))


def _leave(runtime: Runtime, tenant: Tenant, provider_id: UUID) -> None:
    with runtime.tenant(tenant) as connection:
        left, failures = repository.count(connection, [provider_id]), len(repository.list_failures(connection))
        move = repository.get_move(connection)
        if (left.objects > failures or left.uploads) and move is not None and move.provider_id == tenant.provider_id:
            _take_up(connection, move)
    if not (left.objects or left.uploads) and next(runtime.storage(tenant, provider_id).list(), None) is None:
        registered.leave(runtime.databases, tenant.id, provider_id)


def _take_up(connection: Connection, move: Move) -> None:
    if move.state == MoveState.DONE:
        repository.resume(connection)
    enqueue(connection, MOVE, {}, dedupe_key="move")
