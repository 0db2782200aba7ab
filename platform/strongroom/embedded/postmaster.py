"""Finding and ending the PostgreSQL processes of one cluster, also those that a killed process left behind.

They are recognised by what every user may read: owner, program name and command line. (cwd and environment would be
surer, but root in a container may not read them of another user's process.) The postmaster carries `-D DATA_DIR`; its
children carry the `cluster_name`, which is a hash of the data folder's path.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

from . import process

READY = "ready"
_LINE_PID, _LINE_SOCKET_DIR, _LINE_STATUS = 0, 4, 7
_FAST, _IMMEDIATE = signal.SIGINT, signal.SIGQUIT


@dataclass(frozen=True)
class PostmasterFile:
    """What the postmaster writes to `postmaster.pid`; it may be stale."""

    pid: int
    socket_dir: Path | None
    status: str


def read_file(data_dir: Path) -> PostmasterFile | None:
    try:
        lines = [line.strip() for line in (data_dir / "postmaster.pid").read_text().splitlines()]
        pid = abs(int(lines[_LINE_PID]))
    except (OSError, ValueError, IndexError):
        return None
    lines += [""] * (_LINE_STATUS + 1 - len(lines))
    return PostmasterFile(pid, Path(lines[_LINE_SOCKET_DIR]) if lines[_LINE_SOCKET_DIR] else None, lines[_LINE_STATUS])


def cluster_name(data_dir: Path) -> str:
    return f"strongroom-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"


@dataclass(frozen=True)
class ClusterProcesses:
    """The processes of the cluster at `data_dir`, whose files belong to `uid`."""

    data_dir: Path
    uid: int

    def postmaster(self) -> psutil.Process | None:
        """The live postmaster that `postmaster.pid` names, if it is one of this cluster."""
        file = read_file(self.data_dir)
        if file is None:
            return None
        with contextlib.suppress(psutil.Error):
            candidate = psutil.Process(file.pid)
            if self._is_ours(candidate) and not process.is_gone(candidate):
                return candidate
        return None

    def all(self) -> list[psutil.Process]:
        """Every live process of the cluster, the postmaster first when it is known."""
        postmaster = self.postmaster()
        found = [candidate for candidate in psutil.process_iter() if candidate != postmaster and self._is_ours(candidate)]
        return [*([postmaster] if postmaster else []), *found]

    def end(self, *, fast_timeout_s: float) -> list[psutil.Process]:
        """Shut the cluster down: fast, after that time immediately, then by force. Returns what could not be ended."""
        postmaster = self.postmaster()
        if postmaster is not None:
            process.end([postmaster], [(_FAST, fast_timeout_s), (_IMMEDIATE, 5.0), (signal.SIGKILL, 5.0)])
        return process.end(self.all(), [(_IMMEDIATE, 3.0), (signal.SIGKILL, 5.0)])

    def remove_stale_file(self) -> None:
        """Remove a `postmaster.pid` whose pid now is another process or a zombie: PostgreSQL would refuse to start.

        Only after `end`: with no process of the cluster left. A file whose pid is free PostgreSQL handles better
        itself, since it also checks the shared memory.
        """
        file = read_file(self.data_dir)
        if file is not None and psutil.pid_exists(file.pid) and self.postmaster() is None:
            (self.data_dir / "postmaster.pid").unlink(missing_ok=True)

    def _is_ours(self, candidate: psutil.Process) -> bool:
        try:
            if candidate.name() != "postgres" or candidate.uids().real != self.uid:
                return False
            command = candidate.cmdline()
        except psutil.Error:
            return False
        if command and command[0].startswith("postgres: "):
            return command[0].startswith(f"postgres: {cluster_name(self.data_dir)}: ")
        return str(self.data_dir) in command
