"""A tenant's connections to identity providers, as its settings have them; and the secret that belongs to each.

A secret says for which issuer and client it was given. Where a connection names another one, it counts as not set: whoever
may change the settings, but was never told the secret, cannot have it sent to a server of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Database
from strongroom.security.keys import KeyRing

from tenants import tenant_secrets
from tenants.models import Tenant

NAME_PATTERN = r"[a-z0-9-]{1,40}"
MAX_CONNECTIONS, MAX_DOMAINS, MAX_SCOPES, MAX_LABEL, MAX_TEXT = 5, 50, 10, 60, 255
EVERYBODY, OWNERS = "everybody", "owners"
SCOPES = ("openid", "email", "profile")
PREFIX = "sso/"


@dataclass(frozen=True)
class Connection:
    """An identity provider by which users come in. `domains`: only e-mails of these; `role`: of users that it makes."""

    name: str
    label: str
    issuer: str
    client_id: str
    scopes: tuple[str, ...] = SCOPES
    domains: tuple[str, ...] = ()
    create_users: bool = False
    role: str = "member"
    enabled: bool = True


def connection_of(name: str, stored: Mapping[str, Any]) -> Connection:
    """Make a connection of what is stored of it; what this version does not know of is passed over."""
    known = {key: value for key, value in stored.items() if key in Connection.__dataclass_fields__}
    return Connection(**{**known, "name": name, "scopes": tuple(stored["scopes"]), "domains": tuple(stored["domains"])})


def connections_of(stored: Mapping[str, Any]) -> list[Connection]:
    """Return the connections of a document's part `sso`, by name."""
    return [connection_of(name, each) for name, each in sorted((stored.get("connections") or {}).items())]


def enabled_connection(tenant: Tenant, name: str) -> Connection | None:
    """Return an enabled connection of a tenant."""
    stored = tenant.settings.sso.connections.get(name)
    return connection_of(name, stored) if stored is not None and stored["enabled"] else None


def seal_secret(keys: KeyRing, tenant_id: UUID, connection: Connection, secret: str) -> bytes:
    """Return a client secret as it is stored."""
    values = {"client_secret": secret, "issuer": connection.issuer, "client_id": connection.client_id}
    return tenant_secrets.seal(keys, tenant_id, PREFIX + connection.name, values)


def secrets_of(database: Database, keys: KeyRing, tenant_id: UUID, connections: list[Connection]) -> dict[str, str]:
    """Return the client secrets of those of the connections that have one, by the connection's name."""
    sealed = tenant_secrets.of_tenant(database, tenant_id, PREFIX) if connections else {}
    found = {}
    for each in connections:
        if PREFIX + each.name in sealed:
            values = tenant_secrets.unseal(keys, tenant_id, PREFIX + each.name, sealed[PREFIX + each.name])
            if (values.get("issuer"), values.get("client_id")) == (each.issuer, each.client_id):
                found[each.name] = str(values["client_secret"])
    return found


def forget_others(database: Database, tenant_id: UUID, connections: list[Connection]) -> None:
    """Remove the secrets of connections that are not there any more."""
    kept = {PREFIX + each.name for each in connections}
    tenant_secrets.remove(database, tenant_id, [name for name in tenant_secrets.of_tenant(database, tenant_id, PREFIX) if name not in kept])
