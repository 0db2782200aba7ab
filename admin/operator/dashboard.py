"""/operator/: the whole platform at a glance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, request
from strongroom.http.context import runtime
from strongroom.operating import overview, service
from strongroom.operating.service import TenantFigures

from admin.figures import daily_transfer, day_range
from admin.operator.frame import OperatorView, shows

LARGEST = 6


class Dashboard(OperatorView):
    """The console's first page."""

    @shows("/")
    def index(self) -> Response:
        """Show totals, transfer, the largest tenants, jobs and health."""
        name, start, end = day_range(request.args.get("range"))
        figures = service.list_figures(runtime(), start=start, end=end)
        days = service.daily(runtime(), start=start, end=end)
        counts, jobs = overview.count_tenants(runtime()), service.count_jobs(runtime())
        totals = {
            "tenants": sum(counts.values()), "tenants_active": counts.get("active", 0),
            "stored_bytes": sum(each.stored_bytes for each in figures), "files": sum(each.stored_files for each in figures),
            "bytes_in_today": days[-1].bytes_in, "bytes_out_today": days[-1].bytes_out,
        }  # fmt: skip
        waiting = {"waiting": jobs["queued"], "running": jobs["running"], "parked": jobs["parked"], "oldest_waiting_at": _overdue()}
        return self.show(
            "dashboard.html",
            totals=totals,
            usage=daily_transfer(name, days),
            top_tenants=_largest(figures),
            health=overview.parts(runtime()),
            jobs=waiting,
        )


def _largest(figures: list[TenantFigures]) -> list[dict[str, Any]]:
    found = sorted(figures, key=lambda each: each.stored_bytes, reverse=True)[:LARGEST]
    _, start, end = day_range("30d")
    days = overview.transfer_by_day(runtime(), [each.tenant.id for each in found], start=start, end=end)
    return [
        {
            "slug": each.tenant.slug, "name": each.tenant.name, "stored_bytes": each.stored_bytes, "files": each.stored_files,
            "spark": days[each.tenant.id],
        }
        for each in found
    ]  # fmt: skip


def _overdue() -> datetime | None:
    """Since when a job has been due, if that is longer than a moment."""
    oldest = overview.oldest_due_job(runtime())
    return oldest if oldest and (datetime.now(UTC) - oldest).total_seconds() > 10 else None  # noqa: PLR2004 - seconds
