"""Whether a cluster's doors between tenants are closed, as the application's own role sees them."""

from __future__ import annotations

from sqlalchemy import Connection, text

from strongroom.db.bootstrap import APP_ROLE

OLDEST_POSTGRES = 150000
_WALLS = """
SELECT has_function_privilege(current_user, 'pg_catalog.set_config(text, text, boolean)', 'EXECUTE') AS set_config,
       has_database_privilege(current_user, current_database(), 'TEMP') AS temp,
       has_language_privilege(current_user, 'plpgsql', 'USAGE') AS plpgsql,
       (SELECT rolinherit FROM pg_roles WHERE rolname = current_user) AS inherits,
       (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS super,
       has_table_privilege(current_user, 'strongroom.tenant_script', 'UPDATE') AS script
"""
_MEND = {
    "set_config": "set_config can be called: run REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC",
    "temp": "temporary tables can be made: run REVOKE TEMP ON DATABASE … FROM PUBLIC",
    "plpgsql": "DO blocks can be run: run REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
    "inherits": f"the application's role inherits from tenants' roles: run ALTER ROLE {APP_ROLE} NOINHERIT",
    "super": "the application's role is a superuser or bypasses row security: connect as another role",
    "script": "the application's role can change the tenant script: run 'strongroom migrate' again",
}


def open_doors(connection: Connection) -> list[str]:
    """Return what is open that must be closed, each with how to close it; nothing when all is well."""
    row = connection.execute(text(_WALLS)).one()._mapping
    return [_MEND[name] for name in _MEND if row[name]]
