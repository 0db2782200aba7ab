"""/api/v1/stats/usage"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import Schema, fields, validate

from strongroom.access import Role, Scope
from strongroom.buckets import service as buckets
from strongroom.errors import ValidationFailed
from strongroom.http.context import current_tenant, runtime
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires
from strongroom.usage import service

blueprint = Blueprint("stats", __name__, url_prefix="/api/v1/stats", description="What the tenant used.")
SANE = validate.Range(min=datetime(2000, 1, 1, tzinfo=UTC), max=datetime(9000, 1, 1, tzinfo=UTC))
MAX_DAYS = {"hour": 92, "day": 3660}


class UsageQuery(Schema):
    """The query of usage statistics."""

    start = fields.AwareDateTime(
        format="iso",
        data_key="from",
        default_timezone=UTC,
        load_default=None,
        validate=SANE,
        metadata={"description": "First moment; default: 30 days ago."},
    )
    end = fields.AwareDateTime(
        format="iso",
        data_key="to",
        default_timezone=UTC,
        load_default=None,
        validate=SANE,
        metadata={"description": "End, excluded; default: now."},
    )
    interval = fields.String(load_default="day", validate=validate.OneOf(["hour", "day"]))
    group_by = fields.String(load_default=None, validate=validate.OneOf(["bucket", "user", "api_key", "content_type", "operation"]))


class UsagePointSchema(Schema):
    """Usage in one interval."""

    start = fields.AwareDateTime(format="iso")
    group = fields.String(allow_none=True)
    uploads = fields.Integer()
    downloads = fields.Integer()
    deletes = fields.Integer()
    bytes_in = fields.Integer()
    bytes_out = fields.Integer()


class StoredPointSchema(Schema):
    """What was stored at the end of an interval."""

    start = fields.AwareDateTime(format="iso")
    stored_bytes = fields.Integer()
    stored_files = fields.Integer()


class UsageTotals(Schema):
    """Sums over the whole time asked for; stored: now."""

    uploads = fields.Integer()
    downloads = fields.Integer()
    deletes = fields.Integer()
    bytes_in = fields.Integer()
    bytes_out = fields.Integer()
    stored_bytes = fields.Integer()
    stored_files = fields.Integer()


class UsageSchema(Schema):
    """Usage by interval and group, sums, and what was stored."""

    items = fields.List(fields.Nested(UsagePointSchema))
    stored = fields.List(fields.Nested(StoredPointSchema))
    totals = fields.Nested(UsageTotals)
    next_cursor = fields.String(allow_none=True)


@blueprint.get("/usage")
@requires(Role.ADMIN, Scope.STATS_READ)
@blueprint.arguments(UsageQuery, location="query")
@blueprint.response(200, UsageSchema)
def get_usage(query: dict[str, Any]) -> dict[str, Any]:
    """Get uploads, downloads, deletions, bytes in and out, and what is stored."""
    end = query["end"] or datetime.now(UTC)
    start = query["start"] or end - timedelta(days=30)
    if end - start > timedelta(days=MAX_DAYS[query["interval"]]):
        raise ValidationFailed(errors={"from": [f"At most {MAX_DAYS[query['interval']]} days at once."]})
    points = service.usage(
        runtime(), current_tenant(), start=_floor(start, query["interval"]), end=end, interval=query["interval"], group_by=query["group_by"]
    )
    stored = service.stored(runtime(), current_tenant(), start=_floor(start, query["interval"]), end=end, interval=query["interval"])
    held = buckets.totals(runtime(), current_tenant())
    sums = {name: sum(asdict(point)[name] for point in points) for name in ("uploads", "downloads", "deletes", "bytes_in", "bytes_out")}
    totals = {**sums, "stored_bytes": held.used_bytes, "stored_files": held.used_files}
    return {"items": points, "stored": stored, "totals": totals, "next_cursor": None}


def _floor(moment: datetime, interval: str) -> datetime:
    moment = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return moment.replace(hour=0) if interval == "day" else moment
