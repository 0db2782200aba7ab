"""A user as it travels between layers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from strongroom.access import Role


@dataclass(frozen=True)
class User:
    """A user of a tenant, without its secrets. `status`: invited, active or disabled."""

    id: UUID
    email: str
    name: str
    role: Role
    status: str
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None


@dataclass(frozen=True)
class Invitation:
    """An invited user and the token with which it sets its password; told once."""

    user: User
    token: str
    url: str
