"""The parts of a move to another cell, each of them idempotent; `strongroom.life` does them in their order. Knows no HTTP.

What holds the walls: from `pause` on the old cell's own privileges refuse every write of the tenant, whatever a process
believes; `come` compares every row only after that; after the registry names the new cell, `leave` takes the role away in
the old one, so that a process with an old entry is refused there, looks again and goes over.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, text

from strongroom.db.engines import TenantRef
from strongroom.errors import Conflict, NotFound
from strongroom.events import feed
from strongroom.jobs import queue
from strongroom.relocation import catalog
from strongroom.relocation.rows import Comparison, Memory, make_equal
from strongroom.runtime import Runtime
from tenants import placement
from tenants.models import Tenant, TenantStatus

log = logging.getLogger(__name__)
PASSES, FEW_ROWS = 6, 1000
"""Copying goes on until a pass finds no more than a few rows to bring, which then takes a moment; or so many times."""
WRITERS_WAIT_S, RUNNING_WAIT_S, LOOK_S = 60.0, 5.0, 0.02


_memories: WeakKeyDictionary[Runtime, dict[tuple[UUID, str], Memory]] = WeakKeyDictionary()
"""What this process has seen of tenants that it copies, so that a pause need not compare all anew. Whoever takes over has none."""


def check(runtime: Runtime, tenant: Tenant, cell: str) -> None:
    """See that a tenant can go to a cell; nothing is changed.

    Raises:
        NotFound: the settings name no such cell.
        Conflict: it lives there, or the cell is full, not ready, or has another revision of a tenant's schema.
        DatabaseUnavailable: it does not answer.
    """
    if cell not in runtime.databases.cell_names:
        raise NotFound(f"The settings name no cell '{cell}'. See 'strongroom cell list'.")
    if cell == tenant.cell:
        raise Conflict(f"It lives in the cell '{cell}' already.")
    with runtime.databases.control() as connection:
        room = placement.rooms(connection).get(cell)
    if room is None:
        raise Conflict(f"The cell '{cell}' is not ready. Run 'strongroom cell add {cell}' first.")
    if room.tenants >= room.max_tenants:
        raise Conflict(f"The cell '{cell}' is full. 'strongroom cell set {cell} --max-tenants N' gives it more room.")
    _check_revisions(runtime, tenant, cell)


def _check_revisions(runtime: Runtime, tenant: Tenant, cell: str) -> None:
    with runtime.databases.cell(cell) as connection:
        revision = connection.execute(text("SELECT revision FROM strongroom.tenant_script")).scalar_one()
    with runtime.databases.tenant(tenant.ref) as connection:
        if catalog.revision(connection) != revision:
            raise Conflict("Its schema and the cell's are of different revisions. Run 'strongroom migrate' first.")


def prepare(runtime: Runtime, tenant: Tenant, cell: str) -> None:
    """Make role and schema in the new cell."""
    with runtime.databases.cell(cell) as connection:
        _call(connection, "begin_arrival", tenant)


def copy(runtime: Runtime, tenant: Tenant, cell: str) -> None:
    """Copy all rows while the tenant works, again and again, until little is left to do; then have its jobs wait.

    Raises:
        Conflict
    """
    with runtime.databases.cell(cell) as connection:
        _call(connection, "open_arrival", tenant)
    memory = Memory()
    for number in range(PASSES):
        found = make_equal(runtime.databases, tenant.ref, TenantRef(tenant.id, cell), memory)
        _tell(tenant, cell, found, number)
        if number and found.changed <= FEW_ROWS:  # the first one has proven nothing of what it brought
            break
    _memories.setdefault(runtime, {})[tenant.id, cell] = memory
    _end_jobs(runtime, tenant)


def _end_jobs(runtime: Runtime, tenant: Tenant) -> None:
    """Let no job of the tenant begin, and those that run end, before its writes are refused: so the pause need not wait for them."""
    with runtime.databases.cell(tenant.cell) as connection:
        queue.pause(connection, tenant.id)
    _wait_for_jobs(runtime, tenant)


def pause(runtime: Runtime, tenant: Tenant) -> None:
    """Have the cell in which a tenant lives refuse all its writes."""
    with runtime.databases.cell(tenant.cell) as connection:
        _call(connection, "pause_writes", tenant)


def come(runtime: Runtime, tenant: Tenant, cell: str) -> Comparison:
    """Wait until nothing of the tenant is written any more, bring what was left, compare every row, and make its schema whole.

    Raises:
        Conflict: a transaction does not end, or rows differ.
    """
    _wait_for_jobs(runtime, tenant)
    _wait_for_writers(runtime, tenant)
    there = TenantRef(tenant.id, cell)
    with runtime.databases.cell(cell) as connection:
        _call(connection, "open_arrival", tenant)
    memory = _memories.get(runtime, {}).pop((tenant.id, cell), None)
    found = make_equal(runtime.databases, tenant.ref, there, memory)
    _tell(tenant, cell, found, PASSES)
    with runtime.databases.tenant(tenant.ref) as connection:
        numbers, epoch = catalog.sequences(connection, tenant.ref.role), feed.epoch(connection) + 1
    with runtime.databases.cell(cell) as connection:
        query = text("SELECT strongroom.finish_arrival(:id, CAST(:numbers AS jsonb), :epoch)")
        connection.execute(query, {"id": tenant.id, "numbers": json.dumps(numbers), "epoch": epoch})
    return found


def leave(runtime: Runtime, tenant: TenantRef) -> None:
    """Take away the tenant's role in the cell that it has left."""
    with runtime.databases.cell(tenant.cell) as connection:
        _call(connection, "depart", tenant)


def settle(runtime: Runtime, tenant: Tenant, old_cell: str) -> None:
    """In the new cell: take over the jobs, let them run, and have the foreign keys validated."""
    move_jobs(runtime, tenant, old_cell)
    if tenant.status != TenantStatus.SUSPENDED:
        with runtime.databases.cell(tenant.cell) as connection:
            queue.unpause(connection, tenant.id)
    validated = True
    while validated:  # each in a transaction of its own, since what is open holds back every change feed of the cell
        with runtime.databases.cell(tenant.cell) as connection:
            query = text("SELECT strongroom.settle_arrival(:id)")
            validated = connection.execute(query, {"id": tenant.id}).scalar_one() is not None


def move_jobs(runtime: Runtime, tenant: Tenant, old_cell: str) -> None:
    """Take over, in the tenant's present cell, the jobs that are left in a former one. One that runs there is done once more."""
    while True:
        with runtime.databases.cell(old_cell) as connection:
            found = queue.unfinished(connection, tenant.id)
        if not found:
            return
        with runtime.cell(tenant.cell) as connection:
            queue.take_over(connection, found)
        with runtime.databases.cell(old_cell) as connection:
            queue.forget(connection, [row["id"] for row in found])


def stay(runtime: Runtime, tenant: Tenant) -> None:
    """Let a tenant that does not leave be written again, and its jobs go on."""
    with runtime.databases.cell(tenant.cell) as connection:
        _call(connection, "resume_writes", tenant)
        if tenant.status != TenantStatus.SUSPENDED:
            queue.unpause(connection, tenant.id)


def discard(runtime: Runtime, tenant: Tenant, cell: str) -> None:
    """Remove what has come of a tenant in a cell where it does not live."""
    with runtime.databases.cell(cell) as connection:
        _call(connection, "abandon_arrival", tenant)


def _wait_for_jobs(runtime: Runtime, tenant: Tenant) -> None:
    """Give jobs of the tenant that run a moment to end; one that does not is refused, and done again in the new cell."""
    ends, pause_ = time.monotonic() + RUNNING_WAIT_S, threading.Event()
    while time.monotonic() < ends:
        with runtime.databases.cell(tenant.cell) as connection:
            if not queue.has_running(connection, tenant.id):
                return
        pause_.wait(LOOK_S)


_WRITERS = text("""
SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND c.relnamespace = to_regnamespace(:schema) AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock')
""")


def _wait_for_writers(runtime: Runtime, tenant: Tenant) -> None:
    """Wait for the transactions that were writing when writes were refused: whoever came later has no lock, and gets none.

    A statement takes its lock on a table before it looks, with all changes that were committed until then, whether it may write.

    Raises:
        Conflict: one does not end.
    """
    ends, pause_ = time.monotonic() + WRITERS_WAIT_S, threading.Event()
    while time.monotonic() < ends:
        with runtime.databases.cell(tenant.cell) as connection:
            if not connection.execute(_WRITERS, {"schema": tenant.ref.role}).scalar_one():
                return
        pause_.wait(LOOK_S)
    raise Conflict("A transaction of the tenant does not end. It is tried again.")


def _call(connection: Connection, function: str, tenant: Tenant | TenantRef) -> None:
    connection.execute(text(f"SELECT strongroom.{function}(:id)"), {"id": tenant.id})


def _tell(tenant: Tenant, cell: str, found: Comparison, number: int) -> None:
    log.info("rows copied", extra={"tenant_id": str(tenant.id), "cell": cell, "pass": number, **vars(found)})
