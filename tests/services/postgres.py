"""One PostgreSQL cluster for a whole test run: the embedded one, or Debian's with `STRONGROOM_TEST_POSTGRES=15`.

Durability is switched off: nothing here outlives the run, and a tenant then costs 30 ms.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from strongroom.db import bootstrap
from strongroom.embedded.postgres import EmbeddedPostgres
from strongroom.embedded.state import StateDir

VERSION = "SR_TEST_POSTGRES"
"""Under this name the tests' configuration keeps what `STRONGROOM_TEST_POSTGRES` says."""
SUPERUSER = "postgres"
PORT = 5432
FAST = {
    "shared_buffers": "128MB", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "1GB",
    "autovacuum_naptime": "5min",
}  # fmt: skip
"""The catalogue of thousands of tenants is not to be gone through each minute."""
START_TIMEOUT_S = 60


@dataclass(frozen=True)
class Cluster:
    """A running cluster with Strongroom's roles in it; travels to other processes as JSON."""

    socket_dir: str
    port: int
    superuser: str
    passwords: dict[str, str]

    def dsn(self, user: str, database: str) -> str:
        login = f"{quote(user, safe='')}:{quote(self.passwords[user], safe='')}"
        return f"postgresql://{login}@/{database}?host={quote(self.socket_dir, safe='/')}&port={self.port}"

    def superuser_dsn(self, database: str = "postgres") -> str:
        return self.dsn(self.superuser, database)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Cluster:
        return cls(**json.loads(text))


def with_roles(socket_dir: Path, superuser: str, password: str, port: int = PORT) -> Cluster:
    """Make Strongroom's three login roles, once, before any test process starts."""
    roles = (bootstrap.OWNER_ROLE, bootstrap.APP_ROLE, bootstrap.BROKER_ROLE)
    passwords = {role: secrets.token_urlsafe(12) for role in roles}
    cluster = Cluster(str(socket_dir), port, superuser, {**passwords, superuser: password})
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as connection:
        owner, app, broker = (passwords[role] for role in roles)
        bootstrap.create_roles(connection, owner=owner, app=app, broker=broker)
    return cluster


@contextmanager
def embedded(settings: dict[str, str] | None = None) -> Iterator[Cluster]:
    """The cluster that `strongroom up` runs, by default without its durability."""
    folder = Path(tempfile.mkdtemp(prefix="sr-pg-"))
    state = StateDir(folder / "state")
    state.create()
    postgres = EmbeddedPostgres(
        state.pg_data_dir,
        secret_file=state.pg_secret_file,
        log_file=state.logs_dir / "postgres.log",
        socket_dir=state.pg_socket_dir,
        settings={**(FAST if settings is None else settings), "max_connections": "300"},
    )
    try:
        postgres.start()
        info = psycopg.conninfo.conninfo_to_dict(postgres.superuser_dsn())
        yield with_roles(Path(str(info["host"])), str(info["user"]), str(info["password"]), int(str(info["port"])))
    finally:
        postgres.stop()
        shutil.rmtree(folder)


@contextmanager
def debian(version: str) -> Iterator[Cluster]:
    """A cluster of Debian's `/usr/lib/postgresql/{version}`, run as `postgres` when we are root."""
    binaries = Path("/usr/lib/postgresql") / version / "bin"
    if not (binaries / "initdb").exists():
        raise RuntimeError(f"{binaries} is missing: apt-get install postgresql-{version}")
    folder = Path(tempfile.mkdtemp(prefix="sr-pg-"))
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    user = account.pw_name if account else None
    password_file = folder / "password"
    password = secrets.token_urlsafe(12)
    password_file.write_text(password)
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
        os.chown(password_file, account.pw_uid, account.pw_gid)
    data = folder / "data"
    initdb = [binaries / "initdb", "-D", data, "-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={password_file}", "-E", "UTF8"]
    subprocess.run([*initdb, "--locale=C.UTF-8", "--no-sync"], check=True, capture_output=True, user=user, cwd="/")
    settings = {**FAST, "max_connections": "300", "listen_addresses": "", "unix_socket_directories": str(folder)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([binaries / "postgres", "-D", data, *options], stdout=log, stderr=log, user=user, cwd="/")
    try:
        _wait_until_ready(server, folder, password)
        yield with_roles(folder, SUPERUSER, password)
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown: it waits for no client
        server.wait(START_TIMEOUT_S)
        shutil.rmtree(folder)


def _wait_until_ready(server: subprocess.Popen[bytes], folder: Path, password: str) -> None:
    probe = Cluster(str(folder), PORT, SUPERUSER, {SUPERUSER: password})
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(probe.superuser_dsn()).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text(errors="replace")[-2000:]) from None
            time.sleep(0.02)
        else:
            return


def start() -> AbstractContextManager[Cluster]:
    """Return the cluster that the environment asks for, not yet started."""
    version = os.environ.get(VERSION, "")
    return debian(version) if version else embedded()
