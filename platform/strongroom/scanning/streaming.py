"""Turns whatever a provider hands out (a file object, or an iterator of chunks of any size) into even pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeAlias, runtime_checkable

PIECE_BYTES = 256 * 1024


@runtime_checkable
class Readable(Protocol):
    """The one method of a binary file that is needed."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


Stream: TypeAlias = Readable | Iterable[bytes]


def pieces(stream: Stream) -> Iterator[bytes]:
    """Yield the stream in pieces of 256 KiB (the last one shorter), never more than a chunk and a piece in memory."""
    held = b""
    for chunk in _chunks(stream):
        held = held + chunk if held else bytes(chunk)
        while len(held) >= PIECE_BYTES:
            yield held[:PIECE_BYTES]
            held = held[PIECE_BYTES:]
    if held:
        yield held


def _chunks(stream: Stream) -> Iterator[bytes]:
    if isinstance(stream, Readable):  # before Iterable: a binary file is both, and its iterator splits at line feeds
        while chunk := stream.read(PIECE_BYTES):
            yield chunk
        return
    yield from stream
