"""What the C library keeps of memory that was given back: little, for our processes have many threads and large buffers.

glibc gives each thread an arena of its own, raises the size from which memory comes straight from the system (and goes back to
it) to that of the largest block freed so far (reading 64 MiB by FTP through OpenDAL then takes 70 MiB instead of 34), and keeps the
top of its heap. See mallopt(3); other C libraries have other ways.
"""

from __future__ import annotations

import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGE_BYTES = 512 * 1024
"""Pieces of 256 KiB come and go by the thousand: fresh from the system each time they would cost more than their bytes."""
KEPT_BYTES = 2 * 1024 * 1024
ARENAS = 2


def be_frugal() -> None:
    """Have the process share two arenas, and give large blocks back at once. To be called before threads start."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back() -> None:
    """Throw away what loading the application has left behind, and look at the rest no more when collecting garbage."""
    gc.collect()
    gc.freeze()
    trim()


def trim() -> None:
    """Give the system back what the C library keeps of freed memory. Takes some milliseconds."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
