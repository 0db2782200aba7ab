"""The HTTP server: gunicorn with threads, sized for slow clients, and with a time limit on a request's head.

Threads are cheap: a slow client holds one for as long as it sends. gunicorn itself sets no limit on how slowly a head
may arrive; the worker class below does, and the kernel limits every single silence while a body is read or an answer
written.
"""

from __future__ import annotations

import json
import os
import queue
import select
import selectors
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import LimitRequestHeaders, ParseException
from gunicorn.workers.gthread import ThreadWorker

from strongroom.allocator import be_frugal, give_back
from strongroom.app import create_app
from strongroom.config import Settings
from strongroom.errors import BadRequest, DomainError, HeadersTooLarge, InternalError
from strongroom.http.connections import connections
from strongroom.http.context import EXTENSION
from strongroom.http.problems import CONTENT_TYPE
from strongroom.uploads.leases import keeper_of

HEAD_TIMEOUT_S = 20.0
SMALL_BODY_TIMEOUT_S = 30.0
LINGER_S = 2.0
DRAIN_BYTES = 65536
KEEP_ALIVE_S = 15
NEXT_REQUEST_MS = 2
MOST_IN_A_ROW = 100


class Lingerer:
    """Closes connections whose client may still be sending: half first, then for good when the client has, or after a while.

    Closing at once could make the client's kernel throw away the answer that it has not read yet (RFC 9112, 9.6). It is
    done on a thread of its own, many at a time: it must hold up neither a pool thread nor the loop that accepts.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._waiting: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._ends: dict[socket.socket, float] = {}

    def add(self, connection: socket.socket) -> None:
        """Take a connection over."""
        with suppress(OSError):
            connection.setblocking(False)
            connection.shutdown(socket.SHUT_WR)
        self._waiting.put(connection)

    def run(self) -> None:
        """Work for ever."""
        while True:
            if self._ends:
                self._drain(self._selector.select(timeout=0.1))
            else:
                self._take(self._waiting.get())
            while not self._waiting.empty():
                self._take(self._waiting.get())
            for connection in [each for each, ends in self._ends.items() if ends < time.monotonic()]:
                self._close(connection)

    def _take(self, connection: socket.socket) -> None:
        try:
            self._selector.register(connection, selectors.EVENT_READ)
        except (OSError, ValueError, KeyError):
            connection.close()
            return
        self._ends[connection] = time.monotonic() + LINGER_S

    def _drain(self, events: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, _ in events:
            connection: Any = key.fileobj
            try:
                if connection.recv(DRAIN_BYTES):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        self._ends.pop(connection, None)
        with suppress(OSError, KeyError, ValueError):
            self._selector.unregister(connection)
        connection.close()


def _is_sending(connection: socket.socket) -> bool:
    """Wait a moment for the next request; tell whether it comes."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(NEXT_REQUEST_MS))


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker that waits for nobody longer than is fair: not for heads, not for small bodies, not for goodbyes."""

    def init_process(self) -> None:
        """Start the watch and the lingerer, then serve."""
        self._lingerer = Lingerer()
        threading.Thread(target=self._watch, name="deadlines", daemon=True).start()
        threading.Thread(target=self._lingerer.run, name="lingerer", daemon=True).start()
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """Handle a connection's next request, and those that follow at once.

        Between requests gunicorn hands a connection from its thread to its loop and back, which costs as much as a small
        request: a client that is about to send the next one is waited for, for a moment, and only while threads are free.
        """
        self._limit_silence(conn.sock)
        conn.close = partial(self._close, conn)
        for _ in range(MOST_IN_A_ROW):
            goes_on = self._handle_one(conn)
            if goes_on is not True or not self.alive or self.tpool._work_queue.qsize() or not _is_sending(conn.sock):
                break
        return goes_on

    def _handle_one(self, conn: Any) -> Any:
        """Handle one request; its head is awaited until the deadline."""
        connections.expect(conn.sock, HEAD_TIMEOUT_S, is_head=True)
        try:
            return super().handle(conn)
        finally:
            connections.forget(conn.sock)

    def _limit_silence(self, connection: socket.socket) -> None:
        """Have the kernel end every wait for a client that neither sends nor receives."""
        limit = struct.pack("ll", int(self.app.settings.body_timeout_s), 0)
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """The head is complete; a body that is not streamed is awaited until the next deadline."""
        connections.expect(conn.sock, SMALL_BODY_TIMEOUT_S, is_head=False, close=req.force_close)
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002 - gunicorn calls it so
        """Answer what is no request that can be understood, with a problem document like every other error."""
        error: type[DomainError] = HeadersTooLarge if isinstance(exc, LimitRequestHeaders) else BadRequest
        if not isinstance(exc, ParseException):
            self.log.exception("error handling a request")
            error = InternalError
        request_id = str(uuid4())
        body = json.dumps({
            "type": f"/problems/{error.code}", "title": error.title, "status": error.status, "detail": error.hint,
            "instance": "", "code": error.code, "request_id": request_id,
        })  # fmt: skip
        head = f"HTTP/1.1 {error.status} {error.title}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body.encode())}\r\n"
        with suppress(OSError):
            client.sendall(f"{head}Cache-Control: no-store\r\nX-Request-Id: {request_id}\r\nConnection: close\r\n\r\n{body}".encode())

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End gracefully; uploads that can be gone on with elsewhere are let go of at once."""
        self._let_go()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """End quickly."""
        self._let_go()
        super().handle_quit(sig, frame)

    def _cap_keepalive(self, deadline: float) -> None:
        """A worker that ends waits no longer for connections that never sent anything than for those that did once."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def _let_go(self) -> None:
        app = getattr(self, "wsgi", None)
        if isinstance(app, Flask):
            keeper_of(app.extensions[EXTENSION]).stop()

    def _close(self, conn: Any, graceful: bool = False) -> None:
        if graceful:
            self._lingerer.add(conn.sock)
        else:
            conn.sock.close()

    def _watch(self) -> None:
        while True:
            time.sleep(0.5)  # the rhythm of the watch
            connections.enforce(crowd=self.cfg.threads // 3 if self.alive else -1)  # one that ends waits for no head either


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn, configured from the settings alone."""

    def __init__(self, settings: Settings, bind: str) -> None:
        self.settings, self._bind = settings, bind
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        options = {
            "bind": self._bind, "workers": self.settings.api_processes, "threads": self.settings.threads, "worker_class": PatientWorker,
            "worker_connections": 1000, "keepalive": KEEP_ALIVE_S, "timeout": 120, "graceful_timeout": 30, "proc_name": "strongroom",
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108, PTH112 - gunicorn's heartbeat files
            "loglevel": "warning", "logger_class": "gunicorn.glogging.Logger", "limit_request_line": 8190, "forwarded_allow_ips": "",
            "control_socket_disable": True,
        }  # fmt: skip
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the application, in each process after the fork."""
        app = create_app(self.settings)
        give_back()
        return app


def run_server(settings: Settings, bind: str) -> None:
    """Serve until stopped."""
    sys.argv[1:] = []
    be_frugal()
    Server(settings, bind).run()
