"""/console/: what is stored, what came in and went out, what needs attention."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from strongroom.access import Role
from strongroom.buckets import service as buckets
from strongroom.buckets.models import Bucket
from strongroom.files import service as files
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.quotas import service as quotas

from admin.console.frame import ConsoleView, shows
from admin.console.listing import shown
from admin.figures import tenant_transfer
from admin.pages import CONSOLE, go
from admin.quotas import shown_uses

LATEST, ATTENTION, TYPES = 6, 5, 5


class Dashboard(ConsoleView):
    """The console's first page; users who do not manage the tenant start with its files."""

    @shows("/")
    def index(self) -> Response:
        """Show the tenant's figures."""
        if not current_principal().role.includes(Role.ADMIN):
            return go(f"{CONSOLE}/files/")
        tenant = current_tenant()
        transfer, today = tenant_transfer(runtime(), tenant, request.args.get("range"))
        held = quotas.totals(runtime(), tenant)
        totals = {
            "stored_bytes": held.used_bytes, "quota_bytes": tenant.limits.quota_bytes, "files": held.used_files, "quota_files": None,
            "uploads_today": today.uploads if today else 0, "downloads_today": today.downloads if today else 0,
            "bytes_in_today": today.bytes_in if today else 0, "bytes_out_today": today.bytes_out if today else 0,
        }  # fmt: skip
        return self.show(
            "dashboard.html", totals=totals, usage=transfer, by_bucket=_by_bucket(buckets.list_buckets(runtime(), tenant)),
            by_type=_by_type(held.used_bytes), latest=[shown(file) for file in files.recent(runtime(), tenant, LATEST)],
            plan=tenant.plan.capitalize(), uses=shown_uses(held.uses(tenant.limits)),
            attention=[shown(file) for file in files.attention(runtime(), tenant, ATTENTION)],
        )  # fmt: skip


def _by_bucket(found: list[Bucket]) -> list[dict[str, Any]]:
    largest = sorted(found, key=lambda bucket: bucket.used_bytes, reverse=True)
    return [{"label": b.name, "value": b.used_bytes, "files": b.used_files, "url": f"{CONSOLE}/files/{b.name}/"} for b in largest]


def _by_type(stored_bytes: int) -> list[dict[str, Any]]:
    largest = files.stored_by_type(runtime(), current_tenant(), TYPES)
    rest = stored_bytes - sum(size for _, size in largest)
    return [{"label": name, "value": size} for name, size in [*largest, ("Other", rest)] if size > 0]
