"""A new cell made ready: roles, database, doors closed, the cell's own schema; and looked at before any tenant is put there.

Either Strongroom does it all with a superuser's URL, or somebody ran what `strongroom bootstrap-sql` prints and the
settings name the cell already. The login roles bear the same names and passwords in all cells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg
from sqlalchemy import URL
from sqlalchemy.engine import make_url

from strongroom.config import Settings
from strongroom.db import bootstrap, walls
from strongroom.db.migrate import migrate_cell, owner_connection, owner_engine, register_cell
from strongroom.errors import ConfigurationError, DatabaseUnavailable, ValidationFailed

NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True)
class Addresses:
    """A cell's database, as the application and as the owner."""

    app: str
    owner: str


def prepare(settings: Settings, name: str, *, superuser_url: str | None = None, database: str = "strongroom") -> Addresses:
    """Make a cluster ready to be a cell and note it in the registry; return the addresses that the settings must name. Idempotent.

    Raises:
        ValidationFailed: that cannot be a cell's name.
        ConfigurationError: the server is too old, a door is open, or an address is missing.
        DatabaseUnavailable: it does not answer.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise ValidationFailed("Use 1 to 40 small letters, digits and hyphens; a letter or digit at both ends.")
    if settings.migration_database_url is None:
        raise ConfigurationError("STRONGROOM_MIGRATION_DATABASE_URL is needed to add a cell.")
    try:
        addresses = _bootstrap(settings, superuser_url, database) if superuser_url else _named(settings, name)
        _check_version(addresses.owner)
        migrate_cell(settings, addresses.owner)
        _check_walls(addresses.app)
    except (psycopg.OperationalError, OSError) as error:
        raise DatabaseUnavailable(f"The cluster does not let us in: {_first_line(error)}") from error
    with owner_connection(settings.migration_database_url) as connection:
        register_cell(connection, name)
    return addresses


def _named(settings: Settings, name: str) -> Addresses:
    if name not in settings.cell_urls() or name not in settings.migration_cell_urls():
        raise ConfigurationError(
            f"No address of the cell '{name}' is known. Give a superuser's (--superuser-url), or run what 'strongroom bootstrap-sql' "
            f"prints there and name the cell in STRONGROOM_CELLS and STRONGROOM_MIGRATION_CELLS."
        )
    return Addresses(settings.cell_urls()[name], settings.migration_cell_urls()[name])


def _bootstrap(settings: Settings, superuser_url: str, database: str) -> Addresses:
    """Make the two roles, with the passwords that they have in the control database, and the database; close its doors."""
    app, owner = make_url(settings.database_url), make_url(settings.migration_database_url or "")
    if (app.username, owner.username) != (bootstrap.APP_ROLE, bootstrap.OWNER_ROLE) or not (app.password and owner.password):
        raise ConfigurationError(
            f"The control database's addresses must name {bootstrap.APP_ROLE} and {bootstrap.OWNER_ROLE} with passwords, which the "
            "new cell's roles get too. Else run what 'strongroom bootstrap-sql' prints there, and add the cell without a superuser."
        )
    base = make_url(superuser_url).set(drivername="postgresql")
    with _connect(base) as connection:
        _check_superuser(connection)
        bootstrap.create_role(connection, bootstrap.OWNER_ROLE, str(owner.password), bootstrap.OWNER_ATTRIBUTES)
        bootstrap.create_role(connection, bootstrap.APP_ROLE, str(app.password), bootstrap.APP_ATTRIBUTES)
        bootstrap.create_database(connection, database, bootstrap.OWNER_ROLE)
    with _connect(base.set(database=database)) as connection:
        bootstrap.lock_down(connection, database)
    made = [base.set(database=database, username=role.username, password=role.password) for role in (app, owner)]
    return Addresses(*(each.render_as_string(hide_password=False) for each in made))


def _connect(url: URL) -> psycopg.Connection:
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)


def _check_superuser(connection: psycopg.Connection) -> None:
    _refuse_old(connection.info.server_version)
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row != (True,):
        raise ConfigurationError("That is not a superuser there. Ask its administrator to run what 'strongroom bootstrap-sql' prints.")


def _check_version(url: str) -> None:
    with _connect(make_url(url).set(drivername="postgresql")) as connection:
        _refuse_old(connection.info.server_version)


def _refuse_old(version: int) -> None:
    if version < walls.OLDEST_POSTGRES:
        raise ConfigurationError(f"The cluster runs PostgreSQL {version // 10000}; 15 or later is needed.")


def _check_walls(url: str) -> None:
    """Look, as the application, whether every door between tenants is closed.

    Raises:
        ConfigurationError: one is open; the text names each, and what closes it.
    """
    engine = owner_engine(url)
    try:
        with engine.connect() as connection:
            found = walls.open_doors(connection)
    finally:
        engine.dispose()
    if found:
        raise ConfigurationError("Doors are open there: " + "; ".join(found) + ". 'strongroom bootstrap-sql' prints all statements.")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
