"""A Redis server on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis, RedisError

from tests.services.processes import Process, free_port, running, wait_for

BINARY = Path("/usr/bin/redis-server")


@contextmanager
def redis_server(port: int | None = None) -> Iterator[tuple[str, Process]]:
    """Run one that keeps nothing; yields its URL and its process. Where it is not installed tests are skipped; in CI they fail."""
    if not BINARY.exists() and os.environ.get("CI") != "true":
        pytest.skip("redis-server is not installed; see tests/services/install.sh")
    folder = Path(tempfile.mkdtemp(prefix="sr-redis-"))
    port = port or free_port()
    log = folder / "redis.log"
    command = [str(BINARY), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    url = f"redis://127.0.0.1:{port}/0"

    def answers() -> bool:
        with Redis.from_url(url) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    try:
        with running(command, log) as process:
            wait_for(answers, process, log)
            yield url, process
    finally:
        shutil.rmtree(folder)
