"""How the bytes of a direct upload are cut into numbered parts, and what is wrong with parts that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strongroom.errors import FileTooLarge, PartInvalid
from strongroom.storage.base import PartLimits
from strongroom.uploads.fingerprint import BLOCK_BYTES
from strongroom.uploads.models import UploadPart

LEAST_PART_BYTES = 8 * 1024 * 1024
MOST_PARTS = 10_000
NAMED_AT_MOST = 1000
"""Of wrong parts that one error names."""


@dataclass(frozen=True)
class Layout:
    """Parts of `part_size_bytes`, numbered from 1, the last one as long as what is left. An empty file has none."""

    size_bytes: int
    part_size_bytes: int

    @property
    def count(self) -> int:
        """How many parts there are."""
        return -(-self.size_bytes // self.part_size_bytes)

    @property
    def numbers(self) -> range:
        """All parts' numbers."""
        return range(1, self.count + 1)

    def check(self, number: int) -> int:
        """Return a part's number as it is.

        Raises:
            PartInvalid: the upload has no such part.
        """
        if number not in self.numbers:
            raise PartInvalid(f"This upload has the parts 1 to {self.count}; there is no part {number}.", unexpected=[number])
        return number

    def offset_of(self, number: int) -> int:
        """Return where a part begins, in bytes."""
        return (number - 1) * self.part_size_bytes

    def size_of(self, number: int) -> int:
        """Return how many bytes a part has."""
        return min(self.part_size_bytes, self.size_bytes - self.offset_of(number))

    def blocks_of(self, number: int) -> range:
        """Return the numbers of the blocks in a part; the first block of a file is 0."""
        start = self.offset_of(number) // BLOCK_BYTES
        return range(start, start - (-self.size_of(number) // BLOCK_BYTES))


def block_count(size_bytes: int) -> int:
    """Return how many blocks a file of that size has."""
    return -(-size_bytes // BLOCK_BYTES)


def choose_layout(size_bytes: int, limits: PartLimits | None) -> Layout:
    """Cut a file into parts that the provider takes: whole blocks each, as small as 10,000 of them allow.

    Raises:
        FileTooLarge: the provider takes no parts large enough.
    """
    most = min(MOST_PARTS, limits.max_count) if limits else MOST_PARTS
    least = max(LEAST_PART_BYTES, limits.min_bytes if limits else 0, -(-size_bytes // most))
    part_size_bytes = -(-least // BLOCK_BYTES) * BLOCK_BYTES
    if limits and part_size_bytes > limits.max_bytes:
        largest = limits.max_bytes // BLOCK_BYTES * BLOCK_BYTES * most
        raise FileTooLarge(f"The storage provider takes at most {largest} bytes in parts.", max_size_bytes=largest)
    return Layout(size_bytes, part_size_bytes)


def missing_parts(layout: Layout, parts: Iterable[UploadPart]) -> list[int]:
    """Return the numbers of the parts that have not arrived, or not whole."""
    there = {part.number: part.size_bytes for part in parts}
    return [number for number in layout.numbers if there.get(number) != layout.size_of(number)]


def check_parts(layout: Layout, parts: Sequence[UploadPart], tags: Mapping[int, str]) -> None:
    """See that exactly the right parts are there, and that they are those that the client means.

    Raises:
        PartInvalid: naming, by number, those that are `missing`, of `wrong_size`, `unexpected`, or of a `wrong_tag`.
    """
    there = {part.number: part for part in parts}
    wrong = {
        "missing": [number for number in layout.numbers if number not in there],
        "wrong_size": [part.number for part in parts if part.number in layout.numbers and part.size_bytes != layout.size_of(part.number)],
        "unexpected": [part.number for part in parts if part.number not in layout.numbers],
        "wrong_tag": [number for number, tag in tags.items() if number not in there or there[number].tag != tag],
    }
    found: dict[str, Any] = {name: numbers[:NAMED_AT_MOST] for name, numbers in wrong.items() if numbers}
    if found:
        told = ", ".join(f"{name.replace('_', ' ')}: {_shown(wrong[name])}" for name in found)
        raise PartInvalid(f"Parts by number: {told}.", **found)


def _shown(numbers: Sequence[int]) -> str:
    few = ", ".join(str(number) for number in numbers[:10])
    return few if len(numbers) <= 10 else f"{few} … ({len(numbers)} in all)"  # noqa: PLR2004 - as many as one reads
