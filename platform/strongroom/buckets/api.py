"""/api/v1/buckets"""

from __future__ import annotations

from typing import Any

from strongroom.access import Role, Scope
from strongroom.buckets import service
from strongroom.buckets.schemas import BucketPage, BucketSchema, NewBucketSchema, PolicySchema
from strongroom.errors import AlreadyExists, BucketNotEmpty, QuotaExceeded
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.paging import PageQuery, cursor_at, position_of
from strongroom.http.permissions import requires

blueprint = Blueprint("buckets", __name__, url_prefix="/api/v1/buckets", description="Named containers of files, each with a policy.")
LISTING = "buckets"


@blueprint.get("")
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, BucketPage)
def list_buckets(page: dict[str, Any]) -> dict[str, Any]:
    """List the buckets by name."""
    position = position_of(LISTING, page["cursor"])
    found = service.list_buckets(runtime(), current_tenant(), after=position[0] if position else "", limit=page["limit"] + 1)
    items = found[: page["limit"]]
    return {"items": items, "next_cursor": cursor_at(LISTING, [items[-1].name] if len(found) > len(items) else None)}


@blueprint.post("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(NewBucketSchema)
@blueprint.response(201, BucketSchema)
@described(fails=(AlreadyExists, QuotaExceeded))
def create_bucket(body: dict[str, Any]) -> Any:
    """Make a bucket."""
    return service.create_bucket(runtime(), current_tenant(), current_principal(), **body)


@blueprint.get("/<bucket>")
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.response(200, BucketSchema)
def get_bucket(bucket: str) -> Any:
    """Get one bucket."""
    return service.get_bucket(runtime(), current_tenant(), bucket)


@blueprint.patch("/<bucket>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(PolicySchema)
@blueprint.response(200, BucketSchema)
def update_bucket(body: dict[str, Any], bucket: str) -> Any:
    """Change a bucket's policy."""
    return service.update_bucket(runtime(), current_tenant(), current_principal(), bucket, **body)


@blueprint.delete("/<bucket>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(204)
@described(fails=(BucketNotEmpty,))
def delete_bucket(bucket: str) -> None:
    """Remove an empty bucket."""
    service.delete_bucket(runtime(), current_tenant(), current_principal(), bucket)
