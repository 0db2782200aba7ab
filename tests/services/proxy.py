"""An HTTP proxy on 127.0.0.1 that breaks things on demand, for as long as a `with` block lasts.

It stands in front of one server and passes everything on as it came (Host included, so signatures stay valid), save for requests
that a `Fault` is meant for. `seen` keeps what came in.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

PIECE_BYTES = 64 * 1024
TIMEOUT_S = 60

Kind = Literal["answer", "break_request", "break_answer", "lose_answer", "stall", "stall_answer", "slow_answer", "spoil_request"]
"""answer: `status` and S3's `code` instead of passing it on. break_*: reset the connection after `after_bytes` of the body.
lose_answer: pass it on, then reset. stall: no answer until the block ends. stall_answer: silence after `after_bytes`.
slow_answer: `after_bytes` at a time with a pause of `pause_s`. spoil_request: another byte at `after_bytes`."""


@dataclass
class Fault:
    """What happens to the next `times` requests of `method` with `contains` in their address."""

    kind: Kind
    method: str = ""
    contains: str = ""
    times: int = 1
    after_bytes: int = 0
    status: int = 503
    code: str = "SlowDown"
    pause_s: float = 0.001

    def takes(self, method: str, path: str) -> bool:
        """Tell whether it is meant for this request, which then counts."""
        wanted = self.times > 0 and self.method in {"", method} and self.contains in path
        self.times -= wanted
        return wanted


@dataclass
class FaultProxy:
    """A running proxy."""

    url: str
    target: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)
    """Ends what stalls: connections without an answer are closed."""

    def fault(self, method: str, path: str) -> Fault | None:
        """Note a request, and return what to do to it."""
        with self.lock:
            self.seen.append((method, path))
            return next((each for each in self.faults if each.takes(method, path)), None)

    def count(self, method: str, contains: str = "") -> int:
        """How many such requests came in."""
        with self.lock:
            return sum(each == method and contains in path for each, path in self.seen)


@contextlib.contextmanager
def fault_proxy(target_url: str, *faults: Fault) -> Iterator[FaultProxy]:
    """Run a proxy in front of a server."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    proxy = FaultProxy(f"http://127.0.0.1:{server.server_port}", urlsplit(target_url).netloc, list(faults))
    handler.proxy = proxy  # type: ignore[attr-defined]  # the handlers read it
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        server.shutdown()
        server.socket.close()
        thread.join()


class _Broken(Exception):
    """The connection is to be reset."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S
    proxy: FaultProxy

    def log_message(self, *_: Any) -> None:
        """Nothing: what matters is in `seen`."""

    def _do(self) -> None:
        fault = self.proxy.fault(self.command, self.path)
        try:
            if fault is not None and fault.kind == "answer":
                self._answer(fault)
            elif fault is not None and fault.kind == "stall":
                self.proxy.over.wait(TIMEOUT_S)
                self.close_connection = True
            else:
                self._pass_on(fault)
        except (OSError, http.client.HTTPException, _Broken):
            self._reset()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _do  # noqa: N815  http.server's names

    def _answer(self, fault: Fault) -> None:
        for _ in self._body():
            pass
        text = f"<Error><Code>{fault.code}</Code><Message>made up</Message></Error>".encode()
        self.send_response(fault.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _body(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length", "0"))
        while left:
            data = self.rfile.read1(min(left, PIECE_BYTES))
            if not data:
                raise _Broken
            left -= len(data)
            yield data

    def _pass_on(self, fault: Fault | None) -> None:
        kind = fault.kind if fault else None
        upstream = http.client.HTTPConnection(self.proxy.target, timeout=TIMEOUT_S)
        with contextlib.closing(upstream):
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"expect", "connection"}:
                    upstream.putheader(name, value)
            upstream.endheaders()
            passed = 0
            for data in self._body():
                if fault and kind == "break_request" and passed + len(data) > fault.after_bytes:
                    raise _Broken
                upstream.send(_spoilt(data, passed, fault) if fault and kind == "spoil_request" else data)
                passed += len(data)
            answer = upstream.getresponse()
            if kind == "lose_answer":
                answer.read()
                raise _Broken
            self._hand_back(answer, fault)

    def _hand_back(self, answer: http.client.HTTPResponse, fault: Fault | None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, value)
        if answer.headers.get("Content-Length") is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        kind, passed = (fault.kind if fault else None), 0
        while data := answer.read1(fault.after_bytes if fault and kind == "slow_answer" else PIECE_BYTES):
            if fault and kind in {"break_answer", "stall_answer"} and passed + len(data) > fault.after_bytes:
                self.wfile.write(data[: fault.after_bytes - passed])
                self._stop(kind)
            self.wfile.write(data)
            passed += len(data)
            if fault and kind == "slow_answer":
                self.proxy.over.wait(fault.pause_s)

    def _stop(self, kind: str) -> None:
        self.wfile.flush()
        if kind == "stall_answer":
            self.proxy.over.wait(TIMEOUT_S)
        raise _Broken

    def _reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
        with contextlib.suppress(OSError, ValueError):
            self.connection.close()


def _spoilt(data: bytes, passed: int, fault: Fault) -> bytes:
    at = fault.after_bytes - passed
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if 0 <= at < len(data) else data
