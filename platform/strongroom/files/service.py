"""Files: listing, metadata, trash, versions, and opening for download. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from strongroom.access import Principal, Role
from strongroom.buckets import repository as buckets
from strongroom.errors import AlreadyExists, DomainError, FilePending, FileQuarantined, FileUnscanned, NotFound, PreconditionFailed
from strongroom.events.service import emit
from strongroom.files import repository
from strongroom.files.models import File, Listing, Status, Verdict
from strongroom.files.paths import check_path, check_prefix
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.usage.recorder import ROLL_UP, Caller, record
from tenants.models import ScanPolicy, Tenant

PURGE = "files.purge"
EMPTY_TRASH = "files.empty_trash"
DAY_S = 86400
PENDING_RETRY_S = 2


def object_path(bucket: str, path: str) -> str:
    """Return the path of a file's address, the same for ever."""
    return f"/api/v1/objects/{bucket}/{quote(path, safe='/')}"


def event_data(file: File) -> dict[str, Any]:
    """Return what events tell of a file. `purge`, in a public bucket: the addresses that caches in front have to forget."""
    purge = {"purge": [object_path(file.bucket, file.path)]} if file.public else {}
    return {
        "bucket": file.bucket, "path": file.path, "version_id": str(file.version_id), "size_bytes": file.size_bytes,
        "content_type": file.content_type, "etag": file.etag, "status": file.status,
        **purge,
    }  # fmt: skip


def get_file(runtime: Runtime, tenant: Tenant, file_id: UUID) -> File:
    """Return a file by id.

    Raises:
        NotFound
    """
    with runtime.tenant(tenant) as connection:
        return repository.get_by_id(connection, file_id)


def get_by_path(runtime: Runtime, tenant: Tenant, bucket: str, path: str) -> File:
    """Return the file at a path.

    Raises:
        NotFound, InvalidPath
    """
    with runtime.tenant(tenant) as connection:
        return repository.get_by_path(connection, bucket, check_path(path))


def list_files(
    runtime: Runtime,
    tenant: Tenant,
    bucket: str,
    *,
    prefix: str = "",
    delimiter: str = "",
    search: str = "",
    after: str = "",
    limit: int = 100,
) -> Listing:
    """List files by path, by code point. With a delimiter, what lies deeper is told as common prefixes only.

    Raises:
        NotFound: there is no such bucket.
        InvalidPath: the prefix is no beginning of a path.
    """
    prefix = check_prefix(prefix)
    with runtime.tenant(tenant) as connection:
        bucket_id = buckets.get_bucket(connection, bucket).id
        if delimiter and not search:
            return _list_children(connection, bucket_id, prefix, delimiter, after, limit)
        found = repository.list_below(connection, bucket_id, prefix, after, limit + 1, search)
    items = list(found[:limit])
    return Listing(items, [], items[-1].path if len(found) > limit else None)


def _list_children(connection: Connection, bucket_id: UUID, prefix: str, delimiter: str, after: str, limit: int) -> Listing:
    names = repository.list_children(connection, bucket_id, prefix, delimiter, after, limit + 1)
    shown = names[:limit]
    folders = [name for name in shown if name.endswith(delimiter)]
    items = repository.get_by_paths(connection, bucket_id, [name for name in shown if not name.endswith(delimiter)])
    return Listing(items, folders, shown[-1] if len(names) > limit else None)


def delete_file(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, *,
    file_id: UUID | None = None, bucket: str = "", path: str = "", if_match: frozenset[str] | None = None,
) -> None:  # fmt: skip
    """Move a file to the trash, from where it can be restored until the bucket's time is over.

    Raises:
        NotFound
        PreconditionFailed: `if_match` names other ETags than the file has.
    """
    with runtime.tenant(tenant) as connection:
        file = repository.get_by_id(connection, file_id) if file_id else repository.get_by_path(connection, bucket, check_path(path))
        repository.lock(connection, file.id)
        file = repository.get_by_id(connection, file.id)
        if if_match is not None and file.etag not in if_match and "*" not in if_match:
            raise PreconditionFailed
        days = buckets.get_bucket(connection, file.bucket).trash_days
        repository.move_to_trash(connection, file.id, days)
        enqueue(connection, EMPTY_TRASH, {}, dedupe_key=f"in {days} days", delay_s=days * DAY_S)
        emit(connection, "file.deleted", file.id, event_data(file), principal.actor)
        record(
            connection, principal, caller, operation="delete", bucket_id=file.bucket_id, file_id=file.id, content_type=file.content_type,
            delay_s=runtime.settings.usage_delay_s,
        )  # fmt: skip


def list_trash(
    runtime: Runtime, tenant: Tenant, *, limit: int, before: tuple[datetime, UUID] | None = None, search: str = ""
) -> list[File]:
    """Return the files in the trash, last deleted first."""
    with runtime.tenant(tenant) as connection:
        return list(repository.list_trash(connection, limit, before, search))


def undelete_file(runtime: Runtime, tenant: Tenant, principal: Principal, file_id: UUID) -> File:
    """Bring a file back from the trash.

    Raises:
        NotFound
        AlreadyExists: another file has taken its path.
    """
    try:
        with runtime.tenant(tenant) as connection:
            repository.lock(connection, file_id)
            if repository.get_by_id(connection, file_id, deleted=True).deleted_at is None:
                raise NotFound("The file is not in the trash.")
            repository.update_file(connection, file_id, deleted_at=None, purge_at=None)
            file = repository.get_by_id(connection, file_id)
            emit(connection, "file.restored", file.id, event_data(file), principal.actor)
    except IntegrityError:
        raise AlreadyExists("Another file is at its path now. Move that one first.") from None
    return file


def purge_from_trash(runtime: Runtime, tenant: Tenant, file_id: UUID) -> None:
    """Remove a file in the trash for good, at once.

    Raises:
        NotFound: it is not in the trash.
    """
    with runtime.tenant(tenant) as connection:
        repository.lock(connection, file_id)
        file = repository.get_by_id(connection, file_id, deleted=True)
        if file.deleted_at is None:
            raise PreconditionFailed("The file is not in the trash.")
        remove(connection, file.id, file.bucket_id)


def remove(connection: Connection, file_id: UUID, bucket_id: UUID) -> None:
    """Remove a file's rows and have its bytes purged by a job: row first, bytes second."""
    gone = repository.delete_file(connection, file_id)
    emit(connection, "file.purged", file_id, {"version_ids": [str(each.version_id) for each in gone]})
    buckets.count(connection, bucket_id, bytes_change=-sum(each.size_bytes for each in gone), files_change=-1)
    for provider_id in {place for each in gone for place in each.places}:
        enqueue_purge(connection, provider_id, bucket_id, [each.version_id for each in gone if provider_id in each.places])
    enqueue(connection, ROLL_UP, {}, dedupe_key="all")  # what is stored has changed


def enqueue_purge(connection: Connection, provider_id: UUID, bucket_id: UUID, version_ids: Sequence[UUID], *, delay_s: float = 0.0) -> None:
    """Have the bytes of versions removed that have no row at that provider any more, or never will have one."""
    ids = {"provider_id": str(provider_id), "bucket_id": str(bucket_id), "version_ids": [str(each) for each in version_ids]}
    enqueue(connection, PURGE, ids, delay_s=delay_s)


def update_file(
    runtime: Runtime,
    tenant: Tenant,
    principal: Principal,
    file_id: UUID,
    *,
    path: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> File:
    """Rename a file, or change its metadata.

    Raises:
        NotFound, InvalidPath
        AlreadyExists: a file is at the new path.
    """
    try:
        with runtime.tenant(tenant) as connection:
            repository.lock(connection, file_id)
            former = repository.get_by_id(connection, file_id)
            values: dict[str, Any] = {} if metadata is None else {"metadata": dict(metadata)}
            if path is not None:
                values["path"] = check_path(path)
            if values:
                repository.update_file(connection, file_id, **values)
            file = repository.get_by_id(connection, file_id)
            moved = file.path != former.path
            data = event_data(file)
            if moved:
                data["former_path"] = former.path
            if moved and file.public:
                data["purge"] += [object_path(file.bucket, former.path)]
            emit(connection, "file.moved" if moved else "file.updated", file.id, data, principal.actor)
    except IntegrityError:
        raise AlreadyExists("There is a file at that path already.") from None
    return file


def list_versions(runtime: Runtime, tenant: Tenant, file_id: UUID) -> list[File]:
    """Return a file with each of its versions, newest first.

    Raises:
        NotFound
    """
    with runtime.tenant(tenant) as connection:
        repository.get_by_id(connection, file_id)
        return repository.list_versions(connection, file_id)


def restore_version(runtime: Runtime, tenant: Tenant, principal: Principal, file_id: UUID, version_id: UUID) -> File:
    """Make a former version the current one again.

    Raises:
        NotFound
        FileQuarantined: that version did not pass its check.
    """
    with runtime.tenant(tenant) as connection:
        repository.lock(connection, file_id)
        repository.get_by_id(connection, file_id)
        version = repository.get_version(connection, file_id, version_id)
        if version.status in {Status.QUARANTINED, Status.REJECTED}:
            raise FileQuarantined
        repository.point_at(connection, file_id, version_id)
        file = repository.get_by_id(connection, file_id)
        emit(connection, "file.updated", file.id, event_data(file), principal.actor)
    return file


def check_downloadable(file: File, principal: Principal, policy: ScanPolicy, *, serve_unscanned: bool) -> None:
    """See that the checks allow a download. Before the verdict only the uploader itself may have its bytes back, if even that.

    `policy`: the tenant's own; `serve_unscanned`: the bucket's rule, as far as the tenant's lets it.

    Raises:
        FilePending, FileQuarantined, FileUnscanned: see `check_checked`.
    """
    own = policy.uploader_gets_unchecked and file.uploaded_by == principal.user_id and principal.role.includes(Role.MEMBER)
    if not own or file.status in {Status.QUARANTINED, Status.REJECTED}:
        check_checked(file, policy, serve_unscanned=serve_unscanned)


def check_checked(file: File, policy: ScanPolicy, *, serve_unscanned: bool) -> None:
    """See that the checks allow a download by anybody who may read the bucket.

    Raises:
        FilePending: not checked yet.
        FileQuarantined: it did not pass.
        FileUnscanned: it could not be checked whole, and the bucket, or the tenant, does not give out such files.
    """
    if file.status in {Status.QUARANTINED, Status.REJECTED}:
        raise FileQuarantined(f"The file did not pass its check: {file.scan.reason or file.scan.verdict}.")
    if file.status == Status.PENDING:
        raise FilePending(retry_after_s=PENDING_RETRY_S)
    if file.scan.verdict == Verdict.UNSCANNED and not (serve_unscanned and policy.buckets_may_serve_unscanned):
        raise FileUnscanned(f"The file could not be checked whole: {file.scan.reason}.")


def is_downloadable(file: File, principal: Principal, policy: ScanPolicy, *, serve_unscanned: bool) -> bool:
    """Tell whether `check_downloadable` lets this principal have the bytes."""
    try:
        check_downloadable(file, principal, policy, serve_unscanned=serve_unscanned)
    except DomainError:
        return False
    return True


def attention(
    runtime: Runtime, tenant: Tenant, limit: int = 200, *, before: tuple[datetime, UUID] | None = None, kind: str | None = None
) -> list[File]:
    """Return the files that an administrator should look at, last uploaded first.

    `before`: creation and id of the version where the page before ended. `kind`: only quarantined, rejected or unscanned.
    """
    with runtime.tenant(tenant) as connection:
        return list(repository.list_attention(connection, limit, before, kind))


def count_attention(runtime: Runtime, tenant: Tenant) -> dict[str, int]:
    """Return how many files an administrator should look at, by kind: quarantined, rejected, unscanned."""
    with runtime.tenant(tenant) as connection:
        return repository.count_attention(connection)


def stored_by_type(runtime: Runtime, tenant: Tenant, limit: int = 10) -> list[tuple[str, int]]:
    """Return the content types that take the most room, with their bytes, greatest first; former versions and the trash count."""
    with runtime.tenant(tenant) as connection:
        return repository.stored_by_type(connection, limit)


def recent(runtime: Runtime, tenant: Tenant, limit: int = 10) -> list[File]:
    """Return the files that changed last."""
    with runtime.tenant(tenant) as connection:
        return list(repository.list_recent(connection, limit))
