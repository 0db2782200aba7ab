"""What the services have in common: free ports, children that die with us, waiting for a condition with a bound."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Process = subprocess.Popen[bytes]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[Process]:
    """Run a command, its output in `log`, and kill it at the end; it also dies when this process is killed."""
    with log.open("wb") as output:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool], process: Process, log: Path, timeout_s: float = 60) -> None:
    """Wait until a server answers.

    Raises:
        RuntimeError: it ended, or did not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
        if process.returncode is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{log.stem} did not start: {log.read_text(errors='replace')[-2000:]}")


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections at a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
