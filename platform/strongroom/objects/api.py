"""/api/v1/objects/{bucket}/{path}: files by their path."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from marshmallow import Schema, fields

from strongroom.access import Role, Scope
from strongroom.errors import (
    BadRequest,
    ChecksumMismatch,
    DomainError,
    InvalidPath,
    PreconditionFailed,
    UnsupportedMediaType,
    ValidationFailed,
)
from strongroom.files import grants, service
from strongroom.files.download import Manner, send_file
from strongroom.files.models import File
from strongroom.files.paths import path_from_wsgi
from strongroom.files.schemas import CONTENT, ContentQuery, FileSchema
from strongroom.http.body import body_length, request_body, streaming
from strongroom.http.conditions import digests, etags
from strongroom.http.context import current_principal, current_tenant, current_visitor, runtime
from strongroom.http.describing import BYTES, CONDITIONS, RECEIVING, SENDING, described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires, requires_unless_public
from strongroom.uploads import service as uploads
from strongroom.uploads.forms import receive_form
from strongroom.uploads.models import UploadRequest
from strongroom.uploads.parts import boundary_of
from strongroom.usage.http import caller

blueprint = Blueprint("objects", __name__, url_prefix="/api/v1/objects", description="Files by bucket and path.")
ROUTE = "/<bucket>/<rest:path>"
PREFLIGHT = {
    "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD", "Access-Control-Max-Age": "86400",
    "Access-Control-Allow-Headers": "Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range",
}  # fmt: skip
SEGMENTS_BEFORE_PATH = 4  # 'api', 'v1', 'objects', bucket
FORM = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "The path of the next file, whole; default: `prefix` and the file's name."},
        "prefix": {"type": "string", "description": "The folder of all files that follow and have no `path`."},
        "content_type": {"type": "string", "description": "The type of the next file; default: the part's own Content-Type."},
        "file": {"type": "string", "format": "binary", "description": "A file; any name of a field will do, as often as wanted."},
    },
    "required": ["file"],
}


class StoredFiles(Schema):
    """What a form has stored."""

    items = fields.List(fields.Nested(FileSchema))


def _path() -> str:
    return path_from_wsgi(request.environ["PATH_INFO"].lstrip("/").split("/", SEGMENTS_BEFORE_PATH)[SEGMENTS_BEFORE_PATH])


@blueprint.get(ROUTE)
@requires_unless_public(Role.VIEWER, Scope.FILES_READ)
@blueprint.arguments(ContentQuery, location="query")
@described(takes=CONDITIONS, gives=BYTES, fails=SENDING, preflight=PREFLIGHT)
@blueprint.doc(responses=CONTENT, security=[{"bearer": []}, {}])
def get_object(query: dict[str, Any], bucket: str, path: str) -> Response:  # noqa: ARG001 - the path is taken from the raw bytes
    """Get a file's bytes: whole, ranges, or 304 when the client's copy is still good. Of a public bucket without a credential."""
    grant = grants.grant_by_path(runtime(), current_tenant(), current_visitor(), bucket, _path(), query["version"])
    return send_file(grant, Manner(redirect=query["redirect"]))


@blueprint.after_request
def _let_pages_ask(response: Response) -> Response:
    """Answer the question that a browser sends before a page of another origin may read. It says nothing of any bucket."""
    if request.method == "OPTIONS":
        response.headers.update(PREFLIGHT)
    return response


@blueprint.put(ROUTE)
@requires(Role.MEMBER, Scope.FILES_WRITE)
@streaming
@described(
    takes=("If-Match", "If-None-Match", "Content-Digest", "Content-MD5"), gives={201: ("ETag",)}, fails=(*RECEIVING, ChecksumMismatch)
)
@blueprint.doc(requestBody={"required": True, "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}})
@blueprint.response(201, FileSchema, description="Stored as a new version, and durable.")
def put_object(bucket: str, path: str) -> tuple[Any, dict[str, str]]:  # noqa: ARG001 - the path is taken from the raw bytes
    """Store a file from the request's body, in one stream of fixed memory."""
    headers = request.headers
    if "Content-Range" in headers:
        raise BadRequest("A part of a file cannot be put; use tus or a direct upload for parts (RFC 9110, 14.5).")
    upload = UploadRequest(
        bucket=bucket,
        path=_path(),
        size_bytes=body_length(),
        content_type=headers.get("Content-Type"),
        if_match=etags(headers.get("If-Match"), strong=True),
        if_none_match=etags(headers.get("If-None-Match")),
        digests=digests(request),
    )
    file = uploads.receive(runtime(), current_tenant(), current_principal(), caller(), upload, request_body())
    return file, {"ETag": f'"{file.etag}"'}


@blueprint.post("/<bucket>")
@requires(Role.MEMBER, Scope.FILES_WRITE)
@streaming
@described(fails=(*RECEIVING, UnsupportedMediaType, ValidationFailed), preflight=PREFLIGHT)
@blueprint.doc(requestBody={"required": True, "content": {"multipart/form-data": {"schema": FORM}}})
@blueprint.response(201, StoredFiles, description="All files are stored, and durable.")
def post_form(bucket: str) -> dict[str, Any]:
    """Store one or many files from a form, in one stream of fixed memory.

    Each file is stored when the boundary behind it has come. If something goes wrong later, those before stay: the
    problem document lists them as `completed`, and only the others have to be sent again.
    """
    boundary, size_bytes = boundary_of(request.headers.get("Content-Type")), body_length()
    stored = receive_form(
        runtime(),
        current_tenant(),
        current_principal(),
        caller(),
        bucket=bucket,
        body=request_body(),
        boundary=boundary,
        size_bytes=size_bytes,
    )
    items: list[File] = []
    try:
        items.extend(stored)
    except DomainError as error:
        error.extra["completed"] = FileSchema(many=True).dump(items)
        raise
    return {"items": items}


@blueprint.delete(ROUTE)
@requires(Role.MEMBER, Scope.FILES_WRITE)
@described(takes=("If-Match",), fails=(InvalidPath, PreconditionFailed))
@blueprint.response(204)
def delete_object(bucket: str, path: str) -> None:  # noqa: ARG001 - the path is taken from the raw bytes
    """Move a file to the trash."""
    if_match = etags(request.headers.get("If-Match"), strong=True)
    service.delete_file(runtime(), current_tenant(), current_principal(), caller(), bucket=bucket, path=_path(), if_match=if_match)
