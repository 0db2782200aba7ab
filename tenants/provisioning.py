"""Making a tenant's role and schema, in a transaction on its cell."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, text
from strongroom.db.engines import TenantRef
from strongroom.db.recycling import touched_by

_PROVISION = text("SELECT strongroom.provision_tenant(:id)").bindparams(bindparam("id"))


def provision(connection: Connection, tenant: TenantRef) -> str:
    """Make a tenant's role and schema; return the schema's revision. The connection is counted to know the tenant."""
    touched_by(connection.info, tenant.role)
    return str(connection.execute(_PROVISION, {"id": tenant.id}).scalar_one())
