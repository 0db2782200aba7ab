"""Once a day each tenant is put in order: this sees to it that the job for it is there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from sqlalchemy import text
from strongroom.domains import checking as domains
from strongroom.errors import DatabaseUnavailable
from strongroom.isolation import service as isolation
from strongroom.jobs import queue
from strongroom.life import service as life
from strongroom.relocation import copies
from strongroom.runtime import Runtime
from strongroom.takeout import importing

from tenants import repository
from tenants.models import TenantStatus
from workers.handlers import HOUSEKEEPING

log = logging.getLogger(__name__)
DONE_KEPT_DAYS = 7
LIVING = frozenset({TenantStatus.ACTIVE, TenantStatus.SUSPENDED})
_ENQUEUE = text("""
INSERT INTO strongroom.jobs (tenant_id, realm, kind, dedupe_key, run_at)
SELECT t.tenant, 'tenant', :kind, 'daily', now() + random() * interval '1 hour' FROM unnest(CAST(:ids AS uuid[])) AS t(tenant)
WHERE NOT EXISTS (
    SELECT FROM strongroom.jobs j WHERE j.tenant_id = t.tenant AND j.kind = :kind
    AND (j.state IN ('queued', 'running') OR j.finished_at > now() - interval '23 hours')
)
ON CONFLICT DO NOTHING
""")


def enqueue_due(runtime: Runtime) -> None:
    """Queue what is due: the daily job of every tenant, operations whose job got lost, looks at domains.

    Forget jobs that were done long ago, imports that nobody works on, and what is left of tenants in cells that they have left.
    """
    with runtime.databases.control() as connection:
        tenants = repository.list_tenants(connection)
    parts: list[Callable[[Runtime], object]] = [
        partial(_daily, cell=cell, ids=[tenant.id for tenant in tenants if tenant.cell == cell and tenant.status in LIVING])
        for cell in runtime.ready_cells()
    ]
    for part in (*parts, importing.sweep, isolation.enqueue_due, life.enqueue_lost, copies.sweep, domains.enqueue_due):
        try:
            part(runtime)
        except DatabaseUnavailable:  # of one cell; the others' turn comes all the same, and this one's with the next
            log.warning("some of the housekeeping has to wait for a cell", exc_info=True)


def _daily(runtime: Runtime, cell: str, ids: Sequence[UUID]) -> None:
    with runtime.databases.cell(cell) as connection:
        connection.execute(_ENQUEUE, {"kind": HOUSEKEEPING, "ids": list(ids)})
        queue.delete_done(connection, DONE_KEPT_DAYS)
