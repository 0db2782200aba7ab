"""A TCP proxy that can break: between a client and a real server, it resets, hangs, answers 503 or cuts an answer short."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

RESET = struct.pack("ii", 1, 0)
PIECE = 64 * 1024


class Fault(Enum):
    """What becomes of a connection."""

    NONE = auto()
    RESET = auto()
    HANG = auto()
    UNAVAILABLE = auto()
    ERROR = auto()
    FULL = auto()
    CUT = auto()


ANSWERS = {
    Fault.UNAVAILABLE: b"503 Service Unavailable",
    Fault.ERROR: b"500 Internal Server Error",
    Fault.FULL: b"507 Insufficient Storage",
}


@dataclass
class Outage:
    """A running proxy. `fault` befalls the next `times` connections (all with None); `cut_after` bytes of an answer with `CUT`."""

    port: int
    upstream: int
    fault: Fault = Fault.NONE
    times: int | None = None
    cut_after: int = 0
    hit: int = 0
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self, fault: Fault, times: int | None = None, cut_after: int = 0) -> None:
        """Let a fault befall what comes now; connections that are kept open are ended."""
        with self._lock:
            self.fault, self.times, self.cut_after = fault, times, cut_after
            for each in tuple(self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Let everything pass again."""
        self.begin(Fault.NONE)

    def take(self) -> Fault:
        """Return what befalls one more connection."""
        with self._lock:
            if self.fault is Fault.NONE or self.times == 0:
                return Fault.NONE
            self.hit += 1
            if self.times is not None:
                self.times -= 1
            return self.fault

    def serve(self, client: socket.socket) -> None:
        """Pass one connection on, or not."""
        fault = self.take()
        with client, contextlib.suppress(OSError):
            self._open.add(client)
            try:
                if fault in {Fault.NONE, Fault.CUT}:
                    self._pass(client, self.cut_after if fault is Fault.CUT else None)
                elif fault is Fault.RESET:
                    client.recv(1)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                elif fault is Fault.HANG:
                    while client.recv(PIECE):
                        pass
                else:
                    _answer(client, ANSWERS[fault])
            finally:
                self._open.discard(client)

    def _pass(self, client: socket.socket, cut_after: int | None) -> None:
        with socket.create_connection(("127.0.0.1", self.upstream)) as server:
            self._open.add(server)
            onwards = threading.Thread(target=_pump, args=(client, server, None), daemon=True)
            onwards.start()
            _pump(server, client, cut_after)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            onwards.join()
            self._open.discard(server)


def _pump(source: socket.socket, target: socket.socket, cut_after: int | None) -> None:
    """Copy until the end, or until it is cut off."""
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            if cut_after is not None and len(data) >= cut_after:
                target.sendall(data[:cut_after])
                source.shutdown(socket.SHUT_RDWR)
                return
            cut_after = cut_after - len(data) if cut_after is not None else None
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _answer(client: socket.socket, status: bytes) -> None:
    """Answer after the head of the request, then let what the client still sends run dry, so that it reads the answer."""
    head = b""
    while b"\r\n\r\n" not in head and (data := client.recv(PIECE)):
        head += data
    client.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    client.shutdown(socket.SHUT_WR)
    while client.recv(PIECE):
        pass


@contextlib.contextmanager
def outage(upstream: int) -> Iterator[Outage]:
    """Run a proxy in front of a port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        proxy = Outage(listener.getsockname()[1], upstream)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield proxy
        finally:
            proxy.end()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
