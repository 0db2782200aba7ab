"""What operators look at besides single tenants: days per tenant, names, plans, and whether every part works. Knows no HTTP."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Connection, select, text

from strongroom.errors import DomainError
from strongroom.jobs import queue
from strongroom.operating import cells
from strongroom.operating.service import list_providers
from strongroom.runtime import Runtime
from tenants import repository
from tenants.models import ProviderInfo
from tenants.tables import usage_daily

LATE_S = 60


@dataclass(frozen=True)
class Part:
    """One part of the deployment and whether it works."""

    name: str
    ok: bool
    detail: str


class NotWorkingError(Exception):
    """What is wrong with a part."""


def transfer_by_day(runtime: Runtime, tenant_ids: Iterable[UUID], *, start: date, end: date) -> dict[UUID, list[int]]:
    """Return, for each tenant, the bytes in and out of each day from `start` to `end` (both included)."""
    table = usage_daily.c
    wanted = list(tenant_ids)
    query = select(table.tenant_id, table.day, (table.bytes_in + table.bytes_out).label("bytes"))
    query = query.where(table.tenant_id.in_(wanted), table.day >= start, table.day <= end)
    with runtime.databases.control() as connection:
        found = {(row.tenant_id, row.day): int(row.bytes) for row in connection.execute(query)}
    days = [start + timedelta(days=offset) for offset in range((end - start).days + 1)]
    return {tenant_id: [found.get((tenant_id, day), 0) for day in days] for tenant_id in wanted}


def count_tenants(runtime: Runtime) -> dict[str, int]:
    """Return the number of living tenants by status."""
    with runtime.databases.control() as connection:
        return repository.count_tenants(connection)


def tenant_names(runtime: Runtime, tenant_ids: Iterable[UUID]) -> dict[UUID, tuple[str, str]]:
    """Return slug and name of those of the tenants that still live."""
    with runtime.databases.control() as connection:
        return repository.tenant_names(connection, set(tenant_ids))


def oldest_due_job(runtime: Runtime) -> datetime | None:
    """Return since when the job that waits longest has been due, over all cells."""
    moments = []
    for cell in runtime.ready_cells():
        with runtime.databases.cell(cell) as connection:
            moments.append(queue.oldest_due(connection))
    return min((moment for moment in moments if moment is not None), default=None)


def parts(runtime: Runtime) -> list[Part]:
    """Look at the databases, the workers and the providers; never raises for one that does not work."""
    databases = runtime.databases
    looked = [_look("Registry", partial(_answers, databases.control))]
    try:
        amiss = cells.amiss(runtime)
    except DomainError:
        amiss = {}
    working = [name for name in databases.cell_names if name not in amiss]
    looked += [_look(f"Cell {name}", partial(_answers, partial(databases.cell, name))) for name in working]
    looked += [Part(f"Cell {name}", ok=False, detail=text) for name, text in amiss.items()]
    looked.append(_look("Workers", partial(_workers, runtime)))
    try:
        providers = list_providers(runtime)
    except DomainError:
        return looked
    return looked + [_look(f"Provider {each.name}", partial(_provider, runtime, each)) for each in providers]


def _look(name: str, look: Callable[[], str]) -> Part:
    try:
        return Part(name, ok=True, detail=look())
    except (NotWorkingError, DomainError) as error:
        return Part(name, ok=False, detail=error.detail if isinstance(error, DomainError) else str(error))


def _answers(begin: Callable[[], contextlib.AbstractContextManager[Connection]]) -> str:
    started = time.perf_counter()
    with begin() as connection:
        version = connection.execute(text("SHOW server_version")).scalar_one()
    return f"PostgreSQL {str(version).split()[0]}, {_ms(started)}"


def _workers(runtime: Runtime) -> str:
    oldest = oldest_due_job(runtime)
    late_s = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    if late_s > LATE_S:
        raise NotWorkingError(f"A job has been due for {late_s / 60:.0f} minutes: is a worker running?")
    return "Nothing is overdue"


def _provider(runtime: Runtime, info: ProviderInfo) -> str:
    started = time.perf_counter()
    runtime.make_provider(info).check()
    return _ms(started)


def _ms(started: float) -> str:
    return f"{(time.perf_counter() - started) * 1000:.1f} ms"
