"""A tenant that is still behind when somebody asks for it: it is migrated now, in a process of its own, ahead of all others.

Bounded: a request waits for `migration_wait_s` at most, a quarter of the threads wait at most, and a process starts
`migrations_at_once` migrations at most. What takes longer goes on behind the 503, and a later request finds it done. A tenant
with whose schema this code works already (`revisions.OLDEST`) is not held up at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID
from weakref import WeakKeyDictionary

from strongroom.config import Settings
from strongroom.db.revisions import is_behind, is_too_old
from strongroom.errors import TenantBehind
from strongroom.fleet import service
from strongroom.fleet.process import Process, Task, finish, start
from strongroom.runtime import Runtime
from tenants import migrations, repository
from tenants.models import Tenant

LOOK_S = 0.05
RETRY_AFTER_S, RETRY_FAILED_AFTER_S = 5, 60
ASK_AGAIN_S = 10.0


@dataclass
class _Bounds:
    """What this process has under way."""

    processes: threading.Semaphore
    waiting: threading.Semaphore
    begun: dict[UUID, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, settings: Settings) -> _Bounds:
        return cls(threading.Semaphore(settings.migrations_at_once), threading.Semaphore(max(1, settings.threads // 4)))

    def is_due(self, tenant_id: UUID) -> bool:
        """Tell, once in a while, that a tenant's migration should be begun."""
        with self.lock:
            now = time.monotonic()
            self.begun = {each: at for each, at in self.begun.items() if at > now - ASK_AGAIN_S}
            return self.begun.setdefault(tenant_id, now) == now

    @contextmanager
    def waiter(self) -> Iterator[None]:
        if not self.waiting.acquire(blocking=False):
            raise TenantBehind(retry_after_s=RETRY_AFTER_S)
        try:
            yield
        finally:
            self.waiting.release()


_bounds: WeakKeyDictionary[Runtime, _Bounds] = WeakKeyDictionary()
_lock = threading.Lock()


def catch_up(runtime: Runtime, tenant: Tenant) -> Tenant:
    """Return the tenant at a revision with which this code works; have it migrated where it is behind.

    Raises:
        TenantBehind: that takes longer, failed, or is frozen; 503 with Retry-After.
    """
    if tenant.schema_revision == runtime.newest_revision or not is_behind(tenant.schema_revision, runtime.settings):
        return tenant
    bounds = _bounds_of(runtime)
    if not is_too_old(tenant.schema_revision, runtime.settings):
        _begin(runtime, tenant, bounds)
        return tenant
    with bounds.waiter():
        _begin(runtime, tenant, bounds)
        return _wait(runtime, tenant)


def begin(runtime: Runtime, tenant: Tenant) -> None:
    """Have a tenant's migration begun now if this process may, and has room; else it waits for whoever migrates."""
    _start(runtime, tenant, _bounds_of(runtime))


def _bounds_of(runtime: Runtime) -> _Bounds:
    with _lock:
        return _bounds.setdefault(runtime, _Bounds.of(runtime.settings))


def _wait(runtime: Runtime, tenant: Tenant) -> Tenant:
    ends, pause = time.monotonic() + runtime.settings.migration_wait_s, threading.Event()
    while True:
        with runtime.databases.control() as connection:
            found = repository.get_tenant(connection, tenant.id)
            state, fleet = migrations.state_of(connection, tenant.id), migrations.state_of_fleet(connection)
        if not is_too_old(found.schema_revision, runtime.settings):
            runtime.registry.forget()
            return found
        if state == "failed":
            raise TenantBehind("It has failed; the operator can see why.", retry_after_s=RETRY_FAILED_AFTER_S)
        if fleet.frozen_at is not None or time.monotonic() >= ends:
            raise TenantBehind(retry_after_s=RETRY_AFTER_S)
        pause.wait(LOOK_S)


def _begin(runtime: Runtime, tenant: Tenant, bounds: _Bounds) -> None:
    """Have it migrated: by a process of ours if there is room, else by any run, as the next. What failed waits for the operator."""
    if not bounds.is_due(tenant.id):
        return
    with runtime.databases.control() as connection:
        if migrations.state_of(connection, tenant.id) == "failed":
            return
    _start(runtime, tenant, bounds)


def _start(runtime: Runtime, tenant: Tenant, bounds: _Bounds) -> None:
    began_at = service.plan(runtime.settings, runtime.databases, tenant.id, urgent=True)
    if runtime.settings.migration_cell_urls() and bounds.processes.acquire(blocking=False):
        process = start(Task(runtime.settings, began_at, tenant.id))
        threading.Thread(target=_see_to_its_end, args=(process, bounds), name="migration", daemon=True).start()


def _see_to_its_end(process: Process, bounds: _Bounds) -> None:
    try:
        finish(process)
    finally:
        bounds.processes.release()
