"""/api/v1/tenant/exports: the tenant taken out as one archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Response, request

from strongroom.access import Role, Scope
from strongroom.db.ids import parse_id
from strongroom.files.download import keep_sending
from strongroom.files.headers import disposition
from strongroom.http.context import current_principal, current_tenant, own_url, runtime
from strongroom.http.json import Blueprint
from strongroom.http.permissions import public, requires
from strongroom.takeout import service
from strongroom.takeout.models import Export
from strongroom.takeout.schemas import ExportLinkSchema, ExportPage, ExportSchema

PREFIX = "/api/v1/tenant/exports"
blueprint = Blueprint("exports", __name__, url_prefix=PREFIX, description="The tenant taken out as one archive.")
ARCHIVE = {200: {"description": "The archive.", "content": {"application/x-tar": {}}}}


@blueprint.get("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, ExportPage)
def list_exports() -> dict[str, Any]:
    """List the archives that are being made or can be fetched, newest first."""
    return {"items": service.list_exports(runtime(), current_tenant()), "next_cursor": None}


@blueprint.post("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(202, ExportSchema)
def begin_export() -> Any:
    """Have an archive of everything made: files of all versions, buckets, users and keys without secrets, events, statistics."""
    return service.begin(runtime(), current_tenant(), current_principal())


@blueprint.get("/<export_id>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, ExportSchema)
def get_export(export_id: str) -> Any:
    """Tell how far an archive is."""
    return service.get(runtime(), current_tenant(), parse_id(export_id))


@blueprint.delete("/<export_id>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(204)
def delete_export(export_id: str) -> None:
    """Remove an archive, or give up one that is being made."""
    service.delete(runtime(), current_tenant(), parse_id(export_id))


@blueprint.post("/<export_id>/link")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, ExportLinkSchema)
def make_link(export_id: str) -> dict[str, Any]:
    """Get a link by which the archive is fetched, good for an hour. Whoever has it gets everything."""
    token, expires_at = service.make_link(runtime(), current_tenant(), current_principal(), parse_id(export_id))
    return {"url": own_url(f"{PREFIX}/archive/{token}"), "expires_at": expires_at}


@blueprint.get("/archive/<token>")
@public
@blueprint.doc(responses=ARCHIVE)
def get_archive(token: str) -> Response:
    """Fetch an archive by its link."""
    return send(service.by_link(runtime(), current_tenant(), token))


class _Body:
    """An archive as the server sends it; when it is closed, the segment under way is too and the thread given back."""

    def __init__(self, export: Export) -> None:
        self._pieces = service.pieces(runtime(), current_tenant(), export)
        self._give_back = keep_sending()

    def __iter__(self) -> Iterator[bytes]:
        """The archive's pieces."""
        return self._pieces

    def close(self) -> None:
        """Let go, also when the client has gone away."""
        try:
            self._pieces.close()  # type: ignore[attr-defined]  # a generator
        finally:
            self._give_back()


def send(export: Export) -> Response:
    """Return the answer that carries an archive."""
    headers = {
        "Content-Type": "application/x-tar",
        "Content-Length": str(export.size_bytes),
        "Content-Disposition": disposition(f"{current_tenant().slug}-{export.created_at:%Y-%m-%d}.tar", inline=False),
        "Cache-Control": "no-store",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if request.method == "HEAD":
        response = Response(headers=headers)
        response.automatically_set_content_length = False
        return response
    return Response(_Body(export), headers=headers, direct_passthrough=True)
