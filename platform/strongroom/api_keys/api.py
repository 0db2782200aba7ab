"""/api/v1/api-keys"""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from strongroom.access import Role, Scope
from strongroom.api_keys import service
from strongroom.db.ids import parse_id
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires

blueprint = Blueprint("api_keys", __name__, url_prefix="/api/v1/api-keys", description="Long-lived credentials for apps.")


class NewApiKeySchema(Schema):
    """A key to be made."""

    name = fields.String(required=True, validate=validate.Length(1, 100))
    scopes = fields.List(fields.Enum(Scope, by_value=True), required=True)
    expires_at = fields.AwareDateTime(format="iso", load_default=None, allow_none=True)


class ApiKeySchema(Schema):
    """A key without its secret."""

    id = fields.UUID()
    name = fields.String()
    scopes = fields.List(fields.Enum(Scope, by_value=True))
    created_by = fields.UUID()
    created_at = fields.AwareDateTime(format="iso")
    expires_at = fields.AwareDateTime(format="iso", allow_none=True)
    used_at = fields.AwareDateTime(
        format="iso", allow_none=True, metadata={"description": "Its last use, to within ten minutes; null before the first."}
    )


class MadeApiKeySchema(ApiKeySchema):
    """A new key, with its text, which is told this once."""

    key = fields.String()


class ApiKeyPage(Schema):
    """The living keys."""

    items = fields.List(fields.Nested(ApiKeySchema))
    next_cursor = fields.String(allow_none=True)


@blueprint.get("")
@requires(Role.MEMBER, Scope.ADMIN)
@blueprint.response(200, ApiKeyPage)
def list_api_keys() -> dict[str, Any]:
    """List the living keys: all for admins, one's own for others."""
    return {"items": service.list_api_keys(runtime(), current_tenant(), current_principal()), "next_cursor": None}


@blueprint.post("")
@requires(Role.MEMBER, Scope.ADMIN)
@blueprint.arguments(NewApiKeySchema)
@blueprint.response(201, MadeApiKeySchema)
def create_api_key(body: dict[str, Any]) -> dict[str, Any]:
    """Make a key. Its text is told this once."""
    key, text = service.create_api_key(runtime(), current_tenant(), current_principal(), **body)
    return {**vars(key), "key": text}


@blueprint.delete("/<api_key_id>")
@requires(Role.MEMBER, Scope.ADMIN)
@blueprint.response(204)
def revoke_api_key(api_key_id: str) -> None:
    """Revoke a key at once."""
    service.revoke_api_key(runtime(), current_tenant(), current_principal(), parse_id(api_key_id))
