"""What an operator does to a tenant as a whole, written down. Knows no HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from strongroom.auth import operators
from strongroom.errors import ValidationFailed
from strongroom.life import repository
from strongroom.life import service as life
from strongroom.life.models import Operation
from strongroom.operating.service import find_tenant
from strongroom.runtime import Runtime
from tenants import repository as registry
from tenants.models import Tenant


def rename_tenant(runtime: Runtime, operator: str, slug: str, new_slug: str) -> Tenant:
    """Give a tenant another slug; see `life.service.rename`.

    Raises:
        NotFound, ValidationFailed, AlreadyExists, Conflict
    """
    tenant = find_tenant(runtime, slug)
    life.rename(runtime, tenant.id, new_slug)
    return _noted(runtime, operator, "tenant.rename", tenant, {"to": new_slug})


def suspend_tenant(runtime: Runtime, operator: str, slug: str) -> Tenant:
    """Close a tenant for its users; its data stays. Idempotent."""
    tenant = find_tenant(runtime, slug)
    life.suspend(runtime, tenant.id)
    return _noted(runtime, operator, "tenant.suspend", tenant)


def resume_tenant(runtime: Runtime, operator: str, slug: str) -> Tenant:
    """Open a suspended tenant again. Idempotent."""
    tenant = find_tenant(runtime, slug)
    life.resume(runtime, tenant.id)
    return _noted(runtime, operator, "tenant.resume", tenant)


def delete_tenant(runtime: Runtime, operator: str, slug: str, *, now: bool = False, confirm: str = "") -> Tenant:
    """Take a tenant out of service. What it owned is removed after the grace time, or `now`, which its slug must confirm. Idempotent.

    Raises:
        NotFound, Conflict
        ValidationFailed: not confirmed.
    """
    tenant = find_tenant(runtime, slug)
    if now and confirm != slug:
        message = "Confirm by the tenant's slug: there is no way back."
        raise ValidationFailed(message, errors={"confirm": [message]})
    life.delete(runtime, tenant.id, now=now)
    return _noted(runtime, operator, "tenant.delete", tenant, {"now": now})


def restore_tenant(runtime: Runtime, operator: str, slug: str) -> Tenant:
    """Bring back a tenant whose grace time is not over.

    Raises:
        NotFound, Conflict
    """
    tenant = find_tenant(runtime, slug)
    life.restore(runtime, tenant.id)
    return _noted(runtime, operator, "tenant.restore", tenant)


def move_tenant(runtime: Runtime, operator: str, slug: str, cell: str) -> Tenant:
    """Have a tenant go over to another cell while it works; see `life.service.move`.

    Raises:
        NotFound, Conflict, DatabaseUnavailable
    """
    tenant = find_tenant(runtime, slug)
    life.move(runtime, tenant.id, cell)
    return _noted(runtime, operator, "tenant.move", tenant, {"from": tenant.cell, "to": cell})


def abort_move(runtime: Runtime, operator: str, slug: str) -> Tenant:
    """Have a tenant that is being moved stay where it is.

    Raises:
        NotFound, Conflict
    """
    tenant = find_tenant(runtime, slug)
    life.abort_move(runtime, tenant.id)
    return _noted(runtime, operator, "tenant.stay", tenant)


def _noted(runtime: Runtime, operator: str, action: str, tenant: Tenant, data: dict[str, Any] | None = None) -> Tenant:
    runtime.registry.forget()
    operators.record(runtime.databases, operator, action, tenant.slug, {"tenant_id": str(tenant.id), **(data or {})})
    with runtime.databases.control() as connection:
        return registry.get_tenant(connection, tenant.id)


def list_operations(runtime: Runtime, *, slug: str | None = None, before: UUID | None = None, limit: int = 50) -> list[Operation]:
    """Return what was and is done to tenants, newest first; those of a slug also where its tenant is gone."""
    with runtime.databases.control() as connection:
        return repository.listed(connection, slug=slug, before=before, limit=limit)


def last_operation(runtime: Runtime, tenant: Tenant) -> Operation | None:
    """Return what is being done to a tenant, or was done last."""
    with runtime.databases.control() as connection:
        return next(iter(repository.listed(connection, tenant_id=tenant.id, limit=1)), None)


def retry_operation(runtime: Runtime, operator: str, operation_id: UUID) -> Operation:
    """Have an operation that was held up go on now.

    Raises:
        NotFound
    """
    operation = life.retry(runtime, operation_id)
    operators.record(runtime.databases, operator, "tenant.retry", operation.slug, {"tenant_id": str(operation.tenant_id)})
    return operation
