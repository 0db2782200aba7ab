"""/api/v1/buckets/{bucket}/files, /api/v1/files/{id}, /api/v1/trash"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response, request, url_for

from strongroom.access import Role, Scope
from strongroom.db.ids import parse_id
from strongroom.errors import AlreadyExists, InvalidPath, LinkExpired, LinkUsed, PreconditionFailed
from strongroom.files import grants, links, service
from strongroom.files.download import Manner, send_file
from strongroom.files.schemas import (
    CONTENT,
    ContentQuery,
    FileChange,
    FileListQuery,
    FilePage,
    FileSchema,
    LinkSchema,
    NewLinkSchema,
    TrashPage,
    VersionPage,
)
from strongroom.http.conditions import etags
from strongroom.http.context import current_principal, current_tenant, own_url, runtime
from strongroom.http.describing import BYTES, CONDITIONS, SENDING, described
from strongroom.http.json import Blueprint
from strongroom.http.paging import PageQuery, cursor_at, position_of
from strongroom.http.permissions import public, requires
from strongroom.usage.http import caller

blueprint = Blueprint("files", __name__, url_prefix="/api/v1", description="Files by id: metadata, versions, trash.")


@blueprint.get("/buckets/<bucket>/files")
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.arguments(FileListQuery, location="query")
@blueprint.response(200, FilePage)
def list_files(query: dict[str, Any], bucket: str) -> dict[str, Any]:
    """List the files of a bucket by path."""
    listing = f"files:{bucket}"
    position = position_of(listing, query["cursor"])
    found = service.list_files(
        runtime(), current_tenant(), bucket, prefix=query["prefix"], delimiter=query["delimiter"], search=query["q"],
        after=position[0] if position else "", limit=query["limit"],
    )  # fmt: skip
    next_cursor = cursor_at(listing, [found.position] if found.position is not None else None)
    return {"items": found.items, "prefixes": found.prefixes, "next_cursor": next_cursor}


@blueprint.get("/files/<file_id>")
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.response(200, FileSchema)
def get_file(file_id: str) -> Any:
    """Get a file's metadata."""
    return service.get_file(runtime(), current_tenant(), parse_id(file_id))


@blueprint.patch("/files/<file_id>")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(fails=(InvalidPath, AlreadyExists))
@blueprint.arguments(FileChange)
@blueprint.response(200, FileSchema)
def update_file(body: dict[str, Any], file_id: str) -> Any:
    """Rename a file, or replace its metadata."""
    return service.update_file(runtime(), current_tenant(), current_principal(), parse_id(file_id), **body)


@blueprint.delete("/files/<file_id>")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(takes=("If-Match",), fails=(PreconditionFailed,))
@blueprint.response(204)
def delete_file(file_id: str) -> None:
    """Move a file to the trash."""
    if_match = etags(request.headers.get("If-Match"), strong=True)
    service.delete_file(runtime(), current_tenant(), current_principal(), caller(), file_id=parse_id(file_id), if_match=if_match)


@blueprint.get("/files/<file_id>/content")
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.arguments(ContentQuery, location="query")
@described(takes=CONDITIONS, gives=BYTES, fails=SENDING)
@blueprint.doc(responses=CONTENT)
def get_content(query: dict[str, Any], file_id: str) -> Response:
    """Get a file's bytes by its id; also of a former version."""
    grant = grants.grant_by_id(runtime(), current_tenant(), current_principal(), parse_id(file_id), query["version"])
    return send_file(grant, Manner(redirect=query["redirect"]))


@blueprint.post("/files/<file_id>/presign")
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.arguments(NewLinkSchema)
@blueprint.response(200, LinkSchema)
def presign(body: dict[str, Any], file_id: str) -> dict[str, Any]:
    """Make a link to a file that needs no credential, for a while or for one download."""
    token, expires_at = links.make_link(
        runtime(), current_tenant(), current_principal(), parse_id(file_id), expires_in_s=body["expires_in_s"],
        version_id=body["version"], single_use=body["single_use"], inline=body["disposition"] == "inline",
    )  # fmt: skip
    return {"url": own_url(url_for("files.get_link", token=token)), "expires_at": expires_at}


@blueprint.get("/links/<token>")
@public
@described(takes=CONDITIONS, gives=BYTES, fails=(*SENDING, LinkExpired, LinkUsed))
@blueprint.doc(responses=CONTENT)
def get_link(token: str) -> Response:
    """Get the bytes that a link leads to."""
    tenant = current_tenant()
    link = links.read_link(runtime(), tenant, token)
    grant = links.grant_by_link(runtime(), tenant, link)
    return send_file(grant, Manner(inline=link.inline, spend=partial(links.spend, runtime(), tenant, link) if link.id else None))


@blueprint.get("/files/<file_id>/versions")
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.response(200, VersionPage)
def list_versions(file_id: str) -> dict[str, Any]:
    """List a file's versions, newest first."""
    return {"items": service.list_versions(runtime(), current_tenant(), parse_id(file_id)), "next_cursor": None}


@blueprint.post("/files/<file_id>/versions/<version_id>/restore")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@blueprint.response(200, FileSchema)
def restore_version(file_id: str, version_id: str) -> Any:
    """Make a former version the current one."""
    return service.restore_version(runtime(), current_tenant(), current_principal(), parse_id(file_id), parse_id(version_id))


@blueprint.post("/files/<file_id>/undelete")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(fails=(AlreadyExists,))
@blueprint.response(200, FileSchema)
def undelete_file(file_id: str) -> Any:
    """Bring a file back from the trash."""
    return service.undelete_file(runtime(), current_tenant(), current_principal(), parse_id(file_id))


@blueprint.get("/trash")
@requires(Role.MEMBER, Scope.FILES_READ)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, TrashPage)
def list_trash(page: dict[str, Any]) -> dict[str, Any]:
    """List the trash, last deleted first."""
    position = position_of("trash", page["cursor"])
    before = (datetime.fromisoformat(position[0]), UUID(position[1])) if position else None
    found = service.list_trash(runtime(), current_tenant(), limit=page["limit"] + 1, before=before)
    items = found[: page["limit"]]
    last = items[-1] if len(found) > len(items) else None
    at = [last.deleted_at.isoformat(), str(last.id)] if last and last.deleted_at else None
    return {"items": items, "next_cursor": cursor_at("trash", at)}
