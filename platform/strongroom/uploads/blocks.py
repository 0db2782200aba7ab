"""The digests of a file's blocks, for clients that want to send or get only what has changed. Knows no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from strongroom.errors import FilePending
from strongroom.files import repository
from strongroom.files.models import File
from strongroom.files.service import PENDING_RETRY_S
from strongroom.runtime import Runtime
from strongroom.uploads.layout import block_count
from tenants.models import Tenant


@dataclass(frozen=True)
class BlockDigest:
    """A block's number, from 0, and its BLAKE3 in hex."""

    number: int
    digest: str


def list_blocks(
    runtime: Runtime, tenant: Tenant, file_id: UUID, version_id: UUID | None, *, start: int, limit: int
) -> tuple[File, list[BlockDigest]]:
    """Return a version (the current one, or the one named) and its blocks from number `start` on.

    Raises:
        NotFound
        FilePending: its bytes did not pass through us, and no worker has read them yet.
    """
    with runtime.tenant(tenant) as connection:
        file = repository.get_by_id(connection, file_id)
        if version_id is not None:
            file = repository.get_version(connection, file_id, version_id)
        digests = repository.list_blocks(connection, file.version_id, start, limit)
    if not digests and start == 0 and file.size_bytes:
        digests = [_only_block(file)]
    return file, [BlockDigest(start + index, digest.hex()) for index, digest in enumerate(digests)]


def _only_block(file: File) -> bytes:
    if block_count(file.size_bytes) > 1 or file.blake3 is None:
        raise FilePending("The blocks of this file are not known yet.", retry_after_s=PENDING_RETRY_S)
    return bytes.fromhex(file.blake3)
