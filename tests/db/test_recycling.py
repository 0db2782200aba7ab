"""What one tenant's transaction leaves on a connection, however it ended, and what the next tenant finds: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from strongroom.db.engines import Databases, TenantRef
from strongroom.db.ids import new_id
from strongroom.errors import DatabaseUnavailable, DomainError

from tenants.models import Tenant
from tenants.provisioning import provision
from tests.acceptance.waiting import wait_until
from tests.factories import World

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
LOOK = """
SELECT current_user AS "user", current_setting('role') AS role, current_setting('search_path') AS search_path,
    current_setting('TimeZone') AS time_zone, current_setting('statement_timeout') AS statement_timeout,
    current_setting('application_name') AS application_name, coalesce(current_setting('my.secret', true), '') AS secret,
    (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()) AS temporary,
    (SELECT count(*) FROM pg_prepared_statements) AS prepared,
    (SELECT count(*) FROM pg_cursors WHERE is_holdable OR name = 'mine') AS cursors,
    (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory') AS locks,
    (SELECT count(*) FROM pg_listening_channels()) AS channels
"""
LEAVINGS = (
    "SET my.secret = 'of the first tenant'", "SET timezone = 'Asia/Kathmandu'", "SET statement_timeout = '12345s'",
    "SET search_path = strongroom, pg_catalog", "SET application_name = 'spoilt'", "CREATE TEMPORARY TABLE mine (secret text)",
    "PREPARE mine AS SELECT 1", "DECLARE mine CURSOR WITH HOLD FOR SELECT 1", "SELECT pg_advisory_lock(7)", "LISTEN mine",
    "SET ROLE {other}",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Two tenants, and a process with a single connection for both."""

    world: World
    databases: Databases
    one: Tenant
    two: Tenant

    def seen_by(self, tenant: Tenant | None) -> dict[str, Any]:
        """What a tenant, or the platform itself, finds on the connection."""
        begin = self.databases.tenant(tenant.ref) if tenant else self.databases.control()
        with begin as connection:
            found = dict(connection.execute(text(LOOK)).one()._mapping)
            found["pid"] = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            return found

    def clean(self, tenant: Tenant | None) -> dict[str, Any]:
        """What it should find."""
        role, path = (tenant.ref.role, tenant.ref.role) if tenant else ("none", '"$user", public')
        return {
            "user": role if tenant else "strongroom_app", "role": role, "search_path": path, "time_zone": "UTC",
            "statement_timeout": "2s", "application_name": "strongroom", "secret": "", "temporary": 0, "prepared": 0, "cursors": 0,
            "locks": 0, "channels": 0,
        }  # fmt: skip

    def assert_clean(self, same_connection_as: int = 0) -> None:
        """The next tenant and the platform find nothing; and what the first sees again is its own."""
        for tenant in (self.two, None, self.two):
            seen = self.seen_by(tenant)
            pid = seen.pop("pid")
            assert seen == self.clean(tenant)
            assert same_connection_as in {0, pid}
        with self.databases.tenant(self.one.ref) as connection:
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 0


@pytest.fixture
def pair(empty_world: World) -> Pair:
    """Temporary tables are allowed here, which they are not in a real deployment, so that something can be left."""
    empty_world.sql(f'GRANT TEMPORARY ON DATABASE "{empty_world.database.name}" TO PUBLIC')
    process = empty_world.again(pool_size=1, statement_timeout_s=2, pool_timeout_s=5)
    return Pair(empty_world, process.runtime.databases, empty_world.create_tenant(), empty_world.create_tenant())


def leave(pair: Pair, connection: Connection) -> int:
    """Leave everything that a statement can; return the backend."""
    pid: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    for each in LEAVINGS:
        connection.exec_driver_sql(each.format(other=pair.one.ref.role))
    return pid


def by_commit(pair: Pair) -> int:
    with pair.databases.tenant(pair.one.ref) as connection:
        return leave(pair, connection)


def by_an_exception(pair: Pair) -> int:
    pid = by_commit(pair)
    with suppress(LookupError), pair.databases.tenant(pair.one.ref) as connection:
        leave_again(connection)
        raise LookupError
    return pid


def leave_again(connection: Connection) -> None:
    """What can be left twice."""
    connection.exec_driver_sql("SET my.secret = 'again'")
    connection.exec_driver_sql("SELECT pg_advisory_lock(8)")


def fail(pair: Pair, error: type[Exception], *statements: str) -> None:
    """Have the last of the statements fail, with more left behind before them."""

    def run() -> None:
        with pair.databases.tenant(pair.one.ref) as connection:
            leave_again(connection)
            for each in statements:
                connection.exec_driver_sql(each)

    with pytest.raises(error):
        run()


def by_a_failed_statement(pair: Pair) -> int:
    pid = by_commit(pair)
    fail(pair, DBAPIError, "SELECT 1 / 0")
    return pid


def by_a_statement_that_took_too_long(pair: Pair) -> int:
    with pair.databases.tenant(pair.one.ref) as connection:
        pid = leave(pair, connection)
    fail(pair, DatabaseUnavailable, "SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(30)")
    return pid


def when_sleeping(pair: Pair, pid: int, act: str) -> None:
    """Act on a backend as soon as it sleeps."""
    sleeping = "FROM pg_stat_activity WHERE pid = %(pid)s AND state = 'active' AND query LIKE 'SELECT pg_sleep%%'"
    wait_until(lambda: pair.world.sql(f"SELECT {act}(pid) {sleeping}", pid=pid), 10)


def by_a_cancelled_statement(pair: Pair) -> int:
    pid = by_commit(pair)
    thread = threading.Thread(target=lambda: when_sleeping(pair, pid, "pg_cancel_backend"))
    thread.start()
    fail(pair, DatabaseUnavailable, "SELECT pg_sleep(30)")
    thread.join()
    return pid


def by_a_request_that_was_given_up(pair: Pair) -> int:
    """The thread ends in the middle, as at a time-out of the server: SystemExit goes through everything."""
    pid = by_commit(pair)

    def give_up() -> None:
        with suppress(SystemExit), pair.databases.tenant(pair.one.ref) as connection:
            leave_again(connection)
            raise SystemExit

    thread = threading.Thread(target=give_up)
    thread.start()
    thread.join()
    return pid


def by_nobody_ending_it(pair: Pair) -> int:
    """A transaction that is dropped without a word, as by a generator that nobody exhausts."""

    def working() -> Iterator[None]:
        with pair.databases.tenant(pair.one.ref) as connection:
            leave_again(connection)
            yield

    pid = by_commit(pair)
    work = working()
    next(work)
    del work
    return pid


def by_a_lost_connection(pair: Pair) -> int:
    pid = by_commit(pair)
    gone = threading.Thread(target=lambda: when_sleeping(pair, pid, "pg_terminate_backend"))
    gone.start()
    fail(pair, DomainError, "SELECT pg_sleep(30)")
    gone.join()
    return 0


def by_an_open_result(pair: Pair) -> int:
    """Rows that nobody fetched, on a cursor of the server and on one of the client."""
    pid = by_commit(pair)
    with pair.databases.tenant(pair.one.ref) as connection:
        connection.execution_options(stream_results=True).exec_driver_sql("SELECT generate_series(1, 100000)").fetchone()
    with suppress(LookupError), pair.databases.tenant(pair.one.ref) as connection:
        connection.exec_driver_sql("SELECT generate_series(1, 1000)").fetchone()
        raise LookupError
    return pid


ENDS: list[Callable[[Pair], int]] = [
    by_commit, by_an_exception, by_a_failed_statement, by_a_statement_that_took_too_long, by_a_cancelled_statement,
    by_a_request_that_was_given_up, by_nobody_ending_it, by_a_lost_connection, by_an_open_result,
]  # fmt: skip


@pytest.mark.parametrize("ends", ENDS, ids=lambda each: each.__name__)
def test_the_next_tenant_finds_nothing(pair: Pair, ends: Callable[[Pair], int]) -> None:
    pair.assert_clean(ends(pair))


def test_nothing_comes_back_when_the_next_transaction_fails(pair: Pair) -> None:
    """The clearing holds although what came after it is rolled back."""
    by_commit(pair)
    with suppress(LookupError), pair.databases.tenant(pair.two.ref):
        raise LookupError
    pair.assert_clean()


def test_a_transaction_within_another_has_a_connection_of_its_own(pair: Pair) -> None:
    process = pair.world.again(pool_size=2, statement_timeout_s=2)
    nested = Pair(pair.world, process.runtime.databases, pair.one, pair.two)
    with nested.databases.tenant(pair.one.ref) as outer:
        pid = leave(nested, outer)
        seen = nested.seen_by(pair.two)
        assert seen.pop("pid") != pid
        assert seen == nested.clean(pair.two)
        outer.exec_driver_sql(f"SET LOCAL ROLE {pair.one.ref.role}")
        assert outer.exec_driver_sql("SELECT current_user").scalar_one() == pair.one.ref.role
    nested.assert_clean()


WORKER = """
import json, sys, time
from sqlalchemy import text
from strongroom.config import load_settings
from strongroom.db.engines import Databases, TenantRef
from uuid import UUID
settings = load_settings({}, **json.loads(sys.argv[1]))
with Databases(settings).tenant(TenantRef(UUID(sys.argv[2]), "default")) as connection:
    connection.execute(text("SELECT pg_advisory_lock(99)"))
    connection.execute(text("INSERT INTO users (id, email, email_key, role, status) SELECT gen_random_uuid(), 'a', 'a', 'owner', 'active'"))
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_worker_leaves_nothing_behind(pair: Pair) -> None:
    settings = {"database_url": pair.world.database.app_url, "broker_url": "memory://", "master_key": "A" * 43 + "="}
    command = [sys.executable, "-c", WORKER, json.dumps(settings), str(pair.one.id)]
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 99"
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"held\n"
            assert pair.world.sql(held)
        finally:
            worker.kill()
    wait_until(lambda: not pair.world.sql(held), 10)
    assert pair.world.rows(pair.one, "users") == []


def test_temporary_tables_are_refused_to_begin_with(world: World, tenant: Tenant) -> None:
    for begin in (world.runtime.databases.tenant(tenant.ref), world.runtime.databases.control()):
        with pytest.raises(DBAPIError, match="temporary"), begin as connection:
            connection.exec_driver_sql("CREATE TEMPORARY TABLE mine (secret text)")


def test_the_pool_is_bounded(world: World, tenant: Tenant) -> None:
    few = world.again(pool_size=2, pool_timeout_s=0.05).runtime.databases
    with few.tenant(tenant.ref), few.tenant(tenant.ref), pytest.raises(DatabaseUnavailable), few.tenant(tenant.ref):
        raise AssertionError("a third connection")


def test_a_connection_is_replaced_after_so_many_tenants(world: World) -> None:
    databases = world.again(pool_size=1, connection_max_tenants=3).runtime.databases
    tenants = [world.create_tenant() for _ in range(4)]

    def pid(tenant: Tenant) -> int:
        with databases.tenant(tenant.ref) as connection:
            found: int = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            return found

    first = [pid(tenants[number]) for number in (0, 1, 0, 1, 0, 2)]  # the third tenant is the last one
    assert len(set(first)) == 1
    second = [pid(tenants[number]) for number in (3, 3, 2, 3)]
    assert len(set(second)) == 1
    assert set(first).isdisjoint(second)
    wait_until(lambda: not world.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %(pid)s", pid=first[0]), 10, "the old backend is gone")


def pids(databases: Databases, *tenants: Tenant | None) -> list[int]:
    """The backends that serve these one after the other; None: the platform."""
    found = []
    for tenant in tenants:
        with databases.tenant(tenant.ref) if tenant else databases.control() as connection:
            found.append(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    return found


def test_a_tenant_gets_the_connection_that_knows_it(world: World) -> None:
    """One that knows enough tenants is kept for these; another is opened while there is room, then the longest unused goes."""
    databases = world.again(pool_size=2, connection_max_tenants=2).runtime.databases
    a, b, c, d, e = (world.create_tenant() for _ in range(5))
    one, two = (pids(databases, a, b)[0], pids(databases, c, d)[0])
    assert one != two
    assert pids(databases, a, d, c, b, c, a, a) == [one, two, two, one, two, one, one]
    three = pids(databases, e)[0]
    assert three not in {one, two}
    assert pids(databases, a, b, e) == [one, one, three]
    wait_until(lambda: not world.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %(pid)s", pid=two), 10, "the backend is gone")


def test_the_platform_keeps_to_a_connection_of_its_own_while_there_is_room(world: World) -> None:
    roomy = world.again(pool_size=2).runtime.databases
    a, b = world.create_tenant(), world.create_tenant()
    platform, tenants, *rest = pids(roomy, None, a, None, b, a, None)
    assert platform != tenants
    assert rest == [platform, tenants, tenants, platform]
    narrow = world.again(pool_size=1).runtime.databases
    assert len(set(pids(narrow, None, a, None, b))) == 1


def test_the_platforms_connection_is_replaced_after_it_made_so_many_tenants(world: World) -> None:
    databases = world.again(pool_size=2, connection_max_tenants=2).runtime.databases
    first = pids(databases, None)[0]
    for _ in range(2):
        with suppress(LookupError), databases.cell("default") as connection:
            provision(connection, TenantRef(new_id(), "default"))
            assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == first
            raise LookupError  # none of them stays
    second, third = pids(databases, None, None)
    assert first != second == third


def test_a_process_that_does_not_spread_its_tenants_keeps_few_connections(world: World) -> None:
    databases = world.again(pool_size=4, connection_max_tenants=2, spread_tenants=False).runtime.databases
    a, b, c = (world.create_tenant() for _ in range(3))
    one, *more = pids(databases, None, a, None, b, a)
    assert set(more) == {one}
    other = pids(databases, c)[0]
    assert other != one
    assert pids(databases, a, None, c) == [other] * 3


def test_idle_connections_serve_when_the_server_gives_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    databases = world.again(pool_size=2).runtime.databases
    tenant, (only,) = world.create_tenant(), pids(databases, None)

    asked: list[object] = []

    def refuse(*args: object, **_kwargs: object) -> None:
        asked.append(args)
        raise psycopg.OperationalError("too many clients already")

    monkeypatch.setattr(psycopg, "connect", refuse)
    assert pids(databases, tenant, None, tenant) == [only] * 3
    assert len(asked) == 1, "not with every request: it may take seconds each time"
    with databases.control(), pytest.raises(DatabaseUnavailable), databases.control():
        raise AssertionError("a second connection")


def test_statements_are_compiled_once_for_all_tenants(world: World) -> None:
    """SQLAlchemy's cache of compiled statements does not grow with tenants: their schema is in the path, not in the text."""
    runtime = world.again().runtime
    client_of: list[Tenant] = [world.create_tenant() for _ in range(6)]

    def touch(tenant: Tenant) -> int:
        with runtime.tenant(tenant) as connection:
            for table in ("users", "buckets", "files"):
                connection.execute(text(f"SELECT count(*) FROM {table}"))  # noqa: S608 - three constants
            return len(connection.engine._compiled_cache or ())

    sizes = [touch(each) for each in client_of]
    assert len(set(sizes)) == 1


# Prepared statements


def prepared(pair: Pair, tenant: Tenant, times: int = 8) -> list[str]:
    """Ask the same again and again; return what the connection has prepared by then."""
    for _ in range(times):
        with pair.databases.tenant(tenant.ref) as connection:
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == (tenant == pair.two)
            found = connection.execute(text("SELECT statement FROM pg_prepared_statements")).scalars().all()
    return [each for each in found if "users" in each]


@pytest.fixture
def with_a_user(pair: Pair) -> Pair:
    pair.world.create_user(pair.two, "owner")
    return pair


def test_statements_are_prepared_for_one_tenant_at_a_time(with_a_user: Pair) -> None:
    for _ in range(3):  # psycopg and the server agree on what is prepared, whoever had the connection before
        for tenant in (with_a_user.one, with_a_user.two):
            assert len(prepared(with_a_user, tenant)) == 1
            assert prepared(with_a_user, tenant, 1), "still"
    with with_a_user.databases.control() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0


def test_what_others_ran_is_not_prepared_for_a_tenant(with_a_user: Pair) -> None:
    pair = with_a_user
    assert not any(prepared(pair, tenant, 3) for tenant in (pair.one, pair.two) * 3), "each ran it too seldom to be worth it"
    assert prepared(pair, pair.one)
    assert not prepared(pair, pair.two, 3), "nor after a tenant for whom it was"


def test_nobody_runs_what_another_prepared_under_a_name(with_a_user: Pair) -> None:
    """As injected SQL could do: psycopg's names are easy to guess."""
    pair = with_a_user
    assert prepared(pair, pair.one)
    with pair.databases.tenant(pair.one.ref) as connection:
        names = connection.execute(text("SELECT name FROM pg_prepared_statements")).scalars().all()
        for name in names:
            connection.exec_driver_sql(f"DEALLOCATE {name}")
            connection.exec_driver_sql(f"PREPARE {name} AS SELECT 666::bigint")
    assert prepared(pair, pair.two), "each of whose answers was right"


def test_prepared_statements_after_a_migration(with_a_user: Pair) -> None:
    pair = with_a_user
    assert prepared(pair, pair.two)
    pair.world.tenant_sql(pair.two, "ALTER TABLE {t}.users ADD COLUMN more integer")
    assert prepared(pair, pair.two)
    pair.world.tenant_sql(pair.two, "ALTER TABLE {t}.users DROP COLUMN more")
    assert prepared(pair, pair.two)
