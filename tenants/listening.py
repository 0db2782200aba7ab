"""Hears, by PostgreSQL's NOTIFY, which tenants the registry has changed: one thread and one connection of its own per process.

A notification is a hint that may get lost: with the connection, or before it was made. So whoever listens is told of
every new connection (then nothing that was known before may be believed), and can ask whether there is one now. Needs a
connection that is a session of its own: PgBouncer's transaction mode has none, see `listen_database_url`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from uuid import UUID

import psycopg
from strongroom.db.cursors import SingleStatementCursor

CHANNEL = "strongroom_registry"
EVERYTHING = "*"
LOOK_S = 2.0
PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)
log = logging.getLogger(__name__)


class Listener:
    """Calls `changed` with a tenant's id, or with None when anything may have changed. Its thread starts with `start`."""

    def __init__(self, url: str, changed: Callable[[UUID | None], None]) -> None:
        self._url, self._changed = url, changed
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._wake: tuple[int, int] | None = None
        self._is_closing = False
        self.is_listening = False
        self.heard_at = 0.0
        """By the monotonic clock: what was changed before that has been told. 0 where there is no connection."""
        self.pid = 0

    def start(self) -> None:
        """Begin to listen. Idempotent; after a fork the child listens by itself."""
        if self.pid == os.getpid():
            return
        with self._lock:
            if self.pid != os.getpid() and not self._is_closing:
                self._wake, self.is_listening, self.pid = os.pipe(), False, os.getpid()
                self._thread = threading.Thread(target=self._run, args=(self._wake[0],), name="registry-listener", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread and its connection. Idempotent."""
        with self._lock:
            self._is_closing = True
            thread, wake, self._thread, self._wake = self._thread, self._wake, None, None
        if thread is not None and wake is not None:
            os.write(wake[1], b"x")
            thread.join()
            for each in wake:
                os.close(each)

    def _run(self, wake: int) -> None:
        failures = 0
        while not self._is_closing:
            try:
                with contextlib.closing(self._connect()) as connection:
                    failures = 0
                    self._listen(connection, wake)
            except (psycopg.Error, OSError):
                log.warning("notifications of the registry are not heard; tenants are remembered only shortly", exc_info=failures == 0)
            finally:
                self.is_listening, self.heard_at = False, 0.0
            if not self._is_closing:
                select.select([wake], [], [], PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                failures += 1

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            self._url, autocommit=True, connect_timeout=5, cursor_factory=SingleStatementCursor, application_name="strongroom listener",
            keepalives_idle=10, keepalives_interval=5, keepalives_count=3, tcp_user_timeout=20_000,
        )  # fmt: skip

    def _listen(self, connection: psycopg.Connection[tuple[object, ...]], wake: int) -> None:
        """Hear notifications until the connection breaks or the process ends.

        Raises:
            psycopg.Error: the connection is lost.
        """
        connection.add_notify_handler(lambda heard: self._changed(_tenant_id(heard.payload.encode())))  # while something is asked
        self.heard_at = time.monotonic()
        connection.execute(f"LISTEN {CHANNEL}")
        self.is_listening = True
        self._changed(None)  # what was changed before nobody heard
        while not self._is_closing:
            asked_at = time.monotonic()
            if asked_at >= self.heard_at + LOOK_S:
                self._ask(connection)
                self.heard_at = asked_at
            connection.pgconn.consume_input()
            while (notification := connection.pgconn.notifies()) is not None:
                self._changed(_tenant_id(notification.extra))
            select.select([connection.fileno(), wake], [], [], LOOK_S)

    @staticmethod
    def _ask(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        """See that the server is there, and that this is still the session that listens; what was notified before comes with the answer.

        Raises:
            psycopg.Error
        """
        if connection.execute("SELECT pg_listening_channels()").fetchone() != (CHANNEL,):
            raise psycopg.OperationalError("this session does not listen")


def _tenant_id(payload: bytes) -> UUID | None:
    try:
        return UUID(payload.decode())
    except ValueError:
        return None
