"""Real processes and a real PostgreSQL, in a closed folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from strongroom.embedded import record
from strongroom.embedded.postgres import EmbeddedPostgres
from strongroom.embedded.state import StateDir

PROGRAM = Path(__file__).with_name("deployment.py")
WaitUntil = Callable[..., None]


def wait_for(condition: Callable[[], object], *, timeout_s: float = 15.0, what: str = "") -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what or condition}"
        time.sleep(0.01)


@pytest.fixture
def wait_until() -> WaitUntil:
    return wait_for


@pytest.fixture
def folder() -> Iterator[Path]:
    """A 0700 folder with a short path; not `tmp_path`, whose parents every other pytest run closes again."""
    path = Path(tempfile.mkdtemp(prefix="sr-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def state(folder: Path) -> StateDir:
    made = StateDir(folder / "state")
    made.create()
    return made


@pytest.fixture
def make_postgres(state: StateDir) -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Instances for the same cluster, as one process after the other would make them."""
    made: list[EmbeddedPostgres] = []

    def make(data_dir: Path = state.pg_data_dir, **options: object) -> EmbeddedPostgres:
        secret_file, log_file = state.pg_secret_file, state.logs_dir / "postgres.log"
        made.append(EmbeddedPostgres(data_dir, secret_file=secret_file, log_file=log_file, **options))  # type: ignore[arg-type]  # options of a test, passed on
        return made[-1]

    yield make
    for postgres in reversed(made):
        postgres.stop()


@dataclass
class Deployment:
    """`deployment.py` in processes of their own, on one folder."""

    folder: Path
    runs: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAM), str(self.folder), *arguments]
        self.runs.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True))
        return self.runs[-1]

    def start_ready(self, *arguments: str) -> subprocess.Popen[str]:
        (self.folder / "ready").unlink(missing_ok=True)
        run = self.start(*arguments)
        wait_for(lambda: (self.folder / "ready").exists() or run.poll() is not None, what="the deployment")
        assert run.poll() is None, run.communicate()[1]
        return run

    def events(self) -> list[str]:
        file = self.folder / "events"
        return file.read_text().splitlines() if file.exists() else []

    def pid(self, name: str) -> int | None:
        children = record.read(self.folder / "run.json").get("children", [])
        return next((child["pid"] for child in children if child["name"] == name), None)

    def kill(self, run: subprocess.Popen[str]) -> None:
        run.kill()
        run.communicate()

    def stop(self, run: subprocess.Popen[str]) -> str:
        run.send_signal(signal.SIGINT)
        errors = run.communicate(timeout=30)[1]
        assert run.returncode == 0, errors
        return errors


@pytest.fixture
def deployment(folder: Path) -> Iterator[Deployment]:
    made = Deployment(folder)
    yield made
    for run in made.runs:
        if run.poll() is None:
            run.terminate()
        run.communicate(timeout=30)
    record.end_leftovers(folder / "run.json")


@pytest.fixture
def is_alive() -> Callable[[int], bool]:
    def ask(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return ask


@pytest.fixture
def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
