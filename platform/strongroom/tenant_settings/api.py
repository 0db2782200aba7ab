"""/api/v1/tenant: the tenant itself, its brand and its quota."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from strongroom.access import Role, Scope
from strongroom.errors import BodyTooLarge, LengthRequired, NotFound, ValidationFailed
from strongroom.http.body import body_length, request_body, streaming
from strongroom.http.context import current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import public, requires
from strongroom.quotas import service as quotas
from strongroom.quotas.schemas import QuotaSchema
from tenants import repository, service
from tenants.branding import MAX_LOGO_BYTES
from tenants.models import Tenant

blueprint = Blueprint("tenant", __name__, url_prefix="/api/v1/tenant", description="The tenant itself: brand and quota.")


class BrandSchema(Schema):
    """Name and colours."""

    name = fields.String(validate=validate.Length(1, 80))
    primary = fields.String(metadata={"description": "#rrggbb"})
    accent = fields.String(metadata={"description": "#rrggbb"})


class ShownBrandSchema(BrandSchema):
    """The brand as it is."""

    logo_url = fields.String(allow_none=True)


class TenantSchema(Schema):
    """The tenant."""

    id = fields.UUID()
    slug = fields.String()
    name = fields.String()
    status = fields.String()
    plan = fields.String()
    branding = fields.Nested(ShownBrandSchema)
    created_at = fields.AwareDateTime(format="iso")


def shown_brand(tenant: Tenant) -> dict[str, Any]:
    """Return a tenant's brand as the API and the console show it."""
    logo_url = f"/api/v1/tenant/branding/logo?v={tenant.brand.logo_version}" if tenant.brand.has_logo else None
    return {"name": tenant.brand.name, "primary": tenant.brand.primary, "accent": tenant.brand.accent, "logo_url": logo_url}


@blueprint.get("")
@requires(Role.VIEWER, Scope.USER_READ)
@blueprint.response(200, TenantSchema)
def get_tenant() -> dict[str, Any]:
    """Get the tenant."""
    tenant = current_tenant()
    return {**vars(tenant), "branding": shown_brand(tenant)}


@blueprint.get("/branding")
@requires(Role.VIEWER, Scope.USER_READ)
@blueprint.response(200, ShownBrandSchema)
def get_branding() -> dict[str, Any]:
    """Get name and colours."""
    return shown_brand(current_tenant())


@blueprint.patch("/branding")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(BrandSchema)
@blueprint.response(200, ShownBrandSchema)
def update_branding(body: dict[str, str]) -> dict[str, Any]:
    """Change name and colours."""
    tenant = service.set_brand(runtime().databases, current_tenant().id, body)
    runtime().registry.forget()
    return shown_brand(tenant)


@blueprint.get("/branding/logo")
@public
@described(fails=(NotFound,))
@blueprint.doc(responses={200: {"description": "The picture.", "content": {"image/*": {}}}})
def get_logo() -> Response:
    """Get the logo; the sign-in page shows it, so it is public."""
    with runtime().databases.control() as connection:
        logo = repository.get_logo(connection, current_tenant().id)
    if logo is None:
        raise NotFound("This tenant has no logo.")
    headers = {
        "Cache-Control": "public, max-age=86400",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return Response(logo[0], content_type=logo[1], headers=headers)


@blueprint.put("/branding/logo")
@requires(Role.ADMIN, Scope.ADMIN)
@streaming
@described(fails=(LengthRequired, BodyTooLarge, ValidationFailed))
@blueprint.doc(requestBody={"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}})
@blueprint.response(200, ShownBrandSchema)
def put_logo() -> dict[str, Any]:
    """Set the logo from the request's body: PNG, JPEG or WebP, at most 512 KiB."""
    size_bytes = body_length()
    if size_bytes is None:
        raise LengthRequired
    if size_bytes > MAX_LOGO_BYTES:
        raise BodyTooLarge(f"A logo has at most {MAX_LOGO_BYTES} bytes.")
    tenant = service.set_logo(runtime().databases, current_tenant().id, request_body().read(size_bytes))
    runtime().registry.forget()
    return shown_brand(tenant)


@blueprint.delete("/branding/logo")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(204)
def delete_logo() -> None:
    """Remove the logo."""
    service.set_logo(runtime().databases, current_tenant().id, None)
    runtime().registry.forget()


@blueprint.get("/quota")
@requires(Role.VIEWER, Scope.STATS_READ)
@blueprint.response(200, QuotaSchema)
def get_quota() -> dict[str, Any]:
    """Get the plan, what may be used, and what is."""
    tenant = current_tenant()
    found = quotas.totals(runtime(), tenant)
    return {**asdict(tenant.limits), **vars(found), "plan": tenant.plan, "uses": found.uses(tenant.limits)}
