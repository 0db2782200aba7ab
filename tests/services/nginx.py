"""Starts a real nginx in front of a deployment, with the configuration of docs/guides/production.md, as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NGINX = Path("/usr/sbin/nginx")
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "production.md"
START_TIMEOUT_S = 20
GUIDES_UPSTREAM, GUIDES_FILES = "http://127.0.0.1:8000", "/var/lib/strongroom/"


class NginxMissingError(RuntimeError):
    """There is no nginx on this machine."""


@dataclass(frozen=True)
class NginxService:
    """A running nginx."""

    port: int
    log_path: Path


@contextlib.contextmanager
def nginx(folder: Path, upstream_port: int, files: Path) -> Iterator[NginxService]:
    """Run nginx on a port of its own, in front of `upstream_port`, sending files from below `files`.

    Raises `NginxMissingError` where the Debian package nginx-light is not installed.
    """
    if not NGINX.exists():
        raise NginxMissingError(f"{NGINX} is missing: apt-get install nginx-light")
    port = _free_port()
    conf, log_path = folder / "nginx.conf", folder / "nginx.log"
    conf.write_text(_configuration(folder, port, log_path, server_of_the_guide(upstream_port, files)))
    with log_path.open("ab") as log:
        process = subprocess.Popen([NGINX, "-c", conf, "-p", folder, "-e", log_path], stdout=log, stderr=log)
    try:
        _wait_until_ready(process, port, log_path)
        yield NginxService(port, log_path)
    finally:
        process.terminate()
        process.wait(20)


def server_of_the_guide(upstream_port: int, files: Path) -> str:
    """Return the locations that the guide tells everybody to use, for this deployment."""
    block = next(each for each in re.findall(r"```nginx\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "internal;" in each)
    assert GUIDES_UPSTREAM in block
    assert GUIDES_FILES in block
    return block.replace(GUIDES_UPSTREAM, f"http://127.0.0.1:{upstream_port}").replace(GUIDES_FILES, f"{files}/")


def _configuration(folder: Path, port: int, log_path: Path, server: str) -> str:
    user = "user root;" if os.geteuid() == 0 else ""
    paths = "\n".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {log_path} warn;
events {{ worker_connections 256; }}
http {{
    access_log off; types {{ }} default_type application/octet-stream; {paths}
    server {{ listen 127.0.0.1:{port}; {server} }}
}}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
        if process.returncode is not None or time.monotonic() > deadline:
            raise RuntimeError(f"nginx did not start: {log_path.read_text(errors='replace')[-2000:]}")
