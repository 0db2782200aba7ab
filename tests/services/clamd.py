"""Starts a real clamd with one signature of ours, on a socket of its own, for as long as a `with` block lasts.

The database is unofficial and tiny, so it starts in a tenth of a second and needs no network.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CLAMD = Path("/usr/sbin/clamd")
START_TIMEOUT_S = 30
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""In two halves, so that no scanner finds this file."""


class ClamdMissingError(RuntimeError):
    """There is no clamd on this machine."""


@dataclass(frozen=True)
class ClamdService:
    """A running clamd."""

    socket_path: Path
    pid: int
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def clamd(tmp_path: Path, **conf: object) -> Iterator[ClamdService]:
    """Run clamd with `conf` as further lines of clamd.conf, e.g. `StreamMaxLength="1M"`, `AlertExceedsMax="yes"`.

    Raises `ClamdMissingError` where the Debian package clamav-daemon is not installed.
    """
    if not CLAMD.exists():
        raise ClamdMissingError(f"{CLAMD} is missing: apt-get install clamav-daemon")
    with tempfile.TemporaryDirectory(prefix="clamd-") as short:  # a socket's path may have 107 bytes
        socket_path = Path(short) / "clamd.sock"
        log_path = tmp_path / "clamd.log"
        with log_path.open("wb") as log:
            command = [str(CLAMD), "--config-file", str(_write_conf(tmp_path, socket_path, conf))]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(process, socket_path, log_path)
            yield ClamdService(socket_path, process.pid, process)
        finally:
            process.kill()
            process.wait()


def _write_conf(tmp_path: Path, socket_path: Path, conf: dict[str, object]) -> Path:
    database = tmp_path / "clamav-db"
    database.mkdir(exist_ok=True)
    (database / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n")
    lines = {
        "Foreground": "yes",
        "LocalSocket": socket_path,
        "DatabaseDirectory": database,
        "TemporaryDirectory": tmp_path,
    }
    path = tmp_path / "clamd.conf"
    path.write_text("".join(f"{key} {value}\n" for key, value in (lines | conf).items()))
    return path


def _wait_until_ready(process: subprocess.Popen[bytes], socket_path: Path, log_path: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(socket_path):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
        if process.returncode is not None or time.monotonic() > deadline:
            raise RuntimeError(f"clamd did not start: {log_path.read_text(errors='replace')[-2000:]}")


def _answers(socket_path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(socket_path))
        connection.sendall(b"zPING\0")
        return connection.recv(16) == b"PONG\0"
    return False
