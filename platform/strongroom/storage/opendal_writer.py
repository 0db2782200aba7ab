"""Writing an object in pieces: as much memory as one piece, for any size.

The pieces have names of this writer's own, so two at one key never touch each other's, nor those of the object that stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from secrets import token_hex
from typing import Protocol

from strongroom.errors import StorageFull, StorageUnavailable
from strongroom.storage.base import ObjectMeta
from strongroom.storage.opendal_index import Piece
from strongroom.storage.pieces import MAX_PIECES, MIB, Buffer, piece_name

PIECE_BYTES = 8 * MIB


class PieceStore(Protocol):
    """What the writer needs of the provider."""

    def put(self, name: str, data: Buffer) -> None:
        """Store a whole object under a name."""

    def size_of(self, name: str) -> int | None:
        """Return the size of what lies under a name."""

    def finish(self, key: str, pieces: Sequence[Piece], writer: str) -> ObjectMeta:
        """Make the object visible."""

    def forget(self, key: str, numbers: Iterable[int], writer: str) -> None:
        """Remove a writer's pieces, unless they are the object by now. Never raises."""


def new_tag() -> str:
    """Return what makes pieces' names those of one writer."""
    return token_hex(6)


class PieceWriter:
    """Fills one piece at a time; see `Writer`."""

    def __init__(self, provider: PieceStore, key: str, piece_bytes: int) -> None:
        self._provider, self._key, self._piece_bytes = provider, key, piece_bytes
        self._tag = new_tag()
        self._buffer = bytearray()
        self._pieces: list[Piece] = []
        self._ended = False

    def write(self, data: Buffer) -> None:
        """Append bytes; a full piece is sent."""
        view = memoryview(data)
        while view:
            room = self._piece_bytes - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == self._piece_bytes:
                self._send()

    def complete(self) -> ObjectMeta:
        """Send the rest, see that nobody removed the pieces meanwhile, and make the object visible."""
        if self._pieces:
            number, size_bytes = self._pieces[0]
            if self._provider.size_of(piece_name(self._key, number, self._tag)) != size_bytes:
                raise StorageUnavailable("The unfinished object was removed while it was being written.")
        if self._buffer:
            self._send()
        meta = self._provider.finish(self._key, self._pieces, self._tag)
        self._ended = True
        return meta

    def abort(self) -> None:
        """Remove the pieces that were sent."""
        if not self._ended:
            self._ended = True
            self._buffer = bytearray()
            self._provider.forget(self._key, [number for number, _ in self._pieces], self._tag)

    def _send(self) -> None:
        number = len(self._pieces) + 1
        if number > MAX_PIECES:
            raise StorageFull("The object has more pieces than this provider takes.")
        self._pieces.append((number, len(self._buffer)))  # before it is sent: half of it may arrive
        self._provider.put(piece_name(self._key, number, self._tag), self._buffer)
        self._buffer.clear()
