"""Migrating the whole deployment, part by part: the registry, the cells, then every tenant. One broken tenant holds up no other."""

from __future__ import annotations

from dataclasses import dataclass

from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from strongroom.config import Settings
from strongroom.db.migrate import head, migrate_platform, migrate_tenant
from strongroom.operating.service import living_tenants
from strongroom.runtime import Runtime
from tenants import repository
from tenants.models import Tenant


@dataclass(frozen=True)
class Part:
    """One part of the deployment and the revision it is at."""

    name: str
    revision: str | None
    newest: str
    current: bool
    error: str | None = None


def _part(name: str, revision: str | None, newest: str, error: str | None = None) -> Part:
    return Part(name, revision, newest, revision == newest and error is None, error)


def migrate_fleet(settings: Settings) -> list[Part]:
    """Bring everything to the newest revision; each tenant in its own transaction. Idempotent."""
    migrate_platform(settings)
    runtime = Runtime(settings)
    errors: dict[str, str] = {}
    for tenant in living_tenants(runtime):
        if tenant.schema_revision != head("tenant"):
            error = _migrate_one(runtime, tenant)
            if error:
                errors[tenant.slug] = error
    parts = migration_status(settings)
    return [Part(p.name, p.revision, p.newest, p.current, errors.get(p.name.removeprefix("tenant "), p.error)) for p in parts]


def _migrate_one(runtime: Runtime, tenant: Tenant) -> str | None:
    try:
        revision = migrate_tenant(runtime.settings, tenant.ref)
    except (SQLAlchemyError, CommandError) as error:
        return str(error).splitlines()[0]
    with runtime.databases.control() as connection:
        repository.update_tenant(connection, tenant.id, schema_revision=revision)
    return None


def migration_status(settings: Settings) -> list[Part]:
    """Return the revision of every part."""
    runtime = Runtime(settings)
    with runtime.databases.control() as connection:
        parts = [_part("registry", _revision(connection, "control"), head("control"))]
    for cell in runtime.databases.cell_names:
        with runtime.databases.cell(cell) as connection:
            parts.append(_part(f"cell {cell}", _revision(connection, "cell"), head("cell")))
    if parts[0].revision is not None:
        parts += [_part(f"tenant {each.slug}", each.schema_revision, head("tenant")) for each in living_tenants(runtime)]
    runtime.databases.dispose()
    return parts


def _revision(connection: Connection, kind: str) -> str | None:
    table = f"strongroom.alembic_version_{kind}"
    if connection.execute(text("SELECT to_regclass(:name)"), {"name": table}).scalar() is None:
        return None
    return str(connection.execute(text(f"SELECT version_num FROM {table}")).scalar())  # noqa: S608 - a constant
