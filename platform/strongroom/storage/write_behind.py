"""Starts writing a file's bytes to the disk while more of them come, so that making them durable at the end takes little time.

Without it the kernel keeps some seconds' worth of bytes in memory, and whoever calls fsync(2) waits for the disk to take them all.
sync_file_range(2) promises nothing and is no replacement for fsync(2), which reports every error that writing back has met.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

STEP_BYTES = 4 * 1024 * 1024
WRITE = 2
"""SYNC_FILE_RANGE_WRITE, linux/fs.h: start, and do not wait for the end."""


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """Return the system's function; None where there is none (it is Linux's own)."""
    found = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if found is not None:
        found.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return found


class WriteBehind:
    """Follows whoever writes an open file in order from `offset` on."""

    def __init__(self, handle: int, offset: int) -> None:
        self._handle, self._begun = handle, offset

    def reach(self, offset: int) -> None:
        """Bytes up to `offset` are written: start the next step when it is whole. Never raises."""
        if offset - self._begun < STEP_BYTES:
            return
        if (start := _sync_file_range()) is not None:
            start(self._handle, self._begun, offset - self._begun, WRITE)
        self._begun = offset
