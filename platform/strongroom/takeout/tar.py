"""The archive's container: a tar of plain files with short names, no extensions; written and read in fixed memory.

Nothing is ever unpacked to a place that a name says, and no member is of another kind than a plain file, so links,
devices and `..` are refused by what they are. Sizes beyond 8 GiB are base-256, as GNU tar writes them.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from blake3 import blake3

from strongroom.errors import ExportRefused

BLOCK = 512
HEADER, END = "strongroom-export.json", "end.json"
NAME_PATTERN = re.compile(
    rf"{re.escape(HEADER)}|{re.escape(END)}|tables/[a-z_]{{1,40}}/[0-9]{{6}}\.jsonl|bytes/[0-9a-f]{{32}}/[0-9a-f]{{32}}|manifest/[0-9]{{6}}\.jsonl"
)
MAX_TEXT_BYTES = 4 * 1024 * 1024
"""Members that are read as a whole, which is all but bytes, have at most this size."""
PIECE_BYTES = 256 * 1024


class Source(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; empty at the end."""


@dataclass(frozen=True)
class Entry:
    """A line of a manifest."""

    name: str
    size_bytes: int
    blake3: str


def chained(chain: str, manifest: bytes) -> str:
    """Return the digest over all manifests up to this one."""
    return blake3(chain.encode() + blake3(manifest).digest()).hexdigest()


def as_json(value: Any) -> bytes:
    """Return a value as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def json_object(data: bytes, name: str) -> dict[str, Any]:
    """Return the object that a member holds.

    Raises:
        ExportRefused
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ExportRefused(f"{name} is no JSON.") from None
    if not isinstance(value, dict):
        raise ExportRefused(f"{name} is no JSON object.")
    return value


class SegmentWriter:
    """Writes members, and at the end the manifest of them. `write` is given every byte."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._manifest = bytearray()
        self.size_bytes = 0
        self.members = 0

    def add(self, name: str, data: bytes) -> None:
        """Add a member that is in memory."""
        self.stream(name, len(data), [data])

    def stream(self, name: str, size_bytes: int, pieces: Iterable[bytes]) -> str:
        """Add a member of exactly that size; return its BLAKE3.

        Raises:
            ValueError: the pieces are more or fewer bytes.
        """
        self._put(_header(name, size_bytes))
        digest, left = blake3(), size_bytes
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                break
            digest.update(piece)
            self._put(piece)
        if left:
            raise ValueError(f"{name} does not have {size_bytes} bytes")
        self._put(b"\0" * (-size_bytes % BLOCK))
        self._manifest += as_json({"name": name, "size_bytes": size_bytes, "blake3": digest.hexdigest()})
        self.members += 1
        return digest.hexdigest()

    def note_missing(self, version_id: str) -> None:
        """Note in the manifest that a version's bytes are not in the archive: they were gone."""
        self._manifest += as_json({"missing": version_id})

    def end_segment(self, number: int, chain: str) -> str:
        """Add the manifest of all members so far; return the digest over all manifests."""
        manifest = bytes(self._manifest)
        self._put(_header(f"manifest/{number:06}.jsonl", len(manifest)))
        self._put(manifest)
        self._put(b"\0" * (-len(manifest) % BLOCK))
        self._manifest.clear()
        return chained(chain, manifest)

    def end_archive(self, **told: Any) -> None:
        """Add the last member, and the end of a tar."""
        data = as_json(told)
        self._put(_header(END, len(data)) + data + b"\0" * (-len(data) % BLOCK) + b"\0" * (2 * BLOCK))

    def _put(self, data: bytes) -> None:
        if data:
            self._write(data)
            self.size_bytes += len(data)


def _header(name: str, size_bytes: int) -> bytes:
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError(f"{name} is no member's name")
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


class ArchiveReader:
    """Reads members one after the other. What it returns was not held against any manifest yet.

    Every method raises `ExportRefused` where the archive is not what it should be.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = self._padding = 0
        self._digest = blake3()
        self.name = ""
        self.size_bytes = 0

    def next(self) -> bool:
        """Go to the next member, which must have been read to its end; False at the end of the archive."""
        block = self._exactly(BLOCK)
        if block == b"\0" * BLOCK:
            if self._exactly(BLOCK) != b"\0" * BLOCK:
                raise ExportRefused("It goes on after its end.")
            return False
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError):
            raise ExportRefused("It is no tar, or is damaged.") from None
        if info.type != tarfile.REGTYPE or info.linkname or not NAME_PATTERN.fullmatch(info.name):
            raise ExportRefused(f"A member {info.name[:100]!r} does not belong into it.")
        if info.size < 0 or (not info.name.startswith("bytes/") and info.size > MAX_TEXT_BYTES):
            raise ExportRefused(f"{info.name} is too large.")
        self.name, self.size_bytes = info.name, info.size
        self._left, self._padding, self._digest = info.size, -info.size % BLOCK, blake3()
        return True

    def read(self, size: int = PIECE_BYTES) -> bytes:
        """Return the member's next bytes; empty at its end."""
        data = self._source.read(min(size, self._left)) if self._left else b""
        if self._left and not data:
            raise ExportRefused("It ends too early.")
        self._digest.update(data)
        self._left -= len(data)
        return data

    def whole(self) -> bytes:
        """Return all of a member that is no bytes."""
        return b"".join(iter(self.read, b""))

    def end(self) -> Entry:
        """Go past the member; return its entry as a manifest should have it."""
        for _ in iter(self.read, b""):
            pass
        if self._padding:
            self._exactly(self._padding)
        self._padding = 0
        return Entry(self.name, self.size_bytes, self._digest.hexdigest())

    def is_at_end(self) -> bool:
        """Tell whether nothing follows."""
        return not self._source.read(1)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._source.read(size - len(data))
            if not more:
                raise ExportRefused("It ends too early.")
            data += more
        return data
