"""OpenDAL provider: the long tail of services (Azure Blob, B2, WebDAV, FTP, Dropbox, …), the same for all of them.

Permissions: the account must be able to read, write, list and delete below `root`; where the service copies, to copy.
Layout: what lies under a key is a small table of contents (see `opendal_index`); the bytes are in pieces of 8 MiB beside it.
It is so because the library can only put many services' objects (WebDAV, Dropbox, OneDrive, Google Drive, …) in one go, which
would take a whole file in memory; because few of them rename, and fewer put atomically; and because some refuse empty objects.
The table is written last, and one that is cut off is none, so an object appears whole or not at all on any of them.
Durability: as good as the service's own answer; where a broken write can leave half a piece, each one is measured afterwards.
Caveats: deleting and listing walk folder by folder where the service has no listing by prefix. The library keeps threads:
a process must not fork after it has used a provider of this kind.
Page: https://opendal.apache.org/docs/python/ and, for a service's options, https://docs.rs/opendal/latest/opendal/services/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, cast
from uuid import uuid4

import opendal
from opendal import exceptions
from opendal.layers import RetryLayer, TimeoutLayer

from strongroom.errors import DomainError, NotFound, StorageUnavailable, ValidationFailed
from strongroom.storage.base import CannotCompose, ObjectMeta, Part, PartLimits, Provider, Reader, Slice, Writer
from strongroom.storage.opendal_errors import ERRORS, first_line, is_empty, is_vague, translate
from strongroom.storage.opendal_index import Index, Piece
from strongroom.storage.opendal_reader import open_pieces
from strongroom.storage.opendal_schemes import SCHEMES, OpenDALConfig, parse
from strongroom.storage.opendal_writer import PIECE_BYTES, PieceWriter, new_tag
from strongroom.storage.pieces import (
    MARK,
    MAX_PARTS,
    MAX_PIECES,
    MIB,
    Buffer,
    Grouped,
    PieceMultipart,
    checked,
    checked_prefix,
    holds_bytes,
    owner,
    piece_name,
    piece_number,
)

TRIES = 3


def make_opendal(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Provider:
    """Return a provider of a service that OpenDAL reaches; nothing is sent yet.

    Raises:
        ValidationFailed
    """
    checked = parse(config, secrets)
    try:
        operator = opendal.Operator(checked.scheme, **checked.options)
    except ERRORS as error:
        raise ValidationFailed(f"The options of '{checked.scheme}' are not complete: {first_line(error, checked.options)}") from None
    timeout = TimeoutLayer(timeout=checked.timeout_s, io_timeout=checked.timeout_s)
    operator = operator.layer(timeout).layer(RetryLayer(max_times=TRIES, min_delay=0.2, max_delay=5.0, jitter=True))
    return (CopyingOpenDALProvider if operator.capability().copy else OpenDALProvider)(operator, checked)


class OpenDALProvider(PieceMultipart):
    """Objects as a table of contents and pieces; see `Provider` and `Multipart`."""

    def __init__(self, operator: opendal.Operator, config: OpenDALConfig) -> None:
        self._operator, self._config = operator, config
        self._scheme = SCHEMES[config.scheme]
        limit = min(self._scheme.largest_write, operator.capability().write_total_max_size or self._scheme.largest_write)
        self.part_limits = PartLimits(min_bytes=MIB, max_bytes=limit, max_count=MAX_PARTS)

    def writer(self, key: str, size_bytes: int | None) -> Writer:
        """Begin an object; nothing is sent before the first piece is full."""
        wanted = max(PIECE_BYTES, -(-(size_bytes or 0) // MAX_PIECES))
        return PieceWriter(self, checked(key), min(wanted, self.part_limits.max_bytes))

    def open(self, key: str) -> Reader:
        """Open an object."""
        return open_pieces(self, key, whole=self._scheme.whole, vague=self._scheme.vague)

    def head(self, key: str) -> ObjectMeta:
        """Describe an object; one small read."""
        return self.index(key).meta(key)

    def index(self, key: str) -> Index:
        """Return an object's table of contents.

        Raises:
            NotFound, StorageUnavailable
        """
        index = Index.from_bytes(self._read_whole(checked(key)))
        if index is None:
            raise NotFound
        return index

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects: first what makes them visible, then their pieces.

        Where no object stands, whatever lies beside the key goes: so a writer that died beside an object needs it called twice.
        """
        for key in keys:
            try:
                pieces = self.index(key).names(key)
                open_session = self._exists(piece_name(key, MARK))
            except NotFound:
                pieces, open_session = [], True
            self._remove([key, *pieces])
            if open_session:
                self._remove(list(self._names_of(key)))

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        """Walk a tenant's folders; one folder's names are held at a time."""
        for folder, _ in self._entries(checked_prefix(prefix)):
            if not folder.endswith("/") or folder == prefix:
                continue
            grouped = Grouped()
            for name, meta in self._entries(folder):
                if not name.endswith("/"):
                    known = meta if meta.last_modified else self._stat(name)
                    if known is not None:
                        grouped.add(name, known.content_length if holds_bytes(name) else 0, known.last_modified)
            yield from grouped.metas()

    def delete_prefix(self, prefix: str) -> None:
        """Remove a tenant's folder. One that is not there is left alone: the library would try for ever at an FTP server."""
        if next(self._entries(checked_prefix(prefix)), None) is None:
            return
        with self._translated(), suppress(exceptions.NotFound):
            self._operator.delete(prefix, recursive=True)

    def check(self) -> None:
        """Write, measure and remove a tiny object."""
        name = f"strongroom-check-{uuid4().hex}"
        self.put(name, b"ok")
        self._remove([name])

    def put(self, name: str, data: Buffer) -> None:
        """Store a whole object under a name.

        Raises:
            StorageFull, StorageUnavailable
        """
        with self._translated():
            self._operator.write(name, cast(bytes, data))  # it takes any buffer
        if self._scheme.torn and self.size_of(name) != len(data):
            raise StorageUnavailable(f"{self._scheme.title} did not keep all bytes of an object.", retry_after_s=5)

    def size_of(self, name: str) -> int | None:
        """Return the size of what lies under a name, None where there is nothing."""
        found = self._stat(name)
        return found.content_length if found is not None else None

    def finish(self, key: str, pieces: Sequence[Piece], writer: str) -> ObjectMeta:
        """Write the table of contents: the object is there. The pieces of one that it replaces go away."""
        replaced: list[str] = []
        with suppress(DomainError):
            replaced = self.index(key).names(key)
        index = Index.now(pieces, writer)
        self.put(key, index.to_bytes())
        with suppress(DomainError):
            self._remove(replaced)
        return index.meta(key)

    def forget(self, key: str, numbers: Iterable[int], writer: str) -> None:
        """Remove a writer's pieces, unless a table names them: its answer alone may have been lost. Never raises."""
        with suppress(DomainError):
            with suppress(NotFound):
                if self.index(key).writer == writer:
                    return
            self._remove(piece_name(key, number, writer) for number in numbers)

    def _put_piece(self, name: str, data: Buffer) -> str:
        checked(owner(name))
        if len(data):
            self.put(name, data)
        else:
            self._remove([name])  # not every service takes empty objects; an empty part is one that is not there
        return ""

    def _read_mark(self, name: str) -> bytes:
        checked(owner(name))
        return self._read_whole(name)

    def _found_parts(self, key: str) -> Iterator[Part]:
        sizes: dict[int, int] = {}
        for name, meta in self._entries(f"{checked(key)}."):
            if number := piece_number(name):
                sizes[number] = meta.content_length
        yield from (Part(number, sizes[number]) for number in sorted(sizes))

    def _join(self, key: str, parts: Sequence[Part]) -> ObjectMeta:
        index = Index.now([(part.number, part.size_bytes) for part in parts if part.size_bytes])
        self.put(key, index.to_bytes())
        return index.meta(key)

    def _clear(self, key: str, parts: Sequence[Part]) -> None:
        kept = {part.number for part in parts if part.size_bytes}
        self._remove(piece_name(key, part.number) for part in self._found_parts(key) if part.number not in kept)
        self._remove([piece_name(key, MARK)])

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with self._translated(), suppress(exceptions.NotFound):
                self._operator.delete(name)

    def _read_whole(self, name: str) -> bytes:
        try:
            return bytes(self._operator.read(name))
        except exceptions.NotFound:
            raise NotFound from None
        except ERRORS as error:
            if is_empty(error):
                return b""
            if self._scheme.vague and is_vague(error) and not self._exists(name):
                raise NotFound from None
            raise translate(self._scheme.title, error) from None

    def read(self, name: str, start: int, length: int) -> bytes:
        """Return bytes of what lies under a name.

        Raises:
            NotFound, StorageUnavailable
        """
        with self._translated():
            data = bytes(self._operator.read(name, offset=start, size=length))
        if len(data) != length:
            raise StorageUnavailable(f"{self._scheme.title} gave another number of bytes than there are.", retry_after_s=5)
        return data

    def _names_of(self, key: str) -> Iterator[str]:
        return (name for name, _ in self._entries(f"{checked(key)}."))

    def _entries(self, path: str) -> Iterator[tuple[str, Any]]:
        """Walk a folder. The library's blocking lister waits with Python's lock held, which stops every thread: so not that one.

        A thread of its own, since the caller's may run an event loop already, and one thread cannot run two.
        """
        with self._translated(), suppress(exceptions.NotFound):
            with ThreadPoolExecutor(1, "opendal-list") as thread:
                found = thread.submit(lambda: asyncio.run(self._listed(path))).result()
            yield from found

    async def _listed(self, path: str) -> Sequence[tuple[str, Any]]:
        return [(entry.path, entry.metadata) async for entry in await self._operator.to_async_operator().list(path)]

    def _exists(self, name: str) -> bool:
        return self._stat(name) is not None

    def _stat(self, name: str) -> Any:
        with self._translated(), suppress(exceptions.NotFound):
            return self._operator.stat(name)
        return None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the library's errors into ours; theirs carry addresses and headers, so they are not passed on as causes."""
        try:
            yield
        except exceptions.NotFound:
            raise NotFound from None
        except ERRORS as error:
            raise translate(self._scheme.title, error) from None


class CopyingOpenDALProvider(OpenDALProvider):
    """Also `ServerSideCopy`: for services that copy by themselves. Slices must begin and end where pieces do."""

    def compose(self, key: str, pieces: Sequence[Slice]) -> ObjectMeta:
        """Copy pieces, then write the table of contents."""
        sources = [source for each in pieces for source in self._whole_pieces(each)]
        if len(sources) > MAX_PIECES:
            raise CannotCompose
        made: list[Piece] = []
        tag = new_tag()
        try:
            for number, (name, size_bytes) in enumerate(sources, start=1):
                made.append((number, size_bytes))
                self._copy(name, piece_name(checked(key), number, tag), size_bytes)
            return self.finish(key, made, tag)
        except DomainError:
            self.forget(key, [number for number, _ in made], tag)
            raise

    def _whole_pieces(self, wanted: Slice) -> Iterator[tuple[str, int]]:
        index = self.index(wanted.key)
        if wanted.start < 0 or wanted.start + wanted.length > index.size_bytes:
            raise CannotCompose
        sizes = dict(index.pieces)
        for number, start, length in index.ranges(wanted.start, wanted.length):
            if start or length != sizes[number]:
                raise CannotCompose
            yield index.name(wanted.key, number), length

    def _copy(self, source: str, target: str, size_bytes: int) -> None:
        with self._translated():
            self._operator.copy(source, target)
        if self.size_of(target) != size_bytes:
            raise StorageUnavailable(f"{self._scheme.title} did not copy all bytes of an object.", retry_after_s=5)
