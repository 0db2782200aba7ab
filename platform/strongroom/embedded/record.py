"""The supervisor's record on disk, and ending what a killed supervisor left behind.

A process is ours when it has the recorded pid and the recorded identity (boot and start time, see
`process.identity`), or when its environment carries the mark of the recorded run: a random number that only our
children and theirs were given. Nothing else is ever touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from .files import write_private_json
from .process import end, identity, is_gone, wait_gone

MARK = "STRONGROOM_RUN"
_GENTLE_S = 10.0
_FORCED_S = 5.0


def write(path: Path, *, run_id: str, children: Sequence[Mapping[str, object]]) -> None:
    """Replace the record atomically."""
    own = {"pid": os.getpid(), "identity": identity(os.getpid()), "run_id": run_id}
    write_private_json(path, {**own, "children": list(children)})


def read(path: Path) -> dict[str, Any]:
    """The record; empty when there is none or it cannot be understood."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def end_leftovers(path: Path) -> list[str]:
    """End what the recorded run left; returns its names. The caller holds the lock: that run's supervisor is dead."""
    record = read(path)
    left = dict.fromkeys(marked_processes(str(record.get("run_id", ""))), signal.SIGTERM)
    left.update(_recorded(record))
    names = sorted(_name(process) for process in left)
    for process, number in left.items():
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
    end(wait_gone(left, _GENTLE_S), [(signal.SIGKILL, _FORCED_S)])
    return names


def marked_processes(run_id: str) -> list[psutil.Process]:
    """Every live process that carries the mark of this run, except ourselves and those we descend from."""
    if not run_id:
        return []
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in spared and _has_mark(process, run_id)]


def _has_mark(process: psutil.Process, run_id: str) -> bool:
    try:
        return process.environ().get(MARK) == run_id and not is_gone(process)
    except (psutil.Error, OSError):
        return False


def _recorded(record: Mapping[str, Any]) -> dict[psutil.Process, signal.Signals]:
    found = {}
    for child in record.get("children", []):
        pid, known = child.get("pid"), child.get("identity")
        if isinstance(pid, int) and known is not None and identity(pid) == known:
            with contextlib.suppress(psutil.Error, ValueError):
                found[psutil.Process(pid)] = signal.Signals(child.get("stop_signal", signal.SIGTERM))
    return found


def _name(process: psutil.Process) -> str:
    try:
        return f"{process.name()} ({process.pid})"
    except psutil.Error:
        return f"process {process.pid}"
