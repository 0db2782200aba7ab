"""What an operator does: make tenants, limit them, retry jobs, watch usage. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on

from strongroom.auth import operators
from strongroom.errors import NotFound
from strongroom.jobs import queue
from strongroom.jobs.queue import Job
from strongroom.quotas import service as quotas
from strongroom.runtime import Runtime
from strongroom.security.passwords import check_password, hash_password
from strongroom.users import service as users
from tenants import repository
from tenants import service as tenants
from tenants.models import ProviderInfo, Tenant, TenantStatus
from tenants.tables import usage_daily


@dataclass(frozen=True)
class TenantFigures:
    """What one tenant holds, and what it did in a range of days."""

    tenant: Tenant
    provider: str
    stored_bytes: int
    stored_files: int
    uploads: int
    downloads: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class DayFigures:
    """What happened on one day, at one tenant or at all."""

    day: date
    uploads: int
    downloads: int
    bytes_in: int
    bytes_out: int
    stored_bytes: int
    stored_files: int


def create_tenant(
    runtime: Runtime, operator: str, *, slug: str, owner_email: str, owner_password: str, name: str = "", provider: str | None = None,
    plan: str = "standard", limits: Mapping[str, int] | None = None,
) -> Tenant:  # fmt: skip
    """Make a tenant with its first owner. Takes up again where an earlier try with the same slug was cut off.

    Raises:
        AlreadyExists, ValidationFailed, NotFound
    """
    users.check_email(owner_email)
    check_password(owner_password)
    with ThreadPoolExecutor(1) as pool:  # hashing takes as long as the database takes for the schema
        hashed = pool.submit(hash_password, owner_password)

        def make_owner(tenant: Tenant) -> None:
            users.ensure_owner(runtime, tenant, email=owner_email, password_hash=hashed.result())

        tenant = tenants.create_tenant(
            runtime.databases, slug=slug, name=name, provider=provider, plan=plan, limits=limits, before_active=make_owner
        )
    runtime.registry.forget()
    operators.record(runtime.databases, operator, "tenant.create", slug, {"tenant_id": str(tenant.id)})
    return tenant


def find_tenant(runtime: Runtime, slug: str) -> Tenant:
    """Return the living tenant of that slug.

    Raises:
        NotFound
    """
    with runtime.databases.control() as connection:
        tenant = repository.find_by_slug(connection, slug)
    if tenant is None:
        raise NotFound(f"There is no tenant '{slug}'. See 'strongroom tenant list'.")
    return tenant


def living_tenants(runtime: Runtime) -> list[Tenant]:
    """Return all tenants that are active or suspended."""
    with runtime.databases.control() as connection:
        found = repository.list_tenants(connection)
    return [tenant for tenant in found if tenant.status in {TenantStatus.ACTIVE, TenantStatus.SUSPENDED}]


def set_limits(runtime: Runtime, operator: str, slug: str, *, plan: str | None, limits: Mapping[str, int] | None) -> Tenant:
    """Give a tenant another plan, or limits of its own.

    Raises:
        NotFound, ValidationFailed
    """
    tenant = tenants.set_limits(runtime.databases, find_tenant(runtime, slug).id, plan=plan, limits=limits)
    quotas.enqueue_checks(runtime, tenant.cell, [tenant.id])
    return _noted(runtime, operator, "tenant.limits", tenant)


def _noted(runtime: Runtime, operator: str, action: str, tenant: Tenant) -> Tenant:
    runtime.registry.forget()
    operators.record(runtime.databases, operator, action, tenant.slug, {"tenant_id": str(tenant.id)})
    return tenant


def list_figures(
    runtime: Runtime, *, start: date, end: date, after: str = "", limit: int | None = None, search: str = "", status: str | None = None
) -> list[TenantFigures]:
    """Return the tenants by slug, with what they hold and did from `start` to `end` (both included)."""
    table = usage_daily.c
    sums = [func.coalesce(func.sum(table[name]), 0).label(name) for name in ("uploads", "downloads", "bytes_in", "bytes_out")]
    did = select(table.tenant_id, *sums).where(table.day >= start, table.day <= end).group_by(table.tenant_id)
    holds = (
        select(table.tenant_id, table.stored_bytes, table.stored_files)
        .ext(distinct_on(table.tenant_id))
        .order_by(table.tenant_id, table.day.desc())
    )
    with runtime.databases.control() as connection:
        found = repository.list_tenants(connection, after=after, limit=limit, search=search, status=status)
        providers = repository.provider_names(connection)
        activity = {row.tenant_id: row for row in connection.execute(did)}
        held = {row.tenant_id: row for row in connection.execute(holds)}
    return [_figures(tenant, providers[tenant.provider_id], activity.get(tenant.id), held.get(tenant.id)) for tenant in found]


def _figures(tenant: Tenant, provider: str, did: Any, holds: Any) -> TenantFigures:
    return TenantFigures(
        tenant, provider, stored_bytes=holds.stored_bytes if holds else 0, stored_files=holds.stored_files if holds else 0,
        **{name: int(getattr(did, name)) if did else 0 for name in ("uploads", "downloads", "bytes_in", "bytes_out")},
    )  # fmt: skip


def daily(runtime: Runtime, *, start: date, end: date, tenant_id: UUID | None = None) -> list[DayFigures]:
    """Return what happened on each day from `start` to `end` (both included), at one tenant or at all together."""
    table = usage_daily.c
    names = ("uploads", "downloads", "bytes_in", "bytes_out", "stored_bytes", "stored_files")
    query = select(table.day, *[func.sum(table[name]).label(name) for name in names]).where(table.day >= start, table.day <= end)
    if tenant_id is not None:
        query = query.where(table.tenant_id == tenant_id)
    with runtime.databases.control() as connection:
        found = {row.day: row for row in connection.execute(query.group_by(table.day))}
    days = [start + timedelta(days=offset) for offset in range((end - start).days + 1)]
    return [DayFigures(day, **{name: int(getattr(found[day], name)) if day in found else 0 for name in names}) for day in days]


def list_providers(runtime: Runtime) -> list[ProviderInfo]:
    """Return all providers, without their secrets."""
    with runtime.databases.control() as connection:
        return repository.list_providers(connection)


def list_jobs(runtime: Runtime, *, state: str | None = None, before: UUID | None = None, limit: int = 100) -> list[Job]:
    """Return jobs of all cells, newest first."""
    found: list[Job] = []
    for cell in runtime.ready_cells():
        with runtime.databases.cell(cell) as connection:
            found += queue.list_jobs(connection, state=state, before=before, limit=limit)
    return sorted(found, key=lambda job: (job.created_at, job.id), reverse=True)[:limit]


def count_jobs(runtime: Runtime) -> dict[str, int]:
    """Return the number of jobs by state, over all cells."""
    totals = dict.fromkeys(("queued", "running", "parked", "done"), 0)
    for cell in runtime.ready_cells():
        with runtime.databases.cell(cell) as connection:
            for state, count in queue.counts(connection).items():
                totals[state] += count
    return totals


def retry_job(runtime: Runtime, operator: str, job_id: UUID) -> Job:
    """Put a parked job back into the queue.

    Raises:
        NotFound
    """
    for cell in runtime.ready_cells():
        try:
            with runtime.cell(cell) as connection:
                job = queue.retry(connection, job_id)
        except NotFound:
            continue
        operators.record(runtime.databases, operator, "job.retry", str(job_id))
        return job
    raise NotFound("There is no parked job of that id.")


def retry_parked_jobs(runtime: Runtime, operator: str) -> int:
    """Put every parked job of every cell back into the queue; return how many."""
    count = 0
    for cell in runtime.ready_cells():
        with runtime.cell(cell) as connection:
            count += queue.retry_all(connection)
    operators.record(runtime.databases, operator, "job.retry_parked", str(count))
    return count
