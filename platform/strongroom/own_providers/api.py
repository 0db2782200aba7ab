"""/api/v1/tenant/providers: storage providers of the tenant's own."""

from __future__ import annotations

from typing import Any

from strongroom.access import Role, Scope
from strongroom.db.ids import parse_id
from strongroom.errors import AlreadyExists, Conflict, ProviderInUse, StorageUnavailable, UnknownProviderKind
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires
from strongroom.operating.schemas import StepsSchema
from strongroom.own_providers import service
from strongroom.own_providers.schemas import NewOwnProviderSchema, OwnProviderChange, OwnProviderPage, OwnProviderSchema

blueprint = Blueprint(
    "own_providers", __name__, url_prefix="/api/v1/tenant/providers", description="Storage providers of the tenant's own."
)


@blueprint.get("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, OwnProviderPage)
def list_own_providers() -> dict[str, Any]:
    """List the tenant's own providers, without their secrets."""
    return {"items": service.list_providers(runtime(), current_tenant()), "next_cursor": None}


@blueprint.post("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(NewOwnProviderSchema)
@blueprint.response(201, OwnProviderSchema)
@described(
    fails=(
        AlreadyExists,
        UnknownProviderKind,
        StorageUnavailable,
    )
)
def add_own_provider(body: dict[str, Any]) -> Any:
    """Add a provider after having seen that everything works there. Nothing is put there before it is used."""
    return service.add_provider(runtime(), current_tenant(), current_principal(), **body)


@blueprint.patch("/<provider_id>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(OwnProviderChange)
@blueprint.response(200, OwnProviderSchema)
@described(
    fails=(
        AlreadyExists,
        UnknownProviderKind,
        StorageUnavailable,
        ProviderInUse,
    )
)
def update_own_provider(body: dict[str, Any], provider_id: str) -> Any:
    """Replace a provider's configuration or secrets, after having seen that everything works with them."""
    return service.update_provider(
        runtime(), current_tenant(), current_principal(), parse_id(provider_id), config=body.get("config"), secrets=body.get("secrets")
    )


@blueprint.delete("/<provider_id>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(204)
@described(fails=(ProviderInUse,))
def delete_own_provider(provider_id: str) -> None:
    """Forget a provider at which no files lie. What else is in its bucket is left alone."""
    service.delete_provider(runtime(), current_tenant(), current_principal(), parse_id(provider_id))


@blueprint.post("/<provider_id>/test")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, StepsSchema)
def try_own_provider(provider_id: str) -> dict[str, Any]:
    """Do at a provider once everything that Strongroom does there; tell how each step went."""
    steps = service.try_provider(runtime(), current_tenant(), parse_id(provider_id))
    return {"ok": all(step.ok for step in steps), "steps": steps}


@blueprint.post("/<provider_id>/use")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(204)
@described(
    fails=(
        Conflict,
        StorageUnavailable,
    )
)
def use_own_provider(provider_id: str) -> None:
    """Have new files go to a provider; `platform` in place of the id: to the platform's again. Files that exist stay where they are."""
    chosen = None if provider_id == service.PLATFORM else parse_id(provider_id)
    service.use_provider(runtime(), current_tenant(), current_principal(), chosen)
