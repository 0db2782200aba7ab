"""/api/v1/uploads/from-url"""

from __future__ import annotations

from typing import Any

from strongroom.access import Role, Scope
from strongroom.errors import OutboundRefused
from strongroom.http.conditions import etags
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import BEGINNING, described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires
from strongroom.imports import service
from strongroom.imports.schemas import BegunImport, ImportSchema
from strongroom.uploads.models import Upload

blueprint = Blueprint("imports", __name__, url_prefix="/api/v1/uploads", description="Files fetched from a URL.")


@blueprint.post("/from-url")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(gives={202: ("Location",)}, fails=(*BEGINNING, OutboundRefused))
@blueprint.arguments(ImportSchema)
@blueprint.response(202, BegunImport, description="A worker fetches the file; `/uploads/{id}` tells how far it is.")
def import_by_url(body: dict[str, Any]) -> tuple[Upload, dict[str, str]]:
    """Have a file fetched from a URL and stored."""
    if_none_match = etags(body.pop("if_none_match"))
    upload = service.begin_import(runtime(), current_tenant(), current_principal(), **body, if_none_match=if_none_match)
    return upload, {"Location": f"/api/v1/uploads/{upload.id}"}
