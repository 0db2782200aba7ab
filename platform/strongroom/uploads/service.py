"""The way of an upload: begin (one short transaction), stream, complete (one short transaction). Knows no HTTP.

While bytes travel no transaction and no connection is held. Bytes come first, the row second: whatever goes wrong in
between, the upload's row names the bytes that the sweeper has to remove.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Principal
from strongroom.buckets import repository as buckets
from strongroom.buckets.models import Bucket
from strongroom.db.ids import new_id
from strongroom.errors import DatabaseUnavailable, DomainError, NotFound, QuotaExceeded, TenantBusy, TooManyUploads, UploadGone
from strongroom.events.service import emit
from strongroom.files import repository as files
from strongroom.files.models import File, Status
from strongroom.files.paths import check_path
from strongroom.files.service import enqueue_purge, event_data
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.scanning.types import resolve_type
from strongroom.uploads import repository
from strongroom.uploads.ingest import LEASE_S, Ingest, pump
from strongroom.uploads.models import Body, Kind, Received, Reservation, State, Upload, UploadRequest
from strongroom.uploads.rules import check_conditions, check_declared, check_size, claimed_type
from strongroom.usage.recorder import Caller, record
from tenants.models import Tenant

log = logging.getLogger(__name__)
CHECK = "files.check"
SWEEP = "uploads.sweep"
COMPLETE_PAUSES_S = (0.2, 1.0, 3.0)
SWEEP_MARGIN_S = 10
SWEEP_AFTER_S = LEASE_S + SWEEP_MARGIN_S
SWEEP_AGAIN_S = 30
OPEN_PER_PARALLEL = 20
KEEP_ENDED_S = 86400
DIGEST_BYTES = 32


def receive(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, request: UploadRequest, body: Body) -> File:
    """Store a file from a stream, as a new version at its path.

    On return the bytes and the row are durable, and the checks of the file are queued. On an exception nothing is left
    but, at worst, bytes that the sweeper removes within minutes.

    Raises:
        NotFound, InvalidPath, PreconditionFailed, FileTooLarge, QuotaExceeded, TooManyUploads, TypeNotAllowed, TypeMismatch,
        ChecksumMismatch, IncompleteBody, RequestTimeout, StorageFull, StorageUnavailable, DatabaseUnavailable
    """
    upload = begin(runtime, tenant, principal, request)
    try:
        received = _take_in(runtime, tenant, upload, body)
        return complete_patiently(runtime, tenant, principal, caller, upload, received)
    except BaseException:
        abandon(runtime, tenant, upload)
        raise


def _take_in(runtime: Runtime, tenant: Tenant, upload: Upload, body: Body) -> Received:
    ingest = Ingest(runtime, tenant, upload)
    try:
        pump(body, ingest, upload.size_bytes)
        return ingest.finish()
    except BaseException:
        ingest.abort()
        raise


def complete_patiently(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, received: Received) -> File:
    """Complete, and try again while the database is busy: the bytes are durable, it would be a pity to throw them away."""
    for pause_s in COMPLETE_PAUSES_S:
        try:
            return complete(runtime, tenant, principal, caller, upload, received)
        except (DatabaseUnavailable, TenantBusy):
            time.sleep(pause_s)
    return complete(runtime, tenant, principal, caller, upload, received)


def begin(
    runtime: Runtime, tenant: Tenant, principal: Principal, request: UploadRequest, *, kind: Kind = Kind.STREAM, lifetime_s: int = LEASE_S,
    **values: Any,
) -> Upload:  # fmt: skip
    """Refuse what is known to be wrong before a byte of the body is read, and reserve room.

    `values`: further columns of an upload that takes several requests.

    Raises:
        NotFound, InvalidPath, PreconditionFailed, FileTooLarge, QuotaExceeded, TooManyUploads, TypeNotAllowed
    """
    path = check_path(request.path)
    declared = resolve_type(claimed_type(request.content_type), path)
    named: dict[str, Any] = {"id": new_id(), "kind": kind, "path": path, "version_id": new_id(), "provider_id": tenant.provider_id}
    with runtime.tenant(tenant) as connection:
        bucket = buckets.get_bucket(connection, request.bucket)
        check_size(tenant, bucket, request.size_bytes or 0)
        check_declared(bucket, declared)
        current = _current(connection, bucket.name, path)
        check_conditions(request, current)
        room = Reservation(request.size_bytes or 0, 0 if current else 1)
        if not buckets.reserve(connection, tenant.limits, **asdict(room)):
            raise QuotaExceeded
        _check_parallel(connection, tenant)
        remembered = {} if kind == Kind.STREAM else repository.request_to_json(request)
        expires_at = repository.insert_upload(
            connection, lifetime_s=lifetime_s, **named, bucket_id=bucket.id, size_bytes=request.size_bytes, reserved_bytes=room.size_bytes,
            reserved_files=room.files, content_type=declared, request=remembered, created_by=principal.user_id,
            api_key_id=principal.api_key_id, **values,
        )  # fmt: skip
        enqueue(connection, SWEEP, {}, dedupe_key="all" if lifetime_s == LEASE_S else "later", delay_s=lifetime_s + SWEEP_MARGIN_S)
    return Upload(
        **named, state=State.OPEN, bucket=bucket, size_bytes=request.size_bytes, declared_type=declared, request=request,
        created_by=principal.user_id, api_key_id=principal.api_key_id, expires_at=expires_at, **values,
    )  # fmt: skip


def _check_parallel(connection: Connection, tenant: Tenant) -> None:
    moving, still_open = repository.count_open(connection)
    most = tenant.limits.parallel_uploads
    if moving >= most:
        raise TooManyUploads(f"This tenant may have {most} uploads at the same time.", retry_after_s=5)
    if still_open >= most * OPEN_PER_PARALLEL:
        raise TooManyUploads(f"This tenant may have {most * OPEN_PER_PARALLEL} unfinished uploads.", retry_after_s=60)


def complete(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, received: Received) -> File:
    """Make durable bytes a version: version, pointer, counters, event, usage and job in one transaction. Idempotent.

    Raises:
        PreconditionFailed: somebody else changed the file in the meantime.
        QuotaExceeded: it turned out to be larger than what was reserved, or its path became free, and there is no room.
        UploadGone: the upload was swept because it stood still for too long, or was ended.
    """
    with runtime.tenant(tenant) as connection:
        reserved = _end(connection, upload, State.COMPLETE)
        if reserved is None:
            done = files.get_any_version(connection, upload.version_id)
            if done is not None:
                return done  # an earlier try did commit, only its answer was lost
            raise UploadGone("The upload stood still for too long and was swept away, or it was ended. Send it again.")
        file_id, former_id = _point(connection, principal, upload)
        reserved = _top_up(connection, tenant, reserved, received.size_bytes, 0 if former_id else 1)
        _insert_version(connection, principal, upload, received, file_id)
        dropped = _drop_former(connection, upload.bucket, former_id)
        buckets.release(connection, **asdict(reserved))
        buckets.count(connection, upload.bucket.id, bytes_change=received.size_bytes - dropped, files_change=0 if former_id else 1)
        if upload.kind != Kind.STREAM:
            repository.update_upload(connection, upload.id, file_id=file_id)
        file = files.get_by_id(connection, file_id)
        emit(connection, "file.updated" if former_id else "file.created", file_id, event_data(file), principal.actor)
        record(
            connection, principal, caller, operation="upload", bucket_id=upload.bucket.id, file_id=file_id,
            content_type=received.content_type, bytes_in=received.size_bytes, delay_s=runtime.settings.usage_delay_s,
        )  # fmt: skip
        enqueue(connection, CHECK, {"version_id": str(upload.version_id)})
    return file


def _end(connection: Connection, upload: Upload, state: State, reason: str | None = None) -> Reservation | None:
    """End an upload; of one that takes several requests the row stays for a while, to tell how it ended."""
    if upload.kind == Kind.STREAM:
        return repository.take(connection, upload.id)
    return repository.end(connection, upload.id, state, lifetime_s=KEEP_ENDED_S, reason=reason)


def _top_up(connection: Connection, tenant: Tenant, reserved: Reservation, size_bytes: int, files_needed: int) -> Reservation:
    """Reserve what is needed beyond what was reserved: the size was unknown, or the file to be replaced was deleted meanwhile."""
    more_bytes, more_files = max(0, size_bytes - reserved.size_bytes), max(0, files_needed - reserved.files)
    if not (more_bytes or more_files):
        return reserved
    if not buckets.reserve(connection, tenant.limits, size_bytes=more_bytes, files=more_files):
        raise QuotaExceeded
    return Reservation(reserved.size_bytes + more_bytes, reserved.files + more_files)


def _insert_version(connection: Connection, principal: Principal, upload: Upload, received: Received, file_id: UUID) -> None:
    files.insert_version(
        connection, id=upload.version_id, file_id=file_id, bucket_id=upload.bucket.id, provider_id=upload.provider_id,
        provider_tag=received.provider_tag, size_bytes=received.size_bytes, content_type=received.content_type,
        detected_type=received.detected_type, etag=received.fingerprint or upload.version_id.hex, fingerprint=received.fingerprint,
        blake3=received.blake3, status=Status.PENDING, claims=dict(upload.request.claims), created_by=principal.user_id,
    )  # fmt: skip
    if received.blocks is not None and len(received.blocks) > DIGEST_BYTES:
        files.insert_blocks(connection, upload.version_id, received.blocks)
    if upload.request.metadata:
        files.update_file(connection, file_id, metadata=dict(upload.request.metadata))


def abandon(runtime: Runtime, tenant: Tenant, upload: Upload, reason: str | None = None) -> None:
    """Let go of an upload that did not complete. What cannot be let go of now is swept later; never raises."""
    try:
        with runtime.tenant(tenant) as connection:
            reserved = _end(connection, upload, State.FAILED, reason)
            if reserved is None:
                return  # completed after all, or swept
            buckets.release(connection, **asdict(reserved))
            enqueue_purge(connection, upload.provider_id, upload.bucket.id, [upload.version_id])
    except DomainError:
        log.warning("an abandoned upload is left to the sweeper", extra={"upload_id": str(upload.id), "tenant_id": str(tenant.id)})


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


def _current(connection: Connection, bucket: str, path: str) -> File | None:
    try:
        return files.get_by_path(connection, bucket, path)
    except NotFound:
        return None


def _point(connection: Connection, principal: Principal, upload: Upload) -> tuple[UUID, UUID | None]:
    """Flip the file's pointer under its row's lock; return the file's id and the former version's, if there was one."""
    pointer = files.put_pointer(
        connection, file_id=new_id(), bucket_id=upload.bucket.id, path=upload.path, version_id=upload.version_id, user_id=principal.user_id
    )
    if pointer.is_new:
        check_conditions(upload.request, None)
        return pointer.id, None
    check_conditions(upload.request, files.get_by_id(connection, pointer.id))
    files.point_at(connection, pointer.id, upload.version_id)
    return pointer.id, pointer.version_id


def _drop_former(connection: Connection, bucket: Bucket, version_id: UUID | None) -> int:
    """Without versioning, forget the former version; return the bytes that it frees."""
    if version_id is None or bucket.versioning:
        return 0
    gone = files.delete_version(connection, version_id)
    if gone is None:
        return 0
    enqueue_purge(connection, gone.provider_id, bucket.id, [version_id])
    return gone.size_bytes
