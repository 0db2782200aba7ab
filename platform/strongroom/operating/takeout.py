"""What an operator does with tenants' archives, written down. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from strongroom.auth import operators
from strongroom.errors import Conflict
from strongroom.operating.service import find_tenant
from strongroom.runtime import Runtime
from strongroom.takeout import importing, service
from strongroom.takeout.importing import Imported
from strongroom.takeout.models import Export, ExportState
from strongroom.takeout.tar import Source
from tenants.models import Tenant, TenantStatus


def begin(runtime: Runtime, operator: str, slug: str) -> tuple[Tenant, Export]:
    """Have an archive of a tenant made, or go on with the one that is being made.

    Raises:
        NotFound
        Conflict: the tenant is suspended, so that its jobs wait, or is being deleted.
    """
    tenant = find_tenant(runtime, slug)
    if tenant.status != TenantStatus.ACTIVE:
        raise Conflict(f"The tenant is {tenant.status}: its jobs wait.")
    running = next((each for each in service.list_exports(runtime, tenant) if each.state == ExportState.RUNNING), None)
    export = running or service.begin(runtime, tenant, None)
    operators.record(runtime.databases, operator, "tenant.export", slug, {"tenant_id": str(tenant.id)})
    return tenant, export


def report(runtime: Runtime, tenant: Tenant, export: Export) -> Export:
    """Tell how far an archive is."""
    return service.get(runtime, tenant, export.id)


def pieces(runtime: Runtime, tenant: Tenant, export: Export) -> Iterator[bytes]:
    """Yield an archive's bytes; see `takeout.service.pieces`."""
    return service.pieces(runtime, tenant, export)


def delete(runtime: Runtime, tenant: Tenant, export: Export) -> None:
    """Remove an archive."""
    service.delete(runtime, tenant, export.id)


def import_tenant(runtime: Runtime, operator: str, source: Source, *, slug: str, **options: Any) -> Imported:
    """Bring an archive in as a new tenant; see `takeout.importing.import_tenant`."""
    made = importing.import_tenant(runtime, source, slug=slug, **options)
    operators.record(runtime.databases, operator, "tenant.import", slug, {"tenant_id": str(made.tenant.id)})
    return made
