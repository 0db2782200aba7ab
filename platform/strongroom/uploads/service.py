"""The way of an upload: begin (one short transaction), stream, complete (one short transaction). Knows no HTTP.

While bytes travel no transaction and no connection is held. Bytes come first, the row second: whatever goes wrong in
between, the upload's row names the bytes that the sweeper has to remove.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from uuid import UUID

from psycopg.errors import ForeignKeyViolation
from sqlalchemy import Connection, Row
from sqlalchemy.exc import IntegrityError

from strongroom.access import Principal
from strongroom.buckets import repository as buckets
from strongroom.buckets.models import Bucket
from strongroom.buckets.room import check_transfer, no_room
from strongroom.db.ids import new_id
from strongroom.errors import DatabaseUnavailable, DomainError, NotFound, TenantBusy, UploadGone
from strongroom.files import repository as files
from strongroom.files.models import File
from strongroom.files.paths import check_path
from strongroom.files.service import enqueue_purge
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.scanning.types import resolve_type
from strongroom.uploads import completion, repository
from strongroom.uploads.beginning import Situation, look
from strongroom.uploads.fingerprint import DIGEST_BYTES
from strongroom.uploads.ingest import LEASE_S, Ingest, pump
from strongroom.uploads.limits import check_counts, check_parallel
from strongroom.uploads.models import PARTIAL, Body, Kind, Received, Reservation, State, Upload, UploadRequest
from strongroom.uploads.rules import check_conditions, check_declared, check_size, claimed_type
from strongroom.usage.recorder import Caller
from tenants.models import Tenant

log = logging.getLogger(__name__)
CHECK = "files.check"
SWEEP = "uploads.sweep"
COMPLETE_PAUSES_S = (0.2, 1.0, 3.0)
SWEEP_MARGIN_S = 10
SWEEP_AFTER_S = LEASE_S + SWEEP_MARGIN_S
SWEEP_AGAIN_S = 30
KEEP_ENDED_S = 86400
UNRECORDED_BYTES = 64 * 1024
Within = Callable[[Connection], None]
"""Something to be done in a transaction that somebody else opens."""


def receive(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, request: UploadRequest, body: Body) -> File:
    """Store a file from a stream, as a new version at its path.

    On return the bytes and the row are durable, and the checks of the file are queued. On an exception nothing is left
    but, at worst, bytes that the sweeper removes within minutes.

    Raises:
        NotFound, InvalidPath, PreconditionFailed, FileTooLarge, QuotaExceeded, TransferExceeded, TooManyUploads, TypeNotAllowed,
        TypeMismatch, ChecksumMismatch, IncompleteBody, RequestTimeout, StorageFull, StorageUnavailable, DatabaseUnavailable
    """
    upload = begin(runtime, tenant, principal, request, is_here=_is_here(request, body))
    try:
        received = _take_in(runtime, tenant, upload, body)
        return complete_patiently(runtime, tenant, principal, caller, upload, received)
    except BaseException:
        abandon(runtime, tenant, upload)
        raise


def _is_here(request: UploadRequest, body: Body) -> bool:
    """Tell whether a small body has arrived already, so that the upload is over as soon as it begins."""
    size_bytes = request.size_bytes
    return size_bytes is not None and size_bytes <= UNRECORDED_BYTES and body.has_arrived(size_bytes)


def _take_in(runtime: Runtime, tenant: Tenant, upload: Upload, body: Body) -> Received:
    ingest = Ingest(runtime, tenant, upload)
    try:
        pump(body, ingest, upload.size_bytes)
        return ingest.finish()
    except BaseException:
        ingest.abort()
        raise


def complete_patiently(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, received: Received, first: Within | None = None
) -> File:  # fmt: skip
    """Complete, and try again while the database is busy: the bytes are durable, it would be a pity to throw them away."""
    for pause_s in COMPLETE_PAUSES_S:
        try:
            return complete(runtime, tenant, principal, caller, upload, received, first)
        except (DatabaseUnavailable, TenantBusy):
            time.sleep(pause_s)
    return complete(runtime, tenant, principal, caller, upload, received, first)


def begin(
    runtime: Runtime, tenant: Tenant, principal: Principal, request: UploadRequest, *, kind: Kind = Kind.STREAM, lifetime_s: int = LEASE_S,
    is_here: bool = False, reserve_bytes: int | None = None, and_then: Callable[[Connection, UUID], None] | None = None, **values: Any,
) -> Upload:  # fmt: skip
    """Refuse what is known to be wrong before a byte of the body is read, and reserve room.

    `is_here`: all its bytes are, so that it needs no row of its own. `reserve_bytes`: where that is not its size. `values`:
    further columns of one that takes several requests. `and_then`: called with the upload's id in the transaction that
    adds its row.

    Raises:
        NotFound, InvalidPath, PreconditionFailed, FileTooLarge, QuotaExceeded, TransferExceeded, TooManyUploads, TypeNotAllowed
    """
    path = check_path(request.path)
    declared = resolve_type(claimed_type(request.content_type), path)
    named: dict[str, Any] = {"id": new_id(), "kind": kind, "path": path, "version_id": new_id(), "provider_id": tenant.provider_id}
    with runtime.tenant(tenant) as connection:
        room_bytes = (request.size_bytes or 0) if reserve_bytes is None else reserve_bytes
        found = _look(connection, tenant, request, path, declared, room_bytes)
        bucket, current = found.bucket, found.current
        if is_here:
            check_counts(tenant, found.moving, found.still_open, own=0)
            return _unrecorded(principal, request, named, bucket, declared)
        room = Reservation(room_bytes, 0 if current or values.get("concat") == PARTIAL else 1)
        remembered = {} if kind == Kind.STREAM else repository.request_to_json(request)
        expires_at = repository.insert_upload(
            connection, lifetime_s=lifetime_s, **named, bucket_id=bucket.id, size_bytes=request.size_bytes, reserved_bytes=room.size_bytes,
            reserved_files=room.files, content_type=declared, request=remembered, created_by=principal.user_id,
            api_key_id=principal.api_key_id, **values,
        )  # fmt: skip
        enqueue(connection, SWEEP, {}, dedupe_key="all" if lifetime_s == LEASE_S else "later", delay_s=lifetime_s + SWEEP_MARGIN_S)
        if and_then is not None:
            and_then(connection, named["id"])
        if not buckets.reserve(connection, tenant.limits, **asdict(room)):
            raise no_room(connection, tenant.limits, size_bytes=room.size_bytes)
        check_parallel(connection, tenant, own=1)  # whoever holds the totals is alone, so this count is exact
    return Upload(
        **named, state=State.OPEN, bucket=bucket, size_bytes=request.size_bytes, declared_type=declared, request=request,
        created_by=principal.user_id, api_key_id=principal.api_key_id, expires_at=expires_at, left_s=lifetime_s,
        **values,
    )  # fmt: skip


def _look(connection: Connection, tenant: Tenant, request: UploadRequest, path: str, declared: str, room_bytes: int) -> Situation:
    """Refuse what can be refused before anything is reserved; return how things are."""
    found = look(connection, request.bucket, path)
    check_size(tenant, found.bucket, request.size_bytes or 0)
    check_declared(found.bucket, declared)
    check_conditions(request, found.current)
    check_transfer(tenant.limits, found.transferred_bytes)
    if found.totals.used_bytes + found.totals.reserved_bytes + room_bytes > tenant.limits.quota_bytes:
        raise no_room(
            connection, tenant.limits, size_bytes=room_bytes
        )  # the totals are held to it when they are changed; this one is told before a body comes
    return found


def _unrecorded(principal: Principal, request: UploadRequest, named: dict[str, Any], bucket: Bucket, declared: str) -> Upload:
    """Begin an upload that is over at once: it gets no row, and its room is taken when it completes.

    Bytes that a crash leaves behind in between are found by reconciliation.
    """
    return Upload(
        **named, state=State.OPEN, bucket=bucket, size_bytes=request.size_bytes, declared_type=declared, request=request,
        created_by=principal.user_id, api_key_id=principal.api_key_id, is_recorded=False,
    )  # fmt: skip


def complete(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, received: Received, first: Within | None = None
) -> File:  # fmt: skip
    """Make durable bytes a version: version, pointer, counters, event, usage and job in one transaction. Idempotent.

    `first` runs before all else in that transaction.

    Raises:
        PreconditionFailed: somebody else changed the file in the meantime.
        QuotaExceeded: it turned out to be larger than what was reserved, or its path became free, and there is no room.
        UploadGone: the upload was swept because it stood still for too long, or was ended.
    """
    try:
        with runtime.tenant(tenant) as connection:
            if first is not None:
                first(connection)
            reserved = _end(connection, upload, State.COMPLETE)
            if reserved is None:
                return _completed_before(connection, upload)
            return _add_version(connection, runtime, tenant, principal, caller, upload, received, reserved)
    except IntegrityError as error:  # an earlier try of an upload without a row did commit, only its answer was lost
        if isinstance(error.orig, ForeignKeyViolation):
            raise NotFound("There is no such bucket.") from None  # it was deleted meanwhile
        with runtime.tenant(tenant) as connection:
            return _completed_before(connection, upload)


def _completed_before(connection: Connection, upload: Upload) -> File:
    done = files.get_any_version(connection, upload.version_id)
    if done is None:
        raise UploadGone("The upload stood still for too long and was swept away, or it was ended. Send it again.")
    return done


def _add_version(
    connection: Connection, runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, received: Received,
    reserved: Reservation,
) -> File:  # fmt: skip
    row = completion.point(connection, principal, upload, received, new_id())
    if row.is_new:
        check_conditions(upload.request, None)
        file, freed = completion.new_file(upload, received, row), 0
    else:
        check_conditions(upload.request, files.get_by_id(connection, row.id))
        file, freed = _replace(connection, upload, row)
    if received.blocks is not None and len(received.blocks) > DIGEST_BYTES:
        files.insert_blocks(connection, upload.version_id, received.blocks)
    if upload.is_recorded and upload.kind != Kind.STREAM:
        repository.update_upload(connection, upload.id, file_id=file.id)
    has_room = completion.settle(
        connection, tenant.limits, principal, caller, file, reserved, is_new=row.is_new, bytes_freed=freed,
        roll_up_delay_s=runtime.settings.usage_delay_s,
    )  # fmt: skip
    if not has_room:
        raise no_room(connection, tenant.limits, size_bytes=max(0, file.size_bytes - reserved.size_bytes))
    return file


def _replace(connection: Connection, upload: Upload, row: Row[Any]) -> tuple[File, int]:
    """Point the file at its new version; return it with the bytes that are freed where former versions are not kept."""
    files.point_at(connection, row.id, upload.version_id)
    if upload.request.metadata:
        files.update_file(connection, row.id, metadata=dict(upload.request.metadata))
    freed = _drop_former(connection, upload.bucket, row.version_id)
    return files.get_by_id(connection, row.id), freed


def _end(connection: Connection, upload: Upload, state: State, reason: str | None = None) -> Reservation | None:
    """End an upload; of one that takes several requests the row stays for a while, to tell how it ended."""
    if not upload.is_recorded:
        return Reservation(0, 0)
    if upload.kind == Kind.STREAM:
        return repository.take(connection, upload.id)
    return repository.end(connection, upload.id, state, lifetime_s=KEEP_ENDED_S, reason=reason)


def abandon(runtime: Runtime, tenant: Tenant, upload: Upload, reason: str | None = None) -> None:
    """Let go of an upload that did not complete. What cannot be let go of now is swept later; never raises."""
    try:
        cancel(runtime, tenant, upload, reason)
    except DomainError:
        log.warning("an abandoned upload is left to the sweeper", extra={"upload_id": str(upload.id), "tenant_id": str(tenant.id)})


def cancel(runtime: Runtime, tenant: Tenant, upload: Upload, reason: str | None = None) -> bool:
    """Let go of an upload; False when it had ended already.

    Raises:
        DatabaseUnavailable, TenantBusy
    """
    with runtime.tenant(tenant) as connection:
        reserved = _end(connection, upload, State.FAILED, reason)
        if reserved is None:
            return False  # completed after all, or swept
        if upload.is_recorded:
            buckets.release(connection, **asdict(reserved))
        enqueue_purge(connection, upload.provider_id, upload.bucket.id, [upload.version_id])
    return True


def sweep(runtime: Runtime, tenant: Tenant, limit: int = 500) -> int:
    """Remove uploads whose time is over, give their room back, and have their bytes purged. Return how many were open."""
    with runtime.tenant(tenant) as connection:
        found = repository.expired(connection, limit)
        repository.forget(connection, [upload_id for upload_id, is_open, _ in found if not is_open])
        gone = [(upload_id, abandoned) for upload_id, is_open, abandoned in found if is_open]
        for upload_id, abandoned in gone:
            if reserved := repository.take(connection, upload_id):
                buckets.release(connection, **asdict(reserved))
            enqueue_purge(connection, abandoned.provider_id, abandoned.bucket_id, [abandoned.version_id])
        next_s = repository.next_sweep_s(connection)
        if next_s is not None:
            again_s = SWEEP_AGAIN_S if next_s < LEASE_S else next_s
            enqueue(connection, SWEEP, {}, dedupe_key="all" if next_s < LEASE_S else "later", delay_s=again_s)
    return len(gone)


def _drop_former(connection: Connection, bucket: Bucket, version_id: UUID) -> int:
    """Without versioning, forget the former version; return the bytes that it frees."""
    gone = None if bucket.versioning else files.delete_version(connection, version_id)
    if gone is None:
        return 0
    for provider_id in gone.places:
        enqueue_purge(connection, provider_id, bucket.id, [version_id])
    return gone.size_bytes
