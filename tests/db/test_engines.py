"""Connections: bounded, replaced when they are lost, and told apart from mistakes of ours."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from strongroom.db.ids import new_id, parse_id
from strongroom.errors import DatabaseUnavailable, NotFound, UnknownHost

from tests.acceptance.waiting import wait_until
from tests.db.grants import change_grant, knows_not_yet
from tests.factories import Client, World, ok, problem


def test_all_connections_in_use(world: World) -> None:
    one = world.again(pool_size=1, pool_timeout_s=0.05)
    with ExitStack() as stack:
        stack.enter_context(one.runtime.databases.control())
        with pytest.raises(DatabaseUnavailable) as caught:
            stack.enter_context(one.runtime.databases.control())
        assert caught.value.retry_after_s
    with one.runtime.databases.control() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_database_that_is_not_there(world: World, tmp_path: Any) -> None:
    nowhere = f"postgresql://strongroom_app:x@/nowhere?host={tmp_path}&port=5432"
    down = world.again(database_url=nowhere, cells={})
    door = Client(down.app, "acme.localhost")
    response = door.get("/api/v1/account")
    problem(response, 503, "database_unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert b"postgres" not in response.data.lower()
    assert str(tmp_path).encode() not in response.data
    assert ok(door.get("/healthz")) == {"status": "ok"}
    ready = door.get("/readyz")
    assert ready.status_code == 503
    assert ready.get_json()["status"] == "not ready"


def test_a_wrong_password_of_the_database(world: World) -> None:
    wrong = world.again(database_url=world.database.app_url.replace(":", ":wrong", 2).replace("postgresql:wrong", "postgresql:", 1))
    with pytest.raises(DatabaseUnavailable), wrong.runtime.databases.control():
        raise AssertionError("came in with a wrong password")


def test_a_request_survives_a_restart_of_the_database(world: World, client: Client) -> None:
    """Every pooled connection is lost; the next request is served on a new one."""
    ok(client.get("/api/v1/account"))
    world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'strongroom_app' AND datname = current_database()")
    assert ok(client.get("/api/v1/account"))["email"]


def test_what_is_relaxed_does_not_wait_for_the_disk(world: World) -> None:
    asked = text("SELECT setting, source = 'session' AS is_ours FROM pg_settings WHERE name = 'synchronous_commit'")
    with world.runtime.databases.cell("default", relaxed=True) as connection:
        assert tuple(connection.execute(asked).one()) == ("off", True)
    with world.runtime.databases.cell("default") as connection:  # the next transaction waits as the cluster's settings say
        assert not connection.execute(asked).one().is_ours


def test_our_own_mistakes_are_no_outage(world: World) -> None:
    for statement in ("SELECT 1 / 0", "SELECT * FROM nowhere", "SELEKT"):
        with pytest.raises(DBAPIError), world.runtime.databases.control() as connection:
            connection.execute(text(statement))


def test_statements_have_a_time_limit(world: World) -> None:
    short = world.again(statement_timeout_s=1)
    with short.runtime.databases.control() as connection:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert connection.execute(text(f"SHOW {name}")).scalar_one() == "1s"


def test_ids_sort_by_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert {each.version for each in ids} == {7}
    for each in ids[:10]:
        assert parse_id(str(each)) == parse_id(str(each).upper()) == each
    for wrong in ("", "x", ids[0].hex, f"{{{ids[0]}}}", f" {ids[0]}", f"urn:uuid:{ids[0]}"):
        with pytest.raises(NotFound):
            parse_id(wrong)


def test_a_look_up_survives_a_restart_of_the_database(world: World, tenant: Any) -> None:
    """It begins no transaction, in which a connection that died would be found out."""
    databases = world.again(pool_size=1).runtime.databases

    def slug(connection: Any) -> Any:
        return connection.execute(text("SELECT pg_backend_pid(), slug FROM strongroom.tenants WHERE id = :id"), {"id": tenant.id}).one()

    first = databases.look_up(slug)
    assert databases.look_up(slug) == first
    world.sql("SELECT pg_terminate_backend(%(pid)s)", pid=first[0])
    assert databases.look_up(slug).slug == tenant.slug
    with pytest.raises(DBAPIError):
        databases.look_up(lambda connection: connection.execute(text("SELEKT")))


def test_a_look_up_finds_nothing_that_a_tenant_left(world: World, tenant: Any) -> None:
    databases = world.again(pool_size=1).runtime.databases
    with databases.tenant(tenant.ref) as connection:
        connection.execute(text("SET my.secret = 'x'"))
    look = text("SELECT coalesce(current_setting('my.secret', true), '') || current_user")
    assert databases.look_up(lambda connection: connection.execute(look).scalar_one()) == "strongroom_app"


def test_only_what_reads_does_not_wait_for_the_disk(world: World, tenant: Any) -> None:
    runtime = world.again(pool_size=1).runtime

    def commits(connection: Any) -> Any:
        return connection.execute(text("SHOW synchronous_commit")).scalar_one()

    def wait() -> None:
        """The cluster of the tests waits for no commit at all."""
        with runtime.tenant(tenant) as connection:
            connection.execute(text("SET synchronous_commit = on"))

    for reads, expected in ((True, "off"), (False, "on")):
        wait()
        assert commits(runtime.keep_open(tenant, reads=reads)) == expected
        runtime.let_go()
    with runtime.tenant(tenant) as connection:
        assert commits(connection) == "on"


def test_a_session_that_does_not_know_of_a_grant_is_ended(world: World, tenant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a session that read the list of its roles while another one was granted: it would refuse the tenant again and again."""
    ended = knows_not_yet(world, tenant, monkeypatch)
    process = world.again(pool_size=1).runtime
    with process.databases.control() as connection:
        stale = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with process.tenant(tenant) as connection:
        assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() != stale
    assert len(ended) == 1
    wait_until(lambda: not world.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %(pid)s", pid=stale), 10, "its session is gone")


def test_a_tenant_whose_role_every_session_refuses_is_not_here(world: World, tenant: Any) -> None:
    change_grant(world, f"REVOKE {tenant.ref.role} FROM strongroom_app")
    process = world.again(pool_size=2).runtime
    for _ in range(2):
        with pytest.raises(UnknownHost), process.databases.tenant(tenant.ref):
            raise AssertionError("took the role")
    with process.databases.control() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
