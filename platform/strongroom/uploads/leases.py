"""The locks that this process holds on uploads while it receives their bytes, and the thread that keeps them.

A lock is a lease of a few seconds on the upload's row. A process that dies lets go by dying. A client that dies without a
word does not keep its upload locked either: when somebody else wants the lock and nothing has come from the client for a
while, its connection is shut for reading, so that its request ends and what came is kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID
from weakref import WeakKeyDictionary, WeakMethod

from strongroom.errors import DomainError
from strongroom.runtime import Runtime
from strongroom.uploads import progress
from tenants.models import Tenant

log = logging.getLogger(__name__)
TICK_S = 1.0
SILENCE_S = 2.0


class Lease:
    """One request's hold on an upload. `interrupt` makes its body end; it is called once at most, from another thread."""

    def __init__(self, tenant: Tenant, upload_id: UUID, lock_id: UUID, interrupt: Callable[[], None]) -> None:
        self.tenant, self.upload_id, self.lock_id = tenant, upload_id, lock_id
        self.is_interrupted = self._is_heard_out = False
        self._interrupt = interrupt
        self._mutex = threading.Lock()
        self._heard = time.monotonic()

    def hear(self) -> None:
        """Note that the client lives."""
        self._heard = time.monotonic()

    @property
    def silence_s(self) -> float:
        """How long nothing has come from the client."""
        return time.monotonic() - self._heard

    def interrupt(self) -> None:
        """End the request's body, unless it has ended: the connection may carry another request by then."""
        with self._mutex:
            if not (self.is_interrupted or self._is_heard_out):
                self.is_interrupted = True
                self._interrupt()

    def hear_out(self) -> None:
        """The body has ended."""
        with self._mutex:
            self._is_heard_out = True


class Keeper:
    """Keeps all leases of one process, by one thread that lives as long as there are any. Safe to share between threads."""

    def __init__(self, runtime: Runtime) -> None:
        self._open = WeakMethod(runtime.beside)
        self._leases: dict[UUID, Lease] = {}
        self._changed = threading.Condition()
        self._is_running = False
        self._is_stopping = False

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[Lease]:
        """Renew a lease while the block runs."""
        with self._changed:
            self._leases[lease.lock_id] = lease
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="upload-leases", daemon=True).start()
        if self._is_stopping:
            lease.interrupt()
        try:
            yield lease
        finally:
            with self._changed:
                del self._leases[lease.lock_id]
                self._changed.notify_all()

    def stop(self) -> None:
        """The process is to end: let every upload go on elsewhere. May be called from a signal handler."""
        self._is_stopping = True

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is kept and the thread asks the database nothing any more; False if that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_running, timeout_s)

    def tick(self) -> None:
        """Renew what is held; interrupt what was lost, or is wanted elsewhere and silent."""
        by_tenant: dict[UUID, list[Lease]] = defaultdict(list)
        for lease in self._held():
            by_tenant[lease.tenant.id].append(lease)
        for tenant_id, leases in by_tenant.items():
            try:
                self._renew(leases[0].tenant, leases)
            except DomainError:
                log.warning("leases of uploads could not be renewed", extra={"tenant_id": str(tenant_id)})

    def _renew(self, tenant: Tenant, leases: list[Lease]) -> None:
        begin = self._open()
        if begin is None:
            return  # its process has let go of everything
        with begin(tenant) as connection:
            kept = progress.renew(connection, [(lease.upload_id, lease.lock_id) for lease in leases])
        for lease in leases:
            wanted = kept.get(lease.upload_id)
            if wanted is None or (wanted and lease.silence_s > SILENCE_S):
                lease.interrupt()

    def _run(self) -> None:
        while self._wait():
            for lease in self._held() if self._is_stopping else ():
                lease.interrupt()
            self.tick()

    def _wait(self) -> bool:
        """Wait for the next tick; False, once, when there is nothing left to keep."""
        with self._changed:
            if self._changed.wait_for(lambda: not self._leases, TICK_S):
                self._is_running = False
                self._changed.notify_all()
            return self._is_running

    def _held(self) -> list[Lease]:
        with self._changed:
            return list(self._leases.values())

    @property
    def is_stopping(self) -> bool:
        """Whether the process is to end."""
        return self._is_stopping


_keepers: WeakKeyDictionary[Runtime, Keeper] = WeakKeyDictionary()
_lock = threading.Lock()


def keeper_of(runtime: Runtime) -> Keeper:
    """Return the process's keeper; its thread starts with the first lease."""
    with _lock:
        if runtime not in _keepers:
            _keepers[runtime] = Keeper(runtime)
        return _keepers[runtime]
