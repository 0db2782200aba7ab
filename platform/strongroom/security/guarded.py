"""urllib3 connections that connect to checked addresses alone, read bounded headers, and end when their time is over.

`_new_conn` of connections and pools, and `_new_pool` of the manager, are where urllib3 lets a socket be made another way.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.response import assert_header_parsing

Address = tuple[Any, Any]
"""A family of sockets and an address of it."""
Lookup = Callable[[str, int], list[Address]]
MAX_HEADER_BYTES = 64 * 1024


class Deadline:
    """Cuts every connection under its watch when the time is over, wherever a thread is waiting for it. A context manager."""

    def __init__(self, total_s: float) -> None:
        self.is_over = False
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()
        self._ends = time.monotonic() + total_s
        self._timer = threading.Timer(total_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for watched in self._watched:
                watched.close()
            self._watched.clear()

    @property
    def left_s(self) -> float:
        """How much time is left."""
        return max(0.0, self._ends - time.monotonic())

    def watch(self, connected: socket.socket) -> None:
        """Cut this connection too. A duplicate is kept, since TLS takes the socket itself over."""
        with self._lock:
            self._watched.append(connected.dup())
            if self.is_over:
                _cut(connected)

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            for watched in self._watched:
                _cut(watched)


def _cut(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class _Counted:
    """Lines of an answer's head, up to a limit on all of them together."""

    def __init__(self, fp: Any) -> None:
        self._fp, self._left = fp, MAX_HEADER_BYTES

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._fp.readline(limit)
        if not line:
            raise http.client.RemoteDisconnected("the head has no end")  # the library would take it for a whole one
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("headers")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fp, name)


class _BoundedHead(http.client.HTTPResponse):
    def begin(self) -> None:
        whole = self.fp
        self.fp = _Counted(whole)  # type: ignore[assignment]  # all that `begin` uses of a file
        try:
            super().begin()
        finally:
            if self.fp is not None:
                self.fp = whole
        assert_header_parsing(self.msg)  # urllib3 itself only logs what is wrong, and the URL with it


class _Guarded:
    """What both kinds of connection share."""

    lookup: Lookup
    deadline: Deadline | None = None
    response_class: Any = _BoundedHead

    def _new_conn(self) -> socket.socket:
        connection: Any = self
        try:
            addresses = self.lookup(connection._dns_host.strip("[]"), connection.port)
        except socket.gaierror as error:
            raise NameResolutionError(connection.host, connection, error) from error
        last: OSError | None = None
        for family, place in addresses:
            try:
                return self._connect(family, place)
            except OSError as error:
                last = error
        if isinstance(last, TimeoutError):
            raise ConnectTimeoutError(connection, "the host does not answer") from last
        raise NewConnectionError(connection, "the host cannot be reached") from last

    def _patience_s(self, timeout_s: Any) -> Any:
        """How long one address is waited for: as long as any, but not beyond the end of all.

        Raises:
            TimeoutError
        """
        if self.deadline is None:
            return timeout_s
        if self.deadline.left_s <= 0:
            raise TimeoutError
        return min(timeout_s, self.deadline.left_s) if isinstance(timeout_s, int | float) else self.deadline.left_s

    def _connect(self, family: int, place: Any) -> socket.socket:
        connection: Any = self
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            for option in connection.socket_options or ():
                made.setsockopt(*option)
            made.settimeout(self._patience_s(connection.timeout))
            made.connect(place)
            if self.deadline is not None:
                self.deadline.watch(made)
        except BaseException:
            made.close()
            raise
        return made


class GuardedHTTPConnection(_Guarded, HTTPConnection):
    """A plain connection to a checked address."""


class GuardedHTTPSConnection(_Guarded, HTTPSConnection):
    """A TLS connection to a checked address; the certificate is held against the host's name."""


class _GuardedPool:
    lookup: Lookup
    deadline: Deadline | None = None

    def _new_conn(self) -> Any:
        made = super()._new_conn()  # type: ignore[misc]  # the pool that this is mixed into
        made.lookup, made.deadline = self.lookup, self.deadline
        return made


class GuardedHTTPPool(_GuardedPool, HTTPConnectionPool):
    ConnectionCls = GuardedHTTPConnection


class GuardedHTTPSPool(_GuardedPool, HTTPSConnectionPool):
    ConnectionCls = GuardedHTTPSConnection


class GuardedPools(PoolManager):
    """urllib3's PoolManager with guarded connections. Redirects that it follows itself are guarded too."""

    def __init__(self, lookup: Lookup, deadline: Deadline | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.pool_classes_by_scheme = {"http": GuardedHTTPPool, "https": GuardedHTTPSPool}
        self._lookup, self._deadline = lookup, deadline

    def _new_pool(self, *args: Any, **options: Any) -> HTTPConnectionPool:
        pool: Any = super()._new_pool(*args, **options)
        pool.lookup, pool.deadline = self._lookup, self._deadline
        made: HTTPConnectionPool = pool
        return made
