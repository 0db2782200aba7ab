"""Values of sign-in that travel between layers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class SessionGrant:
    """A session as it was begun or renewed: what the tokens are made from."""

    subject_id: UUID
    session_id: UUID
    refresh_id: UUID
    expires_at: datetime


@dataclass(frozen=True)
class Session:
    """A session as its user sees it."""

    id: UUID
    kind: str
    user_agent: str
    remote_addr: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
