"""Keeps the processes of an embedded deployment running: starts in order, restarts what dies, stops in reverse, groups at once.

Guarantees: one supervisor per record file (`flock`); when the supervisor is killed, the kernel ends its children, and
what still outlives it is ended by the next start, which recognises its own (see `record`). Children live in sessions
of their own, so that Ctrl-C reaches the supervisor alone. Each writes to `log_dir/NAME.log`, rotated by size when it
starts.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from . import record
from .child import Child, State
from .errors import EmbeddedError
from .files import FileLock, tail
from .process import ProcessSpec, RestartPolicy, describe_exit, end
from .signals import StopSignals

__all__ = ["ProcessSpec", "RestartPolicy", "Supervisor"]

_READY_POLL_S = 0.02
_IDLE_POLL_S = 5.0
_FORCED_S = 10.0


def say_on_stderr(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone, and stopping must go on
        sys.stderr.write(f"strongroom: {line}\n")
        sys.stderr.flush()


class Supervisor:
    """Runs `processes` until it is told to stop; `run` may be called once.

    `on_ready` is called in the main thread when all of them are ready. `say` gets a line for all a person should know.
    The folder of `pid_file` must exist; the lock lies beside it.
    """

    def __init__(
        self,
        processes: Sequence[ProcessSpec],
        *,
        log_dir: Path,
        pid_file: Path,
        on_ready: Callable[[], None] | None = None,
        say: Callable[[str], None] = say_on_stderr,
    ) -> None:
        self._children = [Child(spec, log_dir) for spec in processes]
        self._log_dir = log_dir
        self._pid_file = pid_file
        self._on_ready = on_ready
        self._say = say
        self._signals = StopSignals()
        self._run_id = secrets.token_hex(16)
        self._lock = FileLock(pid_file.with_name(f"{pid_file.name}.lock"), purpose=f"The deployment of {pid_file}")

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each process was started again."""
        return {child.spec.name: child.restarts for child in self._children}

    @property
    def stopping(self) -> bool:
        return self._signals.stop_requested

    def stop(self) -> None:
        """Make `run` stop everything and return; from any thread or callback."""
        self._signals.request_stop()

    def run(self) -> None:
        """Start everything and keep it running; returns after SIGINT, SIGTERM, SIGHUP or `stop`, when all has ended.

        Raises `EmbeddedError`, also with everything ended, when another supervisor runs, when a process does not start
        or is not ready in time, or when one of them died more often than its policy allows.
        """
        if threading.current_thread() is not threading.main_thread():
            raise EmbeddedError("Run the supervisor in the main thread: its children end together with the thread that starts them.")
        with self._lock, self._prepared():
            try:
                self._start_all()
                while not self.stopping:
                    self._tend_all()
                    self._signals.wait(self._pause_s())
            finally:
                self._stop_all()

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[None]:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        with self._signals.installed():
            for name in record.end_leftovers(self._pid_file):
                self._say(f"ended {name}, left over from a run that was killed")
            try:
                yield
            finally:
                self._pid_file.unlink(missing_ok=True)

    # Starting

    def _start_all(self) -> None:
        for child in self._children:
            if self.stopping:
                return
            self._start(child)
            self._wait_first_ready(child)
        if self._on_ready is not None and not self.stopping:
            self._on_ready()

    def _start(self, child: Child) -> None:
        try:
            child.start({record.MARK: self._run_id})
        except OSError as error:
            raise EmbeddedError(f"Cannot start {child.spec.name}: {error}.") from error
        finally:
            self._write_record()

    def _wait_first_ready(self, child: Child) -> None:
        while True:
            if (status := child.reap()) is not None:  # asked first: a stranger at our port may look ready
                raise EmbeddedError(self._failure(child, f"{describe_exit(status)} before it was ready"))
            if child.check_ready():
                break
            if child.is_overdue():
                raise EmbeddedError(self._failure(child, f"was not ready within {child.spec.ready_timeout_s:g} s"))
            self._signals.wait(_READY_POLL_S)
            self._tend_all(but=child)
            if self.stopping:
                return
        self._write_record()
        if child.spec.after_ready is not None:
            child.spec.after_ready()

    def _failure(self, child: Child, what: str) -> str:
        return f"{child.spec.name} {what}. The end of {child.log_file}:\n{tail(child.log_file)}"

    # Watching

    def _tend_all(self, *, but: Child | None = None) -> None:
        for child in self._children:
            if child is not but and not self.stopping:
                self._tend(child)

    def _tend(self, child: Child) -> None:
        if child.state is State.WAITING:
            if time.monotonic() >= child.due:
                self._restart(child)
        elif (status := child.reap()) is not None:
            self._plan_restart(child, describe_exit(status))
        elif child.check_ready():
            if child.spec.ready is not None:
                self._say(f"{child.spec.name} is ready again")
            self._write_record()
        elif child.is_overdue():
            child.send(signal.SIGKILL)
            self._say(f"{child.spec.name} was not ready within {child.spec.ready_timeout_s:g} s and is ended")

    def _restart(self, child: Child) -> None:
        try:
            self._start(child)
        except EmbeddedError as error:
            self._plan_restart(child, f"could not be started ({error})")

    def _plan_restart(self, child: Child, reason: str) -> None:
        name = child.spec.name
        if not child.note_end(reason):
            raise EmbeddedError(self._failure(child, f"{reason}, and is not started again"))
        delay_s = max(0.0, child.due - time.monotonic())
        self._say(f"{name} {reason}; starting it again in {delay_s:.1f} s (restart {child.restarts}, log: {child.log_file})")
        self._write_record()

    def _pause_s(self) -> float:
        """Until when nothing needs doing unless a signal comes (SIGCHLD is one)."""
        pauses = [_IDLE_POLL_S]
        for child in self._children:
            if child.state is State.STARTING:
                pauses.append(_READY_POLL_S)
            elif child.state is State.WAITING:
                pauses.append(child.due - time.monotonic())
        return min(pauses)

    def _write_record(self) -> None:
        """Never raises: a full disk must not end what runs."""
        try:
            record.write(self._pid_file, run_id=self._run_id, children=[child.as_record() for child in self._children])
        except EmbeddedError as error:
            self._say(str(error))

    # Stopping

    def _stop_all(self) -> None:
        for _, group in itertools.groupby(reversed(self._children), lambda child: child.spec.stop_group or child.spec.name):
            self._stop(list(group))
        end(record.marked_processes(self._run_id), [(signal.SIGTERM, 2.0), (signal.SIGKILL, _FORCED_S)])

    def _stop(self, group: Sequence[Child]) -> None:
        """Tell all of a group to stop, then wait for each; who may take the least time is waited for first."""
        running, began = [child for child in group if child.pid is not None], time.monotonic()
        for child in running:
            child.send(child.spec.stop_signal)
        for child in sorted(running, key=lambda each: each.spec.stop_timeout_s):
            if not self._wait_end(child, began + child.spec.stop_timeout_s - time.monotonic(), forced=False):
                self._force(child)

    def _force(self, child: Child) -> None:
        self._say(f"{child.spec.name} did not stop in time and is ended by force")
        child.send(child.spec.force_signal)
        if not self._wait_end(child, _FORCED_S, forced=True):
            child.send(signal.SIGKILL)
            self._wait_end(child, _FORCED_S, forced=True)

    def _wait_end(self, child: Child, timeout_s: float, *, forced: bool) -> bool:
        """Whether it ended within that time; gives up waiting at once when a second Ctrl-C asks for force."""
        deadline = time.monotonic() + timeout_s
        while child.reap() is None:
            if time.monotonic() >= deadline or (self._signals.force_requested and not forced):
                return False
            self._signals.wait(min(0.5, deadline - time.monotonic()))
        return True
