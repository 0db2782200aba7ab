"""Renaming, suspending, resuming, deleting, restoring and moving tenants. Knows no HTTP.

Each is a row in the registry with its steps. The first step happens with the row, the other short ones right after it;
a job does the long ones and whatever was cut off. Housekeeping sees to it that an open operation has its job.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func

from strongroom.errors import Conflict, DomainError
from strongroom.jobs import queue
from strongroom.life import repository
from strongroom.life.models import Kind, Operation, OperationState, StepState
from strongroom.life.move_steps import SWITCH
from strongroom.life.step_kinds import Long, Short
from strongroom.life.steps import REMOVAL, STEPS
from strongroom.relocation import service as relocation
from strongroom.runtime import Runtime
from tenants import repository as registry
from tenants.models import Tenant, TenantStatus, check_slug

log = logging.getLogger(__name__)
ADVANCE = "tenant.operation"
LIVING = frozenset({TenantStatus.ACTIVE, TenantStatus.SUSPENDED})
UNFINISHED = frozenset({TenantStatus.PROVISIONING, TenantStatus.IMPORTING})


def rename(runtime: Runtime, tenant_id: UUID, slug: str) -> Operation:
    """Give a tenant another slug. Its former address answers 404 from now on, and the former slug is free for others.

    Tokens, keys and links that were issued before are good at the new address: they are signed by the tenant's id.

    Raises:
        ValidationFailed, AlreadyExists
        Conflict: something else is being done to it, or it is being deleted.
    """
    check_slug(slug)
    with runtime.databases.control() as connection:
        tenant = _locked(connection, tenant_id, LIVING)
        if slug == tenant.slug:
            raise Conflict("This is its slug already.")
        operation = _begin(runtime, connection, tenant, Kind.RENAME, {"from": tenant.slug, "to": slug})
    return _go_on(runtime, operation)


def suspend(runtime: Runtime, tenant_id: UUID) -> Operation | None:
    """Close a tenant for its users; its data stays and its jobs wait. None: it was so already.

    Raises:
        Conflict
    """
    return _switch(runtime, tenant_id, Kind.SUSPEND, TenantStatus.SUSPENDED)


def resume(runtime: Runtime, tenant_id: UUID) -> Operation | None:
    """Open a suspended tenant again. None: it was so already.

    Raises:
        Conflict
    """
    return _switch(runtime, tenant_id, Kind.RESUME, TenantStatus.ACTIVE)


def _switch(runtime: Runtime, tenant_id: UUID, kind: Kind, status: TenantStatus) -> Operation | None:
    with runtime.databases.control() as connection:
        tenant = _locked(connection, tenant_id, LIVING)
        if tenant.status == status:
            return None
        operation = _begin(runtime, connection, tenant, kind, {})
    return _go_on(runtime, operation)


def delete(runtime: Runtime, tenant_id: UUID, *, now: bool = False) -> Operation:
    """Take a tenant out of service; after the grace time, or `now`, a job removes all that it owned. Idempotent.

    Raises:
        Conflict: something else is being done to it.
    """
    with runtime.databases.control() as connection:
        tenant = _locked(connection, tenant_id, LIVING | UNFINISHED | {TenantStatus.DELETING})
        operation = repository.get_open(connection, tenant_id, lock=True) if tenant.status == TenantStatus.DELETING else None
        if operation is None:
            at_once = now or tenant.status in UNFINISHED
            grace_days = 0 if at_once else runtime.settings.deletion_grace_days
            operation = _begin(runtime, connection, tenant, Kind.DELETE, {"was": tenant.status, "grace_days": grace_days})
        elif now and not operation.is_past("grace"):
            data = {**operation.data, "grace_days": 0}  # also for the step that is yet to set the time
            repository.change(connection, operation.id, due_at=func.now(), data=data)
    return _go_on(runtime, operation)


def restore(runtime: Runtime, tenant_id: UUID) -> Operation:
    """Bring back a tenant whose grace time is not over, as it was: open or suspended.

    Raises:
        Conflict: it is not being deleted, or its data is being removed already.
    """
    with runtime.databases.control() as connection:
        tenant = _locked(connection, tenant_id, {TenantStatus.DELETING})
        deletion = repository.get_open(connection, tenant_id, lock=True)
        if deletion is None or deletion.data["was"] not in LIVING or _has_begun(deletion, REMOVAL):
            raise Conflict("Its data is being removed already: it cannot be restored.")
        repository.cancel(connection, deletion)
        operation = _begin(runtime, connection, tenant, Kind.RESTORE, {"was": deletion.data["was"]})
    return _go_on(runtime, operation)


def move(runtime: Runtime, tenant_id: UUID, cell: str) -> Operation:
    """Have a tenant go over to another cell while it works; see `life.move_steps`.

    Raises:
        NotFound, DatabaseUnavailable
        Conflict: it lives there, the cell cannot take it, or something else is being done to it.
    """
    with runtime.databases.control() as connection:
        tenant = registry.get_tenant(connection, tenant_id)
    relocation.check(runtime, tenant, cell)
    with runtime.databases.control() as connection:
        tenant = _locked(connection, tenant_id, LIVING)
        operation = _begin(runtime, connection, tenant, Kind.MOVE, {"from": tenant.cell, "to": cell})
    return _go_on(runtime, operation)


def abort_move(runtime: Runtime, tenant_id: UUID) -> Operation:
    """Have a tenant stay where it is, and remove what was copied of it.

    Raises:
        Conflict: it is not being moved, or has gone over already.
    """
    with runtime.databases.control() as connection:
        tenant = _locked(connection, tenant_id, LIVING)
        moving = repository.get_open(connection, tenant_id, lock=True)
        if moving is None or moving.kind != Kind.MOVE:
            raise Conflict("It is not being moved to another cell.")
        if moving.is_past(SWITCH):
            raise Conflict("It has gone over already. To bring it back, move it once more when this is done.")
        repository.cancel(connection, moving)
        operation = _begin(runtime, connection, tenant, Kind.STAY, moving.data)
    return _go_on(runtime, operation)


def open_imported(runtime: Runtime, tenant_id: UUID) -> Operation:
    """Open a tenant of which all was imported, and have its jobs begin.

    Raises:
        Conflict: it is none, or no longer.
    """
    with runtime.databases.control() as connection:
        tenant = _locked(connection, tenant_id, {TenantStatus.IMPORTING})
        operation = _begin(runtime, connection, tenant, Kind.IMPORT, {})
    return _go_on(runtime, operation)


def _has_begun(operation: Operation, name: str) -> bool:
    return any(step.name == name and step.state != StepState.WAITING for step in operation.steps)


def _locked(connection: Connection, tenant_id: UUID, allowed: set[TenantStatus] | frozenset[TenantStatus]) -> Tenant:
    tenant = registry.get_tenant(connection, tenant_id, lock=True)
    if tenant.status not in allowed:
        raise Conflict(f"The tenant is {tenant.status}.")
    return tenant


def _begin(runtime: Runtime, connection: Connection, tenant: Tenant, kind: Kind, data: Mapping[str, Any]) -> Operation:
    """Add the operation and do its first step, both or neither."""
    present = repository.get_open(connection, tenant.id, lock=True)
    if present is not None:
        raise Conflict(f"Another operation is under way: {present.kind}. Wait for it, or retry it if it failed.")
    operation = repository.add(connection, tenant, kind, [step.name for step in STEPS[kind]], data)
    first = STEPS[kind][0]
    assert isinstance(first, Short)  # noqa: S101 - each begins with a short one
    first.act(runtime, connection, operation, tenant)
    repository.end_step(connection, operation, first.name)
    return operation


def _go_on(runtime: Runtime, operation: Operation) -> Operation:
    """Do the short steps at once, and leave the rest to a job."""
    runtime.registry.forget()
    try:
        while _turn(runtime, operation.tenant_id, short_only=True):
            pass
    except DomainError as error:
        _note_error(runtime, operation.tenant_id, error)
    with runtime.databases.control() as connection:
        operation = repository.get(connection, operation.id)
    if operation.state == OperationState.OPEN:
        _enqueue(runtime, operation)
    return operation


def _enqueue(runtime: Runtime, operation: Operation) -> None:
    """See to it that a job goes on with an operation when it is due."""
    with runtime.databases.control() as connection:
        delay_s = max(0.0, repository.seconds_left(connection, operation))
        cell = registry.get_tenant(connection, operation.tenant_id).cell
    with runtime.cell(cell) as connection:
        queue.enqueue_platform(connection, operation.tenant_id, ADVANCE, {"operation_id": str(operation.id)}, delay_s=delay_s)


def advance(runtime: Runtime, tenant_id: UUID) -> None:
    """Do what is due of what is being done to a tenant: a job. Idempotent, step by step."""
    try:
        while _turn(runtime, tenant_id):
            pass
    except Exception as error:
        _note_error(runtime, tenant_id, error)
        raise
    with runtime.databases.control() as connection:
        operation = repository.get_open(connection, tenant_id)
    if operation is not None:
        _enqueue(runtime, operation)


def _turn(runtime: Runtime, tenant_id: UUID, *, short_only: bool = False) -> bool:
    """Do the next step if it is due; tell whether it was done."""
    with runtime.databases.control() as connection:
        operation = repository.get_open(connection, tenant_id, lock=True)
        if operation is None or repository.seconds_left(connection, operation) > 0:
            return False
        tenant, step = registry.get_tenant(connection, tenant_id), _next(operation)
        if isinstance(step, Short):
            pause_s = step.act(runtime, connection, operation, tenant)
            repository.end_step(connection, operation, step.name, pause_s=pause_s or 0.0)
            return True
        if short_only:
            return False
        repository.begin_step(connection, operation, step.name)
    step.act(runtime, operation, tenant)
    runtime.registry.forget()
    _end_long(runtime, operation, step)
    return True


def _next(operation: Operation) -> Short | Long:
    following = operation.next_step
    return next(step for step in STEPS[operation.kind] if following is not None and step.name == following.name)


def _end_long(runtime: Runtime, operation: Operation, step: Long) -> None:
    """Mark a long step as done, unless another worker, which had it too, was quicker."""
    with runtime.databases.control() as connection:
        present = repository.get_open(connection, operation.tenant_id, lock=True)
        if present is not None and repository.is_same_pause(present, operation) and not present.is_past(step.name):
            repository.end_step(connection, present, step.name, pause_s=step.pause_s)


def _note_error(runtime: Runtime, tenant_id: UUID, error: Exception) -> None:
    log.warning("a step of what is done to a tenant failed", extra={"tenant_id": str(tenant_id)}, exc_info=error)
    text = error.detail if isinstance(error, DomainError) else f"{type(error).__name__}: {error}"
    with runtime.databases.control() as connection:
        repository.note_error(connection, tenant_id, text)


def retry(runtime: Runtime, operation_id: UUID) -> Operation:
    """Have an operation that was held up go on now; a deletion's grace time is not cut short. Idempotent.

    Raises:
        NotFound
    """
    with runtime.databases.control() as connection:
        operation = repository.get(connection, operation_id)
        if operation.state != OperationState.OPEN:
            return operation
        repository.change(connection, operation_id, error="")
    _enqueue(runtime, operation)
    with runtime.databases.control() as connection:
        return repository.get(connection, operation_id)


def enqueue_lost(runtime: Runtime) -> None:
    """Give every open operation that has no job one: a crash came between the two."""
    with runtime.databases.control() as connection:
        waiting = [repository.get_open(connection, tenant_id) for tenant_id in repository.open_tenants(connection)]
        cells = {each.tenant_id: registry.get_tenant(connection, each.tenant_id).cell for each in waiting if each}
    ready = set(runtime.ready_cells())
    for operation in filter(None, waiting):
        if cells[operation.tenant_id] not in ready:
            continue  # this process does not know the way
        with runtime.databases.cell(cells[operation.tenant_id]) as connection:
            has_job = queue.has_unfinished(connection, operation.tenant_id, ADVANCE)
        if not has_job:
            _enqueue(runtime, operation)
