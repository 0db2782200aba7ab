"""Range requests (RFC 9110, 14): one part of a file or several, and no more of them than is reasonable."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from flask import Request

from strongroom.errors import RangeNotSatisfiable
from strongroom.http.conditions import Modified, if_range_holds

UNIT = re.compile(r"bytes=(?P<specs>[0-9,-]+)", re.IGNORECASE)
SPEC = re.compile(r"(\d{0,18})-(\d{0,18})")
MAX_SPECS, MAX_PARTS = 512, 32
BLANKS = str.maketrans("", "", " \t")


@dataclass(frozen=True)
class ByteRange:
    """A part of a file: first byte and length."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + self.length

    def content_range(self, size_bytes: int) -> str:
        """Return the value of Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


def byte_ranges(request: Request, *, size_bytes: int, etag: str, modified: Modified) -> tuple[ByteRange, ...]:
    """Return the parts asked for, none overlapping or touching another, in the order of the request.

    Empty for the whole file: nothing or something else was asked for, If-Range says so, or it is more than `MAX_PARTS` parts,
    whose heads would cost more than the bytes.

    Raises:
        RangeNotSatisfiable: none of the parts is there.
    """
    specs = _specs(request.headers.get("Range", ""))
    if not specs or not if_range_holds(request.headers.get("If-Range"), etag, modified):
        return ()
    found = [part for part in (_part(first, last, size_bytes) for first, last in specs) if part is not None]
    if not found:
        raise RangeNotSatisfiable(f"The file has {size_bytes} bytes.", size_bytes=size_bytes)
    parts = _joined(found)
    return parts if len(parts) <= MAX_PARTS else ()


def _specs(header: str) -> list[tuple[str, str]]:
    """Return the (first, last) pairs of a header; none when one of them is no range: then the header means nothing."""
    match = UNIT.fullmatch(header.translate(BLANKS))
    texts = [text for text in match["specs"].split(",") if text] if match else []
    specs = [SPEC.fullmatch(text) for text in texts]
    if len(specs) > MAX_SPECS or any(spec is None or _is_senseless(*spec.groups()) for spec in specs):
        return []
    return [(spec[1], spec[2]) for spec in specs if spec]


def _is_senseless(first: str, last: str) -> bool:
    return not first + last or bool(first and last and int(last) < int(first))


def _part(first: str, last: str, size_bytes: int) -> ByteRange | None:
    start = int(first) if first else max(size_bytes - int(last), 0)
    end = min(int(last) + 1, size_bytes) if first and last else size_bytes
    return ByteRange(start, end - start) if start < end else None


def _joined(parts: Iterable[ByteRange]) -> tuple[ByteRange, ...]:
    """Make one of those that overlap or touch; each stands where the first of its members stood."""
    joined: list[tuple[int, ByteRange]] = []
    for place, part in sorted(enumerate(parts), key=lambda each: each[1].start):
        if joined and part.start <= joined[-1][1].end:
            first, former = joined[-1]
            joined[-1] = (min(first, place), ByteRange(former.start, max(former.end, part.end) - former.start))
        else:
            joined.append((place, part))
    return tuple(part for _, part in sorted(joined, key=lambda each: each[0]))
