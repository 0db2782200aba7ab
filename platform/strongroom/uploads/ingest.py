"""The bytes of one upload on their way to the provider: looked at, hashed and written while they come, in fixed memory."""

from __future__ import annotations

import time
from typing import cast
from uuid import UUID

from strongroom.buckets import repository as buckets
from strongroom.buckets.room import no_room
from strongroom.errors import BadRequest, ChecksumMismatch, QuotaExceeded, StorageUnavailable
from strongroom.runtime import Runtime
from strongroom.scanning.families import NO_CLAIM
from strongroom.storage.base import Lending, has
from strongroom.uploads import repository
from strongroom.uploads.fingerprint import Fingerprinter
from strongroom.uploads.models import Body, Received, Upload
from strongroom.uploads.rules import check_size, check_type
from tenants.models import Tenant

PIECE_BYTES = 256 * 1024
BUFFER_BYTES = 1024 * 1024
SNIFF_BYTES = 64 * 1024
LEASE_S = 180
PROLONG_AFTER_S = 30
GROW_BYTES = 16 * 1024 * 1024


class Ingest:
    """Takes the bytes of one upload, piece by piece, and makes them durable under its version's key.

    Not safe to share between threads. Either `finish` or `abort` ends it.
    """

    def __init__(self, runtime: Runtime, tenant: Tenant, upload: Upload) -> None:
        self._runtime, self._tenant, self._upload = runtime, tenant, upload
        self._prints = Fingerprinter(upload.request.digests)
        self._head, self._buffer = bytearray(), memoryview(b"")
        self._detected: str | None = None
        self._size_bytes = 0
        self._room = Room(runtime, tenant, upload)
        self._writer = runtime.storage(tenant, upload.provider_id).writer(upload.bucket.id, upload.version_id, upload.size_bytes)
        self._lender = cast(Lending, self._writer) if has(self._writer, Lending) else None

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; the caller may use their buffer again afterwards.

        Raises:
            TypeMismatch, TypeNotAllowed: told after 64 KiB at the latest.
            FileTooLarge, QuotaExceeded: of an upload of unknown size, as soon as it is known.
            StorageFull, StorageUnavailable, DatabaseUnavailable
        """
        self._count(data)
        if self._detected is not None:
            self._pass_on(data)
            return
        self._head += data
        if len(self._head) >= SNIFF_BYTES:
            self._look()

    def room(self, most_bytes: int) -> memoryview:
        """Return where to put the next bytes, at most so many, for `take`: where they stay, if the provider has such a place.

        Ends at a multiple of a buffer in the file: aligned pieces are hashed quicker (BLAKE3 is a tree).
        """
        if self._detected is None:
            return self._own(most_bytes)[: SNIFF_BYTES - len(self._head)]
        if self._lender is not None:
            return self._lender.room()[:most_bytes]
        return self._own(most_bytes)[: BUFFER_BYTES - self._size_bytes % BUFFER_BYTES]

    def take(self, view: memoryview) -> None:
        """Take bytes that were put where `room` said; as `write`."""
        if self._detected is None or self._lender is None:
            self.write(view)
            return
        self._count(view)
        self._prints.update(view)
        self._lender.fill(len(view))

    def finish(self) -> Received:
        """Make everything durable.

        Raises:
            ChecksumMismatch: a digest that was announced does not hold.
            BadRequest: there were fewer or more bytes than announced.
        """
        if self._upload.size_bytes not in {None, self._size_bytes}:
            raise BadRequest(f"{self._upload.size_bytes} bytes were announced and {self._size_bytes} came.")
        if self._detected is None:
            self._look()
        digests = self._prints.finish()
        for name, expected in self._upload.request.digests.items():
            if digests.extra[name] != expected:
                raise ChecksumMismatch(f"The {name} of the bytes received is another than was announced.")
        meta = self._writer.complete()
        return Received(
            meta.size_bytes, content_type_of(self._upload, self._detected or ""), self._detected or "", digests.fingerprint, digests.blake3,
            digests.blocks, meta.tag,
        )  # fmt: skip

    def abort(self) -> None:
        """Throw everything away. Never raises."""
        self._writer.abort()

    def _own(self, most_bytes: int) -> memoryview:
        if not self._buffer:
            self._buffer = memoryview(bytearray(min(BUFFER_BYTES, most_bytes)))
        return self._buffer[:most_bytes]

    def _count(self, data: bytes | memoryview) -> None:
        self._size_bytes += len(data)
        self._room.need(self._size_bytes)

    def _look(self) -> None:
        self._detected = check_type(self._upload, bytes(self._head[:SNIFF_BYTES]))
        self._pass_on(bytes(self._head))
        self._head.clear()

    def _pass_on(self, data: bytes | memoryview) -> None:
        if data:
            self._prints.update(data)
            self._writer.write(data)


def content_type_of(upload: Upload, detected: str) -> str:
    """Return the type under which a file is kept: as declared, or as detected when nothing was declared."""
    return detected if upload.declared_type == NO_CLAIM and detected else upload.declared_type


class Room:
    """Keeps an upload alive while bytes come, and the room for them reserved before they are written."""

    def __init__(self, runtime: Runtime, tenant: Tenant, upload: Upload, reserved_bytes: int | None = None) -> None:
        self._runtime, self._tenant, self._upload = runtime, tenant, upload
        self._reserved = upload.size_bytes or 0 if reserved_bytes is None else reserved_bytes
        self._prolonged = time.monotonic()

    def need(self, size_bytes: int) -> None:
        """See that there is room for the first `size_bytes` of the file.

        Raises:
            FileTooLarge, QuotaExceeded
            BadRequest: more comes than was announced.
            StorageUnavailable: the upload was swept.
        """
        if self._upload.size_bytes is None:
            check_size(self._tenant, self._upload.bucket, size_bytes)
        if size_bytes > self._reserved:
            if self._upload.size_bytes is not None:
                raise BadRequest(f"More than the announced {self._upload.size_bytes} bytes came.")
            self._grow(size_bytes - self._reserved)
        elif time.monotonic() - self._prolonged > PROLONG_AFTER_S:
            self._prolong(0)

    def _grow(self, needed: int) -> None:
        """Reserve in large steps, and at the edge of the quota just what is needed."""
        more = max(GROW_BYTES, needed)
        try:
            self._prolong(more)
        except QuotaExceeded:
            more = needed
            self._prolong(more)
        self._reserved += more

    def _prolong(self, more_bytes: int) -> None:
        prolong(self._runtime, self._tenant, self._upload.id, more_bytes)
        self._prolonged = time.monotonic()


def prolong(runtime: Runtime, tenant: Tenant, upload_id: UUID, more_bytes: int = 0) -> None:
    """Keep an upload alive for a while, with more room reserved.

    Raises:
        QuotaExceeded
        StorageUnavailable: the upload was swept.
    """
    with runtime.tenant(tenant) as connection:
        if not repository.prolong(connection, upload_id, LEASE_S, more_bytes=more_bytes):  # an upload's row comes before the totals
            raise StorageUnavailable("The upload stood still for too long and was swept away. Send it again.")
        if more_bytes and not buckets.reserve(connection, tenant.limits, size_bytes=more_bytes, files=0):
            raise no_room(connection, tenant.limits, size_bytes=more_bytes)


def pump(body: Body, ingest: Ingest, size_bytes: int | None) -> None:
    """Pass a body on, of known or unknown size; no more than what tells its type is read before that is known."""
    done = 0
    while size_bytes is None or done < size_bytes:
        room = ingest.room(BUFFER_BYTES if size_bytes is None else min(BUFFER_BYTES, size_bytes - done))
        count = body.readinto(room)
        if not count:
            return
        ingest.take(room[:count])
        done += count
