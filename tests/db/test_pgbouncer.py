"""Behind PgBouncer in transaction mode: two server sessions for everybody, and still nothing passes from one tenant to another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from strongroom.errors import DatabaseUnavailable
from strongroom.life import service as life

from tenants import service
from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.db.grants import knows_not_yet
from tests.factories import Client, World, host_of, ok
from tests.services.pgbouncer import BINARY, pgbouncer

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="Debian's pgbouncer is not installed")
SEEN = """
SELECT current_user || ' ' || current_setting('role') || ' ' || current_setting('search_path') || ' ' || current_setting('TimeZone')
    || ' ' || current_setting('statement_timeout') || ' ' || coalesce(current_setting('my.secret', true), '')
    || ' ' || (SELECT count(*) FROM pg_prepared_statements) || ' ' || (SELECT count(*) FROM pg_cursors WHERE name = 'mine')
    || ' ' || (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory')
"""
LEAVINGS = (
    "SET my.secret = 'x'", "SET timezone = 'Asia/Kathmandu'", "SET statement_timeout = 0", "PREPARE mine AS SELECT 1",
    "DECLARE mine CURSOR WITH HOLD FOR SELECT 1", "SELECT pg_advisory_lock(7)",
)  # fmt: skip


@pytest.fixture(scope="module")
def bouncing(shared_world: World) -> Iterator[World]:
    """A process that reaches its database through PgBouncer, and listens past it."""
    with pgbouncer(shared_world.database.cluster) as through:
        database = replace(shared_world.database, cluster=through)
        process = World(database, shared_world.files_dir, behind_pgbouncer=True, listen_database_url=shared_world.database.app_url)
        yield process
        process.close()


def test_requests_of_two_tenants_at_once(world: World, bouncing: World) -> None:
    """Uploads, listings and downloads of two tenants on the same two sessions."""
    clients = []
    for _ in range(2):
        account = world.create_user(world.create_tenant())
        world.create_bucket(account.tenant)
        clients.append(Client(bouncing.app, host_of(account.tenant), world.client(account).token))

    def work(number: int) -> None:
        client = clients[number % 2]
        data = f"of tenant {number % 2}, {number}".encode()
        file = world.upload(client, f"{number}.txt", data)
        assert ok(client.get(f"/api/v1/files/{file['id']}"))["path"] == f"{number}.txt"

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(24)))
    for parity, client in enumerate(clients):
        names = {each["path"] for each in ok(client.get("/api/v1/buckets/media/files"))["items"]}
        assert names == {f"{number}.txt" for number in range(24) if number % 2 == parity}


def test_what_a_session_was_left_with_is_cleared(world: World, bouncing: World) -> None:
    one, two = world.create_tenant(), world.create_tenant()
    databases = bouncing.runtime.databases
    for _ in range(3):
        with databases.tenant(one.ref) as connection:
            for each in (*LEAVINGS, f"SET ROLE {one.ref.role}"):
                connection.exec_driver_sql(each)
    for _ in range(6):
        with databases.tenant(two.ref) as connection:
            role = two.ref.role
            assert connection.execute(text(SEEN)).scalar_one() == f"{role} {role} {role} UTC 30s  0 0 0"
        with databases.control() as connection:
            assert connection.execute(text(SEEN)).scalar_one() == 'strongroom_app none "$user", public UTC 30s  0 0 0'


def fail_within(bouncing: World, tenant: Tenant, error: type[BaseException], *statements: str) -> None:
    """Leave all that can be left, and then have the last of the statements fail in a transaction of its own."""
    databases = bouncing.runtime.databases
    with databases.tenant(tenant.ref) as connection:
        for each in (*LEAVINGS, f"SET ROLE {tenant.ref.role}"):
            connection.exec_driver_sql(each)
    with suppress(error), databases.tenant(tenant.ref) as connection:
        for each in statements:
            connection.exec_driver_sql(each)
        raise LookupError


def by_an_exception(bouncing: World, tenant: Tenant) -> None:
    fail_within(bouncing, tenant, LookupError, "SET my.secret = 'again'", "SELECT pg_advisory_lock(8)")


def by_a_failed_statement(bouncing: World, tenant: Tenant) -> None:
    fail_within(bouncing, tenant, DBAPIError, "SET my.secret = 'again'", "SELECT 1 / 0")


def by_a_statement_that_took_too_long(bouncing: World, tenant: Tenant) -> None:
    fail_within(bouncing, tenant, DatabaseUnavailable, "SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(30)")


SLEEPING = "FROM pg_stat_activity WHERE usename = 'strongroom_app' AND state = 'active' AND query LIKE 'SELECT pg_sleep(31)%%'"


def while_it_sleeps(bouncing: World, tenant: Tenant, act: str) -> None:
    """Do something to a session while it runs a statement of the tenant."""
    sessions = f"SELECT {act}(pid) {SLEEPING}"
    acting = threading.Thread(target=lambda: wait_until(lambda: bouncing.sql(sessions), 20))
    acting.start()
    fail_within(bouncing, tenant, DatabaseUnavailable, "SELECT pg_sleep(31)")
    acting.join()


def by_a_session_that_was_ended(bouncing: World, tenant: Tenant) -> None:
    while_it_sleeps(bouncing, tenant, "pg_terminate_backend")


def by_a_cancelled_statement(bouncing: World, tenant: Tenant) -> None:
    while_it_sleeps(bouncing, tenant, "pg_cancel_backend")


def by_a_request_that_was_given_up(bouncing: World, tenant: Tenant) -> None:
    def give_up() -> None:
        with suppress(SystemExit), bouncing.runtime.databases.tenant(tenant.ref) as connection:
            connection.exec_driver_sql("SELECT pg_advisory_lock(9)")
            raise SystemExit

    thread = threading.Thread(target=give_up)
    thread.start()
    thread.join()


def by_one_within_another(bouncing: World, tenant: Tenant) -> None:
    """A transaction within another's has the other session, and leaves neither anything."""
    databases = bouncing.runtime.databases
    with databases.tenant(tenant.ref) as outer:
        outer.exec_driver_sql("SET my.secret = 'outer'")
        with suppress(LookupError), databases.tenant(tenant.ref) as inner:
            assert inner.exec_driver_sql("SELECT coalesce(current_setting('my.secret', true), '')").scalar_one() == ""
            inner.exec_driver_sql("SELECT pg_advisory_lock(10)")
            raise LookupError


ENDS: list[Callable[[World, Tenant], None]] = [
    by_an_exception, by_a_failed_statement, by_a_statement_that_took_too_long, by_a_session_that_was_ended, by_a_cancelled_statement,
    by_a_request_that_was_given_up, by_one_within_another,
]  # fmt: skip


@pytest.mark.parametrize("ends", ENDS, ids=lambda each: each.__name__)
def test_however_a_transaction_ends_the_next_tenant_finds_nothing(
    world: World, bouncing: World, ends: Callable[[World, Tenant], None]
) -> None:
    one, two = world.create_tenant(), world.create_tenant()
    ends(bouncing, one)
    role = two.ref.role
    for _ in range(4):  # both sessions have their turn
        with bouncing.runtime.databases.tenant(two.ref) as connection:
            assert connection.execute(text(SEEN)).scalar_one() == f"{role} {role} {role} UTC 30s  0 0 0"


def server_sessions(world: World) -> set[int]:
    """The backends of everything that uses the database as the application does."""
    found = world.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'strongroom_app' AND datname = current_database()")
    return {row["pid"] for row in found}


def test_a_servers_session_that_does_not_know_of_a_grant_is_ended(
    world: World, bouncing: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be given to one request after the other."""
    before = server_sessions(world)
    ended = knows_not_yet(world, tenant, monkeypatch)
    with bouncing.runtime.tenant(tenant) as connection:
        assert connection.execute(text("SELECT current_user")).scalar_one() == tenant.ref.role
    assert len(ended) == 1
    wait_until(lambda: not before <= server_sessions(world), 10, "a server's session is gone")


def test_changes_are_heard_past_it(world: World, bouncing: World, tenant: Tenant) -> None:
    registry = bouncing.runtime.registry
    registry.by_slug(tenant.slug)
    wait_until(lambda: registry.listener.is_listening, 10)
    wait_until(lambda: getattr(registry.by_slug(tenant.slug), "status", None) == "active", 5)
    life.suspend(world.runtime, tenant.id)
    wait_until(lambda: getattr(registry.by_slug(tenant.slug), "status", None) == "suspended", 20)


def test_nobody_listens_through_it(world: World, bouncing: World, tenant: Tenant) -> None:
    """It would take the word and hear nothing: without an address past it, what is known is believed for a second only."""
    deaf = World(bouncing.database, world.files_dir, behind_pgbouncer=True, registry_lifetime_s=600)
    try:
        registry = deaf.runtime.registry
        assert getattr(registry.by_slug(tenant.slug), "status", None) == "active"
        assert not registry.listener.is_listening
        life.suspend(world.runtime, tenant.id)
        wait_until(lambda: getattr(registry.by_slug(tenant.slug), "status", None) == "suspended", 20)
    finally:
        deaf.close()


def test_a_tenants_whole_life(world: World, bouncing: World) -> None:
    made = service.create_tenant(bouncing.runtime.databases, slug="behind-the-bouncer")
    bouncing.create_bucket(made)
    life.delete(bouncing.runtime, made.id, now=True)
    life.advance(bouncing.runtime, made.id)
    assert world.sql("SELECT 1 FROM pg_roles WHERE rolname = %(role)s", role=made.ref.role) == []
