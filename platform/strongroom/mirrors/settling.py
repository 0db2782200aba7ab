"""Finding out what has to be at the hosts, and whether it is there. Knows no HTTP. Every function is idempotent."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from strongroom.errors import DomainError, NotFound
from strongroom.files import copies
from strongroom.files import repository as files
from strongroom.files.service import enqueue_purge
from strongroom.files.tables import versions
from strongroom.jobs.queue import AGAIN, enqueue, run_again
from strongroom.mirrors import repository
from strongroom.mirrors.service import TURN_S, Place, enqueue_for
from strongroom.moving.service import LEAVE
from strongroom.runtime import Runtime
from strongroom.storage.bound import TenantStorage
from tenants.hosts import SETTLE
from tenants.models import Host, Tenant

log = logging.getLogger(__name__)
BATCH, WALK = 1000, 2000
CHECKS_END_S = 900.0
"""After so long hardly a check goes on that began before the hosts were changed; what one adds later waits for the daily look."""
LEFT_S = 60.0
"""After so long the bytes at a host that was removed are gone, and the provider can be let go of; else the daily look does it."""
LOST = "Its copy was not there any more, or had been changed."


def settle(runtime: Runtime, tenant: Tenant, ids: Mapping[str, Any] | None = None) -> None:
    """Find out what has to be at the tenant's hosts: forget and remove what has not, note what is missing, have it copied.

    `ids`: of the job; None: as every day, which nobody waits for.
    """
    tenant = runtime.look_up(tenant)  # housekeeping may have begun hours ago, with other hosts
    ends, after = time.monotonic() + TURN_S, UUID(ids["after"]) if ids and ids.get("after") else None
    kept = {AGAIN: True} if ids is None or ids.get(AGAIN) else {}
    if after is None and not _drop(runtime, tenant, ends):
        _go_on(runtime, tenant, kept)
        return
    hosts = [host for host in tenant.settings.hosts if host.enabled]
    while hosts:
        with runtime.tenant(tenant) as connection:
            after, is_last = _note_missing(connection, tenant, hosts, after)
        if is_last:
            break
        if time.monotonic() > ends:
            _go_on(runtime, tenant, {"after": str(after), **kept})
            return
    with runtime.tenant(tenant) as connection:
        for host in hosts:
            enqueue_for(connection, host)
        run_again(connection, SETTLE, kept, CHECKS_END_S)


def _go_on(runtime: Runtime, tenant: Tenant, ids: dict[str, Any]) -> None:
    with runtime.tenant(tenant) as connection:
        enqueue(connection, SETTLE, ids, dedupe_key="go on" if ids.get("after") else "all")


def _drop(runtime: Runtime, tenant: Tenant, ends: float) -> bool:
    """Remove copies that belong to no host; False when there was not time enough for all.

    Where the tenant has left a provider with its copies kept, they are forgotten only.
    """
    while True:
        used = set(runtime.provider_ids(tenant))
        with runtime.tenant(tenant) as connection:
            gone = repository.drop_unwanted(connection, tenant.settings.hosts, tenant.settings.scanning, BATCH)
            left_over = sorted((row for row in gone if row.provider_id in used), key=_place)
            for (provider_id, bucket_id), group in groupby(left_over, _place):
                enqueue_purge(connection, provider_id, bucket_id, [row.version_id for row in group])
                enqueue(connection, LEAVE, {}, dedupe_key="leave", delay_s=LEFT_S)
        if len(gone) < BATCH:
            return True
        if time.monotonic() > ends:
            return False


def _place(row: Any) -> tuple[UUID, UUID]:
    return row.provider_id, row.bucket_id


def _note_missing(connection: Connection, tenant: Tenant, hosts: Sequence[Host], after: UUID | None) -> tuple[UUID | None, bool]:
    """Look at the next versions; return the last one of them, and whether it is the last of all."""
    walked = files.versions_after(connection, after, WALK)
    if not walked:
        return after, True
    within = versions.c.id.between(walked[0].id, walked[-1].id)
    for host in hosts:
        copies.add(connection, host, tenant.settings.scanning, within)
    return walked[-1].id, len(walked) < WALK


def reconcile(runtime: Runtime, tenant: Tenant) -> int:
    """See that the copies at the hosts are there; have those made anew that are not. Return how many."""
    lost, tenant = 0, runtime.look_up(tenant)
    for host in tenant.settings.hosts:
        try:
            lost += _find_lost(Place(runtime, tenant, host))
        except DomainError:
            context = {"tenant_id": str(tenant.id), "provider_id": str(host.provider_id)}
            log.warning("the copies at a host cannot be looked at", extra=context, exc_info=True)
    return lost


def _find_lost(place: Place) -> int:
    storage, after, total = place.runtime.storage(place.tenant, place.host.provider_id), None, 0
    next(storage.list(), None)  # fails where there is nothing at all: a disk that is not mounted has lost no copies
    while True:
        with place.runtime.tenant(place.tenant) as connection:
            rows = repository.stored_after(connection, place.host.provider_id, after, BATCH)
        lost = [row.version_id for row in rows if not _is_whole(storage, row)]
        if lost:
            with place.runtime.tenant(place.tenant) as connection:
                total += repository.make_again(connection, place.host.provider_id, lost, LOST)
                enqueue_for(connection, place.host)
        if len(rows) < BATCH:
            return total
        after = rows[-1].version_id


def _is_whole(storage: TenantStorage, row: Any) -> bool:
    try:
        found = storage.head(row.bucket_id, row.version_id)
    except NotFound:
        return False
    return bool(found.size_bytes == row.size_bytes and found.tag[: repository.MAX_TAG] == row.provider_tag)
