"""tus 1.0 over HTTP: https://tus.io/protocols/resumable-upload. What each header means is in `protocol.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from flask import Response, g, request
from werkzeug.http import http_date

from strongroom.access import Role, Scope
from strongroom.db.ids import parse_id
from strongroom.errors import (
    BadRequest,
    Forbidden,
    InvalidPath,
    MethodNotAllowed,
    NotFound,
    NotSupported,
    OffsetConflict,
    PartInvalid,
    TusVersionUnsupported,
    UnsupportedMediaType,
    UploadChecksumMismatch,
    UploadGone,
    UploadLocked,
)
from strongroom.http.body import arriving_body, arriving_length, streaming
from strongroom.http.conditions import etags
from strongroom.http.connections import stop_receiving
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import RECEIVING, Failures, described
from strongroom.http.headers import Bodyless
from strongroom.http.hosts import host_name
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires, shared
from strongroom.tus import protocol, service
from strongroom.tus.concatenation import concatenate
from strongroom.uploads.models import State, Upload, UploadRequest
from strongroom.uploads.resuming import Chunk, Outcome
from strongroom.usage.http import caller

PREFIX = "/api/v1/tus"
FILE_ID = "Strongroom-File-Id"
View = TypeVar("View", bound=Callable[..., Any])
blueprint = Blueprint("tus", __name__, url_prefix=PREFIX, description="Resumable uploads by tus 1.0.")
NO_CONTENT, CREATED, OK = 204, 201, 200


NAMED = {name: {"type": "string", "description": text} for name, text in {
    "bucket": "The bucket, where Upload-Metadata names none.", "path": "The file's path, where Upload-Metadata names none.",
}.items()}  # fmt: skip
CHUNK_BODY = {"content": {protocol.CHUNK_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
GOES_ON: Failures = (
    NotFound, InvalidPath, UploadGone, UploadLocked, OffsetConflict, UploadChecksumMismatch, TusVersionUnsupported, UnsupportedMediaType,
    NotSupported, *RECEIVING,
)  # fmt: skip
ABILITIES = ("Tus-Version", "Tus-Extension", "Tus-Checksum-Algorithm", "Tus-Max-Size")
HOW_FAR = ("Upload-Offset", "Upload-Expires", FILE_ID)


def _tells(
    *takes: str, gives: dict[int, tuple[str, ...]] | None = None, fails: Failures = GOES_ON
) -> Callable[[View], View]:  # fmt: skip
    """Tell the API's description what a route of the protocol takes and gives."""
    return described(takes=("Tus-Resumable", *takes), gives=gives, always=("Tus-Resumable",), fails=fails)


def _options_apart(view: View) -> View:
    """OPTIONS has a view of its own, which wants no credential."""
    view.provide_automatic_options = False  # type: ignore[attr-defined]  # Flask looks for it
    return view


@blueprint.after_app_request
def _name_version(response: Response) -> Response:
    """Every answer below the prefix says which protocol it is of; also where no view was found, or none takes the method."""
    if request.path != PREFIX and not request.path.startswith(f"{PREFIX}/"):
        return response
    response.headers["Tus-Resumable"] = protocol.VERSION
    if response.status_code == TusVersionUnsupported.status:
        response.headers["Tus-Version"] = protocol.VERSION
    return response


def _check_version() -> None:
    version = request.headers.get("Tus-Resumable")
    if version != protocol.VERSION:
        raise TusVersionUnsupported(f"The request is of version '{version}'." if version else "")


@blueprint.route("", methods=["OPTIONS"])
@blueprint.route("/<upload_id>", methods=["OPTIONS"], endpoint="tell_abilities_of_one")
@shared
@described(gives={NO_CONTENT: ABILITIES}, always=("Tus-Resumable",))
def tell_abilities(upload_id: str | None = None) -> Response:  # noqa: ARG001 - the same for every address
    """Tell what of the protocol is spoken here."""
    response = Bodyless(status=NO_CONTENT)
    response.headers["Tus-Version"] = protocol.VERSION
    response.headers["Tus-Extension"] = protocol.EXTENSIONS
    response.headers["Tus-Checksum-Algorithm"] = ",".join(protocol.ALGORITHMS)
    if (tenant := g.get("tenant")) is not None:  # the platform's own host has none
        response.headers["Tus-Max-Size"] = str(tenant.limits.max_file_size_bytes)
    return response


@blueprint.post("")
@_options_apart
@requires(Role.MEMBER, Scope.FILES_WRITE)
@streaming
@_tells(
    "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat", "Upload-Checksum", "If-Match", "If-None-Match",
    gives={CREATED: ("Location", *HOW_FAR)}, fails=(*GOES_ON, PartInvalid),
)  # fmt: skip
@blueprint.doc(requestBody=CHUNK_BODY, parameters=[{"in": "query", "name": name, "schema": schema} for name, schema in NAMED.items()])
@blueprint.response(CREATED, description="Begun; Location names it.")
def create_upload() -> Response:
    """Begin an upload; its first bytes may come with it (Content-Type: application/offset+octet-stream)."""
    _check_version()
    concat = protocol.concat(request.headers.get("Upload-Concat"))
    who = (runtime(), current_tenant(), current_principal(), caller())
    if concat is not None and concat.partials is not None:
        outcome = concatenate(*who, _upload_request(None), concat.partials)
    else:
        is_partial = concat is not None
        size_bytes = protocol.upload_length(request.headers.get("Upload-Length"), request.headers.get("Upload-Defer-Length"))
        upload = _upload_request(size_bytes, is_partial=is_partial)
        outcome = service.create(*who, upload, is_partial=is_partial, chunk=_chunk(0) if _brings_bytes() else None)
    response = _answer(CREATED, outcome)
    response.headers["Location"] = _address(outcome.upload)
    return response


def _brings_bytes() -> bool:
    return request.mimetype == protocol.CHUNK_TYPE and arriving_length() != 0


def _upload_request(size_bytes: int | None, *, is_partial: bool = False) -> UploadRequest:
    raw = request.headers.get("Upload-Metadata")
    said = protocol.metadata(raw)
    path = said.path or request.args.get("path")
    if not (path or is_partial):
        raise BadRequest("Name the file: by 'path' or 'filename' in Upload-Metadata.")
    remembered = {"metadata": raw} if raw is not None else {}
    if (concat := request.headers.get("Upload-Concat")) is not None:
        remembered["concat"] = concat
    return UploadRequest(
        bucket=service.check_bucket(said.bucket or request.args.get("bucket")), path=path or "", size_bytes=size_bytes,
        content_type=said.content_type, if_match=etags(request.headers.get("If-Match"), strong=True),
        if_none_match=etags(request.headers.get("If-None-Match")), metadata=said.rest, remembered=remembered,
    )  # fmt: skip


def _address(upload: Upload) -> str:
    """The upload's address on the host that the client uses: it was seen to be the tenant's, or the platform's."""
    return runtime().settings.public_url(host_name(request.environ.get("HTTP_HOST")), f"{PREFIX}/{upload.id}")


def _chunk(offset_bytes: int, total_bytes: int | None = None) -> Chunk:
    return Chunk(
        offset_bytes, arriving_body(), arriving_length(), total_bytes, protocol.checksum(request.headers.get("Upload-Checksum")),
        partial(stop_receiving, request.environ.get("gunicorn.socket")),
    )  # fmt: skip


def _answer(status: int, outcome: Outcome) -> Response:
    response = Bodyless(status=status)
    response.headers["Upload-Offset"] = str(outcome.offset_bytes)
    file_id = outcome.file.id if outcome.file else outcome.upload.file_id
    if file_id is not None:
        response.headers[FILE_ID] = str(file_id)
    elif outcome.upload.expires_at is not None:
        response.headers["Upload-Expires"] = http_date(outcome.upload.expires_at)
    return response


@blueprint.route("/<upload_id>", methods=["HEAD"])
@_options_apart
@requires(Role.MEMBER, Scope.FILES_WRITE)
@_tells(gives={OK: (*HOW_FAR, "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat")})
@blueprint.response(OK, description="How far it is.")
def get_offset(upload_id: str) -> Response:
    """Tell how far an upload is."""
    _check_version()
    upload = service.look(runtime(), current_tenant(), current_principal(), caller(), parse_id(upload_id))
    response = _answer(OK, Outcome(upload, upload.offset_bytes))
    remembered = upload.request.remembered
    length = ("Upload-Defer-Length", "1") if upload.size_bytes is None else ("Upload-Length", str(upload.size_bytes))
    told = dict([length, ("Upload-Metadata", remembered.get("metadata")), ("Upload-Concat", remembered.get("concat"))])
    response.headers.update({name: value for name, value in told.items() if value is not None})
    if upload.concat == service.FINAL and upload.state == State.OPEN:
        del response.headers["Upload-Offset"]
    return response


@blueprint.patch("/<upload_id>")
@_options_apart
@requires(Role.MEMBER, Scope.FILES_WRITE)
@streaming
@_tells("Upload-Offset", "Upload-Length", "Upload-Checksum", gives={NO_CONTENT: HOW_FAR}, fails=(*GOES_ON, Forbidden))
@blueprint.doc(requestBody={**CHUNK_BODY, "required": True})
@blueprint.response(NO_CONTENT, description="Kept, up to Upload-Offset.")
def append_to_upload(upload_id: str) -> Response:
    """Go on with an upload at its offset. After the last byte the file is there: Strongroom-File-Id names it."""
    _check_version()
    if request.mimetype != protocol.CHUNK_TYPE:
        raise UnsupportedMediaType(f"Send Content-Type: {protocol.CHUNK_TYPE}.")
    offset_bytes = protocol.number("Upload-Offset", request.headers.get("Upload-Offset"))
    if offset_bytes is None:
        raise BadRequest("Upload-Offset is missing.")
    chunk = _chunk(offset_bytes, protocol.number("Upload-Length", request.headers.get("Upload-Length")))
    outcome = service.append(runtime(), current_tenant(), current_principal(), caller(), parse_id(upload_id), chunk)
    return _answer(NO_CONTENT, outcome)


@blueprint.delete("/<upload_id>")
@_options_apart
@requires(Role.MEMBER, Scope.FILES_WRITE)
@_tells(fails=(NotFound, UploadGone, TusVersionUnsupported))
@blueprint.response(NO_CONTENT)
def terminate_upload(upload_id: str) -> Response:
    """End an upload; nothing of it is kept. A file that is complete already stays."""
    _check_version()
    service.terminate(runtime(), current_tenant(), current_principal(), parse_id(upload_id))
    return Bodyless(status=NO_CONTENT)


@blueprint.post("/<upload_id>")
@_options_apart
@requires(Role.MEMBER, Scope.FILES_WRITE)
@streaming
@_tells(
    "X-HTTP-Method-Override", "Upload-Offset", "Upload-Length", "Upload-Checksum", fails=(*GOES_ON, Forbidden, MethodNotAllowed),
    gives={OK: (*HOW_FAR, "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat"), NO_CONTENT: HOW_FAR},
)  # fmt: skip
@blueprint.doc(requestBody=CHUNK_BODY)
def override_method(upload_id: str) -> Response:
    """For clients that cannot send PATCH, DELETE or HEAD: X-HTTP-Method-Override names which is meant."""
    views: dict[str, Callable[[str], Response]] = {"PATCH": append_to_upload, "DELETE": terminate_upload, "HEAD": get_offset}
    view = views.get(request.headers.get("X-HTTP-Method-Override", ""))
    if view is None:
        raise MethodNotAllowed
    return view(upload_id)
