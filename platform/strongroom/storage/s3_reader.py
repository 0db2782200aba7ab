"""Reading one object from S3: one request from where reading begins, taken up again there when it breaks off."""

from __future__ import annotations

import os
from contextlib import suppress

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from strongroom.errors import StorageUnavailable
from strongroom.storage.base import ObjectMeta
from strongroom.storage.s3_errors import from_exception
from strongroom.storage.s3_wire import TRIES, S3Wire


class S3Reader:
    """An object that reads like a file; see `Reader`. Asks nothing of the server before the first read."""

    def __init__(self, wire: S3Wire, meta: ObjectMeta) -> None:
        self._wire, self._meta = wire, meta
        self._position = 0
        self._answer: BaseHTTPResponse | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; all that is left when it is negative."""
        left = max(0, self._meta.size_bytes - self._position)
        wanted = left if size < 0 else min(size, left)
        if wanted == 0:
            return b""
        data = self._read_some(wanted)
        if size < 0 and len(data) < wanted:
            pieces = [data]
            while piece := self.read(wanted):
                pieces.append(piece)
            return b"".join(pieces)
        return data

    def _read_some(self, wanted: int) -> bytes:
        for _ in range(TRIES):
            try:
                if self._answer is None:
                    self._answer = self._wire.get(self._meta.key, self._position, self._meta.tag)
                data = self._answer.read(wanted)
            except (HTTPError, OSError) as error:
                problem = from_exception(error)
            else:
                if data:
                    return self._moved(data)
                problem = StorageUnavailable("The S3 server ends the object too early.")
            self._let_go()
        raise problem

    def _moved(self, data: bytes) -> bytes:
        self._position += len(data)
        if self._position >= self._meta.size_bytes:
            self._let_go()
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move; the next read asks for the bytes from there."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._meta.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("cannot seek to before the start")
        if base + offset != self._position:
            self._position = base + offset
            self._let_go()
        return self._position

    def close(self) -> None:
        """Let go of the connection."""
        self._let_go()

    def _let_go(self) -> None:
        """Give the connection back when all was read; else close it: what is still on its way is not wanted."""
        answer, self._answer = self._answer, None
        if answer is not None:
            with suppress(HTTPError, OSError):
                answer.release_conn() if answer.length_remaining == 0 else answer.close()
