"""Counters of request rates that all processes of one machine share: what `shared:///path` stands for.

A small file, mapped into each process: a table of fixed size, in which a key has its place within a few slots. Where all of
them are taken by windows that are not over, the one that ends first makes room: who is forgotten may do more, never less.
A process that dies leaves no lock behind, and at worst a count of one window.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote, urlsplit

from limits.storage import Storage

from strongroom.errors import ConfigurationError

SLOT = struct.Struct("=16sdQ")
SLOTS, PROBES = 16384, 16
SIZE_BYTES = SLOT.size * SLOTS
_threads = threading.Lock()  # record locks are a process's: they do not keep its own threads apart


class SharedWindows(Storage):
    """Fixed windows by key in a file. Safe to share between threads, processes, and after a fork."""

    STORAGE_SCHEME = ["shared"]  # noqa: RUF012 - the registry of `limits` reads it so

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: float | str | bool) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        path = Path(unquote(urlsplit(uri or "").path))
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(self._file, 0, SIZE_BYTES)  # a map whose place on the disk is missing would kill the process
            self._map = mmap.mmap(self._file, SIZE_BYTES)
        except OSError as error:
            raise ConfigurationError(f"Request rates cannot be counted in {path}: {error.strerror}.") from None

    @property
    def base_exceptions(self) -> type[Exception]:
        """What can go wrong in here."""
        return OSError

    def hit(self, key: str, window_s: float, amount: int = 1) -> tuple[int, float]:
        """Count; return how many there are in the window, and how many seconds are left of it."""
        with self._alone():
            now = time.time()
            place, digest, count, ends = self._find(key, now)
            if not now < ends <= now + window_s:  # over, or the clock was set back
                count, ends = 0, now + window_s
            SLOT.pack_into(self._map, place, digest, ends, count + amount)
        return count + amount, ends - now

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count; return how many there are in the window."""
        return self.hit(key, expiry, amount)[0]

    def get(self, key: str) -> int:
        """Return how many there are in the window."""
        with self._alone():
            now = time.time()
            _, _, count, ends = self._find(key, now)
        return count if ends > now else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds of the epoch."""
        with self._alone():
            now = time.time()
            return max(now, self._find(key, now)[3])

    def check(self) -> bool:
        """It is always there."""
        return True

    def reset(self) -> int:
        """Forget everything; return how many keys there may have been."""
        with self._alone():
            self._map[:] = bytes(SIZE_BYTES)
        return SLOTS

    def clear(self, key: str) -> None:
        """Forget a key."""
        with self._alone():
            place, digest, _, _ = self._find(key, time.time())
            SLOT.pack_into(self._map, place, digest, 0.0, 0)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with _threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _find(self, key: str, now: float) -> tuple[int, bytes, int, float]:
        """Return a key's place, its digest, count and end; a place for it, with a window that is over, where it has none."""
        digest = blake2b(key.encode(), digest_size=16).digest()
        first, best, best_ends = int.from_bytes(digest[:8], "big"), 0, float("inf")
        for step in range(PROBES):
            place = (first + step) % SLOTS * SLOT.size
            found, ends, count = SLOT.unpack_from(self._map, place)
            if found == digest:
                return place, digest, count, ends
            ends = ends if ends > now else 0.0
            if ends < best_ends:
                best, best_ends = place, ends
        return best, digest, 0, 0.0
