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
from collections.abc import Sequence
from typing import cast

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


def last_owner(entry: Entry) -> str | None:
    """Whose transaction was the last one on this connection; None where there was none, or where it is closed."""
    return entry.info.get(LAST) if entry.dbapi_connection is not None else None


def touched(entry: Entry) -> Sequence[str] | set[str]:
    """The tenants that this connection has served."""
    return entry.info.get(TOUCHED, ()) if entry.dbapi_connection is not None else ()


def known_to(idle: Sequence[Entry], owner: str) -> Entry | None:
    """Return the idle connection that knows an owner, preferably the one that it had last. `idle`: the last used comes last."""
    newest_first = idle[::-1]
    last = next((each for each in newest_first if last_owner(each) == owner), None)
    return last or next((each for each in newest_first if owner in touched(each)), None)


class _Idle(Queue[Entry]):
    """The idle connections, the last used at the end."""

    max_tenants = 1

    def serves(self, owner: str) -> bool:
        """Tell whether one of them suits the owner, so that none need be opened."""
        with self.mutex:
            return self._suiting(owner) is not None

    def _suiting(self, owner: str) -> Entry | None:
        idle = tuple(self.queue)
        found = known_to(idle, owner)
        if found is None and owner:
            found = next((each for each in reversed(idle) if self._has_room(each) and last_owner(each) != ""), None)
        return found

    def _has_room(self, entry: Entry) -> bool:
        """Tell whether a connection may come to know another tenant."""
        return len(touched(entry)) < self.max_tenants

    def _get(self) -> Entry:
        owner, idle = getattr(_wanted, "owner", ""), tuple(self.queue)
        chosen = self._suiting(owner)
        if chosen is None:
            chosen = idle[-1] if not owner else next((each for each in reversed(idle) if self._has_room(each)), idle[0])
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
        opens = self._spreads and time.monotonic() >= self._none_before and not self._pool.serves(owner)
        entry = (self._opened() if opens else None) or super()._do_get()
        if len(touched(entry)) >= self._pool.max_tenants and self._is_one_more(entry, owner):
            entry.invalidate()  # which SQLAlchemy then connects anew
        return entry

    @staticmethod
    def _is_one_more(entry: Entry, owner: str) -> bool:
        """Tell whether the owner is new to a connection; the platform makes tenants on its own, and so is one whenever it is full."""
        return owner not in touched(entry) if owner else last_owner(entry) == ""

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
