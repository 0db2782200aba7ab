"""The steps of what is done to tenants, in their order; those of a move to another cell are in `move_steps`."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from strongroom.errors import AlreadyExists
from strongroom.events.service import emit
from strongroom.jobs import queue
from strongroom.life.models import Kind, Operation
from strongroom.life.move_steps import MOVE, STAY
from strongroom.life.step_kinds import Long, Short
from strongroom.relocation import copies
from strongroom.runtime import Runtime
from strongroom.storage.everywhere import at_each
from tenants import providers as registered
from tenants import repository
from tenants import service as tenants
from tenants.models import Tenant, TenantStatus

STRAGGLERS_AFTER_S = 600.0
"""After so long no upload that was under way when its tenant went can still be writing."""
DAY_S = 86400.0


def _set_status(status: TenantStatus) -> Callable[[Runtime, Connection, Operation, Tenant], None]:
    def act(_runtime: Runtime, connection: Connection, _operation: Operation, tenant: Tenant) -> None:
        repository.update_tenant(connection, tenant.id, status=status)

    return act


def _restore_status(_runtime: Runtime, connection: Connection, operation: Operation, tenant: Tenant) -> None:
    repository.update_tenant(connection, tenant.id, status=TenantStatus(operation.data["was"]))


def _rename(_runtime: Runtime, connection: Connection, operation: Operation, tenant: Tenant) -> None:
    slug = operation.data["to"]
    former = sorted((tenant.former_slugs | {tenant.slug}) - {slug})
    try:
        with connection.begin_nested():
            repository.update_tenant(connection, tenant.id, slug=slug, former_slugs=former)
    except IntegrityError:
        raise AlreadyExists(f"There is a tenant '{slug}' already.") from None


def _tell_feed(runtime: Runtime, _connection: Connection, operation: Operation, tenant: Tenant) -> None:
    with runtime.tenant(tenant) as connection:
        emit(connection, "tenant.renamed", tenant.id, {"from": operation.data["from"], "to": operation.data["to"]})


def _pause_jobs(runtime: Runtime, _connection: Connection, _operation: Operation, tenant: Tenant) -> None:
    with runtime.databases.cell(tenant.cell) as connection:
        queue.pause(connection, tenant.id)


def _pause_jobs_for_grace(runtime: Runtime, connection: Connection, operation: Operation, tenant: Tenant) -> float:
    _pause_jobs(runtime, connection, operation, tenant)
    return float(operation.data["grace_days"]) * DAY_S


def _unpause_jobs(runtime: Runtime, _connection: Connection, operation: Operation, tenant: Tenant) -> None:
    if operation.data.get("was") == TenantStatus.SUSPENDED:
        return  # restored as it was: suspended
    with runtime.databases.cell(tenant.cell) as connection:
        queue.unpause(connection, tenant.id)


def _grace_is_over(_runtime: Runtime, _connection: Connection, _operation: Operation, _tenant: Tenant) -> None:
    """Nothing is to be done: that this step may be done says that the time is over."""


def _drop_schema(runtime: Runtime, _operation: Operation, tenant: Tenant) -> None:
    copies.drop_all(runtime, tenant)
    tenants.drop_schema(runtime.databases, tenant)


def _remove_bytes(runtime: Runtime, _operation: Operation, tenant: Tenant) -> None:
    at_each(runtime.provider_ids(tenant), lambda each: runtime.storage(tenant, each).delete_all())


def _become_tombstone(runtime: Runtime, _operation: Operation, tenant: Tenant) -> None:
    tenants.finish_deletion(runtime.databases, tenant.id)


def _remove_stragglers(runtime: Runtime, operation: Operation, tenant: Tenant) -> None:
    _drop_schema(runtime, operation, tenant)
    _remove_bytes(runtime, operation, tenant)
    registered.forget_owned(runtime.databases, tenant.id)


REMOVAL = "schema"
"""The step from which on a deletion cannot be undone."""
STEPS: dict[Kind, tuple[Short | Long, ...]] = {
    Kind.RENAME: (Short("registry", _rename), Short("feed", _tell_feed)),
    Kind.SUSPEND: (Short("registry", _set_status(TenantStatus.SUSPENDED)), Short("jobs", _pause_jobs)),
    Kind.RESUME: (Short("registry", _set_status(TenantStatus.ACTIVE)), Short("jobs", _unpause_jobs)),
    Kind.DELETE: (
        Short("registry", _set_status(TenantStatus.DELETING)),
        Short("jobs", _pause_jobs_for_grace),
        Short("grace", _grace_is_over),
        Long(REMOVAL, _drop_schema),
        Long("bytes", _remove_bytes),
        Long("tombstone", _become_tombstone, STRAGGLERS_AFTER_S),
        Long("stragglers", _remove_stragglers),
    ),
    Kind.RESTORE: (Short("registry", _restore_status), Short("jobs", _unpause_jobs)),
    Kind.IMPORT: (Short("registry", _set_status(TenantStatus.ACTIVE)), Short("jobs", _unpause_jobs)),
    Kind.MOVE: MOVE,
    Kind.STAY: STAY,
}
