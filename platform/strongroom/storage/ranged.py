"""Reading an object over the network in windows: fixed memory, and a broken connection costs one window, not the download."""

from __future__ import annotations

import io
from collections.abc import Callable

KIB = 1024
FIRST_WINDOW = 256 * KIB
LARGEST_WINDOW = 4 * KIB * KIB

Fetch = Callable[[int, int], bytes]
"""Given an offset and a length that lie within the object, return exactly these bytes, after as many tries as it takes."""


class RangedReader:
    """See `Reader`. Windows grow while the reader goes straight on, so that a look at the first bytes fetches little."""

    def __init__(self, size_bytes: int, fetch: Fetch) -> None:
        self._size_bytes, self._fetch = size_bytes, fetch
        self._offset = self._window_start = 0
        self._window = memoryview(b"")
        self._next_window = FIRST_WINDOW

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, from one window; all that is left with -1."""
        if size < 0:
            return b"".join(iter(lambda: self.read(LARGEST_WINDOW), b""))
        if size == 0 or self._offset >= self._size_bytes:
            return b""
        start = self._offset - self._window_start
        if not 0 <= start < len(self._window):
            self._load()
            start = 0
        piece = bytes(self._window[start : start + size])
        self._offset += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; nothing is fetched before the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size_bytes}[whence]
        self._offset = max(0, base + offset)
        return self._offset

    def close(self) -> None:
        """Let go of the window."""
        self._window = memoryview(b"")

    def _load(self) -> None:
        straight_on = self._offset == self._window_start + len(self._window)
        self._next_window = min(self._next_window * 2, LARGEST_WINDOW) if straight_on and self._offset else FIRST_WINDOW
        length = min(self._next_window, self._size_bytes - self._offset)
        self._window = memoryview(b"")  # before the next one comes, so that there is never more than one
        self._window = memoryview(self._fetch(self._offset, length))
        self._window_start = self._offset
