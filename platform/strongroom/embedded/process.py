"""How a process of an embedded deployment is described, started, recognised and waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .errors import EmbeddedError
from .files import PRIVATE_FILE, rotate

LOG_MAX_SIZE_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 3
_LAUNCHER = Path(__file__).with_name("launch.py")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """When a process that ended is started again: after `first_delay_s`, doubled each time up to `longest_delay_s`.

    A process that ran for `healthy_after_s` starts counting anew. `give_up_after` failures in a row stop the whole
    supervisor with an error (0: the first; None: never).
    """

    first_delay_s: float = 0.25
    longest_delay_s: float = 30.0
    healthy_after_s: float = 60.0
    give_up_after: int | None = None

    def delay_s(self, failures: int) -> float:
        return min(self.longest_delay_s, self.first_delay_s * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One process of a deployment.

    `env` is its whole environment (None: ours), `cwd` the root, so that paths have to be absolute. `ready` is asked
    every few milliseconds until it says yes; it must return quickly and not raise. `before_start` runs before every
    start, `after_ready` once, after the first start, and before the next process is started; both in the main
    thread. `death_signal` (None: `stop_signal`) is what the kernel sends when the supervisor is killed.
    `force_signal` ends what did not stop in time. Neighbours of the same `stop_group` are told to stop at the same time.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    user: str | None = None
    cwd: Path = Path("/")
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 60.0
    before_start: Callable[[], None] | None = None
    after_ready: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 15.0
    stop_group: str = ""
    force_signal: signal.Signals = signal.SIGKILL
    death_signal: signal.Signals | None = None
    restart: RestartPolicy = field(default_factory=RestartPolicy)


def launched(argv: Sequence[str], *, user: str | None, death_signal: signal.Signals, cwd: Path = Path("/")) -> list[str]:
    """The command that runs `argv` as `user`, tied to the life of the calling thread (see `launch`)."""
    prefix = [
        sys.executable,
        "-I",
        "-S",
        str(_LAUNCHER),
        str(os.getpid()),
        str(int(death_signal)),
        user or "-",
        str(cwd),
    ]
    return [*prefix, *argv]


def spawn(spec: ProcessSpec, log_file: Path, *, marks: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own, its output going to `log_file`; `marks` join its environment."""
    if threading.current_thread() is not threading.main_thread():
        raise EmbeddedError(f"Start {spec.name} from the main thread: it would be ended together with the thread that starts it.")
    rotate(log_file, max_size_bytes=LOG_MAX_SIZE_BYTES, kept=LOGS_KEPT)
    environment = {**(os.environ if spec.env is None else spec.env), **(marks or {})}
    command = launched(spec.argv, user=spec.user, death_signal=spec.death_signal or spec.stop_signal, cwd=spec.cwd)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        return subprocess.Popen(  # noqa: S603  (argv comes from our own code, without a shell)
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    finally:
        os.close(log)


def identity(pid: int) -> str | None:
    """What tells this process from every other that had or will have its pid; None when it is gone or only a zombie.

    On Linux the boot and the start in clock ticks: unlike a wall-clock time it does not move when the clock is set.
    """
    try:
        if sys.platform != "linux":
            return None if is_gone(process := psutil.Process(pid)) else repr(process.create_time())
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{_BOOT_ID.read_text().strip()}:{fields[19]}"
    except (OSError, psutil.Error):
        return None


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended; a zombie has (nobody may ever reap it, where pid 1 of a container does not)."""
    try:
        return not process.is_running() or process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return True


def wait_gone(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until all have ended, at most so long; returns those that have not."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in processes if not is_gone(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.01)  # a process that is no child cannot be waited for
        left = [process for process in left if not is_gone(process)]
    return left


def end(processes: Iterable[psutil.Process], steps: Sequence[tuple[signal.Signals, float]]) -> list[psutil.Process]:
    """Send each step's signal to those still there and wait for its time; returns those that outlived all steps."""
    left = [process for process in processes if not is_gone(process)]
    for number, timeout_s in steps:
        for process in left:
            try:
                process.send_signal(number)  # psutil checks that the pid was not given to another process meanwhile
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied as error:
                raise EmbeddedError(f"May not end process {process.pid}. Run this as the user who started it, or as root.") from error
        left = wait_gone(left, timeout_s)
        if not left:
            break
    return left


def describe_exit(status: int) -> str:
    """A Popen return code in words."""
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
