"""Who may have a file's bytes now, opening them, and counting that they went out. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Anonymous, Principal, Visitor
from strongroom.buckets import repository as buckets
from strongroom.errors import NotFound, Unauthenticated
from strongroom.files import repository
from strongroom.files.mirrored import open_anywhere, open_at
from strongroom.files.models import File, Grant
from strongroom.files.paths import check_path
from strongroom.files.service import check_downloadable
from strongroom.runtime import Runtime
from strongroom.storage.base import Reader
from strongroom.storage.bound import TenantStorage
from strongroom.usage.recorder import Caller, record
from tenants.models import Tenant


def grant_by_path(runtime: Runtime, tenant: Tenant, visitor: Visitor, bucket: str, path: str, version_id: UUID | None = None) -> Grant:
    """Let a visitor have the file at a path, or a former version of it.

    Raises:
        Unauthenticated: without a credential, for all that is not in a public bucket, whether it is there or not.
        NotFound, InvalidPath
        FilePending, FileQuarantined, FileUnscanned: see `check_downloadable`.
    """
    with runtime.tenant(tenant) as connection:
        if isinstance(visitor, Anonymous):
            return _grant_to_all(connection, visitor, bucket, path, version_id)
        return _grant(connection, tenant, visitor, repository.get_by_path(connection, bucket, check_path(path)), version_id)


def grant_by_id(runtime: Runtime, tenant: Tenant, principal: Principal, file_id: UUID, version_id: UUID | None = None) -> Grant:
    """Let a principal have a file, or a former version of it; see `grant_by_path`."""
    with runtime.tenant(tenant) as connection:
        return grant_in(connection, tenant, principal, file_id, version_id)


def grant_in(connection: Connection, tenant: Tenant, principal: Principal, file_id: UUID, version_id: UUID | None) -> Grant:
    """Do what `grant_by_id` does in an open transaction."""
    return _grant(connection, tenant, principal, repository.get_by_id(connection, file_id), version_id)


def _grant(connection: Connection, tenant: Tenant, principal: Principal, current: File, version_id: UUID | None) -> Grant:
    is_current = version_id in {None, current.version_id}
    file = current if version_id is None else repository.get_version(connection, current.id, version_id)
    bucket, transferred_bytes = buckets.get_bucket_and_transfer(connection, file.bucket)
    check_downloadable(file, principal, tenant.settings.scanning, serve_unscanned=bucket.serve_unscanned)
    return Grant(file, bucket, principal, is_current, transferred_bytes)


def _grant_to_all(connection: Connection, visitor: Anonymous, name: str, path: str, version_id: UUID | None) -> Grant:
    """What is not public answers as if there were nothing: a stranger learns neither of buckets nor of files."""
    try:
        bucket, transferred_bytes = buckets.get_bucket_and_transfer(connection, name)
    except NotFound:
        raise Unauthenticated from None
    if not bucket.public or version_id is not None:
        raise Unauthenticated
    file = repository.get_by_path(connection, name, check_path(path))
    if not file.is_for_all:
        raise NotFound("There is no such file.")
    return Grant(file, bucket, visitor, is_current=True, transferred_bytes=transferred_bytes)


def storage_of(runtime: Runtime, tenant: Tenant, file: File) -> TenantStorage:
    """Return where the bytes of a file's version lie."""
    return runtime.storage(tenant, file.provider_id)


def open_bytes(runtime: Runtime, tenant: Tenant, file: File) -> Reader:
    """Open the bytes of a file's version; where its own provider fails, those of a mirror.

    Raises:
        NotFound: they are gone.
        StorageUnavailable: also when they are more or fewer than were stored, where that can be seen before they are sent.
    """
    if tenant.settings.hosts:
        return open_anywhere(runtime, tenant, file)
    return open_at(runtime, tenant, file, file.provider_id)


def record_downloads(
    runtime: Runtime, tenant: Tenant, visitor: Visitor, caller: Caller, sent: Sequence[tuple[UUID, UUID, str, int]]
) -> None:
    """Count downloads: (bucket id, file id, content type, bytes) of each.

    The bytes are the file's own that went out, so that the way, a coding or an archive makes no difference to the figures.
    """
    with runtime.tenant(tenant) as connection:
        for bucket_id, file_id, content_type, bytes_out in sent:
            record(
                connection, visitor, caller, operation="download", bucket_id=bucket_id, file_id=file_id, content_type=content_type,
                bytes_out=bytes_out, delay_s=runtime.settings.usage_delay_s,
            )  # fmt: skip
