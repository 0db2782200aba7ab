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
from strongroom.storage.pieces import piece_name

PLAIN, TAGGED = 1, 2
"""Formats: of pieces without a writer's tag, which the parts of a multipart upload are, and with one."""
Piece = tuple[int, int]
"""A piece's number and its size in bytes."""


@dataclass(frozen=True)
class Index:
    """An object's pieces in order, when it was completed, a tag that no other object has, and whose the pieces are.

    writer: the tag in the pieces' names; empty for those that have none.
    """

    pieces: tuple[Piece, ...]
    at: datetime
    tag: str
    writer: str = ""

    @classmethod
    def now(cls, pieces: Sequence[Piece], writer: str = "") -> Index:
        """Return the index of an object that is complete at this moment."""
        return cls(tuple(pieces), datetime.now(UTC), token_hex(16), writer)

    @property
    def size_bytes(self) -> int:
        """The object's size."""
        return sum(size for _, size in self.pieces)

    def name(self, key: str, number: int) -> str:
        """Return the name of one of the pieces."""
        return piece_name(key, number, self.writer)

    def names(self, key: str) -> list[str]:
        """Return the names of all pieces."""
        return [self.name(key, number) for number, _ in self.pieces]

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
        document: dict[str, Any] = {"strongroom": TAGGED if self.writer else PLAIN, "at": self.at.isoformat(), "tag": self.tag}
        document |= {"pieces": self.pieces, **({"writer": self.writer} if self.writer else {})}
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Index | None:
        """Return the index, or None where there is no whole one."""
        if not data.endswith(b"\n"):
            return None
        try:
            document: dict[str, Any] = json.loads(data)
            if document["strongroom"] not in {PLAIN, TAGGED}:
                return None
            writer = str(document["writer"]) if document["strongroom"] == TAGGED else ""
            pieces = tuple((int(number), int(size)) for number, size in document["pieces"])
            return cls(pieces, datetime.fromisoformat(document["at"]), str(document["tag"]), writer)
        except (ValueError, KeyError, TypeError):
            return None
