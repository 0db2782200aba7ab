"""Servers that all processes of a test run share: started by the first test that needs one, ended with the run.

A server lives in a process of its own, `python -m tests.services.shared NAME FOLDER PID`, which ends it as soon as the run's
first process (PID) is gone, however that ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.services.ceph import ceph
from tests.services.ceph import missing as ceph_missing
from tests.services.rclone import missing as rclone_missing
from tests.services.rclone import rclone
from tests.services.s3server import S3Server

SERVERS: dict[str, Callable[[], AbstractContextManager[S3Server]]] = {"ceph": ceph, "rclone": rclone}
MISSING: dict[str, Callable[[], str]] = {"ceph": ceph_missing, "rclone": rclone_missing}
FOLDER, RUN = "SR_TEST_SERVERS", "SR_TEST_RUN"
START_TIMEOUT_S = 180
ROOT = Path(__file__).parents[2]


@contextmanager
def run() -> Iterator[None]:
    """Name a run by this process; its workers inherit the name by the environment, its servers end after it."""
    folder = tempfile.mkdtemp(prefix="sr-servers-")
    os.environ[RUN], os.environ[FOLDER] = str(os.getpid()), folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def server(name: str) -> S3Server:
    """Return the run's server of that name, started now if it is the first time.

    Raises:
        RuntimeError: it does not start.
    """
    folder = Path(os.environ[FOLDER])
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = folder / f"{name}.json"
        if not found.exists():
            _start(name, folder)
        return S3Server(**json.loads(found.read_text()))


def s3_server(name: str) -> S3Server:
    """The same for an S3 server; see `need`."""
    need(name)
    return server(name)


def need(name: str) -> None:
    """Where the programs of an S3 server are not installed, the tests that need it are skipped, save in CI, where they fail."""
    lacking = MISSING[name]()
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"{name} is not installed: {lacking}; see tests/services/install.sh")


def _start(name: str, folder: Path) -> None:
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.services.shared", name, str(folder), os.environ[RUN]]
        keeper = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (folder / f"{name}.json").exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            keeper.kill()
            raise RuntimeError(f"{name} did not start: {log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)
    keeper.returncode = 0  # it outlives this process, which therefore must not complain about it


def _keep(name: str, folder: Path, run: int) -> None:
    first = os.pidfd_open(run)
    with SERVERS[name]() as running:
        unfinished = folder / f"{name}.unfinished"
        unfinished.write_text(json.dumps(asdict(running)))
        unfinished.rename(folder / f"{name}.json")
        select.select([first], [], [])


if __name__ == "__main__":
    _keep(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
