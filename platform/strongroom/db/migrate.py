"""Migrations: the registry, the cells and every tenant's schema, by Alembic, as the owning role.

Each of the three has its own chain of revisions under `migrations/`. A new tenant does not walk its chain: `migrate`
stores the prepared script (`migrations/tenant/schema.sql`) in each cell, and provisioning runs it in one transaction. A
test compares what the script makes with what the chain makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import make_url

from strongroom.config import Settings
from strongroom.db.engines import TenantRef
from strongroom.errors import ConfigurationError

SCHEMA = "strongroom"
LOCK_ID = 0x5374726F6E67726F  # "Strongro": one migration at a time per database
KINDS = ("control", "cell", "tenant")


def migrations_dir() -> Path:
    """Return the folder with the three chains: beside the sources, or inside the installed package."""
    here = Path(__file__).resolve()
    for candidate in (here.parents[3] / "migrations", here.parents[1] / "migrations"):
        if (candidate / "control").is_dir():
            return candidate
    raise ConfigurationError("The migrations are missing from this installation.")


def head(kind: str) -> str:
    """Return the newest revision of a chain."""
    revision = ScriptDirectory(str(migrations_dir() / kind)).get_current_head()
    if revision is None:
        raise ConfigurationError(f"The chain of {kind} migrations is empty.")
    return revision


def run_script(connection: Connection, script: str) -> None:
    """Run a script of many statements on the driver's own connection, in the open transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - tells the type checker which driver the pool holds
    driver.execute(script.encode())


@contextmanager
def owner_connection(url: str) -> Iterator[Connection]:
    """Open one transaction as the owner, alone among migrations of this database, with time limits."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            connection.execute(text("SET LOCAL statement_timeout = '300s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
            yield connection
    finally:
        engine.dispose()


def upgrade(connection: Connection, kind: str, schema: str, revision: str = "head") -> None:
    """Bring one schema to a revision, inside the open transaction."""
    config = Config()
    config.set_main_option("script_location", str(migrations_dir() / kind).replace("%", "%%"))
    config.attributes.update(
        connection=connection, schema=schema, version_table="alembic_version" if kind == "tenant" else f"alembic_version_{kind}"
    )
    command.upgrade(config, revision)


@dataclass(frozen=True)
class MigrationResult:
    """What one run of `migrate` did: revisions per part, and tenants by outcome."""

    control: str
    cells: dict[str, str]
    tenants_current: int
    tenants_failed: dict[str, str]


def migrate_platform(settings: Settings) -> None:
    """Bring the registry and every cell to their newest revisions, and store the tenant script in each cell.

    Raises:
        ConfigurationError: no owner's database URL is configured.
    """
    if settings.migration_database_url is None:
        raise ConfigurationError("STRONGROOM_MIGRATION_DATABASE_URL is needed to migrate.")
    app_role = make_url(settings.database_url).username or ""
    with owner_connection(settings.migration_database_url) as connection:
        _prepare_schema(connection)
        upgrade(connection, "control", SCHEMA)
        _grant_to_app(connection, app_role)
    for url in settings.migration_cell_urls().values():
        with owner_connection(url) as connection:
            _prepare_schema(connection)
            upgrade(connection, "cell", SCHEMA)
            _store_tenant_script(connection)
            _grant_to_app(connection, app_role)


def migrate_tenant(settings: Settings, tenant: TenantRef) -> str:
    """Bring one tenant's schema to the newest revision; return it. Its own transaction, its own time limits."""
    with owner_connection(settings.migration_cell_urls()[tenant.cell]) as connection:
        connection.execute(text(f"SET LOCAL search_path = {tenant.role}"))
        upgrade(connection, "tenant", tenant.role)
    return head("tenant")


def _prepare_schema(connection: Connection) -> None:
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))


def _store_tenant_script(connection: Connection) -> None:
    script = (migrations_dir() / "tenant" / "schema.sql").read_text(encoding="utf-8")
    connection.execute(
        text(
            f"INSERT INTO {SCHEMA}.tenant_script (revision, script) VALUES (:revision, :script) "  # noqa: S608 - a constant
            "ON CONFLICT (only_row) DO UPDATE SET revision = excluded.revision, script = excluded.script"
        ),
        {"revision": head("tenant"), "script": script},
    )


def _grant_to_app(connection: Connection, app_role: str) -> None:
    """Let the application's role use the registry and the jobs, but never change what runs as the owner."""
    role = sql.Identifier(app_role)
    schema = sql.Identifier(SCHEMA)
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - tells the type checker which driver the pool holds
    driver.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO PUBLIC").format(schema))
    driver.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {} TO {}").format(schema, role))
    for table in ("tenant_script", "alembic_version_control", "alembic_version_cell"):
        if driver.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.{table}"]).fetchone() != (None,):
            name = sql.Identifier(SCHEMA, table)
            driver.execute(sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {} FROM {}").format(name, role))
    if driver.execute("SELECT to_regproc(%s)", [f"{SCHEMA}.provision_tenant"]).fetchone() != (None,):
        driver.execute(sql.SQL("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {} FROM PUBLIC").format(schema))
        driver.execute(sql.SQL("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {} TO {}").format(schema, role))
        driver.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {}.enqueue_job TO PUBLIC").format(schema))


def tenant_revision(connection: Connection, tenant_id: UUID) -> str | None:
    """Return the revision of a tenant's schema as its own version table tells it."""
    row = connection.execute(text(f"SELECT version_num FROM t_{tenant_id.hex}.alembic_version")).first()  # noqa: S608 - hex digits
    return row[0] if row else None
