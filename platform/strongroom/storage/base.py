"""The provider interface: a handful of verbs that any store has. What only some can do will be separate protocols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class ObjectMeta:
    """What a provider knows of an object."""

    key: str
    size_bytes: int
    modified_at: datetime


class Writer(Protocol):
    """One object being written. Nothing is visible under its key before `complete` returns.

    A writer that is neither completed nor aborted leaves unfinished bytes that `Provider.delete` of its key removes.
    """

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            StorageFull: there is no room left.
            StorageUnavailable: the provider does not answer.
        """

    def complete(self) -> ObjectMeta:
        """Make the object durable and visible, atomically: after return it survives a crash."""

    def abort(self) -> None:
        """Throw away what was written. Never raises."""


class Reader(Protocol):
    """An open object, positioned at its start. A real file where the provider has one, so that it can be sent by the kernel."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; empty at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to `offset`."""

    def close(self) -> None:
        """Let go of it."""


class Provider(Protocol):
    """A place for bytes. Safe to share between threads."""

    def writer(self, key: str, size_bytes: int) -> Writer:
        """Begin an object of exactly `size_bytes`.

        Raises:
            StorageFull, StorageUnavailable
        """

    def open(self, key: str) -> Reader:
        """Open an object for reading.

        Raises:
            NotFound: there is none.
            StorageUnavailable
        """

    def head(self, key: str) -> ObjectMeta:
        """Describe an object.

        Raises:
            NotFound, StorageUnavailable
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects and whatever was left unfinished under their keys. Missing ones are no error: idempotent."""

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        """Walk all objects below a prefix, unfinished ones included (under the key they would have had)."""

    def delete_prefix(self, prefix: str) -> None:
        """Remove everything below a prefix. Idempotent."""

    def check(self) -> None:
        """Tell whether the provider is there and writable.

        Raises:
            StorageUnavailable: with what is wrong and how to mend it.
        """
