"""Files as they travel between layers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from strongroom.access import Visitor
from strongroom.buckets.models import Bucket


class Status(StrEnum):
    """Where a version is in its life."""

    PENDING = "pending"
    AVAILABLE = "available"
    QUARANTINED = "quarantined"
    REJECTED = "rejected"


class Verdict(StrEnum):
    """What the checks said. `unscanned`: not read whole by every engine, so never called clean."""

    PENDING = "pending"
    CLEAN = "clean"
    INFECTED = "infected"
    UNSCANNED = "unscanned"
    INVALID = "invalid"


@dataclass(frozen=True)
class Scan:
    """The truth of a version's check. `signatures_at` is the date of the signature database."""

    verdict: Verdict
    engine: str | None
    signatures_at: datetime | None
    scanned_bytes: int | None
    reason: str | None


@dataclass(frozen=True)
class File:
    """A file together with one of its versions, usually the current one.

    `etag`: the strong entity tag of the bytes (RFC 9110, 8.8.3), without its quotes; a version keeps its own for ever.
    """

    id: UUID
    bucket: str
    bucket_id: UUID
    path: str
    size_bytes: int
    content_type: str
    detected_type: str
    fingerprint: str | None
    blake3: str | None
    sha256: str | None
    status: Status
    scan: Scan
    version_id: UUID
    provider_id: UUID
    etag: str
    metadata: dict[str, Any]
    created_by: UUID | None
    uploaded_by: UUID | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    purge_at: datetime | None
    version_created_at: datetime
    public: bool

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def is_for_all(self) -> bool:
        """Whether anybody may have it: its bucket is public, and its check found it clean."""
        return self.public and self.status == Status.AVAILABLE and self.scan.verdict == Verdict.CLEAN


@dataclass(frozen=True)
class Gone:
    """A version whose row is gone, and where its bytes still lie. `mirrored_at`: at which providers besides its own."""

    version_id: UUID
    size_bytes: int
    provider_id: UUID
    mirrored_at: tuple[UUID, ...] = ()

    @property
    def places(self) -> frozenset[UUID]:
        """Every provider at which its bytes may lie."""
        return frozenset({self.provider_id, *self.mirrored_at})


@dataclass(frozen=True)
class Grant:
    """A file whose bytes this visitor may have now, with the policy of its bucket. `is_current`: it is what its path stands for.

    `transferred_bytes`: what the tenant has transferred this month.
    """

    file: File
    bucket: Bucket
    visitor: Visitor
    is_current: bool
    transferred_bytes: int

    @property
    def modified_at(self) -> datetime:
        """When the bytes at this address became what they are: also by a restored version, or by a move."""
        return max(self.file.version_created_at, self.file.updated_at) if self.is_current else self.file.version_created_at

    @property
    def has_former(self) -> bool:
        """Whether the file may have had other bytes at this address. A version that is asked for by its id has none ever."""
        return self.is_current and self.file.updated_at > self.file.created_at


@dataclass(frozen=True)
class Listing:
    """A page of files and, below a delimiter, of common prefixes. `position` is where the next page starts."""

    items: list[File]
    prefixes: list[str]
    position: str | None
