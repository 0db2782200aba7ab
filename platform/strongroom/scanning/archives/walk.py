"""The state that all archive levels of one file share: limits used up so far, and what was not looked at and why."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import IO, Protocol

from strongroom.scanning.models import MIB, ScanLimits

PIECE_BYTES = 256 * 1024
SPOOL_IN_MEMORY_BYTES = MIB


class CannotUnpack(Exception):
    """This container, or all further unpacking, ends here; `reason` is the code that makes the file unscanned."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sink(Protocol):
    """Takes bytes in order."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """The end of the bytes."""

    def abort(self) -> None:
        """Give up and release everything; harmless when done already."""


class Walk:
    """Limits and findings of one file's unpacking.

    `new_windows` makes the sink that searches one content's bytes for signatures.
    """

    def __init__(self, limits: ScanLimits, new_windows: Callable[[], Sink]) -> None:
        self.limits = limits
        self.new_windows = new_windows
        self.source_bytes = 0
        self.reasons: dict[str, None] = {}
        self._extracted_bytes = 0
        self._entries = 0
        self._spooled_bytes = 0

    def note(self, reason: str) -> None:
        """Remember that something was not looked at."""
        self.reasons[reason] = None

    def charge(self, extracted_bytes: int) -> None:
        """Count what came out of a decompressor. Raises `CannotUnpack` from the limit on, at every level."""
        self._extracted_bytes += extracted_bytes
        if self._extracted_bytes > self.limits.max_extracted_bytes:
            raise CannotUnpack("archive_bomb_size")
        if self._extracted_bytes > max(self.limits.ratio_floor_bytes, self.limits.max_ratio * self.source_bytes):
            raise CannotUnpack("archive_bomb_ratio")

    def entry(self) -> None:
        """Count a member, a directory or a link. Raises `CannotUnpack` from the limit on, at every level."""
        self._entries += 1
        if self._entries > self.limits.max_entries:
            raise CannotUnpack("archive_too_many_entries")

    def spool(self) -> Spool:
        """Begin a temporary file that counts against `max_spool_bytes` until it is closed."""
        return Spool(self)

    def reserve_spool(self, size_bytes: int) -> None:
        """Count bytes about to be spooled (negative: given back). Raises `CannotUnpack` where they would pass the
        limit.
        """
        if self._spooled_bytes + size_bytes > self.limits.max_spool_bytes:
            raise CannotUnpack("archive_too_large")
        self._spooled_bytes += size_bytes


class Spool:
    """A nameless temporary file, in memory up to 1 MiB."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self.size_bytes = 0
        folder = str(walk.limits.spool_dir) if walk.limits.spool_dir else None
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_IN_MEMORY_BYTES, dir=folder)  # noqa: SIM115 - closed by close()

    def write(self, data: bytes) -> None:
        """Append. Raises `CannotUnpack` where the file would pass the limit."""
        self._walk.reserve_spool(len(data))
        self.size_bytes += len(data)
        self.file.write(data)

    def close(self) -> None:
        """Give the space back; harmless when closed already."""
        self.file.close()
        self._walk.reserve_spool(-self.size_bytes)
        self.size_bytes = 0
