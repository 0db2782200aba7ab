"""Telling a tenant that it comes near to a limit: an event, a notice in the consoles, mail. Knows no HTTP.

It is looked at by a job, soon after anything changed that counts; so no request pays for it. A level is told once for each
time that it is reached: whoever notes it first tells it, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from strongroom.buckets.room import CHECK_QUOTA
from strongroom.db.ids import new_id
from strongroom.events.service import emit
from strongroom.jobs.queue import enqueue, run_again
from strongroom.quotas import repository
from strongroom.quotas.models import Totals, Use
from strongroom.runtime import Runtime
from tenants.models import Tenant

CHECK = CHECK_QUOTA
MAIL = "quota.mail"
WARNING = "quota.warning"
_ENQUEUE = text("""
INSERT INTO strongroom.jobs (tenant_id, realm, kind, dedupe_key)
SELECT t.tenant, 'tenant', :kind, 'all' FROM unnest(CAST(:ids AS uuid[])) AS t(tenant) ON CONFLICT DO NOTHING
""")


def totals(runtime: Runtime, tenant: Tenant) -> Totals:
    """Return what the tenant has, exactly."""
    with runtime.tenant(tenant) as connection:
        return repository.totals(connection)


def uses(runtime: Runtime, tenant: Tenant) -> list[Use]:
    """Return what is used of each limit that fills up."""
    return totals(runtime, tenant).uses(tenant.limits)


def to_be_noticed(found: Iterable[Use]) -> list[Use]:
    """Return the limits that are nearly or wholly used up: those of which the tenant was told, and that are not well below again."""
    return [use for use in found if use.level and use.next_level]


def check(runtime: Runtime, tenant: Tenant) -> list[Use]:
    """Look how near to its limits the tenant is, and tell what was not told yet. Idempotent; return what was told."""
    with runtime.tenant(tenant) as connection:
        return check_in(connection, runtime, tenant)


def run(runtime: Runtime, tenant: Tenant, ids: Mapping[str, Any]) -> None:
    """Do what `check` does, as a job: once more after every transaction that relied on it."""
    with runtime.tenant(tenant) as connection:
        check_in(connection, runtime, tenant)
        run_again(connection, CHECK, ids, runtime.settings.statement_timeout_s + 1)


def enqueue_checks(runtime: Runtime, cell: str, tenant_ids: Sequence[UUID]) -> None:
    """Have the tenants of a cell looked at, because their limits have changed. Idempotent."""
    if tenant_ids:
        with runtime.databases.cell(cell) as connection:
            connection.execute(_ENQUEUE, {"kind": CHECK, "ids": list(tenant_ids)})


def check_in(connection: Connection, runtime: Runtime, tenant: Tenant) -> list[Use]:
    """Do what `check` does in an open transaction."""
    found = repository.totals(connection)
    uses = found.uses(tenant.limits)
    levels = {found.key(use.resource): use.next_level for use in uses if use.next_level}
    if levels == found.warned or not repository.note_levels(connection, found.warned, levels):
        return []
    told = [use for use in uses if use.next_level > use.level]
    for use in told:
        _tell(connection, runtime, use)
    return told


def _tell(connection: Connection, runtime: Runtime, use: Use) -> None:
    notice_id = new_id()
    data = {"resource": use.resource, "percent": use.next_level, "used": use.used, "limit": use.limit}
    emit(connection, WARNING, notice_id, data)
    if runtime.settings.smtp_host:
        for user_id in repository.recipients(connection):
            ids = {"notice_id": str(notice_id), "user_id": str(user_id), "resource": use.resource, "percent": use.next_level}
            enqueue(connection, MAIL, ids)
