"""HTTP by hand, byte for byte: for what no client library would send."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """An answer; with the names that `requests` uses, so that both kinds can be looked at alike."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)


def read_reply(sock: socket.socket, method: str = "GET") -> Reply:
    """Read the answer to a request of that method."""
    response = http.client.HTTPResponse(sock, method=method)
    try:
        response.begin()
        return Reply(response.status, response.headers, response.read())
    finally:
        response.close()


def head(method: str, target: bytes | str, lines: Iterable[str]) -> bytes:
    """A request's head. The target goes out as it is."""
    raw = target if isinstance(target, bytes) else target.encode()
    return method.encode() + b" " + raw + b" HTTP/1.1\r\n" + b"".join(line.encode() + b"\r\n" for line in lines) + b"\r\n"


def connect(port: int, timeout_s: float = 30.0) -> socket.socket:
    """Open a connection to the server."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def exchange(port: int, payload: bytes, timeout_s: float = 30.0) -> Reply:
    """Send bytes, and read the one answer to them."""
    with connect(port, timeout_s) as sock:
        sock.sendall(payload)
        return read_reply(sock, payload[:8].split(b" ", 1)[0].decode("latin-1"))


def hang_up(sock: socket.socket) -> None:
    """End a connection at once (RST), as a client does whose process or network died."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
