"""The wall of rows: what the database itself refuses, with every filter of ours left out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from strongroom.db.engines import TenantRef
from strongroom.db.ids import new_id
from strongroom.errors import DatabaseUnavailable, UnknownHost
from strongroom.jobs.queue import enqueue
from strongroom.jobs.tables import jobs

from tenants.models import Tenant
from tests.factories import World

PERMISSION_DENIED = "42501"


@pytest.fixture
def other(world: World) -> Tenant:
    """Another tenant, with a file."""
    made = world.create_tenant()
    world.create_bucket(made, "media")
    world.upload(world.client(world.create_user(made)), "secret.txt", b"of the other")
    return made


@contextmanager
def refused(*states: str) -> Iterator[None]:
    with pytest.raises(DBAPIError) as caught:
        yield
    assert caught.value.orig.sqlstate in (states or (PERMISSION_DENIED,)), caught.value.orig


TABLES = ("users", "sessions", "api_keys", "buckets", "files", "versions", "uploads", "counters", "events", "access_log", "usage_hourly")


@pytest.mark.parametrize("table", TABLES)
def test_login_role_reads_no_tenant_table_without_set_role(world: World, tenant: Tenant, table: str) -> None:
    with world.runtime.databases.cell("default") as connection, refused():
        connection.execute(text(f"TABLE {tenant.ref.role}.{table}"))


def test_login_role_finds_no_tenant_table_unqualified(world: World, tenant: Tenant) -> None:
    assert world.rows(tenant, "counters")
    with world.runtime.databases.cell("default") as connection, refused("42P01"):
        connection.execute(text("SELECT * FROM counters"))


@pytest.mark.parametrize("statement", ["SELECT * FROM {}.files", "INSERT INTO {}.counters DEFAULT VALUES", "DELETE FROM {}.files"])
def test_other_schema_by_qualified_name(world: World, tenant: Tenant, other: Tenant, statement: str) -> None:
    with world.runtime.tenant(tenant) as connection, refused():
        connection.execute(text(statement.format(other.ref.role)))
    assert len(world.rows(other, "files")) == 1


def test_unfiltered_select_gives_only_ones_own(world: World, tenant: Tenant, other: Tenant) -> None:
    world.create_bucket(tenant)
    world.upload(world.client(world.create_user(tenant)), "mine.txt")
    with world.runtime.tenant(tenant) as connection:
        assert connection.execute(text("SELECT path FROM files")).scalars().all() == ["mine.txt"]
    with world.runtime.tenant(other) as connection:
        assert connection.execute(text("SELECT path FROM files")).scalars().all() == ["secret.txt"]


@pytest.mark.parametrize(
    "table", ["tenants", "operators", "operator_sessions", "providers", "plans", "usage_daily", "jobs", "job_turns", "tenant_script"]
)
def test_registry_and_jobs_are_closed_to_a_tenant(world: World, tenant: Tenant, table: str) -> None:
    with world.runtime.tenant(tenant) as connection, refused():
        connection.execute(text(f"TABLE strongroom.{table}"))


def test_a_tenant_makes_nothing_in_its_schema_or_elsewhere(world: World, tenant: Tenant) -> None:
    for statement in (
        "CREATE TABLE mine (id int)",
        "CREATE TEMP TABLE mine (id int)",
        "CREATE TEMP VIEW mine AS SELECT 1",
        "CREATE TABLE public.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mine",
        "ALTER TABLE files DISABLE TRIGGER ALL",
        "DROP TABLE files",
        "TRUNCATE files",
        "UPDATE alembic_version SET version_num = '0000'",
    ):
        with world.runtime.tenant(tenant) as connection, refused(PERMISSION_DENIED, "3F000"):
            connection.execute(text(statement))


ESCAPES = {
    "set_config": "SELECT set_config('role', '{other}', true)",
    "set_config in a subquery": "SELECT * FROM files WHERE path = (SELECT set_config('role', '{other}', false))",
    "query_to_xml": "SELECT query_to_xml('set role {other}', true, true, '')",
    "query_to_xml reading": "SELECT query_to_xml('select * from {other}.files', true, true, '')",
    "table_to_xml": "SELECT table_to_xml('{other}.files', true, true, '')",
    "schema_to_xml": "SELECT schema_to_xml('{other}', true, true, '')",
    "ts_stat": "SELECT * FROM ts_stat('select to_tsvector(path) from {other}.files')",
    "pg_settings": "UPDATE pg_settings SET setting = '{other}' WHERE name = 'role'",
    "do block": "DO $$ BEGIN EXECUTE 'SET ROLE {other}'; END $$",
    "stacked": "SELECT 1; SET ROLE {other}",
    "stacked after a comment": "SELECT 1 /* */; SELECT * FROM {other}.files -- ",
    "copy": "COPY {other}.files TO STDOUT",
    "copy to a program": "COPY files TO PROGRAM 'cat'",
    "read a file": "SELECT pg_read_file('/etc/passwd')",
    "provision": "SELECT strongroom.provision_tenant(gen_random_uuid())",
    "drop": "SELECT strongroom.drop_tenant('{other_id}')",
    "the jobs": "INSERT INTO strongroom.jobs (tenant_id, realm, kind) VALUES ('{other_id}', 'platform', 'tenant.delete')",
}


@pytest.mark.parametrize("name", ESCAPES)
def test_no_way_out_of_the_role(world: World, tenant: Tenant, other: Tenant, name: str) -> None:
    statement = ESCAPES[name].format(other=other.ref.role, other_id=other.id)
    with world.runtime.tenant(tenant) as connection:
        # 42601: more than one statement; 0A000: a server without libxml; 42501 for all the rest
        with pytest.raises(DBAPIError) as caught:
            connection.exec_driver_sql(statement)
        assert caught.value.orig.sqlstate in {PERMISSION_DENIED, "42601", "0A000"}, caught.value.orig
    with world.runtime.tenant(tenant) as connection:
        assert connection.execute(text("SELECT current_setting('role')")).scalar_one() == tenant.ref.role
    assert len(world.rows(other, "files")) == 1
    assert world.jobs(other, realm="platform") == []


def test_a_dump_of_the_database_is_ones_own(world: World, tenant: Tenant, other: Tenant) -> None:
    """`database_to_xml` tells of every table that one may read; a server without libxml tells nothing."""
    text_ = ""
    with suppress(DBAPIError), world.runtime.tenant(tenant) as connection:
        text_ = str(connection.exec_driver_sql("SELECT database_to_xml(true, true, '')").scalar_one())
    assert "secret.txt" not in text_
    assert other.ref.role not in text_


def test_injected_text_cannot_end_the_statement(world: World, tenant: Tenant, other: Tenant) -> None:
    """What injection into a careless statement would do: it is one statement, or none."""
    injected = f"x'; RESET ROLE; TABLE {other.ref.role}.files; --"
    with world.runtime.tenant(tenant) as connection, refused("42601"):
        connection.exec_driver_sql(f"SELECT * FROM files WHERE path = '{injected}'")  # noqa: S608 - the point of the test


def test_what_others_ask_is_not_shown(world: World, tenant: Tenant) -> None:
    marker = f"marker {uuid4().hex}"
    with world.runtime.databases.cell("default") as busy:
        busy.execute(text(f"SELECT '{marker}'"))
        with world.runtime.tenant(tenant) as connection:
            queries = connection.execute(text("SELECT query FROM pg_stat_activity WHERE query LIKE :marker"), {"marker": f"%{marker}%"})
            assert [each for each in queries.scalars() if each.startswith("SELECT 'marker")] == []


def test_enter_refuses_what_is_no_tenant(world: World) -> None:
    class Forged(TenantRef):
        @property
        def role(self) -> str:
            return "strongroom_owner; --"

    with pytest.raises(ValueError, match="not a tenant's role"), world.runtime.databases.tenant(Forged(new_id(), "default")):
        raise AssertionError("entered")


def test_a_tenant_that_is_gone_is_no_way_in(world: World) -> None:
    with pytest.raises(UnknownHost), world.runtime.databases.tenant(TenantRef(new_id(), "default")):
        raise AssertionError("entered a tenant that does not exist")


# A pooled connection carries nothing from one transaction to the next.


def state_of(connection: Connection) -> tuple[str, str]:
    row = connection.execute(text("SELECT current_setting('role'), current_setting('search_path')")).one()
    return row[0], row[1]


class Planned(Exception):
    pass


def fail(_connection: Connection) -> None:
    raise Planned


def break_a_statement(connection: Connection) -> None:
    connection.execute(text("SELECT 1 / 0"))


def time_out(connection: Connection) -> None:
    connection.execute(text("SET LOCAL statement_timeout = '20ms'"))
    connection.execute(text("SELECT pg_sleep(10)"))


def cancel(connection: Connection) -> None:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    timer = threading.Timer(0.05, driver.cancel_safe)
    timer.start()
    try:
        connection.execute(text("SELECT pg_sleep(10)"))
    finally:
        timer.join()


def commit_well(connection: Connection) -> None:
    connection.execute(text("SELECT count(*) FROM files"))


@pytest.mark.parametrize("act", [fail, break_a_statement, time_out, cancel, commit_well])
def test_a_pooled_connection_is_clean_again(world: World, tenant: Tenant, act: Callable[[Connection], None]) -> None:
    one = world.again(pool_size=1)
    with one.runtime.databases.cell("default") as connection:
        pid, clean = connection.execute(text("SELECT pg_backend_pid()")).scalar_one(), state_of(connection)
    try:
        with one.runtime.tenant(tenant) as connection:
            assert state_of(connection) == (tenant.ref.role, tenant.ref.role)
            act(connection)
    except (Planned, DBAPIError, DatabaseUnavailable):
        assert act is not commit_well
    with one.runtime.databases.cell("default") as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() == pid
        assert state_of(connection) == clean
        assert clean[0] == "none"


def lose_the_connection(world: World, one: World, tenant: Tenant) -> None:
    with one.runtime.tenant(tenant) as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        world.sql("SELECT pg_terminate_backend(%(pid)s)", pid=pid)
        connection.execute(text("SELECT 1"))


def test_a_lost_connection_is_told_as_such_and_replaced(world: World, tenant: Tenant) -> None:
    one = world.again(pool_size=1)
    with pytest.raises(DatabaseUnavailable):
        lose_the_connection(world, one, tenant)
    with one.runtime.tenant(tenant) as connection:
        assert state_of(connection)[0] == tenant.ref.role


# Jobs carry the tenant that the database stamps on them.


def test_enqueue_job_stamps_the_tenant_of_the_role(world: World, tenant: Tenant, other: Tenant) -> None:
    with world.runtime.tenant(tenant) as connection:
        enqueue(connection, "files.check", {"tenant_id": str(other.id), "version_id": str(new_id())})
    queued = world.sql("SELECT tenant_id, realm FROM strongroom.jobs WHERE kind = 'files.check' AND tenant_id = %(id)s", id=tenant.id)
    assert queued == [{"tenant_id": tenant.id, "realm": "tenant"}]


def test_enqueue_job_is_refused_outside_a_tenant(world: World) -> None:
    with world.runtime.databases.cell("default") as connection, refused():
        enqueue(connection, "files.check", {})


def test_enqueue_job_cannot_be_shadowed_or_read_back(world: World, tenant: Tenant) -> None:
    """Its search path is its own, and what it wrote is out of reach."""
    with world.runtime.tenant(tenant) as connection:
        enqueue(connection, "files.check", {})
        with refused():
            connection.execute(jobs.select())


def test_a_forged_id_in_a_job_reaches_no_other_tenant(world: World, tenant: Tenant, other: Tenant) -> None:
    """A job of ours that names the other's version finds nothing: it runs in our own schema."""
    version = world.rows(other, "versions")[0]
    with world.runtime.tenant(tenant) as connection:
        enqueue(connection, "files.purge", {"bucket_id": str(version["bucket_id"]), "version_ids": [str(version["id"])]})
        enqueue(connection, "files.check", {"version_id": str(version["id"]), "tenant_id": str(other.id)})
    world.sql("DELETE FROM strongroom.jobs WHERE tenant_id = %(id)s", id=other.id)
    assert world.run_jobs() == 2
    assert world.rows(other, "versions") == [version]
    assert len(world.stored(other)) == 1


def test_a_tenant_cannot_make_platform_jobs(world: World, tenant: Tenant) -> None:
    with world.runtime.tenant(tenant) as connection:
        enqueue(connection, "tenant.delete", {"tenant_id": str(tenant.id)})
    world.run_jobs()
    (job,) = world.jobs(tenant)
    assert (job["realm"], job["state"]) == ("tenant", "queued")
    assert "UnknownJob" in job["error"]
    assert world.rows(tenant, "counters")


@pytest.mark.parametrize("statement", ["UPDATE strongroom.tenant_script SET script = ''", "DELETE FROM strongroom.tenant_script"])
def test_the_tenant_script_is_not_the_apps_to_change(world: World, statement: str) -> None:
    with world.runtime.databases.cell("default") as connection, refused():
        connection.execute(text(statement))


@pytest.mark.parametrize("function", ["enqueue_job", "provision_tenant", "drop_tenant"])
def test_definer_functions_have_their_own_search_path(world: World, function: str) -> None:
    (row,) = world.sql(
        "SELECT prosecdef, proconfig FROM pg_proc WHERE pronamespace = 'strongroom'::regnamespace AND proname = %(name)s", name=function
    )
    assert row["prosecdef"] is True
    assert row["proconfig"][0].startswith("search_path=pg_catalog")


def test_the_app_role_is_nobody_without_set_role(world: World, tenant: Tenant) -> None:
    (role,) = world.sql("SELECT rolinherit, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = 'strongroom_app'")
    assert role == {"rolinherit": False, "rolsuper": False, "rolbypassrls": False, "rolcreaterole": False}
    (row,) = world.sql("SELECT rolcanlogin, rolinherit FROM pg_roles WHERE rolname = %(name)s", name=tenant.ref.role)
    assert row == {"rolcanlogin": False, "rolinherit": False}
    assert UUID(hex=tenant.ref.role.removeprefix("t_")) == tenant.id
