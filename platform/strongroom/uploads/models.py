"""Uploads as they travel between layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from strongroom.buckets.models import Bucket

PARTIAL = "partial"
"""`Upload.concat` of one that is to become a piece of a file, and no file of its own."""


class Kind(StrEnum):
    """Through which door an upload comes. `stream`: one request carries it whole."""

    STREAM = "stream"
    TUS = "tus"
    DIRECT = "direct"
    IMPORT = "import"


class State(StrEnum):
    """Where an upload is in its life."""

    OPEN = "open"
    COMPLETE = "complete"
    FAILED = "failed"


class Body(Protocol):
    """The bytes of an upload as they arrive."""

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end.

        Raises:
            IncompleteBody: the sender went away before the announced end.
            RequestTimeout: nothing came for too long.
        """

    def has_arrived(self, size_bytes: int) -> bool:
        """Tell whether that much is here already, without waiting."""

    def readinto(self, view: memoryview) -> int:
        """Fill `view` as far as bytes come without a pause; return how many came, 0 only at the end. Raises what `read` raises."""


@dataclass(frozen=True)
class UploadRequest:
    """What a client says of a file before its bytes come. `size_bytes` None: it does not know yet.

    `digests`: what the bytes must have, by hash name (RFC 9530, RFC 1864). `claims`: what is to be verified by the worker
    that reads the bytes: `sha256` (hex) and `block_hashes` (hex). `remembered`: what the door through which it came wants to
    find again with the upload.
    """

    bucket: str
    path: str
    size_bytes: int | None
    content_type: str | None = None
    if_match: frozenset[str] | None = None
    if_none_match: frozenset[str] | None = None
    digests: Mapping[str, bytes] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)
    remembered: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Upload:
    """An upload that has begun: room is reserved, and the version whose bytes may now be written is named.

    `session` is the provider's own name for it; `offset_bytes` what is kept for good of one that comes in order, of which
    the last `tail_bytes` are too few for a part of their own. `declared_type`: as the client says, or by the name.
    `left_s`: until it expires, by the database's clock at the moment when it was read; whoever decides goes by this alone.
    `is_recorded`: it has a row; one whose bytes are all here when it begins has none.
    """

    id: UUID
    kind: Kind
    state: State
    bucket: Bucket
    path: str
    version_id: UUID
    provider_id: UUID
    size_bytes: int | None
    declared_type: str
    request: UploadRequest
    created_by: UUID | None
    session: str = ""
    part_size_bytes: int | None = None
    offset_bytes: int = 0
    tail_bytes: int = 0
    detected_type: str | None = None
    concat: str | None = None
    api_key_id: UUID | None = None
    file_id: UUID | None = None
    reason: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    left_s: float = 0.0
    is_recorded: bool = True


@dataclass(frozen=True)
class UploadPart:
    """What has arrived of an upload that takes several requests. `blocks`: 32-byte digests of the blocks that end in it."""

    number: int
    offset_bytes: int
    size_bytes: int
    tag: str
    blocks: bytes


@dataclass(frozen=True)
class Received:
    """What was really received. `content_type`: as declared, or as detected when nothing was declared.

    `fingerprint`, `blake3` and `blocks` (32 bytes each, concatenated) are None where the bytes did not pass through us in
    one stream; the worker that checks the version fills them in.
    """

    size_bytes: int
    content_type: str
    detected_type: str
    fingerprint: str | None = None
    blake3: str | None = None
    blocks: bytes | None = None
    provider_tag: str = ""


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
    provider_id: UUID
