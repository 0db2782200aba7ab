"""What is left of tenants in cells that they have left: dropped after a while, and at once with the tenant itself."""

from __future__ import annotations

import logging
from uuid import UUID

from sqlalchemy import text

from strongroom.errors import DomainError, NotFound
from strongroom.relocation.service import move_jobs
from strongroom.runtime import Runtime
from tenants import repository
from tenants.models import Tenant, TenantStatus

log = logging.getLogger(__name__)
_DUE = text("SELECT tenant_id FROM strongroom.departures WHERE left_at < now() - make_interval(secs => :seconds)")
_FORGET = text("SELECT strongroom.forget_departed(:id)")
_ABANDON = text("SELECT strongroom.abandon_arrival(:id)")


def sweep(runtime: Runtime) -> None:
    """Drop, in every cell that answers, the copies that have been there long enough, after taking over jobs that came late."""
    for cell in runtime.ready_cells():
        try:
            with runtime.databases.cell(cell) as connection:
                found = list(connection.execute(_DUE, {"seconds": runtime.settings.moved_tenant_kept_s}).scalars())
            for tenant_id in found:
                _drop(runtime, tenant_id, cell)
        except DomainError:
            log.warning("copies of tenants that have left a cell could not be dropped", extra={"cell": cell}, exc_info=True)


def _drop(runtime: Runtime, tenant_id: UUID, cell: str) -> None:
    try:
        with runtime.databases.control() as connection:
            tenant = repository.get_tenant(connection, tenant_id)
    except NotFound:
        return
    if tenant.cell == cell:
        return  # it is on its way back, or was noted wrongly: never drop where it lives
    if tenant.status != TenantStatus.DELETED:
        move_jobs(runtime, tenant, cell)
    with runtime.databases.cell(cell) as connection:
        connection.execute(_FORGET, {"id": tenant_id})


def drop_all(runtime: Runtime, tenant: Tenant) -> None:
    """Drop every copy of a tenant that is being deleted. Idempotent.

    Raises:
        DatabaseUnavailable: a cell does not answer.
    """
    for cell in runtime.ready_cells():
        if cell != tenant.cell:
            with runtime.databases.cell(cell) as connection:
                connection.execute(_FORGET, {"id": tenant.id})
                connection.execute(_ABANDON, {"id": tenant.id})  # of a move that was cut off before it was written down
