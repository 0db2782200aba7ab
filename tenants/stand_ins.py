"""Stand-ins: tenants that the probe of the walls makes beside a real one, attacks, and removes again.

No list or figure of the operator shows them, nobody else can have such a slug, and their jobs wait for ever: no worker
touches them. Unlike a customer's, their rows leave the registry with them.
"""

from __future__ import annotations

import secrets

from sqlalchemy import delete
from strongroom.db.engines import Databases, TenantRef
from strongroom.db.ids import new_id
from strongroom.jobs import queue
from strongroom.storage.keys import tenant_prefix

from tenants import providers, repository, settings, tenant_secrets
from tenants.models import Tenant, TenantStatus
from tenants.provisioning import provision
from tenants.service import drop_schema
from tenants.tables import tenant_migrations, tenant_providers, tenants, usage_daily

ABANDONED_AFTER_S = 3600.0
LIMITS = {
    "requests_per_s": 1_000_000, "own_providers": 1, "quota_bytes": 1 << 30, "quota_files": 1000, "max_file_size_bytes": 1 << 30,
    "parallel_uploads": 64,
}  # fmt: skip


def make(databases: Databases, beside: Tenant) -> Tenant:
    """Make a stand-in in the cell and at the provider of a tenant; at the default one where that is the tenant's own."""
    tenant_id = new_id()
    with databases.control() as connection:
        chosen = repository.get_provider(connection, provider_id=beside.provider_id)
        chosen = chosen if chosen.tenant_id is None else repository.get_provider(connection)
        repository.insert_tenant(
            connection, id=tenant_id, slug=f"probe--{secrets.token_hex(8)}", name="Stand-in", status=TenantStatus.PROVISIONING,
            cell=beside.cell, provider_id=chosen.id, prefix=tenant_prefix(tenant_id), plan=beside.plan, limits=LIMITS, brand={},
        )  # fmt: skip
    with databases.cell(beside.cell) as connection:
        queue.pause(connection, tenant_id)
        revision = provision(connection, TenantRef(tenant_id, beside.cell))
    with databases.control() as connection:
        repository.update_tenant(connection, tenant_id, status=TenantStatus.ACTIVE, schema_revision=revision)
        return repository.get_tenant(connection, tenant_id)


def remove(databases: Databases, tenant: Tenant) -> None:
    """Remove a stand-in whose bytes are gone, with all that the registry knows of it. Idempotent.

    Raises:
        ValueError: it is none.
    """
    if "--" not in tenant.slug:
        raise ValueError("not a stand-in")
    drop_schema(databases, tenant)
    providers.forget_owned(databases, tenant.id)
    with databases.control() as connection:
        repository.delete_domains(connection, tenant.id)
        settings.forget(connection, tenant.id)
        tenant_secrets.forget(connection, tenant.id)
        for table in (usage_daily, tenant_migrations, tenant_providers):
            connection.execute(delete(table).where(table.c.tenant_id == tenant.id))
        connection.execute(delete(tenants).where(tenants.c.id == tenant.id))


def abandoned(databases: Databases) -> list[Tenant]:
    """Return stand-ins that a crash has left."""
    with databases.control() as connection:
        return repository.stand_ins(connection, ABANDONED_AFTER_S)
