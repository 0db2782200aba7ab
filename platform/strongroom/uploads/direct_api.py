"""/api/v1/uploads: uploads whose bytes go straight to where they will lie, and the state of all uploads of several requests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from strongroom.access import Role, Scope
from strongroom.db.ids import parse_id
from strongroom.errors import (
    Conflict,
    LengthRequired,
    NotFound,
    NotSupported,
    PartInvalid,
    PartUrlExpired,
    PreconditionFailed,
    QuotaExceeded,
    StorageFull,
    StorageUnavailable,
    TooManyUploads,
    TypeMismatch,
    TypeNotAllowed,
    UploadGone,
    UploadLocked,
)
from strongroom.files.schemas import FileSchema
from strongroom.http.body import body_length, request_body, streaming
from strongroom.http.conditions import etags
from strongroom.http.context import current_principal, current_tenant, own_url, runtime
from strongroom.http.describing import BEGINNING, described
from strongroom.http.headers import Bodyless
from strongroom.http.json import Blueprint
from strongroom.http.paging import PageQuery, cursor_at, position_of
from strongroom.http.permissions import public, requires
from strongroom.uploads import assembly, direct
from strongroom.uploads.direct_schemas import (
    BegunSchema,
    CompleteBody,
    MorePartsBody,
    PartUrls,
    TokenQuery,
    UploadBody,
    UploadPage,
    UploadProgress,
)
from strongroom.uploads.layout import MOST_PARTS
from strongroom.uploads.models import UploadRequest
from strongroom.uploads.part_stores import layout_of
from strongroom.usage.http import caller

blueprint = Blueprint("uploads", __name__, url_prefix="/api/v1/uploads", description="Uploads in parts, straight to the storage.")
LISTING = "uploads"
MAX_DIGITS = len(str(MOST_PARTS))


@blueprint.post("")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(gives={201: ("Location",)}, fails=(*BEGINNING, NotSupported, StorageFull, Conflict))
@blueprint.arguments(UploadBody)
@blueprint.response(201, BegunSchema)
def create_upload(body: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    """Begin a direct upload, or store the file at once where all of its blocks are known."""
    claims = {name: body[name] for name in ("sha256", "block_hashes") if body[name] is not None}
    request = UploadRequest(
        bucket=body["bucket"],
        path=body["path"],
        size_bytes=body["size_bytes"],
        content_type=body["content_type"],
        if_match=etags(body["if_match"], strong=True),
        if_none_match=etags(body["if_none_match"]),
        metadata=body["metadata"],
        claims=claims,
    )
    begun = direct.begin_direct(runtime(), current_tenant(), current_principal(), caller(), request, own_url)
    return _begun(begun), {"Location": own_url(f"/api/v1/uploads/{begun.upload.id}")}


def _begun(begun: direct.Begun) -> dict[str, Any]:
    if begun.file is not None:
        return {"mode": "instant", "file": begun.file}
    upload = begun.upload
    return {
        "mode": "direct", "id": upload.id, "part_size_bytes": upload.part_size_bytes, "part_count": layout_of(upload).count,
        "needed": begun.needed, "have": begun.have, "parts": begun.urls, "expires_at": upload.expires_at,
    }  # fmt: skip


@blueprint.get("")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, UploadPage)
def list_uploads(page: dict[str, Any]) -> dict[str, Any]:
    """List your uploads of several requests, newest first; an administrator sees everybody's."""
    position = position_of(LISTING, page["cursor"])
    after = UUID(position[0]) if position else None
    found = direct.list_uploads(runtime(), current_tenant(), current_principal(), after=after, limit=page["limit"] + 1)
    items = found[: page["limit"]]
    return {"items": items, "next_cursor": cursor_at(LISTING, [str(items[-1].id)] if len(found) > len(items) else None)}


@blueprint.get("/<upload_id>")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@blueprint.response(200, UploadProgress)
def get_upload(upload_id: str) -> dict[str, Any]:
    """Tell how far an upload is, and what became of it."""
    found = direct.get_upload(runtime(), current_tenant(), current_principal(), parse_id(upload_id))
    return {**vars(found.upload), "received": found.received, "file": found.file}


@blueprint.delete("/<upload_id>")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(fails=(Conflict,))
@blueprint.response(204)
def end_upload(upload_id: str) -> None:
    """Throw an upload away, with all that has arrived of it."""
    direct.end_upload(runtime(), current_tenant(), current_principal(), parse_id(upload_id))


@blueprint.post("/<upload_id>/parts")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(fails=(UploadGone, PartInvalid, StorageUnavailable))
@blueprint.arguments(MorePartsBody)
@blueprint.response(200, PartUrls)
def sign_parts(body: dict[str, Any], upload_id: str) -> dict[str, Any]:
    """Get URLs of more parts, or new ones in place of those that have expired."""
    urls = direct.sign_parts(runtime(), current_tenant(), current_principal(), parse_id(upload_id), body["numbers"], own_url)
    return {"parts": urls}


@blueprint.put("/<upload_id>/parts/<number>")
@public
@streaming
@described(
    gives={200: ("ETag",)},
    fails=(PartUrlExpired, PartInvalid, UploadGone, UploadLocked, TooManyUploads, LengthRequired, StorageFull, StorageUnavailable),
)
@blueprint.arguments(TokenQuery, location="query")
@blueprint.doc(
    requestBody={"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
)
@blueprint.response(200, description="Stored, and durable; the part's tag is in `ETag`.")
def put_part(query: dict[str, Any], upload_id: str, number: str) -> Response:
    """Send a part by a URL that this API gave; the token in it is all that is needed."""
    if not (number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS):
        raise NotFound
    length = body_length()
    if length is None:
        raise LengthRequired("Send the exact size of the part in Content-Length.")
    tag = direct.receive_part(runtime(), current_tenant(), parse_id(upload_id), int(number), query["token"], length, request_body())
    return Bodyless(status=200, headers={"ETag": f'"{tag}"'})


@blueprint.post("/<upload_id>/complete")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(
    gives={201: ("ETag",)}, fails=(PartInvalid, TypeMismatch, TypeNotAllowed, PreconditionFailed, UploadGone, UploadLocked, QuotaExceeded,
                                   StorageUnavailable),
)  # fmt: skip
@blueprint.arguments(CompleteBody, required=False)
@blueprint.response(201, FileSchema, description="Stored as a new version, and durable.")
def complete_upload(body: dict[str, Any], upload_id: str) -> tuple[Any, dict[str, str]]:
    """Put the parts together. To be sent again whenever its answer did not arrive: the file is the same."""
    upload = direct.direct_upload(runtime(), current_tenant(), current_principal(), parse_id(upload_id))
    tags = {part["number"]: part["tag"].removeprefix("W/").strip('"') for part in body["parts"]}
    file = assembly.complete_direct(runtime(), current_tenant(), current_principal(), caller(), upload, tags)
    return file, {"ETag": f'"{file.etag}"'}
