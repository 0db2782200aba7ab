"""Values of a tenant's move."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class MoveState(StrEnum):
    """Whether a move goes on."""

    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True)
class Move:
    """A tenant's move. `problem`: what holds it up at present, or ended it; empty when nothing does."""

    provider_id: UUID
    state: MoveState
    moved_objects: int
    moved_bytes: int
    problem: str
    began_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Stored:
    """A version whose bytes are to be moved, and what is known of them."""

    id: UUID
    bucket_id: UUID
    provider_id: UUID
    size_bytes: int
    fingerprint: str | None
    blake3: str | None


@dataclass(frozen=True)
class Left:
    """What lies elsewhere than where new files go: versions (failed ones included), their bytes, and uploads under way."""

    objects: int
    size_bytes: int
    uploads: int


@dataclass(frozen=True)
class Failure:
    """A version that was left where it is."""

    version_id: UUID
    path: str
    reason: str


@dataclass(frozen=True)
class Report:
    """How a tenant's move stands. `provider`: where its new files go. `move` None: there never was one."""

    tenant: str
    provider: str
    move: Move | None
    left: Left
    failures: tuple[Failure, ...]
