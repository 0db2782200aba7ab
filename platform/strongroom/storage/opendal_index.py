"""The little table under a key that says which pieces an object is made of.

JSON, closed by a newline: one that was cut off on its way to the service cannot be taken for a whole one.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from secrets import token_hex
from typing import Any

from strongroom.storage.base import ObjectMeta

FORMAT = 1
Piece = tuple[int, int]
"""A piece's number and its size in bytes."""


@dataclass(frozen=True)
class Index:
    """An object's pieces in order, when it was completed, and a tag that no other object has."""

    pieces: tuple[Piece, ...]
    at: datetime
    tag: str

    @classmethod
    def now(cls, pieces: Sequence[Piece]) -> Index:
        """Return the index of an object that is complete at this moment."""
        return cls(tuple(pieces), datetime.now(UTC), token_hex(16))

    @property
    def size_bytes(self) -> int:
        """The object's size."""
        return sum(size for _, size in self.pieces)

    def meta(self, key: str) -> ObjectMeta:
        """Describe the object."""
        return ObjectMeta(key, self.size_bytes, self.at, self.tag)

    def ranges(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Walk (number, start, length) of the pieces that cover a range within the object."""
        ends = list(accumulate(size for _, size in self.pieces))
        position, end = offset, offset + length
        while position < end:
            which = bisect_right(ends, position)
            number, size = self.pieces[which]
            start = position - (ends[which] - size)
            take = min(end - position, size - start)
            yield number, start, take
            position += take

    def to_bytes(self) -> bytes:
        """Return what is stored."""
        document = {"strongroom": FORMAT, "at": self.at.isoformat(), "tag": self.tag, "pieces": self.pieces}
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Index | None:
        """Return the index, or None where there is no whole one."""
        if not data.endswith(b"\n"):
            return None
        try:
            document: dict[str, Any] = json.loads(data)
            if document["strongroom"] != FORMAT:
                return None
            pieces = tuple((int(number), int(size)) for number, size in document["pieces"])
            return cls(pieces, datetime.fromisoformat(document["at"]), str(document["tag"]))
        except (ValueError, KeyError, TypeError):
            return None
