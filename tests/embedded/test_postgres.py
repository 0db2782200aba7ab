from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from strongroom.embedded.access import Account, open_way_to, private_dir
from strongroom.embedded.errors import EmbeddedError
from strongroom.embedded.memory import machine_mib, shared_buffers
from strongroom.embedded.postgres import EmbeddedPostgres
from strongroom.embedded.postmaster import ClusterProcesses
from strongroom.embedded.state import StateDir

MakePostgres = Callable[..., EmbeddedPostgres]
WaitUntil = Callable[..., None]
SYSTEM_PYTHON = "/usr/bin/python3"


def run_sql(postgres: EmbeddedPostgres, statement: str) -> Any:
    with psycopg.connect(postgres.superuser_dsn()) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_second_start_finds_the_data(make_postgres: MakePostgres) -> None:
    postgres = make_postgres()
    postgres.start()
    run_sql(postgres, "create table kept as select 42 as answer")
    postgres.stop()
    assert not postgres.is_running()
    again = make_postgres()
    again.start()
    again.start()
    assert run_sql(again, "select answer from kept") == 42


def test_cluster_is_durable_checked_private_and_unreachable_from_the_network(make_postgres: MakePostgres) -> None:
    postgres = make_postgres(settings={"work_mem": "7MB"})
    postgres.start()
    shown = {
        name: run_sql(postgres, f"select current_setting('{name}')")
        for name in ("data_checksums", "fsync", "listen_addresses", "server_encoding", "work_mem", "max_connections")
    }
    assert shown == {
        "data_checksums": "on",
        "fsync": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "work_mem": "7MB",
        "max_connections": "200",
    }
    assert run_sql(postgres, "select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'") == 0
    assert mode(postgres.data_dir) == mode(postgres.socket_dir) == 0o700


def test_the_sessions_share_a_part_of_the_machines_memory(make_postgres: MakePostgres, tmp_path: Path) -> None:
    assert [shared_buffers(mib) for mib in (900, 2048, 8192, 24000, 500_000)] == ["128MB", "128MB", "512MB", "1024MB", "1024MB"]
    limit = tmp_path / "memory.max"
    whole = machine_mib(limit)
    assert whole == psutil.virtual_memory().total >> 20
    limit.write_text("max\n")
    assert machine_mib(limit) == whole
    limit.write_text(f"{512 << 20}\n")
    assert machine_mib(limit) == 512
    postgres = make_postgres()
    postgres.start()
    pages = run_sql(postgres, "select setting::int from pg_settings where name = 'shared_buffers'")
    assert f"{pages * 8 // 1024}MB" == shared_buffers(machine_mib())


def test_wrong_and_missing_passwords_are_refused(make_postgres: MakePostgres) -> None:
    postgres = make_postgres()
    postgres.start()
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(postgres.dsn("postgres", password, "postgres"))


def test_dsn_takes_any_name_and_password(make_postgres: MakePostgres) -> None:
    postgres = make_postgres()
    postgres.start()
    run_sql(postgres, """create role "a/b@c" login password 'p@:/?#[]% ü'""")
    with psycopg.connect(postgres.dsn("a/b@c", "p@:/?#[]% ü", "postgres")) as connection:
        assert connection.info.user == "a/b@c"


def test_start_after_the_postmaster_was_killed(make_postgres: MakePostgres) -> None:
    postgres = make_postgres()
    postgres.start()
    run_sql(postgres, "create table kept as select 1 as one")
    assert postgres.pid is not None
    with contextlib.closing(psycopg.connect(postgres.superuser_dsn())) as busy:
        busy.execute("select 1")
        os.kill(postgres.pid, signal.SIGKILL)
        again = make_postgres()
        postgres._lock.release()  # as the kernel does for a process that was killed
        again.start()
    assert run_sql(again, "select one from kept") == 1


def test_start_ends_an_orphaned_server_of_this_cluster(make_postgres: MakePostgres) -> None:
    orphaned = make_postgres()
    orphaned.start()
    orphan = orphaned.pid
    orphaned._lock.release()
    again = make_postgres()
    again.start()
    assert again.pid not in (None, orphan)
    assert run_sql(again, "select 1") == 1


def test_stale_pid_file_with_the_pid_of_another_process(make_postgres: MakePostgres) -> None:
    postgres = make_postgres()
    postgres.start()
    pid_file = postgres.data_dir / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert not postgres.is_running()
    postgres.start()
    assert run_sql(postgres, "select 1") == 1


def test_a_cluster_in_use_is_refused_to_a_second_owner(make_postgres: MakePostgres) -> None:
    postgres = make_postgres()
    postgres.start()
    second = make_postgres()
    for attempt in (second.start, second.stop, second.initialise):
        with pytest.raises(EmbeddedError, match=str(os.getpid())):
            attempt()
    assert run_sql(postgres, "select 1") == 1
    postgres.stop()


@pytest.mark.parametrize("point", ["", "data/PG_VERSION", "data/global/pg_control"])
def test_initdb_that_is_killed_leaves_nothing_half_made(deployment: Any, wait_until: WaitUntil, point: str) -> None:
    data_dir = deployment.folder / "state" / "pg" / "data"
    run = deployment.start("initdb")
    pattern = f".data.init-*/{point}" if point else ".data.init-*"
    wait_until(lambda: list(data_dir.parent.glob(pattern)))
    deployment.kill(run)
    assert not data_dir.exists()
    wait_until(lambda: not ClusterProcesses(data_dir, data_dir.parent.stat().st_uid).all())
    database = deployment.start_ready("db:postgres")
    deployment.stop(database)
    assert (data_dir / "PG_VERSION").exists()
    deployment.stop(deployment.start_ready("db:postgres"))
    assert not list(data_dir.parent.glob(".data.init-*"))


def test_database_shuts_down_gently_with_a_killed_supervisor(deployment: Any, wait_until: WaitUntil) -> None:
    run = deployment.start_ready("db:postgres")
    state = StateDir(deployment.folder / "state")
    postgres = EmbeddedPostgres(state.pg_data_dir, secret_file=state.pg_secret_file, log_file=state.logs_dir / "unused")
    run_sql(postgres, "create table kept as select 1 as one")
    deployment.kill(run)
    wait_until(lambda: not postgres.is_running(), timeout_s=5)
    log = deployment.folder / "db.log"
    wait_until(lambda: "database system is shut down" in log.read_text())
    deployment.start_ready("db:postgres")
    assert run_sql(postgres, "select one from kept") == 1
    assert "was not properly shut down" not in log.read_text()


def test_start_at_once_after_the_supervisor_was_killed(deployment: Any) -> None:
    """While the old database is still shutting down, with a client that does not let go."""
    killed = deployment.start_ready("db:postgres")
    state = StateDir(deployment.folder / "state")
    postgres = EmbeddedPostgres(state.pg_data_dir, secret_file=state.pg_secret_file, log_file=state.logs_dir / "unused")
    with contextlib.closing(psycopg.connect(postgres.superuser_dsn())) as busy:
        busy.execute("create table uncommitted ()")
        old = postgres.pid
        deployment.kill(killed)
        deployment.start_ready("db:postgres")
    assert postgres.pid not in (None, old)
    assert run_sql(postgres, "select to_regclass('uncommitted')") is None


def test_killed_database_is_started_again_by_the_supervisor(deployment: Any, wait_until: WaitUntil) -> None:
    run = deployment.start_ready("db:postgres")
    killed = deployment.pid("db")
    state = StateDir(deployment.folder / "state")
    postgres = EmbeddedPostgres(state.pg_data_dir, secret_file=state.pg_secret_file, log_file=state.logs_dir / "unused")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: deployment.pid("db") not in (None, killed) and postgres.is_ready())
    assert run_sql(postgres, "select 1") == 1
    assert "db was killed by SIGKILL; starting it again" in deployment.stop(run)


@pytest.mark.parametrize("name", ["long-" + "x" * 120, "with, comma and blank"])
def test_a_path_that_no_socket_can_have(make_postgres: MakePostgres, state: StateDir, name: str) -> None:
    parent = state.pg_dir / name
    parent.mkdir()
    postgres = make_postgres(parent / "data")
    postgres.start()
    assert run_sql(postgres, "select 1") == 1
    assert not postgres.socket_dir.is_relative_to(parent)
    assert postgres.socket_dir == make_postgres(parent / "data").socket_dir
    assert mode(postgres.socket_dir) == 0o700
    socket_dir = postgres.socket_dir
    postgres.stop()
    assert not socket_dir.exists()


def test_socket_folder_of_somebody_else_is_refused(folder: Path, need_root: None) -> None:  # noqa: ARG001 - a fixture for what it does
    squatted = folder / "squatted"
    squatted.mkdir()
    os.chown(squatted, 65534, 65534)
    with pytest.raises(EmbeddedError, match="somebody else"):
        private_dir(squatted, Account(os.geteuid(), os.getegid(), None))
    (folder / "link").symlink_to(folder)
    with pytest.raises(EmbeddedError, match="somebody else"):
        private_dir(folder / "link", Account(os.geteuid(), os.getegid(), None))


def test_way_is_opened_for_the_databases_user_alone(folder: Path, need_root: None) -> None:  # noqa: ARG001 - a fixture for what it does
    closed, shared = folder / "closed", folder / "closed" / "shared"
    target = shared / "target"
    target.mkdir(parents=True)
    closed.chmod(0o700)
    shared.chmod(0o750)
    open_way_to(target, Account(65534, 65534, "nobody"))
    assert (mode(closed), closed.stat().st_gid) == (0o710, 65534)
    assert (mode(shared), shared.stat().st_gid) == (0o751, os.getegid())


def test_foreign_folder_in_the_clusters_place_is_refused(make_postgres: MakePostgres, state: StateDir) -> None:
    state.pg_data_dir.mkdir()
    (state.pg_data_dir / "precious").touch()
    with pytest.raises(EmbeddedError, match="not empty"):
        make_postgres().start()
    assert (state.pg_data_dir / "precious").exists()


def test_cluster_of_another_version_is_refused(make_postgres: MakePostgres, state: StateDir) -> None:
    state.pg_data_dir.mkdir()
    (state.pg_data_dir / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match="16"):
        make_postgres().start()


def test_lost_superuser_password_is_told(make_postgres: MakePostgres, state: StateDir) -> None:
    postgres = make_postgres()
    postgres.initialise()
    state.pg_secret_file.unlink()
    with pytest.raises(EmbeddedError, match="backup"):
        postgres.superuser_dsn()


def test_a_setting_that_cannot_work_is_told_with_the_log(make_postgres: MakePostgres) -> None:
    with pytest.raises(EmbeddedError, match="no_such_setting"):
        make_postgres(settings={"no_such_setting": "1"}).start()
    with pytest.raises(EmbeddedError, match="listen_addresses"):
        make_postgres(settings={"listen_addresses": "*"})


def test_start_outside_the_main_thread_is_refused(make_postgres: MakePostgres) -> None:
    """Since the server would be shut down as soon as that thread ends."""
    postgres = make_postgres()
    raised: list[EmbeddedError] = []

    def attempt() -> None:
        try:
            postgres.start()
        except EmbeddedError as error:
            raised.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert raised
    assert not postgres.is_running()


def test_works_as_an_ordinary_user(folder: Path, need_root: None) -> None:  # noqa: ARG001 - a fixture for what it does
    python = SYSTEM_PYTHON if Path(SYSTEM_PYTHON).exists() else shutil.which("python3") or ""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    asked = [python, "-c", "import sys; print(f'{sys.version_info.major}.{sys.version_info.minor}')"]
    if subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() != version:
        pytest.skip("needs a Python of this version that an ordinary user can run")
    os.chown(folder, 65534, 65534)
    code = (
        "import sys, psycopg; from pathlib import Path; from strongroom.embedded.postgres import EmbeddedPostgres as P;"
        "d = Path(sys.argv[1]); p = P(d / 'data', secret_file=d / 'secret', log_file=d / 'log'); p.start();"
        "print(psycopg.connect(p.superuser_dsn()).execute('select 6 * 7').fetchone()[0]); p.stop()"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [python, "-c", code, str(folder)],
        user=65534, group=65534, extra_groups=[], env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}, cwd="/",
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "42", done.stderr
