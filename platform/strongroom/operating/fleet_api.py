"""/operator/api/v1/migrations and /cells: the fleet, on the platform's host."""

from __future__ import annotations

from typing import Any

from strongroom.errors import Conflict
from strongroom.http.context import current_operator, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import operators_only
from strongroom.operating import cells, fleet
from strongroom.operating.fleet_schemas import (
    CellChangeSchema,
    CellPage,
    CellSchema,
    FleetSchema,
    FreezeSchema,
    MigrationPage,
    MigrationQuery,
    MigrationSchema,
    RetriedSchema,
)

blueprint = Blueprint("operator_fleet", __name__, url_prefix="/operator/api/v1", description="Cells and migrations of the fleet.")


@blueprint.get("/migrations")
@operators_only()
@blueprint.arguments(MigrationQuery, location="query")
@blueprint.response(200, MigrationPage)
def list_migrations(query: dict[str, Any]) -> dict[str, Any]:
    """Tell how the migration of all tenants stands, and list them by slug."""
    found = fleet.list_migrations(runtime(), state=query["state"], after=query["cursor"] or "", limit=query["limit"] + 1)
    items = found[: query["limit"]]
    progress = fleet.progress(runtime())
    next_cursor = items[-1].slug if len(found) > len(items) else None
    shown = {"newest": runtime().newest_revision, "counts": progress.counts, "items": items, "next_cursor": next_cursor}
    return {**vars(progress.fleet), **shown}


@blueprint.patch("/migrations")
@operators_only("admin")
@blueprint.arguments(FreezeSchema)
@blueprint.response(200, FleetSchema)
def freeze_migrations(body: dict[str, Any]) -> Any:
    """Let no tenant be migrated from now on, or let them again."""
    return fleet.set_frozen(runtime(), current_operator().email, frozen=body["frozen"])


@blueprint.post("/migrations/retry")
@operators_only("admin")
@blueprint.response(200, RetriedSchema)
def retry_failed_migrations() -> dict[str, int]:
    """Have every tenant whose migration failed tried again."""
    return {"retried": fleet.retry_failed(runtime(), current_operator().email)}


@blueprint.post("/migrations/<slug>/retry")
@operators_only("admin")
@blueprint.response(200, MigrationSchema)
@described(fails=(Conflict,))
def retry_migration(slug: str) -> Any:
    """Have one tenant migrated now, whatever came of it before."""
    return fleet.retry(runtime(), current_operator().email, slug)


@blueprint.get("/cells")
@operators_only()
@blueprint.response(200, CellPage)
def list_cells() -> dict[str, Any]:
    """List the cells with what they hold."""
    return {"items": cells.list_cells(runtime()), "next_cursor": None}


@blueprint.patch("/cells/<name>")
@operators_only("admin")
@blueprint.arguments(CellChangeSchema)
@blueprint.response(200, CellSchema)
def update_cell(body: dict[str, Any], name: str) -> Any:
    """Say how many tenants a cell may hold, and whether it takes new ones."""
    return cells.set_cell(runtime(), current_operator().email, name, **body)
