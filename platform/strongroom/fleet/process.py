"""`python -m strongroom.fleet.process`: a worker in a process of its own. It ends with whoever started it, at the latest.

Settings come by standard input and never by arguments or the environment, which others could read. They are pickled,
which is safe here only because both ends are ours.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from strongroom.config import Settings

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Task:
    """What a process is to do: its share of a run, or one tenant alone."""

    settings: Settings
    began_at: datetime
    only: UUID | None = None


def start(task: Task) -> Process:
    """Start a process that does the task. Its standard input must be closed by `finish`, or by our end."""
    command = [sys.executable, "-m", "strongroom.fleet.process"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    process.stdin.write(pickle.dumps(task))
    process.stdin.flush()
    return process


def finish(process: Process, *, kill: bool = False) -> None:
    """Wait for a process to end, or end it now, and let go of it."""
    if kill:
        process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def main() -> None:
    """Do the task that comes by standard input."""
    task: Task = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from strongroom.fleet.worker import Worker, own_databases, take_back_the_dead  # noqa: PLC0415 - Alembic is for this process alone

    with own_databases(task.settings) as databases:
        take_back_the_dead(databases)
        Worker(task.settings, databases, task.began_at).run(task.only)


def _end_with_parent() -> None:
    """The pipe closes when the parent is gone, however it went: then nobody waits for this any more, and its transaction is undone."""
    os.read(sys.stdin.fileno(), 1)  # not by the buffer: it would be locked while this process ends
    os._exit(1)


if __name__ == "__main__":
    main()
