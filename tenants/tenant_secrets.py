"""What tenants gave us to keep for themselves: sealed in the registry, opened only where it is used, never returned.

Each has a name within its tenant, such as `sso/okta`, and is a JSON object that also says what it is good for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from strongroom.db.engines import Databases
from strongroom.errors import ConfigurationError
from strongroom.security.keys import KeyRing

from tenants.tables import tenant_secrets

_of = tenant_secrets.c


def seal(keys: KeyRing, tenant_id: UUID, name: str, values: Mapping[str, Any]) -> bytes:
    """Return a secret as it is stored: good under this name of this tenant alone."""
    return keys.seal(json.dumps(dict(values)).encode(), _context(tenant_id, name))


def unseal(keys: KeyRing, tenant_id: UUID, name: str, sealed: bytes) -> dict[str, Any]:
    """Return what a secret says; nothing where no configured master key opens it, as if it were not set."""
    try:
        opened: dict[str, Any] = json.loads(keys.open(sealed, _context(tenant_id, name)))
    except ConfigurationError:
        return {}
    return opened


def put(connection: Connection, tenant_id: UUID, name: str, sealed: bytes) -> None:
    """Keep a secret in the place of what was under its name."""
    query = upsert(tenant_secrets).values(tenant_id=tenant_id, name=name, sealed=sealed)
    connection.execute(query.on_conflict_do_update(index_elements=[_of.tenant_id, _of.name], set_={"sealed": query.excluded.sealed}))


def of_tenant(connection: Connection, tenant_id: UUID, prefix: str) -> dict[str, bytes]:
    """Return a tenant's secrets whose names begin with a prefix, by name."""
    rows = connection.execute(select(_of.name, _of.sealed).where(_of.tenant_id == tenant_id, _of.name.startswith(prefix, autoescape=True)))
    return {row.name: row.sealed for row in rows}


def remove(connection: Connection, tenant_id: UUID, names: Collection[str]) -> None:
    """Remove these of a tenant's secrets. Idempotent."""
    if names:
        connection.execute(delete(tenant_secrets).where(_of.tenant_id == tenant_id, _of.name.in_(names)))


def forget(connection: Connection, tenant_id: UUID) -> None:
    """Remove all secrets of a tenant that is gone."""
    connection.execute(delete(tenant_secrets).where(_of.tenant_id == tenant_id))


def reseal(databases: Databases, keys: KeyRing) -> tuple[int, int]:
    """Seal all secrets of tenants under the present master key; return how many were and how many were so already.

    One transaction a row: what was cut off goes on where it was.

    Raises:
        ConfigurationError: one of them opens with none of the configured master keys.
    """
    with databases.control() as connection:
        found = connection.execute(select(_of.tenant_id, _of.name).order_by(_of.tenant_id, _of.name)).all()
    done = [_reseal(databases, keys, row.tenant_id, row.name) for row in found]
    return done.count(True), done.count(False)


def _reseal(databases: Databases, keys: KeyRing, tenant_id: UUID, name: str) -> bool:
    here = (_of.tenant_id == tenant_id) & (_of.name == name)
    with databases.control() as connection:
        sealed = connection.execute(select(_of.sealed).where(here).with_for_update()).scalar()
        if sealed is None or keys.is_present(sealed):
            return False
        context = _context(tenant_id, name)
        connection.execute(update(tenant_secrets).where(here).values(sealed=keys.seal(keys.open(sealed, context), context)))
        return True


def _context(tenant_id: UUID, name: str) -> str:
    return f"tenant {tenant_id} {name}"
