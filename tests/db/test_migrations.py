"""Migrations: the prepared script equals the chain, the tables of the code equal those of the database, twice is as good as once."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Integer, MetaData, Table, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from strongroom.auth import tables as auth_tables
from strongroom.buckets import tables as bucket_tables
from strongroom.db import migrate
from strongroom.db.engines import TenantRef
from strongroom.db.ids import new_id
from strongroom.db.tables import tenant_metadata
from strongroom.errors import ConfigurationError
from strongroom.events import tables as event_tables
from strongroom.files import tables as file_tables
from strongroom.http import idempotency
from strongroom.jobs.tables import metadata as jobs_metadata
from strongroom.uploads import tables as upload_tables
from strongroom.usage import tables as usage_tables

from tenants import tables as registry_tables
from tenants.models import Tenant
from tests.factories import World, create_database, make_settings

_ALL_TENANT_MODULES = (auth_tables, bucket_tables, event_tables, file_tables, idempotency, upload_tables, usage_tables)

CATALOG = """
SELECT 'column' AS kind, c.relname || '.' || a.attname AS name,
       format_type(a.atttypid, a.atttypmod) || ' null=' || (NOT a.attnotnull) || ' identity=' || a.attidentity::text
       || ' default=' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || ' collation=' || coalesce(l.collname, '') AS body
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT 'constraint', c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.connamespace = %(schema)s::regnamespace
UNION ALL
SELECT 'index', c.relname, pg_get_indexdef(c.oid) FROM pg_class c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'i'
UNION ALL
SELECT 'relation', c.relkind::text || ' ' || c.relname, coalesce(c.relacl::text, '') FROM pg_class c
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind NOT IN ('i', 't')
UNION ALL
SELECT 'function', p.proname, pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = %(schema)s::regnamespace
ORDER BY 1, 2
"""


def catalog(world: World, schema: str) -> list[tuple[str, str, str]]:
    """Everything that is in a schema, without the schema's own name."""
    return [(row["kind"], row["name"], row["body"].replace(schema, "{t}")) for row in world.sql(CATALOG, schema=schema)]


def contents(world: World, schema: str) -> dict[str, list[Any]]:
    """The rows that a fresh schema comes with."""
    names = [name for kind, name, _ in catalog(world, schema) if kind == "relation" and name.startswith("r ")]
    return {name: world.sql(f"TABLE {schema}.{name.removeprefix('r ')}") for name in names}


def from_the_chain(world: World) -> TenantRef:
    """A tenant's role and schema, made by walking all migrations."""
    tenant = TenantRef(new_id(), "default")
    role = tenant.role
    statements = (
        f"CREATE ROLE {role} NOLOGIN NOINHERIT", f"CREATE SCHEMA {role}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {role} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {role} GRANT USAGE, SELECT ON SEQUENCES TO {role}",
    )  # fmt: skip
    assert world.settings.migration_database_url
    with migrate.owner_connection(world.settings.migration_database_url) as connection:
        for statement in statements:
            connection.execute(text(statement))
    migrate.migrate_tenant(world.settings, tenant)
    return tenant


def test_the_prepared_script_is_the_chain(world: World, tenant: Tenant) -> None:
    walked = from_the_chain(world)
    world.sql(f"REVOKE INSERT, UPDATE, DELETE ON {walked.role}.alembic_version FROM {walked.role}")
    assert catalog(world, walked.role) == catalog(world, tenant.ref.role)
    assert contents(world, walked.role) == contents(world, tenant.ref.role)


def test_short_texts_need_no_second_table(world: World, tenant: Tenant) -> None:
    """Neither where a tenant is made, nor where one that had them is migrated."""
    walked = from_the_chain(world)
    for role in (walked.role, tenant.ref.role):
        rows = world.sql("SELECT relname FROM pg_class WHERE relnamespace = %(role)s::regnamespace AND reltoastrelid <> 0", role=role)
        assert not {"sessions", "moves", "move_failures", "byte_claims", "mirrors", "identities"} & {row["relname"] for row in rows}
        assert "versions" in {row["relname"] for row in rows}


def test_a_tenants_version_is_the_newest(world: World, tenant: Tenant) -> None:
    assert tenant.schema_revision == migrate.head("tenant")
    assert world.rows(tenant, "alembic_version") == [{"version_num": migrate.head("tenant")}]
    (script,) = world.sql("SELECT revision FROM strongroom.tenant_script")
    assert script["revision"] == migrate.head("tenant")


def columns(world: World, schema: str) -> dict[str, dict[str, str]]:
    query = """
    SELECT table_name, column_name, udt_name FROM information_schema.columns WHERE table_schema = %(schema)s ORDER BY 1, ordinal_position
    """
    found: dict[str, dict[str, str]] = {}
    for row in world.sql(query, schema=schema):
        found.setdefault(row["table_name"], {})[row["column_name"]] = row["udt_name"]
    return found


TYPES = {
    "UUID": "uuid", "TEXT": "text", "BIGINT": "int8", "INTEGER": "int4", "BOOLEAN": "bool", "JSONB": "jsonb", "BYTEA": "bytea",
    "DATE": "date", "VARCHAR": "varchar",
    "TIMESTAMP WITH TIME ZONE": "timestamptz", "TEXT[]": "_text", "xid8": "xid8",
}  # fmt: skip


def in_code(metadata: MetaData) -> dict[str, dict[str, str]]:
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - only here

    def name(table: Table) -> dict[str, str]:
        return {column.name: TYPES[column.type.compile(dialect=postgresql.dialect()).partition("(")[0]] for column in table.columns}

    return {table.name: name(table) for table in metadata.tables.values()}


def test_tables_of_the_code_are_those_of_a_tenant(world: World, tenant: Tenant) -> None:
    """Every table and every column, of the same type; nothing in the one that is not in the other."""
    found = columns(world, tenant.ref.role)
    found.pop("alembic_version")
    assert in_code(tenant_metadata) == found


def test_tables_of_the_code_are_those_of_the_registry(world: World) -> None:
    found = columns(world, "strongroom")
    code = {**in_code(registry_tables.metadata), **in_code(jobs_metadata)}
    apart = {"alembic_version_control", "alembic_version_cell", "tenant_script", "job_turns", "arrivals", "departures"}
    assert {name: found[name] for name in code} == code
    assert set(found) - set(code) <= apart


def test_migrating_twice_changes_nothing(world: World, tenant: Tenant) -> None:
    before = catalog(world, "strongroom"), catalog(world, tenant.ref.role)
    migrate.migrate_platform(world.settings)
    assert migrate.migrate_tenant(world.settings, tenant.ref) == migrate.head("tenant")
    assert (catalog(world, "strongroom"), catalog(world, tenant.ref.role)) == before
    world.create_bucket(tenant)


def test_what_the_app_may_do_is_the_same_after_every_migration(world: World) -> None:
    query = """
    SELECT table_name, string_agg(privilege_type, ',' ORDER BY privilege_type) AS may FROM information_schema.role_table_grants
    WHERE grantee = 'strongroom_app' AND table_schema = 'strongroom' GROUP BY 1
    """
    may = {row["table_name"]: row["may"] for row in world.sql(query)}
    read_only = {"tenant_script", "alembic_version_control", "alembic_version_cell"}
    assert {may[name] for name in read_only} == {"SELECT"}
    assert {may[name] for name in set(may) - read_only} == {"DELETE,INSERT,SELECT,UPDATE"}


def test_functions_are_the_apps_alone(world: World, tenant: Tenant) -> None:
    query = """
    SELECT proname FROM pg_proc
    WHERE pronamespace = 'strongroom'::regnamespace AND has_function_privilege(%(role)s, oid, 'EXECUTE') ORDER BY 1
    """

    def may(role: str) -> list[str]:
        return [row["proname"] for row in world.sql(query, role=role)]

    assert may(tenant.ref.role) == ["enqueue_job"]
    assert set(may("strongroom_app")) >= {"provision_tenant", "drop_tenant", "enqueue_job"}
    assert set(may("strongroom_broker")) <= {"enqueue_job"}


def test_one_migration_at_a_time(world: World) -> None:
    """The second waits, and gives up in time."""
    url = world.settings.migration_database_url
    assert url
    with migrate.owner_connection(url):
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            taken: Connection = connection
            assert taken.execute(text("SELECT pg_try_advisory_xact_lock(:id)"), {"id": migrate.LOCK_ID}).scalar_one() is False
        engine.dispose()


def test_migrations_have_time_limits(world: World) -> None:
    url = world.settings.migration_database_url
    assert url
    with migrate.owner_connection(url) as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "5s"
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "5min"


def test_a_broken_migration_leaves_no_half_of_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    database = create_database(world.database.cluster, f"broken_{new_id().hex}")
    settings = make_settings(database)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_store_tenant_script", lambda connection, _settings: connection.execute(text("SELECT 1 / 0")))
        with pytest.raises(DBAPIError):
            migrate.migrate_platform(settings)
    with psycopg.connect(database.superuser_url) as connection:
        assert connection.execute("SELECT to_regclass('strongroom.tenants'), to_regclass('strongroom.jobs')").fetchone() == (
            "strongroom.tenants",
            None,
        )
    migrate.migrate_platform(settings)
    with psycopg.connect(database.superuser_url) as connection:
        assert connection.execute("SELECT revision FROM strongroom.tenant_script").fetchone() == (migrate.head("tenant"),)


def test_no_owner_no_migration(world: World) -> None:
    with pytest.raises(ConfigurationError):
        migrate.migrate_platform(make_settings(world.database, migration_database_url=None))


def test_xid8_is_read_as_a_number(world: World, tenant: Tenant) -> None:
    world.create_bucket(tenant)
    (event,) = world.rows(tenant, "events")
    assert int(event["xid"]) > 0
    assert isinstance(bucket_tables.buckets.c.trash_days.type, Integer)
