"""How many uploads a tenant may have at the same time: those whose bytes travel, and the unfinished ones. Knows no HTTP."""

from __future__ import annotations

from sqlalchemy import Connection

from strongroom.buckets import repository as buckets
from strongroom.errors import TooManyUploads
from strongroom.uploads import repository
from tenants.models import Tenant

OPEN_PER_PARALLEL = 20


def check_parallel(connection: Connection, tenant: Tenant, *, own: int) -> None:
    """See that an upload may begin; `own`: how many of the rows are its. Exact where the caller holds the tenant's totals.

    Raises:
        TooManyUploads
    """
    check_counts(tenant, *repository.count_open(connection), own=own)


def check_counts(tenant: Tenant, moving: int, still_open: int, *, own: int) -> None:
    """The same, of uploads that were counted.

    Raises:
        TooManyUploads
    """
    most = tenant.limits.parallel_uploads
    _check_moving(moving - own, most)
    if still_open - own >= most * OPEN_PER_PARALLEL:
        raise TooManyUploads(f"This tenant may have {most * OPEN_PER_PARALLEL} unfinished uploads.", retry_after_s=60)


def check_moving(connection: Connection, tenant: Tenant) -> None:
    """See that bytes may travel, for which the caller has just written or locked a row. Exact under any number of callers.

    Raises:
        TooManyUploads
    """
    buckets.lock_totals(connection)  # whoever holds them is alone, and sees the rows of all who held them before
    _check_moving(repository.count_open(connection)[0] - 1, tenant.limits.parallel_uploads)


def _check_moving(others: int, most: int) -> None:
    if others >= most:
        raise TooManyUploads(f"This tenant may have {most} uploads at the same time.", retry_after_s=5)
