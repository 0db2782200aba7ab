"""What the application and the server tell each other about a connection: by when its request must have arrived, and
whether it is to be closed because a body was refused unread.

A client that sends one byte a minute would otherwise hold a thread for hours. The server's worker class (serving.py)
registers each request and enforces the deadlines; whoever streams a body lifts its deadline.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

CROWDED_HEAD_S = 2.0


@dataclass(frozen=True)
class _Arrival:
    """A request on its way in."""

    began: float
    ends: float
    is_head: bool
    close: Callable[[], None]


class Connections:
    """Requests that are arriving, by socket. Safe to share between threads."""

    def __init__(self) -> None:
        self._arrivals: dict[socket.socket, _Arrival] = {}
        self._lifted: dict[socket.socket, Callable[[], None]] = {}
        self._lock = threading.Lock()

    def expect(self, connection: socket.socket, seconds: float, *, is_head: bool, close: Callable[[], None] = lambda: None) -> None:
        """What is being received must be there within `seconds`; `close` has the connection closed after the answer."""
        now = time.monotonic()
        with self._lock:
            self._arrivals[connection] = _Arrival(now, now + seconds, is_head, close)

    def lift(self, connection: socket.socket | None) -> None:
        """Let this request take its time."""
        with self._lock:
            arrival = self._arrivals.pop(connection, None) if connection else None
            if connection and arrival:
                self._lifted[connection] = arrival.close

    def forget(self, connection: socket.socket) -> None:
        """The request is over."""
        with self._lock:
            self._arrivals.pop(connection, None)
            self._lifted.pop(connection, None)

    def close_after_answer(self, connection: socket.socket | None) -> None:
        """Have the server say `Connection: close`, because the rest of the body will not be read."""
        if connection is None:
            return
        with self._lock:
            arrival = self._arrivals.get(connection)
            close = arrival.close if arrival else self._lifted.get(connection)
        if close is not None:
            close()

    def enforce(self, crowd: int) -> None:
        """Stop receiving from those that are late: their reader sees the end of the stream.

        When more than `crowd` heads are awaited at once, a head has to come at once too.
        """
        now = time.monotonic()
        with self._lock:
            heads = sum(arrival.is_head for arrival in self._arrivals.values())
            patience_s = CROWDED_HEAD_S if heads > crowd else float("inf")
            late = [
                connection
                for connection, arrival in self._arrivals.items()
                if arrival.ends < now or (arrival.is_head and now - arrival.began > patience_s)
            ]
            for connection in late:
                del self._arrivals[connection]
        for connection in late:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)


def stop_receiving(connection: socket.socket | None) -> None:
    """Have a body end here: its reader gets what has arrived, and then the end of the stream."""
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RD)


connections = Connections()
"""The connections of this process."""
