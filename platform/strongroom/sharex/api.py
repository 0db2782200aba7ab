"""/api/v1/sharex.sxcu"""

from __future__ import annotations

from typing import Any

from flask import Response, json, request
from marshmallow import Schema, fields

from strongroom.access import Role, Scope
from strongroom.auth.gate import bearer
from strongroom.errors import CsrfFailed, InvalidPath, NotFound
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires
from strongroom.sharex import service

blueprint = Blueprint("sharex", __name__, url_prefix="/api/v1", description="A ready ShareX uploader.")


class SharexQuery(Schema):
    """Where ShareX is to put files."""

    bucket = fields.String(required=True)
    prefix = fields.String(load_default="", metadata={"description": "The folder of its files."})


@blueprint.get("/sharex.sxcu")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(gives={200: ("Content-Disposition",)}, fails=(NotFound, InvalidPath))
@blueprint.arguments(SharexQuery, location="query")
@blueprint.doc(responses={200: {"description": "The configuration, with a credential in it.", "content": {"application/json": {}}}})
def get_sharex(query: dict[str, Any]) -> Response:
    """Get a ShareX custom uploader that works as it is.

    Asked with an API key, it contains that key; asked with a session, a new key (scopes files:write and files:read) is made for it.
    """
    tenant, principal = current_tenant(), current_principal()
    prefix = service.check_target(runtime(), tenant, query["bucket"], query["prefix"])
    key = bearer() if principal.api_key_id else None
    if key is None and request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise CsrfFailed("Another site led here. Open this address from the console.")  # it makes a key, though it is a GET
    if key is None and request.method != "HEAD":
        key = service.make_key(runtime(), tenant, principal)
    made = service.configuration(runtime(), tenant, bucket=query["bucket"], prefix=prefix, key=key or "")
    headers = {"Content-Disposition": f'attachment; filename="{tenant.slug}.sxcu"', "Cache-Control": "no-store"}
    return Response(json.dumps(made, indent=2), mimetype="application/json", headers=headers)
