"""Uploads by tus: create, look, go on, put together, terminate. Knows no HTTP."""

from __future__ import annotations

import time
from dataclasses import replace
from uuid import UUID

from strongroom.access import Principal
from strongroom.buckets import repository as buckets
from strongroom.db.ids import new_id
from strongroom.errors import BadRequest, Forbidden
from strongroom.files.service import enqueue_purge
from strongroom.runtime import Runtime
from strongroom.uploads import progress, repository, resuming
from strongroom.uploads.models import PARTIAL, Kind, State, Upload, UploadRequest
from strongroom.uploads.resuming import Chunk, Outcome, check_living, get_own
from strongroom.uploads.service import KEEP_ENDED_S, abandon, begin
from strongroom.uploads.targets import begin_target, part_size_of
from strongroom.usage.recorder import Caller
from tenants.models import Tenant

FINAL = "final"
WAIT_S = 3.0
POLL_S = 0.15


def create(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, request: UploadRequest, *, is_partial: bool = False,
    chunk: Chunk | None = None,
) -> Outcome:  # fmt: skip
    """Begin an upload, with its first bytes where `chunk` brings some. An empty one is complete at once.

    When the first bytes cannot be taken in, nothing of the upload is left: nobody was told its address.

    Raises:
        what `uploads.service.begin` and `uploads.resuming.append` raise, NotSupported
    """
    if is_partial:
        request = replace(request, path=f"{PARTIAL}-{new_id()}", content_type=None, if_match=None, if_none_match=None)
    upload = _begin(runtime, tenant, principal, request, is_partial=is_partial)
    if chunk is None and upload.size_bytes != 0:
        return Outcome(upload, 0)
    try:
        return resuming.append(runtime, tenant, principal, caller, upload.id, Kind.TUS, chunk or Chunk(0, _Nothing(), 0))
    except BaseException:
        abandon(runtime, tenant, upload, "the first bytes could not be taken in")
        raise


class _Nothing:
    """A body without bytes."""

    def read_some(self) -> bytes:
        return b""


def _begin(runtime: Runtime, tenant: Tenant, principal: Principal, request: UploadRequest, *, is_partial: bool) -> Upload:
    storage = runtime.storage(tenant)
    largest = tenant.limits.max_file_size_bytes if request.size_bytes is None else request.size_bytes
    upload = begin(
        runtime, tenant, principal, request, kind=Kind.TUS, lifetime_s=runtime.settings.upload_lifetime_s,
        part_size_bytes=part_size_of(storage, largest), concat=PARTIAL if is_partial else None,
    )  # fmt: skip
    try:
        session = begin_target(runtime.storage(tenant, upload.provider_id), upload)
        if session:
            with runtime.tenant(tenant) as connection:
                repository.update_upload(connection, upload.id, session=session)
    except BaseException:
        abandon(runtime, tenant, upload, "the provider could not begin it")
        raise
    return upload


def append(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload_id: UUID, chunk: Chunk) -> Outcome:
    """Go on with an upload; see `uploads.resuming.append`.

    Raises:
        Forbidden: it is one that is put together of others.
    """
    with runtime.tenant(tenant) as connection:
        if get_own(connection, principal, upload_id, Kind.TUS).concat == FINAL:
            raise Forbidden("This upload is put together of others; nothing can be added to it.")
    return resuming.append(runtime, tenant, principal, caller, upload_id, Kind.TUS, chunk)


def look(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload_id: UUID) -> Upload:
    """Return an upload with the offset at which it can be gone on with.

    While somebody is still writing, waits a moment for a dead client's request to be ended, so that the offset holds.
    An upload of which nothing is missing is complete on return.

    Raises:
        NotFound, UploadGone, UploadLocked, and what completing raises
    """
    upload = _settled(runtime, tenant, principal, upload_id)
    check_living(upload)
    if upload.state != State.OPEN or upload.concat is not None or upload.offset_bytes != upload.size_bytes:
        return upload
    resuming.complete_if_whole(runtime, tenant, principal, caller, upload)
    with runtime.tenant(tenant) as connection:
        return get_own(connection, principal, upload_id, Kind.TUS)


def _settled(runtime: Runtime, tenant: Tenant, principal: Principal, upload_id: UUID) -> Upload:
    deadline = time.monotonic() + WAIT_S
    while True:
        with runtime.tenant(tenant) as connection:
            upload = get_own(connection, principal, upload_id, Kind.TUS)
            if not progress.is_locked(connection, upload_id) or time.monotonic() > deadline:
                return upload
            progress.want_lock(connection, upload_id)
        time.sleep(POLL_S)  # another process lets go; only its row tells


def terminate(runtime: Runtime, tenant: Tenant, principal: Principal, upload_id: UUID) -> None:
    """End an upload: its room is free again, its bytes are purged. Of one that is complete the file stays.

    Raises:
        NotFound, UploadGone
    """
    with runtime.tenant(tenant) as connection:
        upload = get_own(connection, principal, upload_id, Kind.TUS)
        check_living(upload)
        reserved = repository.end(connection, upload.id, State.FAILED, lifetime_s=KEEP_ENDED_S, reason="terminated")
        if reserved is None:
            repository.forget(connection, [upload.id])
            return
        buckets.release(connection, size_bytes=reserved.size_bytes, files=reserved.files)
        enqueue_purge(connection, upload.provider_id, upload.bucket.id, [upload.version_id])


def check_bucket(bucket: str | None) -> str:
    """Return the bucket's name.

    Raises:
        BadRequest: none was named.
    """
    if not bucket:
        raise BadRequest("Name the bucket: by 'bucket' in Upload-Metadata, or by /api/v1/tus?bucket=….")
    return bucket
