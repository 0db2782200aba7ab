"""API keys: make, list, revoke. Knows no HTTP. A key reads `sr_{tenant}_{key id}_{secret}`; only a hash of the secret is stored."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, select, update

from strongroom.access import Principal, Role, Scope
from strongroom.auth.tables import api_keys
from strongroom.db.ids import new_id
from strongroom.errors import Forbidden, NotFound, ValidationFailed
from strongroom.events.service import emit
from strongroom.runtime import Runtime
from strongroom.security.tokens import hash_secret, new_secret
from tenants.models import Tenant

KEY_ID_BYTES = 6
LAST_END = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ApiKey:
    """An API key without its secret. `key_id` is the part of its text that may be shown."""

    id: UUID
    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    created_by: UUID
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


def create_api_key(
    runtime: Runtime, tenant: Tenant, principal: Principal, *, name: str, scopes: Iterable[Scope], expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key for the caller; return it and its text, which is told this once.

    Raises:
        ValidationFailed: no scopes, or an end that is past.
        Forbidden: a key may not make keys stronger than itself, and only admins give the scope `admin`.
    """
    wanted = tuple(sorted(set(scopes)))
    if not wanted:
        raise ValidationFailed(errors={"scopes": ["Choose at least one."]})
    if expires_at is not None and not datetime.now(UTC) < expires_at < LAST_END:
        raise ValidationFailed(errors={"expires_at": ["Choose a moment in the future, before the year 9000."]})
    stronger = principal.api_key_id is not None and Scope.ADMIN not in principal.scopes and not set(wanted) <= principal.scopes
    if stronger or (Scope.ADMIN in wanted and not principal.role.includes(Role.ADMIN)):
        raise Forbidden("A key cannot be made stronger than its maker.")
    key_id, secret = secrets.token_hex(KEY_ID_BYTES), new_secret()
    with runtime.tenant(tenant) as connection:
        _outlive_no_parent(connection, principal, expires_at)
        query = insert(api_keys).values(
            id=new_id(), key_id=key_id, name=name, secret_hash=hash_secret(secret), scopes=list(wanted), created_by=principal.user_id,
            expires_at=expires_at,
        )  # fmt: skip
        row = connection.execute(query.returning(api_keys)).one()
        emit(connection, "api_key.created", row.id, {"name": name, "scopes": list(wanted)}, principal.actor)
    return _to_key(row), f"sr_{tenant.slug}_{key_id}_{secret}"


def _outlive_no_parent(connection: Connection, principal: Principal, expires_at: datetime | None) -> None:
    """A key that is made with a key ends with it at the latest.

    Raises:
        Forbidden
    """
    parent = select(api_keys.c.expires_at).where(api_keys.c.id == principal.api_key_id)
    ends: datetime | None = connection.execute(parent).scalar() if principal.api_key_id else None
    if ends is not None and (expires_at is None or expires_at > ends):
        raise Forbidden(f"A key made with this key has to end by {ends.isoformat()}.")


def list_api_keys(runtime: Runtime, tenant: Tenant, principal: Principal) -> list[ApiKey]:
    """Return the living keys: all for admins, one's own for others."""
    query = select(api_keys).where(api_keys.c.revoked_at.is_(None)).order_by(api_keys.c.created_at.desc())
    if not principal.role.includes(Role.ADMIN):
        query = query.where(api_keys.c.created_by == principal.user_id)
    with runtime.tenant(tenant) as connection:
        rows = connection.execute(query).all()
    return [_to_key(row) for row in rows]


def _to_key(row: Row[Any]) -> ApiKey:
    scopes = tuple(Scope(each) for each in row.scopes)
    return ApiKey(row.id, row.key_id, row.name, scopes, row.created_by, row.created_at, row.expires_at, row.used_at)


def revoke_api_key(runtime: Runtime, tenant: Tenant, principal: Principal, api_key_id: UUID) -> None:
    """End a key at once: one's own, or anybody's for admins.

    Raises:
        NotFound
    """
    query = update(api_keys).where(api_keys.c.id == api_key_id, api_keys.c.revoked_at.is_(None))
    if not principal.role.includes(Role.ADMIN):
        query = query.where(api_keys.c.created_by == principal.user_id)
    with runtime.tenant(tenant) as connection:
        if connection.execute(query.values(revoked_at=func.now())).rowcount == 0:
            raise NotFound("There is no such API key.")
        emit(connection, "api_key.revoked", api_key_id, {}, principal.actor)
