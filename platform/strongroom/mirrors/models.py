"""Values of mirroring."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from strongroom.moving.models import Stored


@dataclass(frozen=True)
class Task:
    """A copy to be made at a host. `attempt`: whoever has begun a later one has taken it over."""

    stored: Stored
    provider_id: UUID
    attempt: int


@dataclass(frozen=True)
class Progress:
    """How far a host is. `failed`: tried in vain so far, and tried again; `problem`: why the last of them failed."""

    stored: int = 0
    pending: int = 0
    failed: int = 0
    stored_bytes: int = 0
    open_bytes: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Mirror:
    """Where a version stands at a host. `at`: when it was stored, or is to be tried (again)."""

    provider_id: UUID
    state: str
    attempts: int
    problem: str
    at: datetime
