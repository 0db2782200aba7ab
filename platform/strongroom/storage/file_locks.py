"""Locks on ranges of files that belong to the open file, not to the process: they hold between threads, processes and
machines, and the kernel lets go of them with the last descriptor, however its process ends (fcntl(2), "Open file
description locks").
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from strongroom.errors import UploadLocked

TAKEN = frozenset({errno.EAGAIN, errno.EACCES})
FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid


def lock_range(path: Path, handle: int, start: int = 0, length: int | None = None) -> None:
    """Hold `length` bytes of the file at `path` from `start` on, or all that come after, until `handle` is closed.

    Raises:
        UploadLocked: somebody else holds some of them.
        FileNotFoundError: the file was renamed or removed before it could be locked.
    """
    wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length or 0, 0)
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, wanted)
    except OSError as error:
        if error.errno in TAKEN:
            raise UploadLocked("Somebody else is writing these bytes right now.", retry_after_s=1) from None
        raise
    if not os.path.samestat(os.fstat(handle), path.stat(follow_symlinks=False)):
        raise FileNotFoundError(path)
