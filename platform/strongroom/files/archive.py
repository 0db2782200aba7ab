"""A folder or a selection of files as one ZIP, made while it is sent: fixed memory, no database connection held. Knows no HTTP.

Files that may not be downloaded are left out and named in `_not_included.txt`. When a file breaks midway the stream
raises, so that the connection is cut: what the client has then is no archive, rather than one that looks whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZIP_STORED

from sqlalchemy import Connection

from strongroom.access import Principal
from strongroom.buckets import repository as buckets
from strongroom.buckets.models import Bucket
from strongroom.errors import ArchiveTooLarge, DomainError, NotFound, StorageUnavailable
from strongroom.files import repository
from strongroom.files.archive_names import ArchiveNames
from strongroom.files.compression import is_compressible
from strongroom.files.grants import open_bytes, record_downloads
from strongroom.files.models import File
from strongroom.files.paths import check_path, check_prefix
from strongroom.files.service import check_downloadable
from strongroom.runtime import Runtime
from strongroom.storage.base import Reader
from strongroom.usage.recorder import Caller
from tenants.models import Tenant

PIECE_BYTES = 256 * 1024
PAGE = 500
COUNT_AT_ONCE = 100
DEFLATE_LEVEL = 3
LEFT_OUT = "_not_included.txt"
Sent = list[tuple[UUID, UUID, str, int]]
Note = Callable[[Sent], None]


@dataclass(frozen=True)
class Selection:
    """What goes into an archive: everything below a prefix, or the files chosen. `missing`: asked for, but not there.

    `transferred_bytes`: what the tenant has transferred this month.
    """

    bucket: Bucket
    prefix: str | None = None
    chosen: tuple[File, ...] = ()
    missing: tuple[str, ...] = ()
    transferred_bytes: int = 0

    @property
    def folder(self) -> str:
        """What is cut off the names in the archive."""
        return (self.prefix or "").rpartition("/")[0]

    @property
    def name(self) -> str:
        """What the archive is called."""
        return f"{self.folder.rpartition('/')[2] or self.bucket.name}.zip"


def select_folder(runtime: Runtime, tenant: Tenant, bucket: str, prefix: str) -> Selection:
    """Choose everything below a prefix; what comes or goes while the archive is sent may or may not be in it.

    Raises:
        NotFound: there is no such bucket, or nothing below the prefix.
        InvalidPath
        ArchiveTooLarge
    """
    prefix = check_prefix(prefix)
    with runtime.tenant(tenant) as connection:
        found, transferred_bytes = buckets.get_bucket_and_transfer(connection, bucket)
        count = repository.count_below(connection, found.id, prefix, runtime.settings.archive_max_files + 1)
    if not count:
        raise NotFound("There are no files below that prefix.")
    _check_count(runtime, count)
    return Selection(found, prefix, transferred_bytes=transferred_bytes)


def select_files(runtime: Runtime, tenant: Tenant, bucket: str, *, paths: Sequence[str] = (), file_ids: Sequence[UUID] = ()) -> Selection:
    """Choose files by path or by id; those that are not in the bucket are told in the archive.

    Raises:
        NotFound: there is no such bucket, or none of the files is in it.
        InvalidPath
        ArchiveTooLarge
    """
    _check_count(runtime, max(len(paths), len(file_ids)))
    wanted = {check_path(path) for path in paths}
    with runtime.tenant(tenant) as connection:
        found, transferred_bytes = buckets.get_bucket_and_transfer(connection, bucket)
        chosen = repository.get_by_paths(connection, found.id, wanted) if wanted else _by_ids(connection, found, file_ids)
    there = {file.path for file in chosen} | {str(file.id) for file in chosen}
    if not chosen:
        raise NotFound("None of these files is in that bucket.")
    missing = sorted((wanted or {str(file_id) for file_id in file_ids}) - there)
    return Selection(found, None, tuple(chosen), tuple(missing), transferred_bytes)


def _by_ids(connection: Connection, bucket: Bucket, file_ids: Sequence[UUID]) -> list[File]:
    return repository.get_by_ids(connection, bucket.id, set(file_ids))


def _check_count(runtime: Runtime, count: int) -> None:
    limit = runtime.settings.archive_max_files
    if count > limit:
        raise ArchiveTooLarge(f"An archive takes at most {limit} files.", max_files=limit)


class Archive:
    """The bytes of one archive. To be iterated once; each download is counted soon after its file went out."""

    def __init__(self, runtime: Runtime, tenant: Tenant, principal: Principal, selection: Selection) -> None:
        from zipstream import ZipStream  # noqa: PLC0415 - loaded with the first archive

        self._runtime, self._tenant, self._principal, self._selection = runtime, tenant, principal, selection
        self._zip = ZipStream(compress_type=ZIP_STORED)
        self._names = ArchiveNames()
        self._left_out = [(name, "not_found") for name in selection.missing]
        self._reader: Reader | None = None
        self._current: File | None = None
        self._current_bytes = 0
        self.sent: Sent = []
        """Downloads that are not counted yet."""

    def pieces(self, note: Note) -> Iterator[bytes]:
        """Yield the archive; `note` is given what went out, about every `COUNT_AT_ONCE` files.

        Raises:
            StorageUnavailable: a file cannot be read to its end.
        """
        for file in self._files():
            yield from self._file(file)
            if len(self.sent) >= COUNT_AT_ONCE:
                note(self.take_sent())
        if self._left_out:
            self._zip.add(self._told(), self._names.free(LEFT_OUT), compress_type=ZIP_DEFLATED)
            yield from self._zip.file()
        yield from self._zip.footer()

    def take_sent(self) -> Sent:
        """Return what went out and is not counted yet, the file under way included."""
        if self._current is not None and self._current_bytes:
            file = self._current
            self.sent.append((file.bucket_id, file.id, file.content_type, self._current_bytes))
        self._current, taken, self.sent = None, self.sent, []
        return taken

    def close(self) -> None:
        """Let go of the file under way. Idempotent."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _files(self) -> Iterator[File]:
        """Yield the files of the selection, in pages: no connection is held in between."""
        if self._selection.prefix is None:
            yield from self._selection.chosen
            return
        after, left = "", self._runtime.settings.archive_max_files
        while left > 0:
            with self._runtime.tenant(self._tenant) as connection:
                page = repository.list_below(connection, self._selection.bucket.id, self._selection.prefix, after, min(PAGE, left))
            yield from page
            left -= len(page)
            if len(page) < PAGE:
                return
            after = page[-1].path

    def _file(self, file: File) -> Iterator[bytes]:
        try:
            check_downloadable(file, self._principal, serve_unscanned=self._selection.bucket.serve_unscanned)
            self._reader = open_bytes(self._runtime, self._tenant, file)
        except StorageUnavailable:
            raise
        except DomainError as error:
            self._left_out.append((file.path, error.code))
            return
        self._current, self._current_bytes = file, 0
        yield from self._entry(file, self._reader)
        self.close()
        self.sent.append((file.bucket_id, file.id, file.content_type, self._current_bytes))
        self._current = None

    def _entry(self, file: File, reader: Reader) -> Iterator[bytes]:
        folder = self._selection.folder
        name = self._names.free(file.path.removeprefix(f"{folder}/") if folder else file.path)
        how: dict[str, Any] = {"compress_type": ZIP_STORED}
        if is_compressible(file.content_type):
            how = {"compress_type": ZIP_DEFLATED, "compress_level": DEFLATE_LEVEL}
        self._zip.add(self._counted(_whole(reader, file.size_bytes)), name, size=file.size_bytes, **how)
        return self._zip.file()  # type: ignore[no-any-return]  # zipstream has no types

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Count the file's own bytes, each piece once the next one is asked for."""
        for piece in pieces:
            yield piece
            self._current_bytes += len(piece)

    def _told(self) -> str:
        lines = [f"{name}\t{reason}\n" for name, reason in self._left_out]
        return "These files are not in this archive, because they may not be downloaded or are not there:\n\n" + "".join(lines)


def _whole(reader: Reader, size_bytes: int) -> Iterator[bytes]:
    """Yield a file's bytes; too few of them are an error, never a smaller file."""
    left = size_bytes
    while left:
        piece = reader.read(min(PIECE_BYTES, left))
        if not piece:
            raise StorageUnavailable("The bytes at the provider ended early.")
        left -= len(piece)
        yield piece


def counter(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller) -> Note:
    """Return what writes downloads of an archive down."""

    def note(sent: Sent) -> None:
        if sent:
            record_downloads(runtime, tenant, principal, caller, sent)

    return note
