"""One supervised process: its life from start to end, and what is remembered of its restarts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from .process import ProcessSpec, identity, spawn


class State(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # ended, and to be started again at `due`


class Child:
    """Decides nothing: the supervisor asks it to start, looks how it is and asks it to end."""

    def __init__(self, spec: ProcessSpec, log_dir: Path) -> None:
        self.spec = spec
        self.log_file = log_dir / f"{spec.name}.log"
        self.state = State.STOPPED
        self.restarts = 0
        self.last_exit = ""
        self.due = 0.0
        self._failures = 0
        self._started = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: str | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, marks: Mapping[str, str]) -> None:
        if self.spec.before_start is not None:
            self.spec.before_start()
        self._process = spawn(self.spec, self.log_file, marks=marks)
        self._identity = identity(self._process.pid)
        self._started = time.monotonic()
        self.state = State.STARTING

    def check_ready(self) -> bool:
        """Whether it has become ready just now."""
        if self.state is State.STARTING and (self.spec.ready is None or self.spec.ready()):
            self.state = State.READY
            return True
        return False

    def is_overdue(self) -> bool:
        """Whether it should have been ready by now."""
        return self.state is State.STARTING and time.monotonic() - self._started > self.spec.ready_timeout_s

    def reap(self) -> int | None:
        """Its return code once it has ended, when its process group is gone with it; None while it runs."""
        if self._process is None:
            return None
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._forget(self._process.poll())
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # before reaping: until then nobody else can get this pid
        return self._forget(self._process.wait())

    def _forget(self, status: int | None) -> int | None:
        if status is not None:
            self._process = None
            self.state = State.STOPPED
        return status

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def note_end(self, reason: str) -> bool:
        """Plan the restart after an unwanted end; False when the policy says that it is not worth it."""
        policy = self.spec.restart
        now = time.monotonic()
        self._failures = 1 if now - self._started > policy.healthy_after_s else self._failures + 1
        self.last_exit = reason
        if policy.give_up_after is not None and self._failures > policy.give_up_after:
            return False
        self.restarts += 1
        self.due = now + policy.delay_s(self._failures)
        self.state = State.WAITING
        return True

    def as_record(self) -> dict[str, object]:
        """What a later supervisor needs to recognise it, and a person to see how it fares."""
        return {
            "name": self.spec.name,
            "pid": self.pid,
            "identity": self._identity if self._process else None,
            "stop_signal": int(self.spec.stop_signal),
            "state": self.state.value,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
        }
