"""tus by hand, in this process."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from typing import Any
from urllib.parse import urlsplit

from werkzeug.test import TestResponse

from tests.factories import Client
from tests.slow import InBackground

URL = "/api/v1/tus"
VERSION = {"Tus-Resumable": "1.0.0"}
CHUNK = {"Content-Type": "application/offset+octet-stream"}
MIB = 1024 * 1024


def meta(**pairs: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


def checksum(data: bytes, name: str = "sha1") -> str:
    return f"{name} {base64.b64encode(hashlib.new(name, data).digest()).decode()}"


class Talk:
    """One client's side of the protocol."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def create(self, size: int | None, path: str | None = "a.txt", data: bytes | None = None, **headers: str) -> TestResponse:
        length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        named = {"Upload-Metadata": meta(bucket="media", **({"path": path} if path else {}))}
        sent = {**VERSION, **length, **named, **(CHUNK if data is not None else {}), **_named(headers)}
        return self.client.post(URL, headers=sent, data=data)

    def begin(self, size: int | None, path: str = "a.txt", **headers: str) -> str:
        """The address of a new upload."""
        response = self.create(size, path, **headers)
        assert response.status_code == 201, response.data
        return urlsplit(response.headers["Location"]).path

    def patch(self, url: str, offset: int, data: bytes, **headers: str) -> TestResponse:
        return self.client.patch(url, headers={**VERSION, **CHUNK, "Upload-Offset": str(offset), **_named(headers)}, data=data)

    def send(self, url: str, offset: int, data: bytes, **headers: str) -> TestResponse:
        """A PATCH that is to go well."""
        response = self.patch(url, offset, data, **headers)
        assert response.status_code == 204, response.data
        assert response.headers["Upload-Offset"] == str(offset + len(data))
        return response

    def head(self, url: str) -> TestResponse:
        return self.client.head(url, headers=VERSION)

    def offset(self, url: str) -> int:
        response = self.head(url)
        assert response.status_code == 200, response.status
        return int(response.headers["Upload-Offset"])

    def terminate(self, url: str) -> TestResponse:
        return self.client.delete(url, headers=VERSION)

    def open(self, url: str, offset: int, size: int, **headers: str) -> Wire:
        """A PATCH whose body comes over a real socket, as it is sent."""
        return Wire(self.client, url, {**VERSION, **CHUNK, "Upload-Offset": str(offset), **_named(headers)}, size)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class Wire:
    """A request under way."""

    def __init__(self, client: Client, url: str, headers: dict[str, str], size: int) -> None:
        self._ours, theirs = socket.socketpair()
        self._theirs = theirs
        self.taken, self._taken_by = 0, threading.Condition()
        overrides: dict[str, Any] = {"wsgi.input": self, "CONTENT_LENGTH": str(size), "gunicorn.socket": theirs}
        self._request = InBackground(lambda: client.patch(url, headers=headers, environ_overrides=overrides))

    def read(self, size: int = -1) -> bytes:
        """What the application reads."""
        data = self._theirs.recv(min(size, 65536))
        with self._taken_by:
            self.taken += len(data)
            self._taken_by.notify_all()
        return data

    def send(self, data: bytes) -> Wire:
        """Send, and wait until all of it was read."""
        goal = self.taken + len(data)
        self._ours.sendall(data)
        with self._taken_by:
            assert self._taken_by.wait_for(lambda: self.taken >= goal, 20), self._request.result().data
        return self

    def end(self, *, rudely: bool = False) -> TestResponse:
        """Hang up; the answer that nobody would have seen."""
        if rudely:
            self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._ours.close()
        return self.answer()

    def answer(self) -> TestResponse:
        response: TestResponse = self._request.result()
        self._theirs.close()
        self._ours.close()
        return response
