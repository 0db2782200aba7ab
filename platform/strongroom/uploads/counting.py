"""Requests that carry a part of an upload count, while they last, as uploads of their own. Knows no HTTP.

Each has a row as a stream has: any process counts it, and it is swept when its process dies.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from strongroom.db.ids import new_id
from strongroom.errors import DomainError
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.uploads import repository
from strongroom.uploads.ingest import LEASE_S, PROLONG_AFTER_S, prolong
from strongroom.uploads.limits import check_moving
from strongroom.uploads.models import Body, Kind, Upload
from strongroom.uploads.service import SWEEP, SWEEP_AFTER_S
from tenants.models import Tenant


@contextmanager
def counted(runtime: Runtime, tenant: Tenant, upload: Upload, body: Body) -> Iterator[Body]:
    """Count a request that carries a part of `upload`, while the block runs; the body that is yielded keeps the row alive.

    Raises:
        TooManyUploads: nothing of the body is read.
        DatabaseUnavailable, TenantBusy
    """
    row_id, of_nothing = new_id(), new_id()  # the row names no version, so that whoever sweeps it up removes no bytes
    with runtime.tenant(tenant) as connection:
        repository.insert_upload(
            connection, lifetime_s=LEASE_S, id=row_id, kind=Kind.STREAM, bucket_id=upload.bucket.id, path=upload.path,
            version_id=of_nothing, provider_id=upload.provider_id, reserved_bytes=0, reserved_files=0, content_type="",
            created_by=upload.created_by,
        )  # fmt: skip
        enqueue(connection, SWEEP, {}, dedupe_key="all", delay_s=SWEEP_AFTER_S)
        check_moving(connection, tenant)
    try:
        yield _KeptAlive(runtime, tenant, row_id, body)
    finally:
        with suppress(DomainError), runtime.tenant(tenant) as connection:
            repository.take(connection, row_id)


class _KeptAlive:
    """A body that renews its request's row while bytes come."""

    def __init__(self, runtime: Runtime, tenant: Tenant, row_id: UUID, body: Body) -> None:
        self._runtime, self._tenant, self._row_id, self._body = runtime, tenant, row_id, body
        self._renewed = time.monotonic()

    def has_arrived(self, size_bytes: int) -> bool:
        return self._body.has_arrived(size_bytes)

    def read(self, size: int) -> bytes:
        self._renew()
        return self._body.read(size)

    def readinto(self, view: memoryview) -> int:
        self._renew()
        return self._body.readinto(view)

    def _renew(self) -> None:
        if time.monotonic() - self._renewed > PROLONG_AFTER_S:
            prolong(self._runtime, self._tenant, self._row_id)
            self._renewed = time.monotonic()
