"""How the migration of every tenant's schema stands, in the registry: what is pending, whose turn it is, what failed and why.

A claim is a row marked `running` and, in the tenant's cell, an advisory lock that ends with the session that holds it: so
whoever dies lets go, and `take_back` makes its tenants pending again. SQL only; the work itself is `strongroom.fleet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, case, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ColumnElement

from tenants.models import TenantStatus
from tenants.tables import fleet, tenant_migrations, tenants

MAX_ERROR = 2000
STATES = ("current", "pending", "running", "failed")
LIVING = (TenantStatus.ACTIVE, TenantStatus.SUSPENDED)


@dataclass(frozen=True)
class TenantMigration:
    """How one tenant stands. `state` is one of `STATES`; `attempts` counts those since it was last made pending."""

    tenant_id: UUID
    slug: str
    cell: str
    revision: str | None
    state: str
    attempts: int
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class FleetState:
    """What holds for all: since when no tenant is migrated, and who said so."""

    frozen_at: datetime | None
    frozen_by: str | None


@dataclass(frozen=True)
class Claim:
    """A tenant whose migration is ours to do. `attempts` counts this one."""

    tenant_id: UUID
    slug: str
    cell: str
    attempts: int


def _behind(known: Sequence[str]) -> ColumnElement[bool]:
    """A tenant's revision is older than the newest of `known`; one that is not known is newer code's."""
    return tenants.c.schema_revision.is_(None) | tenants.c.schema_revision.in_(list(known[:-1]))


def plan(connection: Connection, known: Sequence[str], *, only: UUID | None = None, urgent: bool = False) -> int:
    """Make every tenant that is behind pending, those that failed too; return how many there are. What runs is left alone."""
    late = select(tenants.c.id, text(":target"), text("'pending'"), text(":urgent")).where(tenants.c.status.in_(LIVING), _behind(known))
    if only is not None:
        late = late.where(tenants.c.id == only)
    added = insert(tenant_migrations).from_select(["tenant_id", "target", "state", "urgent"], late)
    again = {"target": added.excluded.target, "state": "pending", "attempts": 0, "error": None, "run_at": func.now(),
             "urgent": added.excluded.urgent | tenant_migrations.c.urgent}  # fmt: skip
    where = tenant_migrations.c.state.in_(["current", "failed"]) | (tenant_migrations.c.target != added.excluded.target)
    if urgent:
        where = where | tenant_migrations.c.urgent.is_(False)
    statement = added.on_conflict_do_update(
        index_elements=["tenant_id"], set_=again, where=where & (tenant_migrations.c.state != "running")
    )
    connection.execute(statement, {"target": known[-1], "urgent": urgent})
    late_ids = late.with_only_columns(func.count())
    return int(connection.execute(late_ids).scalar_one())


def claim(connection: Connection, began_at: datetime, *, only: UUID | None = None) -> Claim | None:
    """Take the next tenant that is pending, the urgent ones first; None when there is none, or all of it is frozen or stopped."""
    query = (
        select(tenant_migrations.c.tenant_id)
        .where(tenant_migrations.c.state == "pending", tenant_migrations.c.run_at <= func.now(), _may_go_on(began_at))
        .where(~exists().where(tenants.c.id == tenant_migrations.c.tenant_id, tenants.c.writes_paused))  # it is about to move
        .order_by(tenant_migrations.c.urgent.desc(), tenant_migrations.c.run_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if only is not None:
        query = query.where(tenant_migrations.c.tenant_id == only)
    taken = update(tenant_migrations).where(tenant_migrations.c.tenant_id == query.scalar_subquery())
    row = connection.execute(
        taken.values(state="running", attempts=tenant_migrations.c.attempts + 1, started_at=func.now(), finished_at=None).returning(
            tenant_migrations.c.tenant_id, tenant_migrations.c.attempts
        )
    ).first()
    if row is None:
        return None
    tenant = connection.execute(select(tenants.c.slug, tenants.c.cell).where(tenants.c.id == row.tenant_id)).one()
    return Claim(row.tenant_id, tenant.slug, tenant.cell, row.attempts)


def finish(connection: Connection, tenant_id: UUID, revision: str) -> None:
    """Write down that a tenant is at `revision`, in both places."""
    connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(schema_revision=revision, updated_at=func.now()))
    _set(connection, tenant_id, state="current", error=None, urgent=False, finished_at=func.now())


def put_back(connection: Connection, tenant_id: UUID, error: str, pause_s: float) -> None:
    """Have a tenant tried again after a pause: what went wrong may pass."""
    run_at = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, pause_s)
    _set(connection, tenant_id, state="pending", error=_storable(error), run_at=run_at)


def fail(connection: Connection, tenant_id: UUID, error: str) -> None:
    """Write down that a tenant's migration failed. It stays so until somebody has it retried."""
    _set(connection, tenant_id, state="failed", error=_storable(error), urgent=False, finished_at=func.now())


def running(connection: Connection) -> list[tuple[UUID, str]]:
    """Return the id and cell of every tenant that is marked as being migrated, and had the time to be locked as such."""
    query = select(tenants.c.id, tenants.c.cell).join(tenant_migrations, tenant_migrations.c.tenant_id == tenants.c.id)
    marked = query.where(tenant_migrations.c.state == "running", tenant_migrations.c.started_at < func.now() - text("interval '2 seconds'"))
    return [(row.id, row.cell) for row in connection.execute(marked)]


def take_back(connection: Connection, tenant_ids: Sequence[UUID]) -> None:
    """Make pending again what nobody works on any more."""
    lost = tenant_migrations.c.tenant_id.in_(list(tenant_ids)) & (tenant_migrations.c.state == "running")
    connection.execute(update(tenant_migrations).where(lost).values(state="pending", run_at=func.now()))


def _may_go_on(began_at: datetime) -> ColumnElement[bool]:
    """Nothing is frozen, and nobody asked what began then to stop."""
    stopped = fleet.c.stopped_at.is_not(None) & (fleet.c.stopped_at >= began_at)
    return select(fleet.c.only_row).where(fleet.c.frozen_at.is_(None), ~stopped).exists()


def open_count(
    connection: Connection, began_at: datetime, *, only: UUID | None = None, states: Sequence[str] = ("pending", "running")
) -> int:
    """Return how many tenants are pending or running; 0 when a run that began then may not go on."""
    query = select(func.count()).select_from(tenant_migrations).where(tenant_migrations.c.state.in_(list(states)))
    if only is not None:
        query = query.where(tenant_migrations.c.tenant_id == only)
    return int(connection.execute(query.where(_may_go_on(began_at))).scalar_one())


def state_of(connection: Connection, tenant_id: UUID) -> str | None:
    """Return the state that was last written down of a tenant; None where there never was one."""
    query = select(tenant_migrations.c.state).where(tenant_migrations.c.tenant_id == tenant_id)
    state: str | None = connection.execute(query).scalar()
    return state


def state_of_fleet(connection: Connection) -> FleetState:
    """Return whether all of it is frozen."""
    row = connection.execute(select(fleet.c.frozen_at, fleet.c.frozen_by)).one()
    return FleetState(row.frozen_at, row.frozen_by)


def freeze(connection: Connection, by: str | None) -> FleetState:
    """Let no tenant be migrated from now on, or, with None, let them again. What is being migrated is finished."""
    frozen_at = func.coalesce(fleet.c.frozen_at, func.now()) if by is not None else None
    connection.execute(update(fleet).values(frozen_at=frozen_at, frozen_by=by))
    return state_of_fleet(connection)


def stop(connection: Connection) -> None:
    """Have every run that has begun until now end after the tenants that it is at."""
    connection.execute(update(fleet).values(stopped_at=func.clock_timestamp()))


def _state(known: Sequence[str]) -> ColumnElement[str]:
    current = case((_behind(known), "pending"), else_="current")
    standing = tenant_migrations.c.state.in_(["running", "failed"]) & _behind(known)
    return case((standing, tenant_migrations.c.state), else_=current)


def counts(connection: Connection, known: Sequence[str]) -> dict[str, int]:
    """Return the number of tenants by state; every state has its number."""
    state = _state(known).label("state")
    query = select(state, func.count()).select_from(tenants.outerjoin(tenant_migrations, tenant_migrations.c.tenant_id == tenants.c.id))
    rows = connection.execute(query.where(tenants.c.status.in_(LIVING)).group_by(state))
    return {**dict.fromkeys(STATES, 0), **{row[0]: row[1] for row in rows}}


def list_tenants(
    connection: Connection, known: Sequence[str], *, state: str | None = None, after: str = "", limit: int | None = None
) -> list[TenantMigration]:
    """Return how tenants stand, by slug, or only those of one state."""
    shown = _state(known).label("state")
    query = (
        select(
            tenants.c.id, tenants.c.slug, tenants.c.cell, tenants.c.schema_revision, shown,
            func.coalesce(tenant_migrations.c.attempts, 0).label("attempts"),
            tenant_migrations.c.error, tenant_migrations.c.started_at, tenant_migrations.c.finished_at,
        )
        .select_from(tenants.outerjoin(tenant_migrations, tenant_migrations.c.tenant_id == tenants.c.id))
        .where(tenants.c.status.in_(LIVING), tenants.c.slug > after)
        .order_by(tenants.c.slug)
    )  # fmt: skip
    if state is not None:
        query = query.where(shown == state)
    return [_to_migration(row) for row in connection.execute(query.limit(limit))]


def _to_migration(row: Row[Any]) -> TenantMigration:
    return TenantMigration(
        row.id, row.slug, row.cell, row.schema_revision, row.state, row.attempts, row.error, row.started_at, row.finished_at
    )


def _set(connection: Connection, tenant_id: UUID, **values: Any) -> None:
    connection.execute(update(tenant_migrations).where(tenant_migrations.c.tenant_id == tenant_id).values(**values))


def _storable(error: str) -> str:
    return error.encode(errors="backslashreplace").decode().replace("\0", "\\0")[:MAX_ERROR]
