"""Who may do what: realms, roles, scopes, and the principals that are held against them. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class Realm(StrEnum):
    """From where a route is reached and whose credentials it takes."""

    ANYWHERE = "anywhere"  # any host, even an unknown one, no credential: probes
    SHARED = "shared"  # the platform's host or any tenant's, no credential: documentation, static files
    PUBLIC = "public"  # a tenant's host, no credential: sign-in
    TENANT = "tenant"  # a tenant's user or API key
    CONSOLE = "console"  # a tenant's user with the console's cookie
    PLATFORM = "platform"  # the platform's host, no credential
    OPERATOR = "operator"  # an operator's access token
    OPERATOR_CONSOLE = "operator_console"  # an operator with the operator console's cookie


class Role(StrEnum):
    """A user's role in its tenant; each may do all that those before it may."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"

    def includes(self, other: Role) -> bool:
        """Tell whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Scope(StrEnum):
    """What an API key was made for."""

    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    SHARES_WRITE = "shares:write"
    USER_READ = "user:read"
    USER_WRITE = "user:write"
    STATS_READ = "stats:read"
    ADMIN = "admin"


@dataclass(frozen=True)
class Permission:
    """What a caller needs. `scope` None on a tenant's route: API keys may not call it at all."""

    realm: Realm
    role: Role = Role.VIEWER
    scope: Scope | None = None
    operator_role: str = "viewer"
    or_public: bool = False
    """Without a credential the view is reached too, by `Anonymous`, to read: it answers for what is public, and 401 for all else."""


@dataclass(frozen=True)
class Anonymous:
    """Somebody without a credential. The access log keeps no user of it."""

    user_id: None = None
    api_key_id: None = None


@dataclass(frozen=True)
class Principal:
    """Who asks in a tenant: a user, by session or by API key. An API key is never stronger than its user."""

    user_id: UUID
    email: str
    name: str
    role: Role
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    scopes: frozenset[Scope] = frozenset()

    def may(self, permission: Permission) -> bool:
        """Tell whether this principal meets a permission."""
        if not self.role.includes(permission.role):
            return False
        if self.api_key_id is None:
            return True
        return permission.scope is not None and (permission.scope in self.scopes or Scope.ADMIN in self.scopes)

    @property
    def actor(self) -> dict[str, Any]:
        """How events and idempotency keys name this principal."""
        actor: dict[str, Any] = {"user_id": str(self.user_id)}
        if self.api_key_id is not None:
            actor["api_key_id"] = str(self.api_key_id)
        return actor


Visitor = Principal | Anonymous
"""Whoever gets a file."""


@dataclass(frozen=True)
class OperatorPrincipal:
    """The operator who asks."""

    operator_id: UUID
    email: str
    name: str
    role: str
    session_id: UUID

    def may(self, permission: Permission) -> bool:
        """Tell whether this operator meets a permission."""
        return permission.operator_role == "viewer" or self.role == "admin"
