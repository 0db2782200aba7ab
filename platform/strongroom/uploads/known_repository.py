"""SQL of blocks that a tenant has already. Every function runs in a tenant's transaction.

What a principal may not download right now is filtered out here, so that it does not crowd out what it may; the decision
itself is made by `files.service.check_downloadable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Connection, LargeBinary, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from strongroom.uploads.fingerprint import BLOCK_BYTES

_USABLE = """
    JOIN files f ON f.id = v.file_id AND f.deleted_at IS NULL
    JOIN buckets k ON k.id = v.bucket_id
    WHERE v.provider_id = :provider_id AND (
        (v.status = 'available' AND (v.verdict <> 'unscanned' OR k.serve_unscanned))
        OR (:keeps_own AND v.created_by = :user_id AND v.status IN ('pending', 'available')))
"""
_TYPES = (
    bindparam("provider_id", type_=Uuid), bindparam("user_id", type_=Uuid), bindparam("keeps_own", type_=Boolean),
)  # fmt: skip
# Of each digest: some blocks of large versions, and one version that is that block and nothing else.
_BLOCKS = text(f"""
SELECT wanted.digest, found.version_id, found.number
FROM unnest(:digests, :fingerprints) AS wanted(digest, fingerprint)
CROSS JOIN LATERAL (
    (SELECT v.id AS version_id, b.number FROM blocks b JOIN versions v ON v.id = b.version_id {_USABLE}
        AND b.digest = wanted.digest LIMIT 16)
    UNION ALL
    (SELECT v.id, 0 FROM versions v {_USABLE} AND v.fingerprint = wanted.fingerprint AND v.size_bytes BETWEEN 1 AND {BLOCK_BYTES} LIMIT 2)
) AS found
""").bindparams(*_TYPES, bindparam("digests", type_=ARRAY(LargeBinary)), bindparam("fingerprints", type_=ARRAY(Text)))  # noqa: S608 - constants
_WHOLE = text(f"SELECT v.id FROM versions v {_USABLE} AND v.fingerprint = :fingerprint LIMIT 16").bindparams(*_TYPES)  # noqa: S608 - constants


@dataclass(frozen=True)
class Seeker:
    """Who looks for blocks, and at which provider they must lie. `keeps_own`: may have its own uploads back before their check."""

    provider_id: UUID
    user_id: UUID
    keeps_own: bool


@dataclass(frozen=True)
class Found:
    """A block of a version."""

    digest: bytes
    version_id: UUID
    number: int


def find_blocks(connection: Connection, seeker: Seeker, digests: Sequence[bytes], fingerprints: Sequence[str]) -> list[Found]:
    """Return where blocks lie, several places for each. `fingerprints`: what a file of that one block would have."""
    values: dict[str, Any] = {**seeker.__dict__, "digests": list(digests), "fingerprints": list(fingerprints)}
    return [Found(*row) for row in connection.execute(_BLOCKS, values)]


def find_whole(connection: Connection, seeker: Seeker, fingerprint: str) -> list[UUID]:
    """Return versions that have that fingerprint."""
    return list(connection.execute(_WHOLE, {**seeker.__dict__, "fingerprint": fingerprint}).scalars())
