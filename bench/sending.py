"""Clients that cost next to nothing: bytes made once and sent often, and bytes received into one buffer and thrown away."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress

from tests.acceptance import wire
from tests.acceptance.content import MIB, noise

PATIENCE_S = 3600.0
BLOCK = noise(MIB)


def upload(
    port: int, method: str, path: str, headers: Mapping[str, str], size: int, *, chunked: bool = False, block: bytes = BLOCK
) -> wire.Reply:
    """Send `size` bytes as one request's body; return the answer.

    Raises:
        RuntimeError: it was no success.
    """
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    lines = [*(f"{name}: {value}" for name, value in headers.items()), framing, "Connection: close"]
    with wire.connect(port, PATIENCE_S) as sock:
        sock.sendall(wire.head(method, path, lines))
        with suppress(BrokenPipeError, ConnectionResetError):  # then the answer tells why
            _send(sock, size, block, chunked=chunked)
        reply = wire.read_reply(sock, method)
    return _good(reply)


def _send(sock: socket.socket, size: int, block: bytes, *, chunked: bool) -> None:
    view, left = memoryview(block), size
    while left:
        piece = view[: min(left, len(view))]
        if chunked:
            sock.sendall(b"%x\r\n" % len(piece))
        sock.sendall(piece)
        if chunked:
            sock.sendall(b"\r\n")
        left -= len(piece)
    if chunked:
        sock.sendall(b"0\r\n\r\n")


def upload_form(port: int, path: str, headers: Mapping[str, str], name: str, size: int) -> wire.Reply:
    """Send a form with one file of `size` bytes."""
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    first = f"--bound\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
    last = b"\r\n--bound--\r\n"
    lines = [*(f"{key}: {value}" for key, value in headers.items()), f"Content-Length: {len(first) + size + len(last)}"]
    with wire.connect(port, PATIENCE_S) as sock:
        sock.sendall(wire.head("POST", path, [*lines, "Content-Type: multipart/form-data; boundary=bound", "Connection: close"]) + first)
        _send(sock, size, BLOCK, chunked=False)
        sock.sendall(last)
        reply = wire.read_reply(sock, "POST")
    return _good(reply)


def download(port: int, path: str, headers: Mapping[str, str], size: int) -> int:
    """Get a file of `size` bytes and throw them away; return how many came.

    Raises:
        RuntimeError: not all of them came, or the answer was no 200.
    """
    buffer, came = bytearray(MIB), 0
    with wire.connect(port, PATIENCE_S) as sock:
        sock.sendall(wire.head("GET", path, [*(f"{name}: {value}" for name, value in headers.items()), "Connection: close"]))
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        came = len(head.partition(b"\r\n\r\n")[2])
        while came < size and (count := sock.recv_into(buffer)):
            came += count
    if b" 200 " not in head.partition(b"\r\n")[0] or came != size:
        raise RuntimeError(f"{came} of {size} bytes came: {head[:400]!r}")
    return came


def tus(port: int, path: str, headers: Mapping[str, str], size: int, metadata: str = "filename Zg==") -> wire.Reply:
    """Send `size` bytes by tus 1.0 in one PATCH."""
    own = {**headers, "Tus-Resumable": "1.0.0"}
    made = upload(port, "POST", path, {**own, "Upload-Length": str(size), "Upload-Metadata": metadata}, 0)
    location = made.headers["Location"]
    place = "/" + location.split("/", 3)[3] if "://" in location else location
    return upload(port, "PATCH", place, {**own, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}, size)


def _good(reply: wire.Reply) -> wire.Reply:
    if reply.status_code not in {200, 201, 204}:
        raise RuntimeError(f"{reply.status_code}: {reply.content[:500]!r}")
    return reply
