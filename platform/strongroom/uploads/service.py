"""The way of an upload: begin (one short transaction), stream, complete (one short transaction). Knows no HTTP.

While bytes travel no transaction and no connection is held. Bytes come first, the row second: whatever goes wrong in
between, the upload's row names the bytes that the sweeper has to remove.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Principal
from strongroom.buckets import repository as buckets
from strongroom.buckets.models import Bucket
from strongroom.db.ids import new_id
from strongroom.errors import (
    BadRequest,
    ChecksumMismatch,
    DatabaseUnavailable,
    DomainError,
    FileTooLarge,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    StorageUnavailable,
    TenantBusy,
    TooManyUploads,
    TypeMismatch,
    TypeNotAllowed,
)
from strongroom.events.service import emit
from strongroom.files import repository as files
from strongroom.files.models import File, Status
from strongroom.files.paths import check_path
from strongroom.files.service import PURGE, event_data
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.scanning.families import NO_CLAIM
from strongroom.scanning.types import agrees, allowed, resolve_type, sniff
from strongroom.storage.base import Writer
from strongroom.uploads import repository
from strongroom.uploads.fingerprint import Fingerprinter
from strongroom.uploads.models import Body, Received, Reservation, Upload, UploadRequest
from strongroom.usage.recorder import Caller, record
from tenants.models import Tenant

log = logging.getLogger(__name__)
CHECK = "files.check"
SWEEP = "uploads.sweep"
TYPE_PATTERN = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
FORM_TYPE = "application/x-www-form-urlencoded"  # what some clients send when nobody told them a type
PIECE_BYTES = 256 * 1024
SNIFF_BYTES = 64 * 1024
LEASE_S = 180
COMPLETE_PAUSES_S = (0.2, 1.0, 3.0)
PROLONG_AFTER_S = 30
SWEEP_AFTER_S = LEASE_S + 10
SWEEP_AGAIN_S = 30


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
        received = _write(runtime, tenant, upload, body)
        return _complete_patiently(runtime, tenant, principal, caller, upload, received)
    except BaseException:
        abandon(runtime, tenant, upload)
        raise


def _complete_patiently(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, received: Received) -> File:
    """Complete, and try again while the database is busy: the bytes are durable, it would be a pity to throw them away."""
    for pause_s in COMPLETE_PAUSES_S:
        try:
            return complete(runtime, tenant, principal, caller, upload, received)
        except (DatabaseUnavailable, TenantBusy):
            time.sleep(pause_s)
    return complete(runtime, tenant, principal, caller, upload, received)


def begin(runtime: Runtime, tenant: Tenant, principal: Principal, request: UploadRequest) -> Upload:
    """Refuse what is known to be wrong before a byte of the body is read, and reserve room.

    Raises:
        NotFound, InvalidPath, PreconditionFailed, FileTooLarge, QuotaExceeded, TooManyUploads, TypeNotAllowed
    """
    path = check_path(request.path)
    upload_id, version_id = new_id(), new_id()
    declared = resolve_type(_claimed_type(request.content_type), path)
    with runtime.tenant(tenant) as connection:
        bucket = buckets.get_bucket(connection, request.bucket)
        _check_size(tenant, bucket, request.size_bytes)
        if declared != NO_CLAIM and not allowed(declared, declared, bucket.allowed_types):
            raise TypeNotAllowed(f"The bucket '{bucket.name}' does not take {declared}.")
        current = _current(connection, bucket.name, path)
        _check_conditions(request, current)
        room = Reservation(request.size_bytes, 0 if current else 1)
        if not buckets.reserve(connection, tenant.limits, **asdict(room)):
            raise QuotaExceeded
        if repository.count_open(connection) >= tenant.limits.parallel_uploads:
            raise TooManyUploads(f"This tenant may have {tenant.limits.parallel_uploads} uploads at the same time.", retry_after_s=5)
        repository.insert_upload(
            connection,
            lifetime_s=LEASE_S,
            id=upload_id,
            bucket_id=bucket.id,
            path=path,
            version_id=version_id,
            reserved_bytes=room.size_bytes,
            reserved_files=room.files,
            content_type=declared,
            created_by=principal.user_id,
        )
        enqueue(connection, SWEEP, {}, dedupe_key="all", delay_s=SWEEP_AFTER_S)
    return Upload(upload_id, bucket, path, version_id, request.size_bytes, declared, request)


def complete(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, received: Received) -> File:
    """Make durable bytes a version: version, pointer, counters, event, usage and job in one transaction.

    Raises:
        PreconditionFailed: somebody else changed the file in the meantime.
        StorageUnavailable: the upload was swept because it stood still for too long.
    """
    with runtime.tenant(tenant) as connection:
        reserved = repository.take(connection, upload.id)
        if reserved is None:
            done = files.get_any_version(connection, upload.version_id)
            if done is not None:
                return done  # an earlier try did commit, only its answer was lost
            raise StorageUnavailable("The upload stood still for too long and was swept away. Send it again.")
        file_id, former_id = _point(connection, principal, upload)
        if former_id is None and not reserved.files:  # the file it was to replace was deleted meanwhile
            if not buckets.reserve(connection, tenant.limits, size_bytes=0, files=1):
                raise QuotaExceeded
            reserved = Reservation(reserved.size_bytes, 1)
        files.insert_version(
            connection, id=upload.version_id, file_id=file_id, bucket_id=upload.bucket.id, size_bytes=received.size_bytes,
            content_type=received.content_type, detected_type=received.detected_type, fingerprint=received.fingerprint,
            blake3=received.blake3, status=Status.PENDING, created_by=principal.user_id,
        )  # fmt: skip
        dropped = _drop_former(connection, upload.bucket, former_id)
        buckets.release(connection, **asdict(reserved))
        buckets.count(connection, upload.bucket.id, bytes_change=received.size_bytes - dropped, files_change=0 if former_id else 1)
        file = files.get_by_id(connection, file_id)
        emit(connection, "file.updated" if former_id else "file.created", file_id, event_data(file), principal.actor)
        record(
            connection, principal, caller, operation="upload", bucket_id=upload.bucket.id, file_id=file_id,
            content_type=received.content_type, bytes_in=received.size_bytes, delay_s=runtime.settings.usage_delay_s,
        )  # fmt: skip
        enqueue(connection, CHECK, {"version_id": str(upload.version_id)})
    return file


def abandon(runtime: Runtime, tenant: Tenant, upload: Upload) -> None:
    """Let go of an upload that did not complete. What cannot be let go of now is swept later; never raises."""
    try:
        with runtime.tenant(tenant) as connection:
            reserved = repository.take(connection, upload.id)
            if reserved is None:
                return  # completed after all, or swept
            buckets.release(connection, **asdict(reserved))
            enqueue(connection, PURGE, {"bucket_id": str(upload.bucket.id), "version_ids": [str(upload.version_id)]})
    except DomainError:
        log.warning("an abandoned upload is left to the sweeper", extra={"upload_id": str(upload.id), "tenant_id": str(tenant.id)})


def sweep(runtime: Runtime, tenant: Tenant, limit: int = 500) -> int:
    """Remove uploads whose sender is gone, give their room back, and have their bytes purged. Return how many."""
    with runtime.tenant(tenant) as connection:
        gone = repository.expired(connection, limit)
        for upload_id, abandoned in gone:
            if reserved := repository.take(connection, upload_id):
                buckets.release(connection, **asdict(reserved))
            enqueue(connection, PURGE, {"bucket_id": str(abandoned.bucket_id), "version_ids": [str(abandoned.version_id)]})
        if repository.count_open(connection):
            enqueue(connection, SWEEP, {}, dedupe_key="all", delay_s=SWEEP_AGAIN_S)
    return len(gone)


def _write(runtime: Runtime, tenant: Tenant, upload: Upload, body: Body) -> Received:
    """Stream the body to the provider in fixed memory, hashing on the way; durable on return."""
    head = body.read(min(SNIFF_BYTES, upload.size_bytes)) if upload.size_bytes else b""
    detected = _check_type(upload, head)
    content_type = detected if upload.declared_type == NO_CLAIM and head else upload.declared_type
    prints = Fingerprinter(upload.request.digests)
    writer = runtime.storage(tenant).writer(upload.bucket.id, upload.version_id, upload.size_bytes)
    try:
        _stream(runtime, tenant, upload, body, head, writer, prints)
        digests = prints.finish()
        for name, expected in upload.request.digests.items():
            if digests.extra[name] != expected:
                raise ChecksumMismatch(f"The {name} of the bytes received is another than was announced.")
        meta = writer.complete()
    except BaseException:
        writer.abort()
        raise
    return Received(meta.size_bytes, content_type, detected, digests.fingerprint, digests.blake3)


def _stream(runtime: Runtime, tenant: Tenant, upload: Upload, body: Body, head: bytes, writer: Writer, prints: Fingerprinter) -> None:
    remaining, piece, prolonged = upload.size_bytes, head, time.monotonic()
    while remaining:
        prints.update(piece)
        writer.write(piece)
        remaining -= len(piece)
        if time.monotonic() - prolonged > PROLONG_AFTER_S:
            _prolong(runtime, tenant, upload.id)
            prolonged = time.monotonic()
        if remaining:
            piece = body.read(min(PIECE_BYTES, remaining))


def _prolong(runtime: Runtime, tenant: Tenant, upload_id: UUID) -> None:
    with runtime.tenant(tenant) as connection:
        if not repository.prolong(connection, upload_id, LEASE_S):
            raise StorageUnavailable("The upload stood still for too long and was swept away. Send it again.")


def _claimed_type(header: str | None) -> str:
    """Return the media type that the client claims, without parameters; empty when it claims none.

    Raises:
        BadRequest: it is no media type (RFC 6838, 4.2).
    """
    claim = (header or "").partition(";")[0].strip().lower()
    if claim and not TYPE_PATTERN.fullmatch(claim):
        raise BadRequest("Content-Type is no media type; write for example image/png.")
    return "" if claim == FORM_TYPE else claim


def _check_size(tenant: Tenant, bucket: Bucket, size_bytes: int) -> None:
    limit = tenant.limits.max_file_size_bytes
    if bucket.max_size_bytes is not None:
        limit = min(limit, bucket.max_size_bytes)
    if size_bytes > limit:
        raise FileTooLarge(f"The file has {size_bytes} bytes; at most {limit} are allowed here.", max_size_bytes=limit)


def _check_type(upload: Upload, head: bytes) -> str:
    """Hold the first bytes against what was declared and what the bucket takes."""
    detected = sniff(head)
    if not agrees(upload.declared_type, detected, upload.path):
        raise TypeMismatch(f"The bytes are {detected}, not {upload.declared_type}.", detected_type=detected)
    if not allowed(detected, upload.declared_type, upload.bucket.allowed_types):
        raise TypeNotAllowed(f"The bucket '{upload.bucket.name}' does not take {detected}.", detected_type=detected)
    return detected


def _current(connection: Connection, bucket: str, path: str) -> File | None:
    try:
        return files.get_by_path(connection, bucket, path)
    except NotFound:
        return None


def _check_conditions(request: UploadRequest, current: File | None) -> None:
    """RFC 9110, 13.1: If-Match and If-None-Match, by strong comparison."""
    if request.if_match is not None and (current is None or ("*" not in request.if_match and current.etag not in request.if_match)):
        raise PreconditionFailed("The file is not there, or has another ETag." if current else "There is no such file.")
    if request.if_none_match is not None and current and ("*" in request.if_none_match or current.etag in request.if_none_match):
        raise PreconditionFailed("There is a file at that path already.")


def _point(connection: Connection, principal: Principal, upload: Upload) -> tuple[UUID, UUID | None]:
    """Flip the file's pointer under its row's lock; return the file's id and the former version's, if there was one."""
    pointer = files.put_pointer(
        connection, file_id=new_id(), bucket_id=upload.bucket.id, path=upload.path, version_id=upload.version_id, user_id=principal.user_id
    )
    if pointer.is_new:
        _check_conditions(upload.request, None)
        return pointer.id, None
    _check_conditions(upload.request, files.get_by_id(connection, pointer.id))
    files.point_at(connection, pointer.id, upload.version_id)
    return pointer.id, pointer.version_id


def _drop_former(connection: Connection, bucket: Bucket, version_id: UUID | None) -> int:
    """Without versioning, forget the former version; return the bytes that it frees."""
    if version_id is None or bucket.versioning:
        return 0
    freed = files.delete_version(connection, version_id)
    enqueue(connection, PURGE, {"bucket_id": str(bucket.id), "version_ids": [str(version_id)]})
    return freed
