"""How much memory the embedded database shares among its sessions: by what the machine, or its container, has.

PostgreSQL's own 128 MB hold the accounts, keys and buckets of 1,000 tenants (120 KiB each), or all that requests for files touch of
350; pages of others are asked of the operating system each time. The memory is taken when it is used.
Source: https://www.postgresql.org/docs/18/runtime-config-resource.html, https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import os
from pathlib import Path

SHARE, LEAST_MIB, MOST_MIB = 16, 128, 1024
LIMIT_FILE = Path("/sys/fs/cgroup/memory.max")


def machine_mib(limit_file: Path = LIMIT_FILE) -> int:
    """Return the memory of the machine in MiB, or the limit of the control group where that is lower."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(limit_file.read_text())
    except (OSError, ValueError):  # there is no such file, or it says "max"
        limit = machine
    return min(machine, limit) >> 20


def shared_buffers(mib: int) -> str:
    """Return PostgreSQL's `shared_buffers` for a machine with so many MiB of memory."""
    return f"{max(LEAST_MIB, min(MOST_MIB, mib // SHARE))}MB"
