"""Beginning an import: what can be refused at once is refused, the rest is left to a worker. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Principal
from strongroom.errors import InvalidPath
from strongroom.files.paths import check_path
from strongroom.imports import repository
from strongroom.imports.models import Source
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.uploads.models import Kind, Upload, UploadRequest
from strongroom.uploads.repository import update_upload
from strongroom.uploads.service import begin
from tenants.models import Tenant

IMPORT = "uploads.import"
NO_NAME = "download"


def begin_import(
    runtime: Runtime, tenant: Tenant, principal: Principal, *, url: str, bucket: str, path: str | None, content_type: str | None,
    metadata: Mapping[str, str], if_none_match: frozenset[str] | None,
) -> Upload:  # fmt: skip
    """Take a URL to fetch a file from. On return the upload and the job that serves it are durable.

    Without a path the file is named by the source (Content-Disposition), else by the URL; with a condition, by the URL
    alone, since a condition on a path that nobody knows yet says nothing.

    Raises:
        OutboundRefused: the URL is none that may be asked, as far as its text tells.
        NotFound, InvalidPath, PreconditionFailed, QuotaExceeded, TooManyUploads, TypeNotAllowed
    """
    runtime.outbound.check_url(url)
    source = Source(url.partition("#")[0], path is not None or if_none_match is not None, content_type)
    request = UploadRequest(
        bucket, name_in_url(url) if path is None else path, None, content_type, if_none_match=if_none_match, metadata=metadata
    )

    def remember(connection: Connection, upload_id: UUID) -> None:
        sealed = runtime.keys.seal(source.to_bytes(), sealed_for(tenant, upload_id))
        update_upload(connection, upload_id, source_url=sealed)
        enqueue(connection, IMPORT, {"upload_id": str(upload_id)})

    lifetime_s = runtime.settings.upload_lifetime_s
    return begin(runtime, tenant, principal, request, kind=Kind.IMPORT, lifetime_s=lifetime_s, and_then=remember)


def sealed_for(tenant: Tenant, upload_id: UUID) -> str:
    """Return the context in which the source of an import is sealed."""
    return f"import {tenant.id} {upload_id}"


def name_in_url(url: str) -> str:
    """Return the name that the last segment of a URL's path gives a file; one of ours when it gives none."""
    return usable_name(unquote(urlsplit(url).path.rpartition("/")[2], errors="replace")) or NO_NAME


def usable_name(name: str) -> str | None:
    """Return the base name of what a stranger calls a file; None when it is no name of a file."""
    try:
        return check_path(name.replace("\\", "/").rpartition("/")[2].strip())
    except InvalidPath:
        return None


def reseal(runtime: Runtime, tenant: Tenant) -> int:
    """Seal the sources of waiting imports under the present master key; return how many. Idempotent."""
    with runtime.tenant(tenant) as connection:
        waiting = repository.sealed_sources(connection)
        stale = [(upload_id, sealed) for upload_id, sealed in waiting if not runtime.keys.is_present(sealed)]
        for upload_id, sealed in stale:
            context = sealed_for(tenant, upload_id)
            update_upload(connection, upload_id, source_url=runtime.keys.seal(runtime.keys.open(sealed, context), context))
    return len(stale)
