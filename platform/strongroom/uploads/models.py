"""Uploads as they travel between layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from strongroom.buckets.models import Bucket


class Body(Protocol):
    """The bytes of an upload as they arrive."""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; empty only at the end.

        Raises:
            IncompleteBody: the sender went away before the announced end.
            RequestTimeout: nothing came for too long.
        """


@dataclass(frozen=True)
class UploadRequest:
    """What a client says of a file before its bytes come. `digests`: what they must have, by hash name (RFC 9530, RFC 1864)."""

    bucket: str
    path: str
    size_bytes: int
    content_type: str | None = None
    if_match: frozenset[str] | None = None
    if_none_match: frozenset[str] | None = None
    digests: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Upload:
    """An upload that has begun: room is reserved, and the version whose bytes may now be written is named."""

    id: UUID
    bucket: Bucket
    path: str
    version_id: UUID
    size_bytes: int
    declared_type: str
    request: UploadRequest


@dataclass(frozen=True)
class Received:
    """What was really received. `content_type`: as declared, or as detected when nothing was declared."""

    size_bytes: int
    content_type: str
    detected_type: str
    fingerprint: str
    blake3: str


@dataclass(frozen=True)
class Reservation:
    """Room that an upload has set aside: bytes, and a file if its path was new when it began."""

    size_bytes: int
    files: int


@dataclass(frozen=True)
class Abandoned:
    """An upload that ended without completing, and whose bytes are to be swept up."""

    bucket_id: UUID
    version_id: UUID
