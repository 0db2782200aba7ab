"""What a database superuser does once per cluster before Strongroom can live there: roles, database, locked doors.

The embedded start and the tests run these statements themselves; an operator of a production cluster runs what
`strongroom bootstrap-sql` prints.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

OWNER_ROLE = "strongroom_owner"
APP_ROLE = "strongroom_app"
BROKER_ROLE = "strongroom_broker"
OWNER_ATTRIBUTES, APP_ATTRIBUTES = "CREATEROLE NOCREATEDB INHERIT", "NOCREATEROLE NOCREATEDB NOINHERIT"
BUILTIN_LOCALES_SINCE = 170000


def create_role(connection: psycopg.Connection, role: str, password: str, attributes: str) -> None:
    """Make a login role, or give an existing one this password and these attributes."""
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = "ALTER" if exists else "CREATE"
    statement = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS {} PASSWORD {}")
    connection.execute(statement.format(sql.SQL(verb), sql.Identifier(role), sql.SQL(attributes), sql.Literal(password)))


def create_roles(connection: psycopg.Connection, *, owner: str, app: str, broker: str) -> None:
    """Make the three login roles with the given passwords. Idempotent."""
    create_role(connection, OWNER_ROLE, owner, OWNER_ATTRIBUTES)
    create_role(connection, APP_ROLE, app, APP_ATTRIBUTES)
    create_role(connection, BROKER_ROLE, broker, "NOCREATEROLE NOCREATEDB INHERIT")


def create_database(connection: psycopg.Connection, name: str, owner: str) -> None:
    """Make a database unless it is there. Needs an autocommit connection."""
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
        builtin = connection.info.server_version >= BUILTIN_LOCALES_SINCE
        locale = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'" if builtin else "LOCALE 'C.UTF-8'"
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' " + locale)
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(owner)))


LOCKDOWN = """
REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO strongroom_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
"""


def lock_down(connection: psycopg.Connection, name: str) -> None:
    """Close what PUBLIC may do by default in the database that `connection` is open on. Idempotent; superuser."""
    connection.execute(LOCKDOWN)
    database = sql.Identifier(name)
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(APP_ROLE)))


def bootstrap_sql(database: str) -> str:
    """Return the statements for psql, with placeholders for the passwords."""
    return f"""\
-- Run once per cluster as a superuser, with passwords of your own.
CREATE ROLE {OWNER_ROLE} LOGIN NOSUPERUSER NOBYPASSRLS CREATEROLE INHERIT PASSWORD 'change-me-1';
CREATE ROLE {APP_ROLE} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOINHERIT PASSWORD 'change-me-2';
CREATE DATABASE {database} OWNER {OWNER_ROLE} TEMPLATE template0 ENCODING 'UTF8';
\\connect {database}
{LOCKDOWN.strip()}
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {APP_ROLE};
"""
