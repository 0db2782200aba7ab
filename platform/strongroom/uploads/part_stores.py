"""Where the parts of a direct upload go: three ways, told apart by what the provider can, behind one small interface.

`PresignedParts`: clients send to the provider itself; it alone knows what is there. `RegionParts`: we write each part at its
place in the unfinished file. `RelayedParts`: we pass each part on, whole. The last two keep a row for each part that is
durable, written after its bytes and removed before they change, so that its digests are never those of other bytes.
"""

from __future__ import annotations

import errno
import mmap
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Protocol

from sqlalchemy import Connection

from strongroom.errors import NotSupported, PartInvalid, StorageFull, StorageUnavailable, UploadGone, UploadLocked
from strongroom.runtime import Runtime
from strongroom.security.tokens import sign
from strongroom.storage.base import CannotCompose, Multipart, Part, PartCopy, Presigning, Regions, SignedRequest
from strongroom.storage.bound import Piece, TenantStorage
from strongroom.uploads import repository
from strongroom.uploads.fingerprint import BlockDigests, fingerprint_of
from strongroom.uploads.layout import Layout
from strongroom.uploads.models import Body, State, Upload, UploadPart
from tenants.models import Tenant

PIECE_BYTES = 256 * 1024
PART_LIFETIME_S = 3600
PURPOSE = "upload part"
SEALED = "sealed"
COPIED = "copied"
OwnUrl = Callable[[str], str]
"""Makes a path of our API an address."""


class PartStore(Protocol):
    """The parts of one upload."""

    def begin(self) -> str:
        """Begin at the provider; return its name of the session."""

    def sign(self, numbers: Sequence[int], own_url: OwnUrl) -> list[SignedRequest]:
        """Return requests that put these parts, each of exactly its size."""

    def found(self) -> list[UploadPart]:
        """Return what has arrived, by number.

        Raises:
            NotFound: the session is over.
        """

    def can_copy(self, pieces: Sequence[Piece]) -> bool:
        """Tell whether the provider may make a part of these slices of other versions."""

    def copy(self, number: int, pieces: Sequence[Piece]) -> None:
        """Have the provider make a part of slices of other versions.

        Raises:
            NotFound, CannotCompose, UploadLocked
        """

    def finish(self, parts: Sequence[UploadPart]) -> None:
        """Make the object of exactly these parts.

        Raises:
            NotFound: the session is over.
            Conflict: a part is another one by now.
            UploadLocked: a part is being written.
        """


class _Store:
    def __init__(self, runtime: Runtime, tenant: Tenant, upload: Upload) -> None:
        self._runtime, self._tenant, self._upload = runtime, tenant, upload
        self._storage: TenantStorage = runtime.storage(tenant, upload.provider_id)
        self._object = self._storage.object(upload.bucket.id, upload.version_id)
        self._layout = layout_of(upload)

    def _lifetime_s(self) -> int:
        return max(1, min(PART_LIFETIME_S, int(self._upload.left_s)))


class PresignedParts(_Store):
    """Clients send to the provider itself; see `PartStore`."""

    def begin(self) -> str:
        """Begin a multipart upload."""
        return self._object.begin_multipart()

    def sign(self, numbers: Sequence[int], own_url: OwnUrl) -> list[SignedRequest]:  # noqa: ARG002 - the provider's own addresses
        """Let the provider's keys sign."""
        session, lifetime_s = self._upload.session, self._lifetime_s()
        return [self._object.presign_part(session, number, self._layout.size_of(number), lifetime_s) for number in numbers]

    def found(self) -> list[UploadPart]:
        """Ask the provider."""
        parts = self._object.list_parts(self._upload.session)
        return [UploadPart(part.number, self._layout.offset_of(part.number), part.size_bytes, part.tag, b"") for part in parts]

    def can_copy(self, pieces: Sequence[Piece]) -> bool:
        """One slice makes one part."""
        return len(pieces) == 1 and self._storage.can(PartCopy)

    def copy(self, number: int, pieces: Sequence[Piece]) -> None:
        """Have the provider copy."""
        if len(pieces) != 1:
            raise CannotCompose
        self._storage.copy_part(self._upload.bucket.id, self._upload.version_id, self._upload.session, number, pieces[0])

    def finish(self, parts: Sequence[UploadPart]) -> None:
        """Assemble by the tags that were found, so that a part which changed since is noticed."""
        self._object.assemble(self._upload.session, [Part(part.number, part.size_bytes, part.tag) for part in parts])


class _OwnParts(_Store):
    """Parts that pass through our API, with a row for each."""

    def sign(self, numbers: Sequence[int], own_url: OwnUrl) -> list[SignedRequest]:
        """Sign addresses of our own API: upload, number, size and expiry are in the token."""
        lifetime_s = self._lifetime_s()
        expires_at = datetime.now(UTC) + timedelta(seconds=lifetime_s)
        key = self._runtime.keys.tenant_key(self._tenant.id, PURPOSE)
        return [self._sign(number, key, lifetime_s, expires_at, own_url) for number in numbers]

    def _sign(self, number: int, key: bytes, lifetime_s: int, expires_at: datetime, own_url: OwnUrl) -> SignedRequest:
        size = self._layout.size_of(number)
        token = sign(key, PURPOSE, str(self._upload.id), lifetime_s, number=number, size=size)
        url = own_url(f"/api/v1/uploads/{self._upload.id}/parts/{number}?token={token}")
        return SignedRequest("PUT", url, expires_at, {"Content-Length": str(size)})

    def found(self) -> list[UploadPart]:
        """Ask our own rows."""
        with self._runtime.tenant(self._tenant) as connection:
            return repository.list_parts(connection, self._upload.id)

    def _forget(self, number: int) -> None:
        """From now on the part has not arrived.

        Raises:
            UploadGone: the upload has ended, or all its parts were there and are being put together.
        """
        with self._runtime.tenant(self._tenant) as connection:
            self._see_open(connection)
            repository.forget_part(connection, self._upload.id, number)

    def _keep(self, number: int, tag: str, blocks: bytes) -> None:
        part = UploadPart(number, self._layout.offset_of(number), self._layout.size_of(number), tag, blocks)
        with self._runtime.tenant(self._tenant) as connection:
            self._see_open(connection)
            repository.put_part(connection, self._upload.id, part)

    def _see_open(self, connection: Connection) -> Upload:
        upload = repository.get_upload(connection, self._upload.id, lock=True)
        if upload.state != State.OPEN or upload.session == SEALED:
            raise UploadGone("All parts of this upload have arrived already, or it was ended.")
        return upload


class RegionParts(_OwnParts):
    """Each part is written at its place; see `PartStore`. Two writers of the same part exclude each other."""

    def begin(self) -> str:
        """Begin the unfinished file."""
        self._object.begin_regions(self._upload.size_bytes)
        return ""

    def receive(self, number: int, body: Body) -> str:
        """Write a part, make it durable, then its row; return its tag: the fingerprint of its bytes."""
        size, blocks = self._layout.size_of(number), BlockDigests()
        writer = self._object.region(self._layout.offset_of(number), size)
        try:
            self._forget(number)
            for data in _pieces(body, size):
                blocks.update(data)
                writer.write(data)
            writer.sync()
            digests = blocks.finish()
            self._keep(number, fingerprint_of(digests), digests)
        finally:
            writer.close()
        return fingerprint_of(digests)

    def can_copy(self, pieces: Sequence[Piece]) -> bool:
        """Any slices will do."""
        return bool(pieces) and self._storage.can(Regions)

    def copy(self, number: int, pieces: Sequence[Piece]) -> None:
        """Copy into place. What the bytes are is for the worker to see: they did not pass through us."""
        self._forget(number)
        self._storage.copy_region(self._upload.bucket.id, self._upload.version_id, self._layout.offset_of(number), pieces)
        self._keep(number, COPIED, b"")

    def finish(self, parts: Sequence[UploadPart]) -> None:
        """Seal, so that no part can change any more, then give the file its name."""
        self._seal(parts)
        self._object.finish_regions(self._layout.size_bytes)

    def _seal(self, parts: Sequence[UploadPart]) -> None:
        with self._runtime.tenant(self._tenant) as connection:
            upload = repository.get_upload(connection, self._upload.id, lock=True)
            if upload.session == SEALED:
                return
            if repository.list_parts(connection, upload.id) != list(parts):
                raise UploadLocked("A part was sent again just now.", retry_after_s=1)
            repository.update_upload(connection, upload.id, session=SEALED)


class RelayedParts(_OwnParts):
    """Each part is received whole, then passed on; see `PartStore`. On the way it lies in a file without a name, not in memory."""

    def begin(self) -> str:
        """Begin a multipart upload."""
        return self._object.begin_multipart()

    def receive(self, number: int, body: Body) -> str:
        """Receive a part, pass it on, then write its row; return the provider's tag."""
        size, blocks = self._layout.size_of(number), BlockDigests()
        with _spool(self._runtime.settings.scan_spool_dir) as spool:
            for data in _pieces(body, size):
                blocks.update(data)
                spool.write(data)
            spool.flush()
            self._forget(number)
            mapped = mmap.mmap(spool.fileno(), size, access=mmap.ACCESS_READ)  # goes with its last reference: a provider may keep slices
            part = self._object.put_part(self._upload.session, number, memoryview(mapped))
        self._keep(number, part.tag, blocks.finish())
        return part.tag

    def can_copy(self, pieces: Sequence[Piece]) -> bool:
        """One slice makes one part."""
        return len(pieces) == 1 and self._storage.can(PartCopy)

    def copy(self, number: int, pieces: Sequence[Piece]) -> None:
        """Have the provider copy."""
        if len(pieces) != 1:
            raise CannotCompose
        self._forget(number)
        upload = self._upload
        part = self._storage.copy_part(upload.bucket.id, upload.version_id, upload.session, number, pieces[0])
        self._keep(number, part.tag, b"")

    def finish(self, parts: Sequence[UploadPart]) -> None:
        """Assemble by the tags in our rows."""
        self._object.assemble(self._upload.session, [Part(part.number, part.size_bytes, part.tag) for part in parts])


def _pieces(body: Body, size: int) -> Iterator[memoryview]:
    """Yield the body piece by piece, each in the same buffer."""
    buffer, left = memoryview(bytearray(min(PIECE_BYTES, size))), size
    while left:
        count = body.readinto(buffer[: min(PIECE_BYTES, left)])
        if not count:
            raise PartInvalid(f"The body ended {left} bytes before the part did.")
        left -= count
        yield buffer[:count]


@contextmanager
def _spool(folder: str | None) -> Iterator[IO[bytes]]:
    try:
        with tempfile.TemporaryFile(dir=folder) as spool:
            yield spool
    except OSError as error:
        raise StorageFull if error.errno == errno.ENOSPC else StorageUnavailable(retry_after_s=5) from error


def layout_of(upload: Upload) -> Layout:
    """Return how an upload is cut."""
    return Layout(upload.size_bytes or 0, upload.part_size_bytes or 1)


def part_store(runtime: Runtime, tenant: Tenant, upload: Upload) -> PresignedParts | RegionParts | RelayedParts:
    """Return where an upload's parts go.

    Raises:
        NotSupported: the provider takes no parts in any way.
    """
    storage = runtime.storage(tenant, upload.provider_id)
    if storage.can(Presigning):
        return PresignedParts(runtime, tenant, upload)
    if storage.can(Regions):
        return RegionParts(runtime, tenant, upload)
    if storage.can(Multipart):
        return RelayedParts(runtime, tenant, upload)
    raise NotSupported("The storage provider takes no parts; send the file whole with PUT /api/v1/objects/{bucket}/{path}.")
