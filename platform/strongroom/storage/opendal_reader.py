"""Reading an object of pieces. One that is stored anew meanwhile is read on from its new pieces."""

from __future__ import annotations

from typing import Protocol

from strongroom.errors import DomainError, NotFound
from strongroom.storage.base import Reader
from strongroom.storage.opendal_index import Index
from strongroom.storage.ranged import RangedReader


class Readable(Protocol):
    """What reading needs of the provider."""

    def index(self, key: str) -> Index:
        """Return an object's table of contents."""

    def read(self, name: str, start: int, length: int) -> bytes:
        """Return bytes of what lies under a name."""


def open_pieces(provider: Readable, key: str, *, whole: bool, vague: bool) -> Reader:
    """Open an object. `whole`, `vague`: see `Scheme`.

    Raises:
        NotFound, StorageUnavailable
    """
    pieces = _Pieces(provider, key, whole, vague)
    return RangedReader(pieces.index.size_bytes, pieces.fetch)


class _Pieces:
    """Ranges of an object. Where pieces are read whole, the last one is kept."""

    def __init__(self, provider: Readable, key: str, whole: bool, vague: bool) -> None:
        self._provider, self._key, self._whole, self._vague = provider, key, whole, vague
        self.index = provider.index(key)
        self._kept = ("", b"")

    def fetch(self, offset: int, length: int) -> bytes:
        try:
            return self._joined(offset, length)
        except DomainError as error:
            if not (self._vague or isinstance(error, NotFound)) or not self._is_replaced():
                raise
            return self._joined(offset, length)

    def _is_replaced(self) -> bool:
        """Turn to the object that stands in the place of ours, if one of its size does: it is the same version, stored again."""
        newer = self._provider.index(self._key)
        if newer.tag == self.index.tag or newer.size_bytes != self.index.size_bytes:
            return False
        self.index = newer
        return True

    def _joined(self, offset: int, length: int) -> bytes:
        return b"".join(self._piece(*each) for each in self.index.ranges(offset, length))

    def _piece(self, number: int, start: int, length: int) -> bytes:
        name = self.index.name(self._key, number)
        if not self._whole:
            return self._provider.read(name, start, length)
        if self._kept[0] != name:
            self._kept = ("", b"")  # first: one at a time in memory
            self._kept = (name, self._provider.read(name, 0, dict(self.index.pieces)[number]))
        return self._kept[1][start : start + length]
