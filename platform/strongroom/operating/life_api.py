"""/operator/api/v1/tenants/…/rename, suspend, resume, restore, DELETE, and /operations: what is done to tenants as a whole."""

from __future__ import annotations

from typing import Any

from strongroom.db.ids import parse_id
from strongroom.errors import AlreadyExists, Conflict, DatabaseUnavailable, NotFound
from strongroom.http.context import current_operator, runtime
from strongroom.http.describing import described
from strongroom.http.permissions import operators_only
from strongroom.operating import life
from strongroom.operating.api import blueprint, shown
from strongroom.operating.life_schemas import CellOfTenant, DeletionQuery, OperationPage, OperationQuery, OperationSchema, RenameSchema
from strongroom.operating.schemas import OperatedTenantSchema

__all__ = ["blueprint"]


@blueprint.post("/tenants/<slug>/rename")
@operators_only("admin")
@blueprint.arguments(RenameSchema)
@blueprint.response(200, OperatedTenantSchema)
@described(
    fails=(
        AlreadyExists,
        Conflict,
    )
)
def rename_tenant(body: dict[str, Any], slug: str) -> dict[str, Any]:
    """Give a tenant another slug. Its former address answers 404 from now on; what was issued before is good at the new one."""
    return shown(life.rename_tenant(runtime(), current_operator().email, slug, body["slug"]))


@blueprint.post("/tenants/<slug>/suspend")
@operators_only("admin")
@blueprint.response(200, OperatedTenantSchema)
@described(fails=(Conflict,))
def suspend_tenant(slug: str) -> dict[str, Any]:
    """Close a tenant for its users; its data stays."""
    return shown(life.suspend_tenant(runtime(), current_operator().email, slug))


@blueprint.post("/tenants/<slug>/resume")
@operators_only("admin")
@blueprint.response(200, OperatedTenantSchema)
@described(fails=(Conflict,))
def resume_tenant(slug: str) -> dict[str, Any]:
    """Open a suspended tenant again."""
    return shown(life.resume_tenant(runtime(), current_operator().email, slug))


@blueprint.delete("/tenants/<slug>")
@operators_only("admin")
@blueprint.arguments(DeletionQuery, location="query")
@blueprint.response(202, OperatedTenantSchema)
@described(fails=(Conflict,))
def delete_tenant(query: dict[str, Any], slug: str) -> dict[str, Any]:
    """Take a tenant out of service. All that it owns is removed after the grace time, until which it can be restored."""
    return shown(life.delete_tenant(runtime(), current_operator().email, slug, **query))


@blueprint.post("/tenants/<slug>/restore")
@operators_only("admin")
@blueprint.response(200, OperatedTenantSchema)
@described(fails=(Conflict,))
def restore_tenant(slug: str) -> dict[str, Any]:
    """Bring back a tenant whose grace time is not over."""
    return shown(life.restore_tenant(runtime(), current_operator().email, slug))


@blueprint.post("/tenants/<slug>/move-cell")
@operators_only("admin")
@blueprint.arguments(CellOfTenant)
@blueprint.response(202, OperatedTenantSchema)
@described(fails=(Conflict, DatabaseUnavailable))
def move_to_cell(body: dict[str, Any], slug: str) -> dict[str, Any]:
    """Have a tenant go over to another cell. It can be read all the while; writes are refused for the last seconds."""
    return shown(life.move_tenant(runtime(), current_operator().email, slug, body["cell"]))


@blueprint.delete("/tenants/<slug>/move-cell")
@operators_only("admin")
@blueprint.response(200, OperatedTenantSchema)
@described(fails=(Conflict,))
def abort_move_to_cell(slug: str) -> dict[str, Any]:
    """Have a tenant that has not gone over yet stay in its cell."""
    return shown(life.abort_move(runtime(), current_operator().email, slug))


@blueprint.get("/operations")
@operators_only()
@blueprint.arguments(OperationQuery, location="query")
@blueprint.response(200, OperationPage)
@described(fails=(NotFound,))
def list_operations(query: dict[str, Any]) -> dict[str, Any]:
    """List what was and is done to tenants with its steps, newest first."""
    before = parse_id(query["cursor"]) if query["cursor"] else None
    found = life.list_operations(runtime(), slug=query["slug"], before=before, limit=query["limit"] + 1)
    items = found[: query["limit"]]
    return {"items": items, "next_cursor": str(items[-1].id) if len(found) > len(items) else None}


@blueprint.post("/operations/<operation_id>/retry")
@operators_only("admin")
@blueprint.response(200, OperationSchema)
@described(fails=(Conflict,))
def retry_operation(operation_id: str) -> Any:
    """Have an operation that was held up go on now."""
    return life.retry_operation(runtime(), current_operator().email, parse_id(operation_id))
