"""Figures for charts: ranges of time, and points without gaps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from strongroom.operating.service import DayFigures
from strongroom.runtime import Runtime
from strongroom.usage import service as usage
from strongroom.usage.service import UsagePoint

from tenants.models import Tenant

HOURS, DAYS = 24, 30
DAY_RANGES = {"7d": 7, "30d": 30, "90d": 90}


@dataclass(frozen=True)
class Transfer:
    """What the chart of a range shows."""

    range: str
    interval: str
    points: list[dict[str, Any]]

    @property
    def bytes_in(self) -> int:
        """What came in over the whole range."""
        return sum(point["in"] for point in self.points)

    @property
    def bytes_out(self) -> int:
        """What went out over the whole range."""
        return sum(point["out"] for point in self.points)


def midnight(moment: datetime) -> datetime:
    """Return the beginning of that day (UTC)."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def tenant_transfer(runtime: Runtime, tenant: Tenant, span: str | None) -> tuple[Transfer, UsagePoint | None]:
    """Return a tenant's transfer of the last 24 hours or 30 days, and what it did today so far."""
    now = datetime.now(UTC)
    begin = midnight(now) - timedelta(days=DAYS - 1)
    days = {point.start: point for point in usage.usage(runtime, tenant, start=begin, end=now + timedelta(hours=1), interval="day")}
    today = days.get(midnight(now))
    if span == "24h":
        hour = now.replace(minute=0, second=0, microsecond=0)
        begin = hour - timedelta(hours=HOURS - 1)
        hours = {point.start: point for point in usage.usage(runtime, tenant, start=begin, end=hour + timedelta(hours=1), interval="hour")}
        return Transfer("24h", "hour", _points(begin, timedelta(hours=1), HOURS, hours)), today
    return Transfer("30d", "day", _points(begin, timedelta(days=1), DAYS, days)), today


def _points(begin: datetime, step: timedelta, count: int, found: dict[datetime, UsagePoint]) -> list[dict[str, Any]]:
    moments = [begin + step * index for index in range(count)]
    return [_point(moment, found.get(moment)) for moment in moments]


def _point(moment: datetime, found: UsagePoint | None) -> dict[str, Any]:
    at = moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {"at": at, "in": found.bytes_in if found else 0, "out": found.bytes_out if found else 0}


def day_range(span: str | None) -> tuple[str, date, date]:
    """Return the name of a range of whole days, its first day and today (UTC)."""
    name = span if span in DAY_RANGES else "30d"
    today = datetime.now(UTC).date()
    return name, today - timedelta(days=DAY_RANGES[name] - 1), today


def daily_transfer(name: str, days: list[DayFigures]) -> Transfer:
    """Return the chart of whole days."""
    return Transfer(name, "day", [{"at": f"{day.day.isoformat()}T00:00:00Z", "in": day.bytes_in, "out": day.bytes_out} for day in days])
