"""/api/v1/tenant/isolation-report, /api/v1/isolation-keys"""

from __future__ import annotations

from typing import Any

from strongroom.access import Role, Scope
from strongroom.errors import NotFound
from strongroom.http.context import current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires, shared
from strongroom.isolation import service, signing
from strongroom.isolation.schemas import PublicKeysSchema, ReportSchema

blueprint = Blueprint("isolation", __name__, url_prefix="/api/v1", description="The probe of the walls between tenants.")


@blueprint.get("/tenant/isolation-report")
@requires(Role.ADMIN, Scope.STATS_READ)
@described(fails=(NotFound,))
@blueprint.response(200, ReportSchema)
def get_report() -> dict[str, Any]:
    """Get the newest report on the walls around this tenant, with its signature."""
    return service.latest(runtime(), current_tenant())


@blueprint.get("/isolation-keys")
@shared
@blueprint.response(200, PublicKeysSchema)
def list_keys() -> dict[str, Any]:
    """List the public keys that verify this deployment's reports. No credential is needed."""
    return {"items": signing.public_keys(runtime().keys), "next_cursor": None}
