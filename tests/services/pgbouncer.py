"""PgBouncer in transaction mode before the run's cluster: few server sessions, and none that stays with one client."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg

from tests.services.postgres import Cluster
from tests.services.processes import free_port, running, wait_for

BINARY = Path("/usr/sbin/pgbouncer")
CONFIG = """\
[databases]
* = host={host} port={port}
[pgbouncer]
unix_socket_dir = {folder}
listen_addr =
listen_port = {listen_port}
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 100
server_lifetime = 300
server_check_query =
"""


@contextmanager
def pgbouncer(cluster: Cluster, sessions: int = 2) -> Iterator[Cluster]:
    """Run one with `sessions` server sessions per database and user; yields the cluster as it is reached through it."""
    folder = Path(tempfile.mkdtemp(prefix="sr-bouncer-"))
    port = free_port()
    users = "".join(f'"{user}" "{password}"\n' for user, password in cluster.passwords.items())
    (folder / "users.txt").write_text(users)
    config = folder / "pgbouncer.ini"
    config.write_text(CONFIG.format(host=cluster.socket_dir, port=cluster.port, folder=folder, listen_port=port, sessions=sessions))
    command = [str(BINARY), str(config)]
    if os.geteuid() == 0:  # it refuses to run as root
        account = pwd.getpwnam("nobody")
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
        reaches_all = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]  # the cluster's socket is its owner's alone
        command = ["setpriv", "--pdeathsig", "KILL", "--reuid", account.pw_name, "--clear-groups", *reaches_all, *command]
    through = replace(cluster, socket_dir=str(folder), port=port)

    def answers() -> bool:
        try:
            psycopg.connect(through.superuser_dsn()).close()
        except psycopg.OperationalError:
            return False
        return True

    log = folder.with_suffix(".log")
    try:
        with running(command, log) as process:
            wait_for(answers, process, log)
            yield through
    finally:
        shutil.rmtree(folder)
        log.unlink()
