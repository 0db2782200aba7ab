"""The registry as requests see it: tenants by host, slug or id, from a cache in this process.

A change made here is seen at once, one made by another process as soon as its notification is heard (a few
milliseconds). An entry lives for half a minute as long as the listener proves, again and again, that it still hears;
without such a proof it lives for a few seconds, and for a moment only while nobody listens.
"""

from __future__ import annotations

import time
from functools import partial
from uuid import UUID

from sqlalchemy import Connection
from strongroom.config import Settings
from strongroom.db.engines import Databases
from strongroom.errors import NotFound

from tenants import repository
from tenants.cache import TenantCache, jittered
from tenants.listening import Listener
from tenants.models import SLUG_PATTERN, Tenant

UNHEARD_LIFETIME_S = 0.5
MISSING_LIFETIME_S = 1.0
HEARD_LIFETIMES = 6
MAX_MISSING = 1000


class Registry:
    """Finds tenants. Safe to share between threads; listens from the first question on, until it is closed."""

    def __init__(self, settings: Settings, databases: Databases) -> None:
        self._settings, self._databases = settings, databases
        self._cache = TenantCache(
            max_entries=settings.registry_cache_entries, max_missing=MAX_MISSING, lifetime_s=self._lifetime_s,
            longest_s=HEARD_LIFETIMES * settings.registry_lifetime_s, is_current=self._hears,
        )  # fmt: skip
        can_listen = settings.listen_database_url is not None or not settings.behind_pgbouncer  # which has no sessions to listen on
        self._may_listen = settings.registry_listen and can_listen
        self.listener = Listener(settings.listen_database_url or settings.database_url, self._changed)

    def by_host(self, host: str) -> Tenant | None:
        """Return the tenant that lives at a host name (small letters, no port), or None."""
        suffix = "." + self._settings.base_domain
        if host.endswith(suffix):
            return self.by_slug(host.removesuffix(suffix))
        return self._remembered(f"domain:{host}", host=host)

    def by_slug(self, slug: str) -> Tenant | None:
        """Return the living tenant of that slug, or None."""
        if not SLUG_PATTERN.fullmatch(slug):
            return None
        return self._remembered(f"slug:{slug}", slug=slug)

    def by_id(self, tenant_id: UUID) -> Tenant | None:
        """Return a tenant by id, or None."""
        return self._remembered(f"id:{tenant_id}", tenant_id=tenant_id)

    def forget(self, tenant_id: UUID | None = None) -> None:
        """Drop all entries, or those of one tenant, after a change made here."""
        self._changed(tenant_id)

    def close(self) -> None:
        """End listening. Idempotent."""
        self.listener.close()

    def __len__(self) -> int:
        """How many answers are remembered."""
        return len(self._cache)

    def _lifetime_s(self, found: bool) -> float:
        if not self.listener.is_listening:
            return jittered(UNHEARD_LIFETIME_S)
        return jittered(self._settings.registry_lifetime_s if found else MISSING_LIFETIME_S)

    def _hears(self) -> bool:
        """Tell whether every change of more than `registry_lifetime_s` ago has been heard."""
        return self.listener.heard_at > time.monotonic() - self._settings.registry_lifetime_s

    def _changed(self, tenant_id: UUID | None) -> None:
        if tenant_id is None:
            self._cache.forget_all()
        else:
            self._cache.forget(tenant_id)

    def _remembered(self, key: str, *, host: str | None = None, slug: str | None = None, tenant_id: UUID | None = None) -> Tenant | None:
        if self._may_listen:
            self.listener.start()
        return self._cache.get(key, partial(self._find, host=host, slug=slug, tenant_id=tenant_id))

    def _find(self, *, host: str | None = None, slug: str | None = None, tenant_id: UUID | None = None) -> Tenant | None:
        def find(connection: Connection) -> Tenant | None:
            if tenant_id is not None:
                return _by_id(connection, tenant_id)
            if slug is not None:
                return repository.find_by_slug(connection, slug)
            return repository.find_by_domain(connection, host or "")

        return self._databases.look_up(find)


def _by_id(connection: Connection, tenant_id: UUID) -> Tenant | None:
    try:
        return repository.get_tenant(connection, tenant_id)
    except NotFound:
        return None
