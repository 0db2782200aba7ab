"""Reading a version's bytes where they are to be had: at its own provider, and when that fails from its mirrors. Knows no HTTP.

Every copy was held against the version's hashes before it counted, and versions never change: so a download that breaks off at
one place goes on at another, at the same byte.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from uuid import UUID

from strongroom.errors import DomainError, NotFound, StorageUnavailable
from strongroom.files import copies
from strongroom.files.models import File
from strongroom.runtime import Runtime
from strongroom.storage.base import Reader
from tenants.models import Tenant

log = logging.getLogger(__name__)


def open_at(runtime: Runtime, tenant: Tenant, file: File, provider_id: UUID) -> Reader:
    """Open the bytes of a file's version at one provider.

    Raises:
        NotFound: they are not there.
        StorageUnavailable: also when they are more or fewer than were stored, where that can be seen before they are sent.
    """
    reader = runtime.storage(tenant, provider_id).open(file.bucket_id, file.version_id)
    if _real_size(reader) not in {None, file.size_bytes}:
        reader.close()
        raise StorageUnavailable("The bytes at the provider are not those that were stored.")
    return reader


def _real_size(reader: Reader) -> int | None:
    """Return the size of a real file, which the kernel would send as it is; None for anything else."""
    try:
        return os.fstat(reader.fileno()).st_size  # type: ignore[attr-defined]  # absent where there is no file
    except (AttributeError, OSError):
        return None


def open_anywhere(runtime: Runtime, tenant: Tenant, file: File) -> Reader:
    """Open the bytes of a file's version at its own provider or, where that fails, at a mirror.

    A provider that has failed is asked last for some seconds. Nothing is looked up before something has failed.

    Raises:
        NotFound, StorageUnavailable: as its own provider says, when no mirror has them either.
    """
    places = Places(runtime, tenant, file)
    reader = places.open_next()
    return reader if _real_size(reader) is not None else SteadyReader(reader, places)


class Places:
    """Where a version's bytes may be read, one after the other."""

    def __init__(self, runtime: Runtime, tenant: Tenant, file: File) -> None:
        self._runtime, self._tenant, self._file = runtime, tenant, file
        self.size_bytes = file.size_bytes
        self._left = self._walk()
        self._problem: DomainError | None = None
        self._present = file.provider_id

    def _walk(self) -> Iterator[UUID]:
        own, known = self._file.provider_id, self._runtime.outages.knows
        if known(self._tenant.id, own):
            yield from self._mirrors()
            yield own
        else:
            yield own
            yield from self._mirrors()

    def _mirrors(self) -> list[UUID]:
        with self._runtime.tenant(self._tenant) as connection:
            found = copies.stored_at(connection, self._file.version_id)
        return sorted(found, key=lambda provider_id: self._runtime.outages.knows(self._tenant.id, provider_id))

    def open_next(self) -> Reader:
        """Open the bytes at the next place that gives them.

        Raises:
            NotFound, StorageUnavailable: there is none; what the version's own provider said.
        """
        for place in self._left:
            self._present = place
            try:
                return open_at(self._runtime, self._tenant, self._file, place)
            except DomainError as error:
                self.failed(error)
        raise self._problem or NotFound("The bytes are gone.")

    def failed(self, error: DomainError) -> None:
        """Note that the present place has failed."""
        tenant_id, is_own = self._tenant.id, self._present == self._file.provider_id
        if self._problem is None or is_own:
            self._problem = error
        if isinstance(error, StorageUnavailable):
            self._runtime.outages.note(tenant_id, self._present)
        context = {"tenant_id": str(tenant_id), "version_id": str(self._file.version_id), "provider_id": str(self._present)}
        log.warning("the bytes of a version could not be read at a provider", extra={**context, "problem": error.code})


class SteadyReader:
    """An open version that goes on at its next place, at the same byte, where one fails. See `Reader`."""

    def __init__(self, reader: Reader, places: Places) -> None:
        self._reader, self._places = reader, places
        self._position, self._size_bytes = 0, places.size_bytes

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; empty at the end.

        Raises:
            StorageUnavailable, NotFound: no place gives them.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(self._size_bytes), b""))
        while True:
            data = self._try(size)
            if data is not None:
                self._position += len(data)
                return data

    def _try(self, size: int) -> bytes | None:
        """Return the next bytes; None where another place has to be asked."""
        try:
            data = self._reader.read(size)
        except DomainError as error:
            self._go_on(error)
            return None
        if data or not size or self._position >= self._size_bytes:
            return data
        self._go_on(StorageUnavailable("The bytes at the provider ended early."))
        return None

    def _go_on(self, error: DomainError) -> None:
        self._reader.close()
        self._places.failed(error)
        self._reader = self._places.open_next()
        self._reader.seek(self._position)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move; nothing is asked before the next read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        self._position = self._reader.seek(base + offset)
        return self._position

    def close(self) -> None:
        """Let go of it."""
        self._reader.close()
