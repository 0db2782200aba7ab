"""SQL of imports. Every function runs in a tenant's transaction, but `before_me`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, tuple_, update

from strongroom.buckets import repository as buckets
from strongroom.errors import NotFound
from strongroom.jobs.queue import Job
from strongroom.jobs.tables import jobs
from strongroom.uploads.models import State, Upload
from strongroom.uploads.repository import get_upload, update_upload
from strongroom.uploads.tables import uploads


def before_me(connection: Connection, job: Job) -> tuple[int, int]:
    """Return how many jobs of the same kind run that come before this one: of its tenant, and of all. In a cell's transaction."""
    is_own = jobs.c.tenant_id == job.tenant_id
    is_before = tuple_(jobs.c.created_at, jobs.c.id) < tuple_(job.created_at, job.id)
    query = select(func.count().filter(is_own), func.count()).where(
        jobs.c.kind == job.kind, jobs.c.state == "running", jobs.c.lease_until > func.now(), is_before
    )
    row = connection.execute(query).one()
    return row[0], row[1]


def take_up(connection: Connection, upload_id: UUID, version_id: UUID) -> tuple[Upload, bytes] | None:
    """Begin a try of an import; return it and its sealed source, None when it has ended.

    Each try writes under a version id of its own, so that one which everybody took for dead, and which goes on, can
    neither change the bytes of another nor have its own bytes taken for them. What the last try had reserved is given back.
    """
    try:
        get_upload(connection, upload_id, lock=True)
    except NotFound:
        return None
    row = connection.execute(select(uploads.c.state, uploads.c.source_url, uploads.c.reserved_bytes).where(uploads.c.id == upload_id)).one()
    if row.state != State.OPEN or row.source_url is None:
        return None
    buckets.release(connection, size_bytes=row.reserved_bytes, files=0)
    update_upload(connection, upload_id, version_id=version_id, reserved_bytes=0, size_bytes=None, offset_bytes=0)
    return get_upload(connection, upload_id), bytes(row.source_url)


def change(connection: Connection, upload: Upload, **values: Any) -> bool:
    """Change columns of an import as long as it is open and this try is the one that counts; tell whether it is."""
    mine = (uploads.c.id == upload.id) & (uploads.c.version_id == upload.version_id) & (uploads.c.state == State.OPEN)
    return connection.execute(update(uploads).where(mine).values(**values)).rowcount == 1


def sealed_sources(connection: Connection) -> list[tuple[UUID, bytes]]:
    """Return the sealed sources of imports that have not ended, locked."""
    query = select(uploads.c.id, uploads.c.source_url).where(uploads.c.source_url.is_not(None)).with_for_update()
    return [(row.id, bytes(row.source_url)) for row in connection.execute(query)]
