"""What a process remembers of providers: their discovery documents and keys, for each tenant's connection by itself.

Two tenants that name the same issuer share nothing: what one of them makes us remember, the other never meets.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from strongroom.runtime import Runtime
from strongroom.security.outbound import Outbound
from strongroom.sso.fetching import discover, document
from strongroom.sso.keys import Keys, usable_keys
from strongroom.sso.models import Provider, Trouble
from tenants.models import Tenant
from tenants.sso import MAX_CONNECTIONS, Connection

MAX_ENTRIES = 200
LIFETIME_S, FAILURE_LIFETIME_S = 600.0, 5.0
LOOK_AGAIN_AFTER_S = 30.0
"""So long after keys were fetched a key that is not among them is not looked for again."""
Key = tuple[UUID, str, str]
Found = TypeVar("Found")


class Entry:
    """One connection's provider. Whoever comes while it is being asked waits for the answer, a failure too."""

    def __init__(self, outbound: Outbound, issuer: str) -> None:
        self._outbound, self._issuer = outbound, issuer
        self._lock = threading.Lock()
        self._provider: tuple[float, Provider] | None = None
        self._keys: tuple[float, Keys] | None = None
        self._failure: tuple[float, str] | None = None

    def provider(self) -> Provider:
        """Return what the provider says of itself.

        Raises:
            Trouble
        """
        with self._lock:
            return self._discovered()

    def keys(self, *, but: Keys | None = None) -> Keys:
        """Return the provider's keys; newer ones than `but`, if those were not fetched a moment ago.

        Raises:
            Trouble
        """
        with self._lock:
            if self._keys is not None:
                fetched_at, held = self._keys
                if time.monotonic() - fetched_at < (LOOK_AGAIN_AFTER_S if held is but else LIFETIME_S):
                    return held
            fetched = self._try(lambda: fetch_keys(self._outbound, self._discovered()))
            self._keys = (time.monotonic(), fetched)
            return fetched

    def _discovered(self) -> Provider:
        if self._provider is None or time.monotonic() - self._provider[0] > LIFETIME_S:
            self._provider = (time.monotonic(), self._try(lambda: discover(self._outbound, self._issuer)))
        return self._provider[1]

    def _try(self, act: Callable[[], Found]) -> Found:
        if self._failure is not None and time.monotonic() < self._failure[0]:
            raise Trouble(self._failure[1])
        try:
            return act()
        except Trouble as trouble:
            self._failure = (time.monotonic() + FAILURE_LIFETIME_S, str(trouble))
            raise


def fetch_keys(outbound: Outbound, provider: Provider) -> Keys:
    """Return the keys that a provider publishes and that may sign ID tokens.

    Raises:
        Trouble
    """
    found = document(outbound, provider.jwks_uri).get("keys")
    if not isinstance(found, list) or not found:
        raise Trouble("It publishes no keys.")
    return usable_keys(found)


class Cache:
    """The entries of one process, the longest unused of which go first.

    A connection that is removed elsewhere is not told of here: its entry leaves by its age, or for one of its own tenant.
    """

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._entries: OrderedDict[Key, tuple[float, Entry]] = OrderedDict()
        """With the time of their last use, by which they are ordered."""
        self._lock = threading.Lock()

    def of(self, tenant: Tenant, connection: Connection) -> Entry:
        """Return a connection's entry."""
        key = (tenant.id, connection.name, connection.issuer)
        with self._lock:
            if key in self._entries:
                entry = self._entries.pop(key)[1]
            else:
                self._make_room(tenant)
                entry = Entry(self._outbound, connection.issuer)
            self._entries[key] = (time.monotonic(), entry)
        return entry

    def _make_room(self, tenant: Tenant) -> None:
        """Drop what has been idle for a lifetime, and the longest unused where its tenant, or the process, has all that it may."""
        used_after = time.monotonic() - LIFETIME_S
        for key in [key for key, (used_at, _) in self._entries.items() if used_at < used_after]:
            del self._entries[key]
        for key in [key for key in self._entries if key[0] == tenant.id][: -(MAX_CONNECTIONS - 1)]:
            del self._entries[key]
        while len(self._entries) >= MAX_ENTRIES:
            self._entries.popitem(last=False)

    def forget(self, tenant: Tenant, name: str) -> None:
        """Ask a connection's provider anew next time."""
        with self._lock:
            for key in [key for key in self._entries if key[:2] == (tenant.id, name)]:
                del self._entries[key]

    def __len__(self) -> int:
        """How many connections are remembered."""
        return len(self._entries)


_caches: WeakKeyDictionary[Runtime, Cache] = WeakKeyDictionary()
_lock = threading.Lock()


def cache_of(runtime: Runtime) -> Cache:
    """Return the process's cache."""
    with _lock:
        if runtime not in _caches:
            _caches[runtime] = Cache(runtime.outbound)
        return _caches[runtime]
