"""Where else a version's bytes lie: SQL of `mirrors`, in a tenant's transaction.

A row is there before its bytes are, so that nobody takes those for left over; whoever removes it has the bytes purged after.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, exists, literal, select, true
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.buckets.tables import buckets
from strongroom.files.models import Status, Verdict
from strongroom.files.tables import mirrors, versions
from strongroom.jobs.queue import enqueue
from tenants.hosts import MIRROR
from tenants.models import Host, ScanPolicy, Tenant

PENDING, STORED, FAILED = "pending", "stored", "failed"
_STORED_AT = (
    select(mirrors.c.provider_id).where(mirrors.c.version_id == bindparam("version_id"), mirrors.c.state == STORED).order_by(mirrors.c.at)
)


def stored_at(connection: Connection, version_id: UUID) -> list[UUID]:
    """Return the providers at which a version's bytes lie besides its own, the oldest copy first."""
    return list(connection.execute(_STORED_AT, {"version_id": version_id}).scalars())


def may_be_mirrored(policy: ScanPolicy) -> ColumnElement[bool]:
    """Only what was found clean, or may be given out although it was not checked whole."""
    verdict = versions.c.verdict == Verdict.CLEAN
    if policy.buckets_may_serve_unscanned:
        lax = exists().where(buckets.c.id == versions.c.bucket_id, buckets.c.serve_unscanned)
        verdict |= (versions.c.verdict == Verdict.UNSCANNED) & lax
    return (versions.c.status == Status.AVAILABLE) & verdict


def wanted_at(host: Host, policy: ScanPolicy) -> ColumnElement[bool]:
    """Whether a version belongs to a host: not where its own bytes lie."""
    included = true() if host.buckets is None else versions.c.bucket_id.in_(host.buckets)
    return and_(may_be_mirrored(policy), versions.c.provider_id != host.provider_id, included)


def add(connection: Connection, host: Host, policy: ScanPolicy, *which: ColumnElement[bool]) -> int:
    """Note that versions are to be mirrored to a host, those of them that may and are not; return how many.

    They are locked before they are referred to, in one order: one that is being deleted is passed over, and nobody waits in a circle.
    """
    columns = ["version_id", "provider_id", "size_bytes"]
    found: Select[Any] = select(versions.c.id, literal(host.provider_id), versions.c.size_bytes).where(wanted_at(host, policy), *which)
    found = found.order_by(versions.c.id).with_for_update(read=True, key_share=True, of=versions)
    return connection.execute(upsert(mirrors).from_select(columns, found).on_conflict_do_nothing()).rowcount


def want(connection: Connection, tenant: Tenant, version_id: UUID) -> None:
    """Have a version mirrored to every host that it belongs to. Idempotent."""
    for host in tenant.settings.hosts:
        if host.enabled and add(connection, host, tenant.settings.scanning, versions.c.id == version_id):
            enqueue(connection, MIRROR, {"provider_id": str(host.provider_id)}, dedupe_key=str(host.provider_id))


def forget(connection: Connection, version_id: UUID, provider_id: UUID) -> None:
    """Forget a mirror; what lies there is the caller's. Idempotent."""
    connection.execute(delete(mirrors).where(mirrors.c.version_id == version_id, mirrors.c.provider_id == provider_id))
