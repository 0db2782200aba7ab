"""What an operator does with the migration of all tenants: look, retry, freeze, stop. Knows no HTTP."""

from __future__ import annotations

from strongroom.auth import operators
from strongroom.errors import Conflict
from strongroom.fleet import behind, service
from strongroom.fleet.service import Progress
from strongroom.operating.service import find_tenant
from strongroom.runtime import Runtime
from tenants import migrations
from tenants.migrations import FleetState, TenantMigration


def progress(runtime: Runtime) -> Progress:
    """Return how the migration of all tenants stands."""
    return service.progress(runtime.databases, runtime.settings)


def list_migrations(runtime: Runtime, *, state: str | None = None, after: str = "", limit: int = 100) -> list[TenantMigration]:
    """Return how tenants stand, by slug, or only those of one state."""
    return service.list_tenants(runtime.databases, runtime.settings, state=state, after=after, limit=limit)


def retry(runtime: Runtime, operator: str, slug: str) -> TenantMigration:
    """Have a tenant's migration tried again; at once, where this process may migrate.

    Raises:
        NotFound
        Conflict: it is not behind.
    """
    tenant = find_tenant(runtime, slug)
    if tenant.schema_revision == runtime.newest_revision:
        raise Conflict("This tenant is not behind.")
    service.plan(runtime.settings, runtime.databases, tenant.id, urgent=True)
    behind.begin(runtime, tenant)
    operators.record(runtime.databases, operator, "migration.retry", slug)
    return next(each for each in service.list_tenants(runtime.databases, runtime.settings) if each.tenant_id == tenant.id)


def retry_failed(runtime: Runtime, operator: str) -> int:
    """Make every tenant whose migration failed pending again; return how many there were. `strongroom migrate` takes them up."""
    count = progress(runtime).counts["failed"]
    service.plan(runtime.settings, runtime.databases)
    operators.record(runtime.databases, operator, "migration.retry_failed", str(count))
    return count


def set_frozen(runtime: Runtime, operator: str, *, frozen: bool) -> FleetState:
    """Let no tenant be migrated from now on, or let them again. Idempotent."""
    with runtime.databases.control() as connection:
        found = migrations.freeze(connection, operator if frozen else None)
    operators.record(runtime.databases, operator, "migration.freeze" if frozen else "migration.unfreeze", "")
    return found


def stop(runtime: Runtime, operator: str) -> None:
    """Have every run that is under way end after the tenants that it is at."""
    with runtime.databases.control() as connection:
        migrations.stop(connection)
    operators.record(runtime.databases, operator, "migration.stop", "")
