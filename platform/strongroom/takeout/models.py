"""Values of a tenant's archives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class ExportState(StrEnum):
    """Whether an archive is being made or can be fetched."""

    RUNNING = "running"
    READY = "ready"


@dataclass(frozen=True)
class Export:
    """An archive. `total_…`: the versions and bytes it is to hold; `missing_objects`: of those that were gone when their turn came.

    `size_bytes`: what is written so far, in `segments`; `chain`: the digest over the manifests so far; `problem`: what holds it up.
    """

    id: UUID
    state: ExportState
    created_by: UUID | None
    total_objects: int
    total_bytes: int
    done_objects: int
    done_bytes: int
    missing_objects: int
    size_bytes: int
    members: int
    segments: int
    chain: str
    problem: str
    created_at: datetime
    ended_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Segment:
    """A piece of an archive, an object of its own. `size_bytes` None: it is not whole."""

    export_id: UUID
    number: int
    segment_id: UUID
    provider_id: UUID
    size_bytes: int | None


@dataclass(frozen=True)
class Item:
    """A version whose bytes go into an archive."""

    version_id: UUID
    bucket_id: UUID
    provider_id: UUID
    size_bytes: int
    blake3: str | None
