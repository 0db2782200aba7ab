"""Migrations: the registry, the cells and every tenant's schema, by Alembic, as the owning role.

Each of the three has its own chain of revisions under `migrations/`. A new tenant does not walk its chain: `migrate`
stores the prepared script (`migrations/tenant/schema.sql`) in each cell, and provisioning runs it in one transaction. A
test compares what the script makes with what the chain makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.engine import make_url

from strongroom.config import Settings
from strongroom.db.engines import TENANT_LOCKS, TenantRef
from strongroom.db.revisions import head, migrations_dir
from strongroom.errors import ConfigurationError

SCHEMA = "strongroom"
LOCK_ID = 0x5374726F6E67726F  # "Strongro": one migration at a time per database


def run_script(connection: Connection, script: str) -> None:
    """Run a script of many statements on the driver's own connection, in the open transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - tells the type checker which driver the pool holds
    driver.execute(script.encode())


@contextmanager
def owner_connection(url: str) -> Iterator[Connection]:
    """Open one transaction as the owner, alone among migrations of this database, with time limits."""
    engine = owner_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            connection.execute(text("SET LOCAL statement_timeout = '300s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
            yield connection
    finally:
        engine.dispose()


def owner_engine(url: str, keep: int = 0) -> Engine:
    """Return an engine for the owner that keeps so many connections."""
    address = make_url(url).set(drivername="postgresql+psycopg")
    if keep:
        return create_engine(address, pool_size=keep, max_overflow=0, pool_pre_ping=True)
    return create_engine(address, poolclass=NullPool)


def upgrade(connection: Connection, kind: str, schema: str, revision: str = "head", *, settings: Settings | None = None) -> None:
    """Bring one schema to a revision, inside the open transaction."""
    config = Config()
    config.set_main_option("script_location", str(migrations_dir(settings) / kind).replace("%", "%%"))
    config.attributes.update(
        connection=connection, schema=schema, version_table="alembic_version" if kind == "tenant" else f"alembic_version_{kind}"
    )
    command.upgrade(config, revision)


def migrate_platform(settings: Settings) -> None:
    """Bring the registry and every cell to their newest revisions, and store the tenant script in each cell.

    Raises:
        ConfigurationError: no owner's database URL is configured.
    """
    if settings.migration_database_url is None:
        raise ConfigurationError("STRONGROOM_MIGRATION_DATABASE_URL is needed to migrate.")
    with owner_connection(settings.migration_database_url) as connection:
        _prepare_schema(connection)
        upgrade(connection, "control", SCHEMA, settings=settings)
        _grant_to_app(connection, _app_role(settings))
    for url in settings.migration_cell_urls().values():
        migrate_cell(settings, url)
    with owner_connection(settings.migration_database_url) as connection:
        for name in settings.migration_cell_urls():
            register_cell(connection, name)


def _app_role(settings: Settings) -> str:
    return make_url(settings.database_url).username or ""


def migrate_cell(settings: Settings, url: str) -> None:
    """Bring one cell's own schema to its newest revision, and store the tenant script there. `url`: the owner's. Idempotent."""
    with owner_connection(url) as connection:
        _prepare_schema(connection)
        upgrade(connection, "cell", SCHEMA, settings=settings)
        _store_tenant_script(connection, settings)
        _grant_to_app(connection, _app_role(settings))


def register_cell(connection: Connection, name: str) -> None:
    """Note in the registry that a cell is prepared: from now on tenants are put there. Idempotent; its limits stay."""
    connection.execute(text(f"INSERT INTO {SCHEMA}.cells (name) VALUES (:name) ON CONFLICT DO NOTHING"), {"name": name})  # noqa: S608 - a constant


def migrate_tenant(settings: Settings, tenant: TenantRef, engine: Engine | None = None) -> str | None:
    """Bring one tenant's schema to the newest revision and return it; None where somebody else is at it.

    One transaction under the settings' time limits. The lock that keeps others out belongs to the session: it ends with
    this process, however that ends. `engine`: the owner's, of the tenant's cell; made for the occasion by default.

    Raises:
        SQLAlchemyError, CommandError: what the migration ran into; nothing of it remains.
    """
    with (engine or owner_engine(settings.migration_cell_urls()[tenant.cell])).connect() as connection:
        if not _lock_tenant(connection, tenant):
            return None
        try:
            with connection.begin():
                for name, limit_s in _tenant_limits(settings).items():
                    connection.execute(text(f"SET LOCAL {name} = {round(limit_s * 1000)}"))
                connection.execute(text(f"SET LOCAL search_path = {tenant.role}"))
                upgrade(connection, "tenant", tenant.role, settings=settings)
        finally:
            if not connection.invalidated:
                _unlock_tenant(connection, tenant)
    return head("tenant", settings)


def _tenant_limits(settings: Settings) -> dict[str, float]:
    return {"lock_timeout": settings.migration_lock_timeout_s, "statement_timeout": settings.migration_statement_timeout_s}


def _lock_tenant(connection: Connection, tenant: TenantRef) -> bool:
    with connection.begin():
        query = text("SELECT pg_try_advisory_lock(:locks, hashtext(:role))")
        return bool(connection.execute(query, {"locks": TENANT_LOCKS, "role": tenant.role}).scalar_one())


def _unlock_tenant(connection: Connection, tenant: TenantRef) -> None:
    with connection.begin():
        connection.execute(text("SELECT pg_advisory_unlock(:locks, hashtext(:role))"), {"locks": TENANT_LOCKS, "role": tenant.role})


def worked_on(connection: Connection, tenants: Iterable[TenantRef]) -> set[UUID]:
    """Return which of the tenants of this cell somebody is migrating now."""
    held = set(connection.execute(text("SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = :locks AND objsubid = 2 "
                                       "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"),
                                  {"locks": TENANT_LOCKS}).scalars())  # fmt: skip
    hashed = text("SELECT CAST(CAST(hashtext(:role) AS bigint) & 4294967295 AS bigint)")
    return {each.id for each in tenants if held and connection.execute(hashed, {"role": each.role}).scalar_one() in held}


def _prepare_schema(connection: Connection) -> None:
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))


def _store_tenant_script(connection: Connection, settings: Settings) -> None:
    script = (migrations_dir(settings) / "tenant" / "schema.sql").read_text(encoding="utf-8")
    connection.execute(
        text(
            f"INSERT INTO {SCHEMA}.tenant_script (revision, script) VALUES (:revision, :script) "  # noqa: S608 - a constant
            "ON CONFLICT (only_row) DO UPDATE SET revision = excluded.revision, script = excluded.script"
        ),
        {"revision": head("tenant", settings), "script": script},
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
