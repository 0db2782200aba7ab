"""A pool of connections that gives each tenant the one that knows it, so that PostgreSQL seldom has to learn a schema anew.

A backend keeps what it has read of a tenant's catalogue. For a tenant that it does not know, the first statements take
about half a millisecond longer each time. So of the idle connections a tenant gets the one that it had last, whose
prepared statements are still there; or one that served it before; or one that knows few tenants yet. When all know as many as they may
(`max_tenants`: each costs memory), another is opened while there is room, and after that the one that was not used for
longest is replaced. The platform's own transactions keep to a connection of their own where there is room for one.

Which connection somebody gets is a matter of speed alone: what is cleared between two tenants is the same (`recycling`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from typing import Any, cast

import psycopg
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util.queue import Queue

from strongroom.db.recycling import LAST, TOUCHED

Entry = ConnectionPoolEntry
NO_MORE_S = 10.0
"""After the server gave no further connection, the idle ones have to do for so long: waiting in vain may take seconds each time."""
_wanted = threading.local()


def wanted_by(owner: str) -> None:
    """Tell for whom this thread's next connection is: a tenant's role, or "" for the platform itself."""
    _wanted.owner = owner


def info_of(entry: Entry) -> Mapping[Any, Any]:
    """What is noted of a connection; nothing where it is closed."""
    return entry.info if entry.dbapi_connection is not None else {}


def touched(entry: Entry) -> Collection[str]:
    """The tenants that a connection has served."""
    found: Collection[str] = info_of(entry).get(TOUCHED, ())
    return found


class _Idle(Queue[Entry]):
    """The idle connections, the last used at the end."""

    max_tenants = 1

    def take(self, owner: str) -> Entry | None:
        """Take out the one that suits the owner, so that none need be opened; None if none does."""
        with self.mutex:
            found = self._suiting(owner)
            if found is not None:
                self.queue.remove(found)
                self.not_full.notify()
            return found

    def _suiting(self, owner: str) -> Entry | None:
        """Return the one that the owner had last; or one that knows it; or one that may come to know another tenant."""
        known = open_to_more = None
        for entry in reversed(self.queue):
            info = info_of(entry)
            if (last := info.get(LAST)) == owner:
                return entry
            tenants = info.get(TOUCHED, ())
            if owner in tenants:
                known = known or entry
            elif owner and last != "" and len(tenants) < self.max_tenants:
                open_to_more = open_to_more or entry
        return known or open_to_more

    def _get(self) -> Entry:
        owner, idle = getattr(_wanted, "owner", ""), tuple(self.queue)
        chosen = self._suiting(owner)
        if chosen is None:
            has_room = (each for each in reversed(idle) if len(touched(each)) < self.max_tenants)
            chosen = next(has_room, idle[0]) if owner else idle[-1]
        self.queue.remove(chosen)
        return chosen


class TenantPool(QueuePool):
    """See the module. No overflow: `pool_size` is the most that there ever are. Whoever asks says for whom (`wanted_by`)."""

    _queue_class = _Idle
    _pool: _Idle
    _none_before = 0.0
    _spreads = True

    def keep_to(self, max_tenants: int, *, spread: bool) -> None:
        """Let no connection know more than so many tenants. Without `spread` none is opened while one is idle: it serves whoever comes."""
        self._pool.max_tenants, self._spreads = max_tenants, spread

    def recreate(self) -> TenantPool:
        """Return a new pool like this one, as SQLAlchemy wants when this one is disposed of."""
        made = cast(TenantPool, super().recreate())
        made.keep_to(self._pool.max_tenants, spread=self._spreads)
        return made

    def _do_get(self) -> Entry:
        owner = getattr(_wanted, "owner", "")
        entry = self._pool.take(owner)
        if entry is None and self._spreads and time.monotonic() >= self._none_before:
            entry = self._opened()
        entry = entry or super()._do_get()
        if len(touched(entry)) >= self._pool.max_tenants and self._is_one_more(entry, owner):
            entry.invalidate()  # which SQLAlchemy then connects anew
        return entry

    @staticmethod
    def _is_one_more(entry: Entry, owner: str) -> bool:
        """Tell whether the owner is new to a connection; the platform makes tenants on its own, and so is one whenever it is full."""
        return owner not in touched(entry) if owner else info_of(entry).get(LAST) == ""

    def _opened(self) -> Entry | None:
        """Open one more connection if there is room; None where there is none, or where the server gives no more and one is idle."""
        if not self._inc_overflow():
            return None
        try:
            return self._create_connection()
        except BaseException as error:
            self._dec_overflow()
            if self._pool.empty() or not isinstance(error, psycopg.OperationalError):
                raise
            self._none_before = time.monotonic() + NO_MORE_S
            return None
