"""What a process of Strongroom holds: settings, keys, databases, registry, providers, broker. Made once, passed explicitly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID
from weakref import WeakValueDictionary

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from strongroom.config import Settings
from strongroom.db.engines import Databases
from strongroom.db.revisions import head
from strongroom.errors import NotFound, TenantBusy, TenantMoving, UnknownHost
from strongroom.jobs.broker import Announcer, make_broker, make_celery
from strongroom.jobs.queue import enqueued
from strongroom.security.keys import KeyRing
from strongroom.security.outbound import Outbound
from strongroom.security.txt_records import TxtLookup
from strongroom.storage.base import Provider
from strongroom.storage.bound import TenantStorage
from strongroom.storage.outages import Outages
from strongroom.storage.providers import make_provider, make_tenants_provider
from tenants import placement, repository
from tenants.models import ProviderInfo, Tenant
from tenants.provider_secrets import open_secrets
from tenants.registry import Registry

if TYPE_CHECKING:
    from celery import Celery

PROVIDER_LIFETIME_S = 30.0
CONNECTION_SHARES = 4
MOVING_RETRY_AFTER_S = 2
REFUSED = "42501"
"""SQLSTATE of a statement that the role may not do: a tenant's may do all that we send, but for writing while it is being moved."""


class Runtime:
    """The parts that every service needs. Safe to share between threads; nothing connects before it is used."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = KeyRing(settings)
        self.databases = Databases(settings)
        self.outbound = Outbound(settings)
        self.txt_lookup = TxtLookup(settings)
        self.registry = Registry(settings, self.databases)
        self.announcer = Announcer(make_broker(settings, lambda: self.celery), settings.worker_processes)
        self.outages = Outages()
        self._providers: dict[UUID, tuple[float, Provider, UUID | None]] = {}
        self._shares: WeakValueDictionary[UUID, threading.Semaphore] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._kept = threading.local()

    @cached_property
    def celery(self) -> Celery:
        """The Celery app, loaded when it is first asked for."""
        return make_celery(self.settings)

    @cached_property
    def newest_revision(self) -> str:
        """The newest revision of a tenant's schema that this code knows."""
        return head("tenant", self.settings)

    def ready_cells(self) -> list[str]:
        """Return the cells that the settings name and that were made ready, in the settings' order: tenants and jobs are only there.

        One that is named before 'strongroom cell add' holds nothing yet, and nothing may break because of it.
        """
        with self.databases.control() as connection:
            known = set(placement.known(connection))
        return [name for name in self.databases.cell_names if name in known]

    def close(self) -> None:
        """Close all connections, and end the listening for changed tenants. Idempotent."""
        self.announcer.close()
        self.registry.close()
        self.databases.dispose()

    @contextmanager
    def tenant(self, tenant: Tenant) -> Iterator[Connection]:
        """Open a transaction in a tenant's schema, or go on in the one that this thread keeps open for it.

        It commits on leaving, rolls back on an exception; jobs enqueued in it are announced after it has committed.
        """
        with self._take_kept(tenant) or self._transaction(tenant) as connection:
            announced = enqueued(connection)
            announced.clear()
            yield connection
            pairs = list(announced)
        self.announce(tenant.cell, pairs)

    def _transaction(self, tenant: Tenant, *, relaxed: bool = False) -> TenantTransaction:
        return TenantTransaction(self, tenant, share=self._connection_share(tenant), relaxed=relaxed)

    def beside(self, tenant: Tenant, *, frozen: bool = False) -> TenantTransaction:
        """Return a transaction in a tenant's schema that does not count for its share of connections, and announces no job.

        With `frozen` it sees one moment, and writes nothing: so it holds nobody up.
        """
        return TenantTransaction(self, tenant, frozen=frozen)

    def look_up(self, tenant: Tenant) -> Tenant:
        """Return a tenant as the registry knows it now."""
        self.registry.forget(tenant.id)
        with self.databases.control() as connection:
            return repository.get_tenant(connection, tenant.id)

    def keep_open(self, tenant: Tenant, *, reads: bool) -> Connection:
        """Open a transaction that this thread's next `tenant` goes on in, or that `let_go` ends: two for the price of one.

        Only for what follows at once: a connection must not be held while anything travels. `reads`: the request changes nothing
        that anybody relies on, such as when a key was last used, so that its commit need not wait for the disk.
        """
        self.let_go()
        transaction = KeptTransaction(self._transaction(tenant, relaxed=reads))
        connection = transaction.connection
        self._kept.transaction = (tenant.id, transaction)
        return connection

    def let_go(self, error: BaseException | None = None) -> None:
        """End the transaction that this thread keeps open, if it does. Idempotent. `error`: what went wrong in it.

        Raises:
            DatabaseUnavailable: that is what the error means.
        """
        kept = self._kept.__dict__.pop("transaction", None)
        if kept is not None:
            kept[1].__exit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def _take_kept(self, tenant: Tenant) -> KeptTransaction | None:
        kept: tuple[UUID, KeptTransaction] | None = self._kept.__dict__.get("transaction")
        if kept is None or kept[0] != tenant.id:
            return None
        del self._kept.transaction
        return kept[1]

    @contextmanager
    def cell(self, name: str) -> Iterator[Connection]:
        """Open a transaction on a cell's own tables; jobs enqueued in it are announced after it has committed."""
        with self.databases.cell(name) as connection:
            announced = enqueued(connection)
            announced.clear()
            yield connection
            pairs = list(announced)
        self.announce(name, pairs)

    def _connection_share(self, tenant: Tenant) -> threading.Semaphore:
        """Return the tenant's share of the connections: others need theirs while its own queries take their time."""
        with self._lock:
            share = self._shares.get(tenant.id)
            if share is None:
                share = self._shares[tenant.id] = threading.Semaphore(max(1, self.settings.pool_size // CONNECTION_SHARES))
        return share

    def announce(self, cell: str, pairs: list[tuple[UUID, float]]) -> None:
        """Wake workers for jobs whose transaction has committed."""
        for job_id, delay_s in pairs:
            self.announcer.announce(cell, str(job_id), delay_s)

    def storage(self, tenant: Tenant, provider_id: UUID | None = None) -> TenantStorage:
        """Return a provider seen through the tenant's prefix: the one its new files go to, or the one that a version names."""
        provider, owner = self._provider(provider_id or tenant.provider_id)
        if owner is not None and owner != tenant.id:
            raise NotFound("There is no such provider.")
        return TenantStorage(provider, tenant.prefix)

    def provider_ids(self, tenant: Tenant) -> list[UUID]:
        """Return every provider at which bytes of the tenant may lie."""
        with self.databases.control() as connection:
            return repository.provider_ids(connection, tenant.id)

    def make_provider(
        self, info: ProviderInfo, config: Mapping[str, Any] | None = None, secrets: Mapping[str, Any] | None = None
    ) -> Provider:
        """Return a provider as it is registered, or with another configuration or other secrets. One of a tenant's is guarded.

        Raises:
            ValidationFailed, UnknownProviderKind
            ConfigurationError: its secrets cannot be opened.
        """
        config = info.config if config is None else config
        secrets = open_secrets(self.keys, info) if secrets is None else secrets
        if info.tenant_id is None:
            return make_provider(info.kind, config, secrets)
        return make_tenants_provider(info.kind, config, secrets, self.outbound.pools)

    def forget_provider(self, provider_id: UUID) -> None:
        """Have a provider made anew at its next use, after a change made here; others see it within half a minute."""
        with self._lock:
            self._providers.pop(provider_id, None)

    def _provider(self, provider_id: UUID) -> tuple[Provider, UUID | None]:
        """Return a provider and the tenant that brought it."""
        entry = self._providers.get(provider_id)
        if entry is None or entry[0] <= time.monotonic():
            self.let_go()  # nobody waits for a second connection while it holds a first
            with self._loading:
                entry = self._providers.get(provider_id)
                if entry is None or entry[0] <= time.monotonic():
                    entry = self._providers[provider_id] = self._load_provider(provider_id)
        return entry[1], entry[2]

    def _load_provider(self, provider_id: UUID) -> tuple[float, Provider, UUID | None]:
        with self.databases.control() as connection:
            info = repository.get_provider(connection, provider_id=provider_id)
        return time.monotonic() + PROVIDER_LIFETIME_S, self.make_provider(info), info.tenant_id


class TenantTransaction(AbstractContextManager[Connection]):
    """A transaction in a tenant's schema, in the cell that is known or in the one to which it has gone since that was looked up.

    With a `share` it holds one of the tenant's connections; see `Runtime.beside` for one without. `kind`: see `Databases.tenant`.

    Raises:
        TenantBusy: on entering, when all of its share was in use for as long as anybody waits for a connection.
        TenantMoving: something was written while the tenant is on its way to another cell.
        DatabaseUnavailable
    """

    def __init__(self, runtime: Runtime, tenant: Tenant, *, share: threading.Semaphore | None = None, **kind: bool) -> None:
        self._runtime, self._tenant, self._share, self._kind = runtime, tenant, share, kind

    def __enter__(self) -> Connection:
        if self._share is not None and not self._share.acquire(timeout=self._runtime.settings.pool_timeout_s):
            raise TenantBusy(retry_after_s=1)
        try:
            return self._begin()
        except BaseException:
            self._release()
            raise

    def _begin(self) -> Connection:
        databases = self._runtime.databases
        try:
            self._inner = databases.tenant(self._tenant.ref, **self._kind)
            return self._inner.__enter__()
        except UnknownHost:
            now = self._runtime.look_up(self._tenant)
            if now.cell == self._tenant.cell:
                raise
            self._inner = databases.tenant(now.ref, **self._kind)
            return self._inner.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._inner.__exit__(kind, error, trace)
        except DBAPIError as own:
            self._refuse_while_moving(own)
            raise
        finally:
            self._release()
        if isinstance(error, DBAPIError):
            self._refuse_while_moving(error)

    def _refuse_while_moving(self, error: DBAPIError) -> None:
        if getattr(error.orig, "sqlstate", None) != REFUSED:
            return
        now = self._runtime.look_up(self._tenant)
        if now.writes_paused or now.cell != self._tenant.cell:
            raise TenantMoving(retry_after_s=MOVING_RETRY_AFTER_S) from error

    def _release(self) -> None:
        if self._share is not None:
            self._share.release()


class KeptTransaction(AbstractContextManager[Connection]):
    """A transaction that has begun, for somebody else to go on in."""

    def __init__(self, transaction: TenantTransaction) -> None:
        self._transaction = transaction
        self.connection = transaction.__enter__()

    def __enter__(self) -> Connection:
        return self.connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._transaction.__exit__(kind, error, trace)
