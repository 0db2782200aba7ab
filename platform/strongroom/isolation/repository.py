"""SQL of a tenant's reports, in its transaction; and of the probes of all tenants, in the registry's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.isolation.models import StoredReport
from strongroom.isolation.tables import reports
from tenants.models import TenantStatus
from tenants.repository import STAND_INS
from tenants.tables import isolation_probes, tenants


def plant(connection: Connection, report_id: UUID, canary: str) -> None:
    """Begin a report: its row holds the secret until it ends."""
    connection.execute(insert(reports).values(id=report_id, canary=canary))


def read_canary(connection: Connection, report_id: UUID) -> str | None:
    """Return the secret of a report that is being made."""
    found: str | None = connection.execute(select(reports.c.canary).where(reports.c.id == report_id)).scalar()
    return found


def finish(connection: Connection, report: StoredReport) -> None:
    """Keep a report instead of its secret."""
    values = {"ended_at": report.ended_at, "ok": report.ok, "findings": report.findings, "signed": report.signed, "canary": None}
    connection.execute(update(reports).where(reports.c.id == report.id).values(**values, signature=report.signature))


def drop(connection: Connection, report_id: UUID) -> None:
    """Forget a report that could not be made. Idempotent."""
    connection.execute(delete(reports).where(reports.c.id == report_id, reports.c.signed.is_(None)))


def newest(connection: Connection) -> StoredReport | None:
    """Return the newest report that is complete."""
    columns = [reports.c[name] for name in ("id", "ended_at", "ok", "findings", "signed", "signature")]
    row = connection.execute(select(*columns).where(reports.c.signed.is_not(None)).order_by(reports.c.ended_at.desc()).limit(1)).first()
    return StoredReport(**row._mapping) if row else None


def forget_old(connection: Connection, kept: int, abandoned_after_s: int) -> int:
    """Keep the newest reports only, and none that a crash has left unfinished."""
    keep = select(reports.c.id).where(reports.c.signed.is_not(None)).order_by(reports.c.ended_at.desc()).limit(kept)
    dead = reports.c.signed.is_(None) & (reports.c.began_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, abandoned_after_s))
    over = reports.c.signed.is_not(None) & reports.c.id.not_in(keep)
    return connection.execute(delete(reports).where(dead | over)).rowcount


def note_probe(connection: Connection, tenant_id: UUID, ended_at: datetime, *, ok: bool, findings: int) -> None:
    """Note in the registry how a tenant's last probe ended."""
    values = {"ended_at": ended_at, "ok": ok, "findings": findings}
    query = upsert(isolation_probes).values(tenant_id=tenant_id, **values)
    connection.execute(query.on_conflict_do_update(index_elements=["tenant_id"], set_=values))


def longest_ago(connection: Connection, limit: int | None, least_age_s: float) -> Sequence[UUID]:
    """Return the active tenants that nobody has probed for so long, those never probed first."""
    due = isolation_probes.c.ended_at.is_(None) | (
        isolation_probes.c.ended_at <= func.now() - func.make_interval(0, 0, 0, 0, 0, 0, least_age_s)
    )
    query = (
        select(tenants.c.id)
        .outerjoin(isolation_probes, isolation_probes.c.tenant_id == tenants.c.id)
        .where(tenants.c.status == TenantStatus.ACTIVE, tenants.c.slug.not_like(STAND_INS), due)
        .order_by(isolation_probes.c.ended_at.asc().nulls_first(), tenants.c.id)
    )
    return list(connection.execute(query.limit(limit)).scalars())


def sample(connection: Connection, cell: str, but: UUID, count: int) -> Sequence[UUID]:
    """Return some other tenants of a cell, chosen by chance."""
    mine = (tenants.c.cell == cell) & (tenants.c.id != but) & (tenants.c.status == TenantStatus.ACTIVE)
    query = select(tenants.c.id).where(mine, tenants.c.slug.not_like(STAND_INS)).order_by(func.random()).limit(count)
    return list(connection.execute(query).scalars())


def count_bad(connection: Connection) -> int:
    """Return how many tenants' last probe found something."""
    query = select(func.count()).select_from(isolation_probes.join(tenants, tenants.c.id == isolation_probes.c.tenant_id))
    return int(connection.execute(query.where(~isolation_probes.c.ok, tenants.c.status == TenantStatus.ACTIVE)).scalar_one())
