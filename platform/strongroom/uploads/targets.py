"""Where the bytes of an upload go that comes in several requests: one interface over the two kinds of providers.

`RegionTarget` writes straight on in one unfinished object (a file system). `PartTarget` gathers parts of a fixed size and
keeps what is left at the end of a request in a small object beside, from which the next request goes on. Both hash blocks
on the way. Nothing is kept in the process: any other can go on from what the checkpoints wrote down.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from strongroom.errors import FileTooLarge, NotFound, NotSupported
from strongroom.storage.base import ObjectMeta, Part, PartLimits, Regions
from strongroom.storage.bound import StoredObject, TenantStorage
from strongroom.uploads.fingerprint import BLOCK_BYTES, BlockDigests
from strongroom.uploads.models import Upload, UploadPart
from strongroom.uploads.part_target import PART_BYTES, PartTarget
from strongroom.uploads.progress import Progress

BUFFER_BYTES = 1024 * 1024


class Target(Protocol):
    """Takes the bytes of one upload, in order, from where it stands. Not safe to share between threads."""

    def room(self) -> memoryview:
        """Return where the next bytes may be put, at least one; valid until the next call.

        Raises:
            StorageFull, StorageUnavailable
        """

    def take(self, data: memoryview) -> None:
        """Append what was put there.

        Raises:
            StorageFull, StorageUnavailable
        """

    def progress(self) -> Progress | None:
        """Make durable what has gathered; None where there is nothing new that could be written down."""

    def settle(self) -> Iterator[Progress]:
        """Make everything durable because the request ends. Each step is to be written down before the next is taken."""

    def seal(self) -> Iterator[Progress]:
        """Make everything durable because the upload is whole; steps as in `settle`."""

    def close(self) -> None:
        """Let go. Never raises."""


class RegionTarget:
    """One unfinished object, written on at the offset; see `Target`. What is written down are the digests of blocks."""

    def __init__(self, stored: StoredObject, upload: Upload) -> None:
        at = upload.offset_bytes
        self._region = stored.region(at)
        try:
            open_bytes = at % BLOCK_BYTES
            self._blocks = BlockDigests(stored.read_region(at - open_bytes, open_bytes) if open_bytes else b"")
        except BaseException:
            self._region.close()
            raise
        self._offset = self._noted = at
        self._buffer = memoryview(bytearray(BUFFER_BYTES if upload.size_bytes is None else min(BUFFER_BYTES, upload.size_bytes - at) or 1))

    def room(self) -> memoryview:
        """Lend a buffer."""
        return self._buffer

    def take(self, data: memoryview) -> None:
        """Write on."""
        self._region.write(data)
        self._blocks.update(data)
        self._offset += len(data)

    def progress(self) -> Progress | None:
        """Have the provider sync."""
        return next(self.settle(), None)

    def settle(self) -> Iterator[Progress]:
        """Have the provider sync."""
        if self._offset != self._noted:
            self._region.sync()
            yield self._note()

    def seal(self) -> Iterator[Progress]:
        """Have the provider sync; the last block ends where the upload does, and has a row of its own: sealing is idempotent."""
        self._region.sync()
        yield self._note(is_last=True)

    def close(self) -> None:
        """Let go of the region, and with it of the right to write."""
        self._region.close()

    def _note(self, *, is_last: bool = False) -> Progress:
        first, open_block = self._noted // BLOCK_BYTES, self._offset // BLOCK_BYTES
        rows = [_row(first, open_block * BLOCK_BYTES, self._blocks.take())]
        if is_last:
            rows.append(_row(open_block, self._offset, self._blocks.finish()))
        self._noted = self._offset
        return Progress(self._offset, 0, tuple(row for row in rows if row.blocks))


def _row(first_block: int, end: int, blocks: bytes) -> UploadPart:
    start = first_block * BLOCK_BYTES
    return UploadPart(first_block + 1, start, end - start, "", blocks)


def begin_target(storage: TenantStorage, upload: Upload) -> str:
    """Begin the upload's bytes at the provider; return the provider's name of the session."""
    stored = storage.object(upload.bucket.id, upload.version_id)
    if storage.can(Regions):
        stored.begin_regions(upload.size_bytes)
        return ""
    return stored.begin_multipart()


def part_size_of(storage: TenantStorage, size_bytes: int) -> int | None:
    """Return the size of an upload's parts, a multiple of the block; None where the provider needs no parts.

    Raises:
        NotSupported: the provider can write neither regions nor parts.
        FileTooLarge: for the parts that it takes.
    """
    if storage.can(Regions):
        return None
    limits = storage.part_limits
    if limits is None:
        raise NotSupported("This provider can go on with no upload; send the file by PUT, in one request.")
    return _part_size(limits, size_bytes)


def _part_size(limits: PartLimits, size_bytes: int) -> int:
    least = max(PART_BYTES, limits.min_bytes, -(-size_bytes // limits.max_count))
    part_bytes = -(-least // BLOCK_BYTES) * BLOCK_BYTES
    if part_bytes > limits.max_bytes:
        raise FileTooLarge("The provider does not take so large a file in parts.")
    return part_bytes


def open_target(storage: TenantStorage, upload: Upload) -> Target:
    """Go on where an upload stands.

    Raises:
        NotFound: its bytes are gone.
        UploadLocked: another process is still writing.
        StorageUnavailable
    """
    stored = storage.object(upload.bucket.id, upload.version_id)
    return RegionTarget(stored, upload) if storage.can(Regions) else PartTarget(stored, upload)


def first_bytes(storage: TenantStorage, upload: Upload, length: int) -> bytes:
    """Return the first bytes, at most `length`, of an upload that has not ended and whose first part is not put yet."""
    length = min(length, upload.offset_bytes)
    stored = storage.object(upload.bucket.id, upload.version_id)
    if not length:
        return b""
    return stored.read_region(0, length) if storage.can(Regions) else stored.read_tail()[:length]


def finish_target(storage: TenantStorage, upload: Upload, parts: list[UploadPart]) -> ObjectMeta:
    """Make the object of everything that was written down. Idempotent.

    Raises:
        NotFound, StorageUnavailable, Conflict
    """
    stored = storage.object(upload.bucket.id, upload.version_id)
    if storage.can(Regions):
        return stored.finish_regions(upload.offset_bytes)
    try:
        meta = stored.assemble(upload.session, [Part(part.number, part.size_bytes, part.tag) for part in parts])
    except NotFound:
        meta = storage.head(upload.bucket.id, upload.version_id)
        if meta.size_bytes != upload.offset_bytes:
            raise
    stored.drop_tail()
    return meta
