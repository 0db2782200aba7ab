"""Links of sign-ups that were asked for before their address's user was removed: they bring nobody back.

Whoever was removed may have one yet that was never used, and no mailbox any more in which another would arrive. What is
kept is no address, but a text made of it under the tenant's key, for as long as such a link could be good.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, exists, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.auth.service import email_key
from strongroom.auth.tables import used_links
from strongroom.runtime import Runtime
from tenants.models import Tenant

PURPOSE = "signup removed"


def outdate(connection: Connection, runtime: Runtime, tenant: Tenant, email: str) -> None:
    """Have no link work that was asked for up to now for this address."""
    ends = func.now() + timedelta(seconds=runtime.settings.sign_up_lifetime_s)
    query = upsert(used_links).values(id=_id(runtime, tenant, email_key(email)), expires_at=ends)
    connection.execute(query.on_conflict_do_update(index_elements=["id"], set_={"expires_at": query.excluded.expires_at}))


def is_outdated(connection: Connection, runtime: Runtime, tenant: Tenant, keys: Iterable[str], ends_at: float) -> bool:
    """Tell whether a link for a user of one of these e-mails, good until then, was asked for before such a user was removed."""
    ids = [_id(runtime, tenant, key) for key in keys]
    found = select(exists().where(used_links.c.id.in_(ids), used_links.c.expires_at >= datetime.fromtimestamp(ends_at, UTC)))
    return bool(connection.execute(found).scalar())


def _id(runtime: Runtime, tenant: Tenant, key: str) -> UUID:
    return UUID(bytes=hmac.digest(runtime.keys.tenant_key(tenant.id, PURPOSE), key.encode(), "sha256")[:16])
