"""Where the bytes of an upload go that comes in several requests: one interface over the two kinds of providers.

`RegionTarget` writes straight on in one unfinished object (a file system). `PartTarget` gathers parts of a fixed size and
keeps what is left at the end of a request in a small object beside, from which the next request goes on. Both hash blocks
on the way. Nothing is kept in the process: any other can go on from what the checkpoints wrote down.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from strongroom.errors import FileTooLarge, NotFound, NotSupported, StorageUnavailable
from strongroom.storage.base import ObjectMeta, Part, PartLimits, Regions
from strongroom.storage.bound import StoredObject, TenantStorage
from strongroom.uploads.fingerprint import BLOCK_BYTES, BlockDigests
from strongroom.uploads.models import Upload, UploadPart
from strongroom.uploads.progress import Progress

PART_BYTES = 8 * 1024 * 1024


class Target(Protocol):
    """Takes the bytes of one upload, in order, from where it stands. Not safe to share between threads."""

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes.

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

    def write(self, data: bytes | memoryview) -> None:
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


class PartTarget:
    """Numbered parts of a fixed size, a multiple of the block; see `Target`. Memory: one part."""

    def __init__(self, stored: StoredObject, upload: Upload) -> None:
        self._stored, self._session = stored, upload.session
        self._part_bytes = upload.part_size_bytes or PART_BYTES
        self._start = upload.offset_bytes - upload.tail_bytes
        self._had_bytes = upload.tail_bytes
        self._buffer, self._filled, self._blocks = memoryview(bytearray(self._part_bytes)), 0, BlockDigests()
        self._gather(memoryview(stored.read_tail()[: upload.tail_bytes] if upload.tail_bytes else b""))
        if self._filled != upload.tail_bytes:
            raise StorageUnavailable("What was kept of the last request is not there.")
        self._parts: list[UploadPart] = []

    def write(self, data: bytes | memoryview) -> None:
        """Gather; put each part that is full."""
        view = memoryview(data)
        while view:
            piece = view[: self._part_bytes - self._filled]
            self._gather(piece)
            view = view[len(piece) :]
            if self._filled == self._part_bytes:
                self._put()

    def _gather(self, piece: memoryview) -> None:
        self._buffer[self._filled : self._filled + len(piece)] = piece
        self._blocks.update(piece)
        self._filled += len(piece)

    def progress(self) -> Progress | None:
        """Tell of the parts that were put; what has gathered since has to wait."""
        if not self._parts:
            return None
        parts, self._parts = tuple(self._parts), []
        self._had_bytes = 0
        return Progress(self._start, 0, parts)

    def settle(self) -> Iterator[Progress]:
        """Keep what has gathered beside, after the parts were written down: the row never names a tail that was replaced."""
        if (progress := self.progress()) is not None:
            yield progress
        if self._filled != self._had_bytes:
            self._stored.write_tail(self._buffer[: self._filled])
            self._had_bytes = self._filled
            yield Progress(self._start + self._filled, self._filled)

    def seal(self) -> Iterator[Progress]:
        """Put what has gathered as the last part; an empty upload has one empty part."""
        if self._filled or not self._start:
            self._put()
        if (progress := self.progress()) is not None:
            yield progress

    def close(self) -> None:
        """Let go of the buffer."""
        self._buffer = memoryview(b"")

    def _put(self) -> None:
        number, size = self._start // self._part_bytes + 1, self._filled
        part = self._stored.put_part(self._session, number, self._buffer[:size])
        self._parts.append(UploadPart(number, self._start, size, part.tag, self._blocks.finish()))
        self._start += size
        self._filled = 0


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
