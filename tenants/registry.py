"""The registry as requests see it: tenants by host, slug or id, from a small, short-lived cache.

Entries live for a few seconds only, with jitter, so that a change made by another process is seen soon everywhere; a
change made by this process is seen at once. Single-flight: of many threads that miss the same entry one asks.
"""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from strongroom.config import Settings
from strongroom.db.engines import Databases
from strongroom.errors import NotFound

from tenants import repository
from tenants.models import SLUG_PATTERN, Tenant

LIFETIME_S = 0.5
JITTER_S = 0.5
MAX_ENTRIES = 10_000


class Registry:
    """Finds tenants. Safe to share between threads."""

    def __init__(self, settings: Settings, databases: Databases) -> None:
        self._settings, self._databases = settings, databases
        self._entries: OrderedDict[str, tuple[float, Tenant | None]] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def by_host(self, host: str) -> Tenant | None:
        """Return the tenant that lives at a host name (small letters, no port), or None."""
        suffix = "." + self._settings.base_domain
        if host.endswith(suffix):
            slug = host.removesuffix(suffix)
            return self.by_slug(slug) if SLUG_PATTERN.fullmatch(slug) else None
        return self._cached(f"domain:{host}", lambda: self._find(host=host))

    def by_slug(self, slug: str) -> Tenant | None:
        """Return the living tenant of that slug, or None."""
        if not SLUG_PATTERN.fullmatch(slug):
            return None
        return self._cached(f"slug:{slug}", lambda: self._find(slug=slug))

    def by_id(self, tenant_id: UUID) -> Tenant | None:
        """Return a tenant by id, or None."""
        return self._cached(f"id:{tenant_id}", lambda: self._find(tenant_id=tenant_id))

    def forget(self) -> None:
        """Drop all entries, after a change made here."""
        with self._lock:
            self._entries.clear()

    def _find(self, *, host: str | None = None, slug: str | None = None, tenant_id: UUID | None = None) -> Tenant | None:
        with self._databases.control() as connection:
            if tenant_id is not None:
                try:
                    return repository.get_tenant(connection, tenant_id)
                except NotFound:
                    return None
            if slug is not None:
                return repository.find_by_slug(connection, slug)
            return repository.find_by_domain(connection, host or "")

    def _cached(self, key: str, load: Callable[[], Tenant | None]) -> Tenant | None:
        found, tenant = self._peek(key)
        if found:
            return tenant
        with self._lock:
            gate = self._loading.setdefault(key, threading.Lock())
        try:
            with gate:
                found, tenant = self._peek(key)
                if not found:
                    tenant = load()
                    self._store(key, tenant)
        finally:
            with self._lock:
                self._loading.pop(key, None)
        return tenant

    def _peek(self, key: str) -> tuple[bool, Tenant | None]:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry[0] < time.monotonic():
                return False, None
            self._entries.move_to_end(key)
            return True, entry[1]

    def _store(self, key: str, tenant: Tenant | None) -> None:
        lifetime = LIFETIME_S + random.uniform(0, JITTER_S)  # noqa: S311 - jitter, not a secret
        with self._lock:
            self._entries[key] = (time.monotonic() + lifetime, tenant)
            while len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
