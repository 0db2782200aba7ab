"""Uploads that several requests carry: go on at the offset, and complete once nothing is missing. Knows no HTTP.

Any process takes the next request: all that is known of an upload is in its row, in those of its parts, and at the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Principal, Role
from strongroom.buckets import repository as buckets
from strongroom.buckets.room import no_room
from strongroom.db.ids import new_id
from strongroom.errors import (
    BadRequest,
    Conflict,
    DomainError,
    FileTooLarge,
    IncompleteBody,
    NotFound,
    OffsetConflict,
    PreconditionFailed,
    StorageUnavailable,
    TypeMismatch,
    TypeNotAllowed,
    UploadGone,
    UploadLocked,
)
from strongroom.files.models import File
from strongroom.runtime import Runtime
from strongroom.uploads import progress, repository
from strongroom.uploads.appending import Appender, finish
from strongroom.uploads.leases import Keeper, Lease, keeper_of
from strongroom.uploads.limits import check_moving
from strongroom.uploads.models import PARTIAL, Kind, State, Upload
from strongroom.uploads.progress import Held
from strongroom.uploads.rules import check_size
from strongroom.uploads.service import abandon, complete_patiently
from strongroom.usage.recorder import Caller
from tenants.models import Tenant

LOCKED_RETRY_S = 2
FAULTS = (TypeMismatch, TypeNotAllowed, PreconditionFailed, Conflict, NotFound)


class Arriving(Protocol):
    """The bytes of one request as they arrive."""

    def read_some(self) -> bytes | memoryview:
        """Return what has arrived, at least one byte; empty at the end. The next call may use the buffer again.

        Raises:
            IncompleteBody, RequestTimeout, BadRequest
        """


class Check(Protocol):
    """What the bytes of one request must have."""

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""

    def verify(self) -> None:
        """See that it holds.

        Raises:
            DomainError: it does not.
        """


@dataclass(frozen=True)
class Chunk:
    """What one request brings. `size_bytes` None: it does not know yet; `total_bytes`: the whole upload's, told only now.

    `interrupt` makes `body` end, from another thread. With a `check`, either the whole request counts or nothing of it.
    """

    offset_bytes: int
    body: Arriving
    size_bytes: int | None = None
    total_bytes: int | None = None
    check: Check | None = None
    interrupt: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Outcome:
    """How far an upload is after a request; `file` once it is complete."""

    upload: Upload
    offset_bytes: int
    file: File | None = None


def get_own(connection: Connection, principal: Principal, upload_id: UUID, kind: Kind) -> Upload:
    """Return an upload for whoever began it, or for an admin; nobody else learns that there is one.

    Raises:
        NotFound
    """
    upload = repository.get_upload(connection, upload_id)
    if upload.kind != kind or not (upload.created_by == principal.user_id or principal.role.includes(Role.ADMIN)):
        raise NotFound("There is no such upload.")
    return upload


def check_living(upload: Upload) -> None:
    """See that an upload has neither failed nor expired.

    Raises:
        UploadGone
    """
    if upload.state == State.FAILED:
        raise UploadGone(f"This upload was ended: {upload.reason or 'it was given up'}. Begin a new one.")
    if upload.state == State.OPEN and upload.expires_at is not None and upload.left_s <= 0:
        raise UploadGone("This upload has expired. Begin a new one.")


def append(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload_id: UUID, kind: Kind, chunk: Chunk) -> Outcome:
    """Take in the bytes of one request, and complete the upload when they are its last.

    Whatever ends the request, every byte that came is kept (unless the chunk has a check that does not hold) and can be
    gone on from; on return they are durable.

    Raises:
        NotFound, UploadGone, UploadLocked, OffsetConflict, BadRequest, FileTooLarge, QuotaExceeded, TooManyUploads,
        TypeMismatch, TypeNotAllowed, PreconditionFailed, IncompleteBody, RequestTimeout, StorageFull, StorageUnavailable,
        DatabaseUnavailable, and what the check raises
    """
    held = _take(runtime, tenant, principal, upload_id, kind, chunk)
    if isinstance(held, Upload):
        return Outcome(held, held.offset_bytes)
    lease = Lease(tenant, upload_id, held.lock_id, chunk.interrupt)
    with _freed(runtime, tenant, held), _ended_by_faults(runtime, tenant, held.upload), keeper_of(runtime).keep(lease):
        return _append(runtime, tenant, principal, caller, held, lease, chunk)


def complete_if_whole(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload) -> None:
    """Complete an upload of which all bytes are there, and whose last request ended before it could do so. Idempotent.

    Raises:
        what `append` raises
    """
    if upload.state != State.OPEN or upload.offset_bytes != upload.size_bytes:
        return
    held = _take(runtime, tenant, principal, upload.id, upload.kind, None)
    if isinstance(held, Upload):
        return
    lease = Lease(tenant, upload.id, held.lock_id, lambda: None)
    with _freed(runtime, tenant, held), _ended_by_faults(runtime, tenant, upload), keeper_of(runtime).keep(lease):
        with suppress(NotFound):  # the provider has made the object already; `finish` sees whether it is there
            appender = Appender(runtime, tenant, held)
            try:
                appender.seal()
            finally:
                appender.close()
        _complete(runtime, tenant, principal, caller, held.upload)


def _take(runtime: Runtime, tenant: Tenant, principal: Principal, upload_id: UUID, kind: Kind, chunk: Chunk | None) -> Held | Upload:
    """Take the upload's lock, if the chunk fits; return the upload itself where nothing is left to do."""
    with runtime.tenant(tenant) as connection:
        upload = get_own(connection, principal, upload_id, kind)
        check_living(upload)
        if upload.state == State.COMPLETE:
            return _already_complete(upload, chunk)
        held = progress.lock(connection, upload_id, new_id(), lifetime_s=runtime.settings.upload_lifetime_s if chunk else 0)
        if held is not None:
            check_moving(connection, tenant)
            return _fit(connection, tenant, held, chunk) if chunk else held
        progress.want_lock(connection, upload_id)
    raise UploadLocked(retry_after_s=LOCKED_RETRY_S)


def _already_complete(upload: Upload, chunk: Chunk | None) -> Upload:
    if chunk is not None and (chunk.offset_bytes != upload.offset_bytes or chunk.size_bytes):
        raise OffsetConflict("The upload is complete.", offset_bytes=upload.offset_bytes)
    return upload


def _fit(connection: Connection, tenant: Tenant, held: Held, chunk: Chunk) -> Held:
    """Hold a request against the upload that it wants to go on with.

    Raises:
        OffsetConflict, BadRequest, FileTooLarge, QuotaExceeded
    """
    offset_bytes = held.upload.offset_bytes
    if chunk.offset_bytes != offset_bytes:
        raise OffsetConflict(f"The upload is at {offset_bytes}, not at {chunk.offset_bytes}.", offset_bytes=offset_bytes)
    if chunk.total_bytes is not None:
        held = _declare_size(connection, tenant, held, chunk.total_bytes)
    total_bytes = held.upload.size_bytes
    if total_bytes is not None and chunk.size_bytes is not None and offset_bytes + chunk.size_bytes > total_bytes:
        raise FileTooLarge(f"The upload has {total_bytes} bytes, as was announced; {total_bytes - offset_bytes} are missing.")
    return held


def _declare_size(connection: Connection, tenant: Tenant, held: Held, size_bytes: int) -> Held:
    upload = held.upload
    if upload.size_bytes is not None and upload.size_bytes != size_bytes:
        raise BadRequest(f"The upload has {upload.size_bytes} bytes, as was announced before.")
    if size_bytes < upload.offset_bytes:
        raise BadRequest(f"{upload.offset_bytes} bytes have come already.")
    check_size(tenant, upload.bucket, size_bytes)
    more_bytes = size_bytes - held.reserved_bytes
    if more_bytes > 0 and not buckets.reserve(connection, tenant.limits, size_bytes=more_bytes, files=0):
        raise no_room(connection, tenant.limits, size_bytes=more_bytes)
    if more_bytes < 0:
        buckets.release(connection, size_bytes=-more_bytes, files=0)
    repository.update_upload(connection, upload.id, size_bytes=size_bytes, reserved_bytes=size_bytes)
    return Held(replace(upload, size_bytes=size_bytes), held.lock_id, size_bytes)


def _append(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, held: Held, lease: Lease, chunk: Chunk
) -> Outcome:  # fmt: skip
    appender = Appender(runtime, tenant, held, is_whole_or_nothing=chunk.check is not None)
    try:
        _take_in(appender, lease, chunk, keeper_of(runtime))
        if not appender.is_whole:
            appender.settle()
            return Outcome(held.upload, appender.offset_bytes)
        appender.seal()
        appender.close()  # a provider that writes in place makes no object of bytes that somebody still holds
        return _complete(runtime, tenant, principal, caller, held.upload, appender.blake3)
    finally:
        appender.close()


def _take_in(appender: Appender, lease: Lease, chunk: Chunk, keeper: Keeper) -> None:
    try:
        _read(appender, lease, chunk)
    except (TypeMismatch, TypeNotAllowed, UploadGone, UploadLocked):
        raise
    except DomainError as error:
        if chunk.check is None:
            appender.settle()
        if isinstance(error, IncompleteBody) and lease.is_interrupted:
            raise _interrupted(keeper) from None
        raise
    if chunk.check is not None:
        chunk.check.verify()


def _read(appender: Appender, lease: Lease, chunk: Chunk) -> None:
    try:
        while data := chunk.body.read_some():
            lease.hear()
            if chunk.check is not None:
                chunk.check.update(data)
            appender.write(data)
    finally:
        lease.hear_out()


def _interrupted(keeper: Keeper) -> DomainError:
    if keeper.is_stopping:
        return StorageUnavailable("The server is being restarted. What came is kept; go on from the offset.", retry_after_s=1)
    return UploadLocked("Another request goes on with this upload.", retry_after_s=LOCKED_RETRY_S)


def _complete(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, whole_blake3: str | None = None
) -> Outcome:  # fmt: skip
    with runtime.tenant(tenant) as connection:
        upload = repository.get_upload(connection, upload.id)
    received = finish(runtime, tenant, upload, whole_blake3)
    if upload.concat == PARTIAL:
        return Outcome(upload, received.size_bytes)
    file = complete_patiently(runtime, tenant, principal, caller, upload, received)
    return Outcome(upload, received.size_bytes, file)


@contextmanager
def _freed(runtime: Runtime, tenant: Tenant, held: Held) -> Iterator[None]:
    """Let go of the lock in the end; where that fails, it runs out by itself."""
    try:
        yield
    finally:
        with suppress(DomainError), runtime.tenant(tenant) as connection:
            progress.unlock(connection, held.upload.id, held.lock_id)


@contextmanager
def _ended_by_faults(runtime: Runtime, tenant: Tenant, upload: Upload) -> Iterator[None]:
    """End an upload for which there is no hope: wrong type, a condition that does not hold, bytes that are gone."""
    try:
        yield
    except FAULTS as error:
        abandon(runtime, tenant, upload, reason=error.code)
        if isinstance(error, NotFound):
            raise UploadGone("The bytes of this upload are gone. Begin a new one.") from error
        raise
