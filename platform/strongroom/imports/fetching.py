"""The worker's side of an import: fetch, store, and tell how it ended. Safe to run any number of times, also at once."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from werkzeug.http import parse_options_header

from strongroom.access import Permission, Principal, Realm, Role, Scope
from strongroom.auth.service import principal_of_maker
from strongroom.buckets import repository as buckets
from strongroom.db.ids import new_id
from strongroom.errors import (
    BadRequest,
    DatabaseUnavailable,
    DomainError,
    Forbidden,
    QuotaExceeded,
    SourceRefused,
    SourceUnavailable,
    StorageUnavailable,
    TenantBusy,
    UploadGone,
)
from strongroom.files.service import enqueue_purge
from strongroom.imports import repository
from strongroom.imports.models import Source
from strongroom.imports.service import sealed_for, usable_name
from strongroom.jobs.queue import Job, enqueue
from strongroom.runtime import Runtime
from strongroom.scanning.types import resolve_type
from strongroom.security.outbound import Answer, Limits
from strongroom.uploads.ingest import PIECE_BYTES, Ingest
from strongroom.uploads.models import Received, Upload
from strongroom.uploads.rules import check_declared, check_size, claimed_type
from strongroom.uploads.service import abandon, complete_patiently
from strongroom.usage.recorder import Caller
from tenants.models import Tenant, TenantStatus
from tenants.repository import get_tenant

if TYPE_CHECKING:
    from sqlalchemy import Connection

WRITE = Permission(Realm.TENANT, Role.MEMBER, Scope.FILES_WRITE)
TRIES = 6  # with the queue's pauses about six minutes
TEMPORARY = (SourceUnavailable, StorageUnavailable, DatabaseUnavailable, TenantBusy)
BUSY = frozenset({408, 425, 429, *range(500, 600)})
OK = 200
WAIT_FOR_A_TURN_S = 5.0
SUSPENDED_WAIT_S = 300.0
PROGRESS_EVERY_S = 1.0
SLOW_AFTER_S, SLOWEST_BYTES_PER_S = 60.0, 16 * 1024


def run_import(runtime: Runtime, tenant: Tenant, job: Job) -> None:
    """Do one try of an import.

    What may go better another time is raised, so that the job is tried again; what will not, and the last try, ends the
    upload as failed, with its reason.

    Raises:
        DomainError: one of `TEMPORARY`.
    """
    upload_id = UUID(job.ids["upload_id"])
    if _is_suspended(runtime, tenant):
        _postpone(runtime, tenant, job, SUSPENDED_WAIT_S)
        return
    if not _has_its_turn(runtime, tenant, job):
        return
    with runtime.tenant(tenant) as connection:
        taken = repository.take_up(connection, upload_id, new_id())
    if taken is None:
        return
    upload, sealed = taken
    try:
        source = Source.from_bytes(runtime.keys.open(sealed, sealed_for(tenant, upload_id)))
        _import(runtime, tenant, upload, source)
    except UploadGone:
        _purge(runtime, tenant, upload)  # ended by its owner, or done by another try
    except Exception as error:
        is_last = job.attempts >= min(TRIES, runtime.settings.job_attempts)
        if isinstance(error, TEMPORARY) and not is_last:
            _note(runtime, tenant, upload, error)
            raise
        abandon(runtime, tenant, upload, _reason(error))
        if not isinstance(error, DomainError):
            raise


def _has_its_turn(runtime: Runtime, tenant: Tenant, job: Job) -> bool:
    """Let imports, which last, leave workers to what does not: some to each tenant's other jobs, and some to other tenants.

    One that has to wait is a new job, so that waiting is no try.
    """
    settings = runtime.settings
    with runtime.databases.cell(tenant.cell) as connection:
        own, all_ = repository.before_me(connection, job)
    if own < max(1, settings.job_tenant_limit - 1) and all_ < settings.imports_at_once:
        return True
    _postpone(runtime, tenant, job, WAIT_FOR_A_TURN_S)
    return False


def _postpone(runtime: Runtime, tenant: Tenant, job: Job, delay_s: float) -> None:
    with runtime.tenant(tenant) as connection:
        enqueue(connection, job.kind, job.ids, delay_s=delay_s)


def _is_suspended(runtime: Runtime, tenant: Tenant) -> bool:
    with runtime.databases.control() as connection:
        return get_tenant(connection, tenant.id).status != TenantStatus.ACTIVE


def _import(runtime: Runtime, tenant: Tenant, upload: Upload, source: Source) -> None:
    principal = _principal(runtime, tenant, upload)
    limits = Limits(total_s=runtime.settings.import_timeout_s, max_bytes=None)
    with runtime.outbound.open(source.url, limits=limits) as answer:
        _check_status(answer.status)
        upload = _settle(runtime, tenant, upload, source, answer)
        received = _store(runtime, tenant, upload, answer)
    principal = _principal(runtime, tenant, upload)  # it may have taken hours
    if _is_suspended(runtime, tenant):
        raise TenantBusy("The tenant is suspended.")
    complete_patiently(runtime, tenant, principal, Caller(), upload, received)


def _principal(runtime: Runtime, tenant: Tenant, upload: Upload) -> Principal:
    """Return who asked for the import, if that user and that key may still do so.

    Raises:
        Forbidden
    """
    with runtime.tenant(tenant) as connection:
        found = principal_of_maker(connection, upload.created_by or UUID(int=0), upload.api_key_id)
    if found is None or not found.may(WRITE):
        raise Forbidden("The user or the API key that asked for it may not store files any more.")
    return found


def _check_status(status: int) -> None:
    if status in BUSY:
        raise SourceUnavailable(f"The source answered with status {status}.", source_status=status)
    if status != OK:
        raise SourceRefused(f"The source answered with status {status}.", source_status=status)


def _settle(runtime: Runtime, tenant: Tenant, upload: Upload, source: Source, answer: Answer) -> Upload:
    """Write down what only the answer told: name, type and size; what they break is refused before a byte is stored.

    Raises:
        TypeNotAllowed, FileTooLarge, QuotaExceeded
        UploadGone
    """
    path = upload.path if source.is_named else _name_in(answer) or upload.path
    declared = resolve_type(claimed_type(source.content_type) or _type_in(answer), path)
    size = answer.length_bytes
    check_declared(upload.bucket, declared)
    check_size(tenant, upload.bucket, size or 0)
    with runtime.tenant(tenant) as connection:
        if size and not buckets.reserve(connection, tenant.limits, size_bytes=size, files=0):
            raise QuotaExceeded
        _go_on(connection, upload, path=path, content_type=declared, size_bytes=size, reserved_bytes=size or 0)
    request = replace(upload.request, path=path, size_bytes=size)
    return replace(upload, path=path, declared_type=declared, size_bytes=size, request=request)


def _name_in(answer: Answer) -> str | None:
    """Return the file name in Content-Disposition (RFC 6266), if there is one that can be used."""
    _, options = parse_options_header(answer.headers.get("Content-Disposition"))
    name = options.get("filename", "")
    try:
        return usable_name(name.encode("latin-1").decode())  # headers come as Latin-1; many senders mean UTF-8
    except UnicodeError:
        return usable_name(name)


def _type_in(answer: Answer) -> str:
    """Return the media type in the answer; none when it speaks of other bytes than those that come."""
    if answer.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
        return ""
    try:
        return claimed_type(answer.headers.get("Content-Type"))
    except BadRequest:
        return ""


def _store(runtime: Runtime, tenant: Tenant, upload: Upload, answer: Answer) -> Received:
    """Pass the bytes on; whatever is wrong with them leaves nothing behind."""
    ingest, progress = Ingest(runtime, tenant, upload), _Progress(runtime, tenant, upload)
    try:
        while data := answer.read(PIECE_BYTES):
            ingest.write(data)
            progress.add(len(data))
        return ingest.finish()
    except BaseException:
        ingest.abort()
        raise


class _Progress:
    """Shows how far an import is, and finds out when it has been ended."""

    def __init__(self, runtime: Runtime, tenant: Tenant, upload: Upload) -> None:
        self._runtime, self._tenant, self._upload = runtime, tenant, upload
        self._began = self._noted = time.monotonic()
        self._offset_bytes = 0

    def add(self, count: int) -> None:
        """Count bytes that were stored.

        Raises:
            UploadGone: the upload was ended.
            SourceUnavailable: so slow that it holds a worker for nothing.
        """
        self._offset_bytes += count
        now = time.monotonic()
        if now - self._noted < PROGRESS_EVERY_S:
            return
        self._noted = now
        with self._runtime.tenant(self._tenant) as connection:
            _go_on(connection, self._upload, offset_bytes=self._offset_bytes)
        if now - self._began > SLOW_AFTER_S and self._offset_bytes < SLOWEST_BYTES_PER_S * (now - self._began):
            raise SourceUnavailable(f"The source sends less than {SLOWEST_BYTES_PER_S} bytes a second.")


def _go_on(connection: Connection, upload: Upload, **values: object) -> None:
    if not repository.change(connection, upload, **values):
        raise UploadGone("The import was ended.")


def _purge(runtime: Runtime, tenant: Tenant, upload: Upload) -> None:
    with runtime.tenant(tenant) as connection:
        enqueue_purge(connection, upload.provider_id, upload.bucket.id, [upload.version_id])


def _note(runtime: Runtime, tenant: Tenant, upload: Upload, error: Exception) -> None:
    """Show why the last try failed while the next is awaited."""
    with runtime.tenant(tenant) as connection:
        repository.change(connection, upload, reason=_reason(error))


def _reason(error: Exception) -> str:
    """Return what a client is told; of an error that nobody expected nothing but that there was one."""
    return f"{error.code}: {error.detail}" if isinstance(error, DomainError) else "internal_error"
