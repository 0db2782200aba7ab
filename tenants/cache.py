"""A process's memory of tenants: bounded, with an end to every entry, one load per missing key, and safe against late answers.

What was not there is remembered apart, for a shorter time and in a smaller space, so that made-up hosts cannot push
living tenants out.
"""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from uuid import UUID

from tenants.models import Tenant

Load = Callable[[], Tenant | None]


@dataclass(frozen=True)
class Entry:
    """What is remembered of a key; until when (by the monotonic clock) without further proof, and until when with it."""

    tenant: Tenant | None
    until: float
    longest: float


class TenantCache:
    """Tenants by key. Safe to share between threads.

    `lifetime_s` tells, at the time of storing, how long an entry may be believed. One of a tenant may be for `longest_s` as long as
    `is_current` says that whatever changed has been forgotten.
    """

    def __init__(
        self, *, max_entries: int, max_missing: int, lifetime_s: Callable[[bool], float],
        longest_s: float = 0.0, is_current: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._longest_s, self._is_current = longest_s, is_current
        self._max_entries, self._max_missing, self._lifetime_s = max_entries, max_missing, lifetime_s
        self._found: OrderedDict[str, Entry] = OrderedDict()
        self._missing: OrderedDict[str, Entry] = OrderedDict()
        self._keys: defaultdict[UUID, set[str]] = defaultdict(set)
        self._loading: dict[str, Future[Tenant | None]] = {}
        self._lock = threading.Lock()

    def get(self, key: str, load: Load) -> Tenant | None:
        """Return what is at the key, from memory or by `load`. Of many threads that miss the same key one loads, the others wait for it.

        Raises:
            Exception: what `load` raised, to everybody who waited for it; nothing is remembered of it.
        """
        with self._lock:
            entry = self._peek(key)
            if entry is not None:
                return entry.tenant
            loading = self._loading.get(key)
            mine = loading is None
            if loading is None:
                loading = self._loading[key] = Future()
        if mine:
            self._load(key, load, loading)
        return loading.result()

    def forget(self, tenant_id: UUID) -> None:
        """Drop what is known of one tenant, and everything that was not there: it may have become just that."""
        with self._lock:
            for key in self._keys.pop(tenant_id, ()):
                self._found.pop(key, None)
            self._missing.clear()
            self._loading.clear()  # what is under way may have been read before the change: it is not kept

    def forget_all(self) -> None:
        """Drop everything."""
        with self._lock:
            for part in (self._found, self._missing, self._keys, self._loading):
                part.clear()

    def __len__(self) -> int:
        """How many keys are remembered, found or missing."""
        with self._lock:
            return len(self._found) + len(self._missing)

    def _load(self, key: str, load: Load, loading: Future[Tenant | None]) -> None:
        try:
            tenant = load()
        except BaseException as error:  # noqa: BLE001 - raised again by `get`, here and in every thread that waits
            with self._lock:
                self._is_still_wanted(key, loading)
            loading.set_exception(error)
        else:
            with self._lock:
                if self._is_still_wanted(key, loading):
                    self._store(key, tenant)
            loading.set_result(tenant)

    def _is_still_wanted(self, key: str, loading: Future[Tenant | None]) -> bool:
        """Take a load out of those under way; False when it was forgotten meanwhile: it may have read what was before the change."""
        if self._loading.get(key) is not loading:
            return False
        del self._loading[key]
        return True

    def _peek(self, key: str) -> Entry | None:
        for part in (self._found, self._missing):
            entry = part.get(key)
            if entry is not None and self._is_believed(entry):
                part.move_to_end(key)
                return entry
        return None

    def _is_believed(self, entry: Entry) -> bool:
        now = time.monotonic()
        return entry.until > now or (entry.longest > now and self._is_current())

    def _store(self, key: str, tenant: Tenant | None) -> None:
        for part in (self._found, self._missing):
            self._drop(key, part.pop(key, None))
        part, room = (self._found, self._max_entries) if tenant else (self._missing, self._max_missing)
        now = time.monotonic()
        part[key] = Entry(tenant, now + self._lifetime_s(tenant is not None), now + (jittered(self._longest_s) if tenant else 0.0))
        if tenant is not None:
            self._keys[tenant.id].add(key)
        while len(part) > room:
            self._drop(*part.popitem(last=False))

    def _drop(self, key: str, entry: Entry | None) -> None:
        if entry is not None and entry.tenant is not None:
            keys = self._keys[entry.tenant.id]
            keys.discard(key)
            if not keys:
                del self._keys[entry.tenant.id]


def jittered(lifetime_s: float) -> float:
    """Return a time between `lifetime_s` and twice that, so that what was remembered together is not asked for together."""
    return lifetime_s * random.uniform(1, 2)  # noqa: S311 - jitter, not a secret
