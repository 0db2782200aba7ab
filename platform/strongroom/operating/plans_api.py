"""/operator/api/v1/plans, and what a tenant uses of its own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from strongroom.errors import AlreadyExists, PlanInUse
from strongroom.http.context import current_operator, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import operators_only
from strongroom.operating import plans
from strongroom.operating.plan_schemas import NewPlanSchema, PlanChange, PlanPage, PlanSchema, TenantQuotaSchema
from strongroom.operating.service import find_tenant
from strongroom.quotas import service as quotas

blueprint = Blueprint("operator_plans", __name__, url_prefix="/operator/api/v1", description="Plans, and what tenants use of them.")


@blueprint.get("/plans")
@operators_only()
@blueprint.response(200, PlanPage)
def list_plans() -> dict[str, Any]:
    """List the plans."""
    return {"items": plans.list_plans(runtime()), "next_cursor": None}


@blueprint.post("/plans")
@operators_only("admin")
@blueprint.arguments(NewPlanSchema)
@blueprint.response(201, PlanSchema)
@described(fails=(AlreadyExists,))
def add_plan(body: dict[str, Any]) -> Any:
    """Make a plan."""
    return plans.add_plan(runtime(), current_operator().email, body["name"], body["limits"])


@blueprint.get("/plans/<name>")
@operators_only()
@blueprint.response(200, PlanSchema)
def get_plan(name: str) -> Any:
    """Get one plan."""
    return plans.get_plan(runtime(), name)


@blueprint.patch("/plans/<name>")
@operators_only("admin")
@blueprint.arguments(PlanChange)
@blueprint.response(200, PlanSchema)
def update_plan(body: dict[str, Any], name: str) -> Any:
    """Change limits of a plan; they hold at once for every tenant that has it."""
    return plans.update_plan(runtime(), current_operator().email, name, body["limits"])


@blueprint.delete("/plans/<name>")
@operators_only("admin")
@blueprint.response(204)
@described(fails=(PlanInUse,))
def delete_plan(name: str) -> None:
    """Forget a plan that no tenant has."""
    plans.delete_plan(runtime(), current_operator().email, name)


@blueprint.get("/tenants/<slug>/quota")
@operators_only()
@blueprint.response(200, TenantQuotaSchema)
def get_tenant_quota(slug: str) -> dict[str, Any]:
    """Get a tenant's plan and limits, and what it uses of them."""
    tenant = find_tenant(runtime(), slug)
    uses = quotas.uses(runtime(), tenant)
    return {"plan": tenant.plan, "limits": asdict(tenant.limits), "overrides": tenant.overrides, "uses": uses}
