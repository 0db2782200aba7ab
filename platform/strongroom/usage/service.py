"""Rolling single accesses up, and reading usage. Knows no HTTP.

The roll-up marks rows and adds them to the hours in one statement, so each access is counted exactly once, whatever is
killed when. The registry gets the tenant's days as absolute figures, so writing them twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, delete, func, literal_column, null, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.buckets import repository as buckets_repository
from strongroom.buckets.tables import buckets
from strongroom.runtime import Runtime
from strongroom.usage.tables import access_log, stored_hourly, usage_hourly
from tenants.models import Tenant
from tenants.tables import usage_daily

BATCH = 50_000
_ROLL_UP = text("""
WITH open AS (
    SELECT id FROM access_log WHERE NOT rolled_up ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE access_log SET rolled_up = true FROM open WHERE access_log.id = open.id RETURNING access_log.*
), added AS (
    INSERT INTO usage_hourly AS u (hour, operation, bucket_id, user_id, api_key_id, content_type, requests, bytes_in, bytes_out)
    SELECT date_trunc('hour', at, 'UTC'), operation, bucket_id, coalesce(user_id, :nobody), coalesce(api_key_id, :nobody), content_type,
           count(*), sum(bytes_in), sum(bytes_out)
    FROM taken GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (hour, operation, bucket_id, user_id, api_key_id, content_type) DO UPDATE
    SET requests = u.requests + excluded.requests, bytes_in = u.bytes_in + excluded.bytes_in, bytes_out = u.bytes_out + excluded.bytes_out
)
SELECT count(*) AS taken, min(at) AS first, max(at) AS last FROM taken
""")
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class UsagePoint:
    """Usage in one interval, of one group when grouped."""

    start: datetime
    group: str | None
    uploads: int
    downloads: int
    deletes: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class StoredPoint:
    """What was stored at the end of an interval."""

    start: datetime
    stored_bytes: int
    stored_files: int


def roll_up(runtime: Runtime, tenant: Tenant) -> int:
    """Add the accesses that have not been counted yet to their hours; return how many."""
    total = 0
    while True:
        taken = _roll_up_batch(runtime, tenant)
        total += taken
        if taken < BATCH:
            return total


def _roll_up_batch(runtime: Runtime, tenant: Tenant) -> int:
    """Roll one batch up. One at a time for each tenant: the registry's figures are absolute and must not go backwards."""
    with runtime.databases.control() as registry:
        registry.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"usage {tenant.id}"})
        with runtime.tenant(tenant) as connection:
            row = connection.execute(_ROLL_UP, {"batch": BATCH, "nobody": NOBODY}).one()
            _note_stored(connection)
            days = _days(connection, row.first)
        _publish(registry, tenant, days)
    return int(row.taken)


def _note_stored(connection: Connection) -> None:
    hour = func.date_trunc("hour", func.now(), "UTC")
    query = upsert(stored_hourly).from_select(
        ["hour", "bucket_id", "stored_bytes", "stored_files"], select(hour, buckets.c.id, buckets.c.used_bytes, buckets.c.used_files)
    )
    changes = {name: query.excluded[name] for name in ("stored_bytes", "stored_files")}
    connection.execute(query.on_conflict_do_update(index_elements=["hour", "bucket_id"], set_=changes))


def _days(connection: Connection, first: datetime | None) -> list[dict[str, Any]]:
    """Return the tenant's totals of each day that may have changed: from the first access counted now, yesterday at the latest."""
    totals = buckets_repository.totals(connection)
    today: date = connection.execute(select(func.date(func.timezone("UTC", func.now())))).scalar_one()
    yesterday = today - timedelta(days=1)
    start = min(first.astimezone(UTC).date(), yesterday) if first else yesterday
    day = func.date(func.timezone("UTC", usage_hourly.c.hour)).label("day")
    query = select(day, *_sums()).where(usage_hourly.c.hour >= datetime.combine(start, time.min, UTC)).group_by(day)
    found: dict[date, Mapping[Any, Any]] = {row.day: row._mapping for row in connection.execute(query)}
    days = []
    for each in (start + timedelta(days=offset) for offset in range((today - start).days + 1)):
        figures = found.get(each, {})
        values = {"day": each, **{name: figures.get(name, 0) for name in ("uploads", "downloads", "bytes_in", "bytes_out")}}
        if each == today:
            values.update(stored_bytes=totals.used_bytes, stored_files=totals.used_files)
        days.append(values)
    return days


def _publish(registry: Connection, tenant: Tenant, days: Iterable[dict[str, Any]]) -> None:
    for values in days:
        query = upsert(usage_daily).values(tenant_id=tenant.id, **values)
        changes = {**{name: values[name] for name in values if name != "day"}, "updated_at": func.now()}
        registry.execute(query.on_conflict_do_update(index_elements=["tenant_id", "day"], set_=changes))


def _sums() -> list[Any]:
    table = usage_hourly.c
    counts = [
        func.coalesce(func.sum(table.requests).filter(table.operation == operation), 0).label(label)
        for operation, label in (("upload", "uploads"), ("download", "downloads"), ("delete", "deletes"))
    ]
    amounts = [func.coalesce(func.sum(table[name]), 0).label(name) for name in ("bytes_in", "bytes_out")]
    return [*counts, *amounts]


def usage(
    runtime: Runtime, tenant: Tenant, *, start: datetime, end: datetime, interval: str = "day", group_by: str | None = None
) -> list[UsagePoint]:
    """Return usage from `start` (included) to `end` (excluded) by hour or day (UTC), grouped if asked.

    `group_by`: bucket, user, api_key, content_type or operation. Buckets are told by name while they exist, else by id.
    """
    moment = func.date_trunc(interval, usage_hourly.c.hour, "UTC").label("start")
    group = _group(group_by)
    query = select(moment, group.label("group"), *_sums()).where(usage_hourly.c.hour >= start, usage_hourly.c.hour < end)
    if group_by == "bucket":
        query = query.outerjoin(buckets, buckets.c.id == usage_hourly.c.bucket_id)
    with runtime.tenant(tenant) as connection:
        rows = connection.execute(query.group_by(text("1"), text("2")).order_by(text("1"), text("2"))).all()
    return [UsagePoint(r.start, r.group, int(r.uploads), int(r.downloads), int(r.deletes), int(r.bytes_in), int(r.bytes_out)) for r in rows]


def _group(group_by: str | None) -> ColumnElement[Any]:
    table = usage_hourly.c
    groups: dict[str | None, ColumnElement[Any]] = {
        None: null(),
        "bucket": func.coalesce(buckets.c.name, cast(table.bucket_id, Text)),
        "user": func.nullif(cast(table.user_id, Text), NOBODY),
        "api_key": func.nullif(cast(table.api_key_id, Text), NOBODY),
        "content_type": table.content_type,
        "operation": table.operation,
    }
    return groups[group_by]


def stored(runtime: Runtime, tenant: Tenant, *, start: datetime, end: datetime, interval: str = "day") -> list[StoredPoint]:
    """Return what was stored, as last noted in each hour or day."""
    moment = func.date_trunc(interval, stored_hourly.c.hour, "UTC").label("start")
    latest = (
        select(moment, stored_hourly.c.bucket_id, stored_hourly.c.stored_bytes, stored_hourly.c.stored_files)
        .where(stored_hourly.c.hour >= start, stored_hourly.c.hour < end)
        .ext(distinct_on(literal_column("1"), stored_hourly.c.bucket_id))
        .order_by(literal_column("1"), stored_hourly.c.bucket_id, stored_hourly.c.hour.desc())
        .subquery()
    )
    query = select(latest.c.start, func.sum(latest.c.stored_bytes), func.sum(latest.c.stored_files)).group_by(latest.c.start)
    with runtime.tenant(tenant) as connection:
        rows = connection.execute(query.order_by(latest.c.start)).all()
    return [StoredPoint(row[0], int(row[1]), int(row[2])) for row in rows]


def verify(runtime: Runtime, tenant: Tenant) -> dict[str, tuple[int, int]]:
    """Compare the rolled-up usage with the single accesses; return what differs as {figure: (rolled up, counted)}.

    Only from the first day on whose accesses are still there: they are forgotten by whole days (UTC).
    """
    log = access_log.c
    first_day = select(func.date_trunc("day", func.min(log.at), "UTC")).scalar_subquery()
    with runtime.tenant(tenant) as connection:
        rolled = connection.execute(select(*_sums()).where(usage_hourly.c.hour >= first_day)).one()._mapping
        counts = [
            func.count().filter(log.operation == operation).label(label)
            for operation, label in (("upload", "uploads"), ("download", "downloads"), ("delete", "deletes"))
        ]
        amounts = [func.coalesce(func.sum(log[name]), 0).label(name) for name in ("bytes_in", "bytes_out")]
        counted = connection.execute(select(*counts, *amounts).where(log.rolled_up)).one()._mapping
    return {name: (int(rolled[name]), int(counted[name])) for name in counted if int(rolled[name]) != int(counted[name])}


def forget_old_accesses(runtime: Runtime, tenant: Tenant) -> int:
    """Remove single accesses that are rolled up and past their retention, by whole days (UTC)."""
    old = func.date_trunc("day", func.now() - timedelta(days=runtime.settings.access_log_retention_days), "UTC")
    with runtime.tenant(tenant) as connection:
        return connection.execute(delete(access_log).where(access_log.c.rolled_up, access_log.c.at < old)).rowcount
