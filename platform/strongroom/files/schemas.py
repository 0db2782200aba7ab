"""Files in JSON."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates, validates_schema

from strongroom.files.links import MAX_LIFETIME_S
from strongroom.files.models import File, Status, Verdict
from strongroom.http.paging import PageQuery

MAX_METADATA_KEYS, MAX_METADATA_VALUE = 50, 1024
HOUR_S = 3600


class ScanSchema(Schema):
    """The truth of a check. `unscanned` is never `clean`."""

    verdict = fields.Enum(Verdict, by_value=True)
    engine = fields.String(allow_none=True)
    signatures_at = fields.AwareDateTime(format="iso", allow_none=True)
    scanned_bytes = fields.Integer(allow_none=True)
    reason = fields.String(allow_none=True)


class FileSchema(Schema):
    """A file with its current version."""

    id = fields.UUID()
    bucket = fields.String()
    path = fields.String()
    size_bytes = fields.Integer()
    content_type = fields.String()
    detected_type = fields.String()
    etag = fields.String()
    fingerprint = fields.String(allow_none=True)
    blake3 = fields.String(allow_none=True)
    sha256 = fields.String(allow_none=True)
    status = fields.Enum(Status, by_value=True)
    scan = fields.Nested(ScanSchema)
    version_id = fields.UUID()
    metadata = fields.Dict(keys=fields.String())
    created_by = fields.UUID(allow_none=True)
    created_at = fields.AwareDateTime(format="iso")
    updated_at = fields.AwareDateTime(format="iso")

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return what gives the same JSON as the fields above, an order of magnitude faster: lists of files are mostly this."""
        if type(self) is FileSchema and type(obj) is File and self.only is None and not self.exclude:
            return as_fields(obj)
        return super().dump(obj, many=many)


def as_fields(file: File) -> dict[str, Any]:
    """Return a file as `FileSchema` describes it; ids and times are left to whoever writes the JSON (`StrictJSON`)."""
    scan = file.scan
    return {
        "id": file.id, "bucket": file.bucket, "path": file.path, "size_bytes": file.size_bytes, "content_type": file.content_type,
        "detected_type": file.detected_type, "etag": file.etag, "fingerprint": file.fingerprint, "blake3": file.blake3,
        "sha256": file.sha256, "status": file.status,
        "scan": {
            "verdict": scan.verdict, "engine": scan.engine, "signatures_at": scan.signatures_at, "scanned_bytes": scan.scanned_bytes,
            "reason": scan.reason,
        },
        "version_id": file.version_id, "metadata": file.metadata, "created_by": file.created_by, "created_at": file.created_at,
        "updated_at": file.updated_at,
    }  # fmt: skip


class TrashedFileSchema(FileSchema):
    """A file in the trash."""

    deleted_at = fields.AwareDateTime(format="iso")
    purge_at = fields.AwareDateTime(format="iso")


class VersionSchema(Schema):
    """One version of a file."""

    id = fields.UUID(attribute="version_id")
    size_bytes = fields.Integer()
    content_type = fields.String()
    detected_type = fields.String()
    etag = fields.String()
    fingerprint = fields.String(allow_none=True)
    blake3 = fields.String(allow_none=True)
    sha256 = fields.String(allow_none=True)
    status = fields.Enum(Status, by_value=True)
    scan = fields.Nested(ScanSchema)
    created_by = fields.UUID(attribute="uploaded_by", allow_none=True)
    created_at = fields.AwareDateTime(format="iso", attribute="version_created_at")


class FileListQuery(PageQuery):
    """The query of a listing."""

    prefix = fields.String(load_default="", metadata={"description": "Only paths that start with this."})
    delimiter = fields.String(
        load_default="", validate=validate.OneOf(["", "/"]), metadata={"description": "`/`: tell folders below the prefix as `prefixes`."}
    )
    q = fields.String(
        load_default="", validate=validate.Length(max=200), metadata={"description": "Only paths that contain this, whatever its case."}
    )


class FilePage(Schema):
    """A page of files."""

    items = fields.List(fields.Nested(FileSchema))
    prefixes = fields.List(fields.String())
    next_cursor = fields.String(allow_none=True)


class TrashPage(Schema):
    """A page of the trash."""

    items = fields.List(fields.Nested(TrashedFileSchema))
    next_cursor = fields.String(allow_none=True)


class VersionPage(Schema):
    """All versions of a file, newest first."""

    items = fields.List(fields.Nested(VersionSchema))
    next_cursor = fields.String(allow_none=True)


class FileChange(Schema):
    """What can be changed of a file."""

    path = fields.String(metadata={"description": "The new path, in the same bucket."})
    metadata = fields.Dict(
        keys=fields.String(validate=validate.Length(1, 128)), values=fields.String(validate=validate.Length(max=MAX_METADATA_VALUE))
    )

    @validates("metadata")
    def _few(self, value: dict[str, Any], **_: Any) -> None:
        if len(value) > MAX_METADATA_KEYS:
            raise ValidationError(f"Use at most {MAX_METADATA_KEYS} keys.")


class VersionQuery(Schema):
    """Which version is meant."""

    version = fields.UUID(load_default=None, metadata={"description": "A version's id; default: the current one."})


class ContentQuery(VersionQuery):
    """Which version is wanted, and whether the provider may send it."""

    redirect = fields.Boolean(
        load_default=False, metadata={"description": "`1`: answer 302 to the storage provider, where it can sign addresses."}
    )


CONTENT = {
    200: {"description": "The bytes.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
    206: {
        "description": "The ranges; several as `multipart/byteranges`.",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    },
    302: {"description": "The provider sends them."},
    304: {"description": "The copy that the client has is still good."},
}
"""The answers of a download, for the API's description."""


class NewLinkSchema(Schema):
    """A link to be made."""

    expires_in_s = fields.Integer(
        strict=True,
        load_default=HOUR_S,
        validate=validate.Range(1, MAX_LIFETIME_S),
        metadata={"description": "Life of the link in seconds; at most seven days."},
    )
    single_use = fields.Boolean(load_default=False, metadata={"description": "Good for the first GET alone."})
    version = fields.UUID(load_default=None, metadata={"description": "A version's id; default: the current one."})
    disposition = fields.String(
        load_default="inline",
        validate=validate.OneOf(["attachment", "inline"]),
        metadata={"description": "`attachment`: saved; `inline`: shown by a browser, if the type is harmless."},
    )
    method = fields.String(load_default="GET", validate=validate.Equal("GET"), metadata={"description": "Always `GET`; HEAD works too."})


class LinkSchema(Schema):
    """A link."""

    url = fields.String()
    expires_at = fields.AwareDateTime(format="iso")


class ArchiveQuery(Schema):
    """Which folder is wanted."""

    prefix = fields.String(load_default="", metadata={"description": "Only paths that start with this; default: the whole bucket."})


class SelectionSchema(Schema):
    """Which files are wanted: by path or by id."""

    paths = fields.List(fields.String(), validate=validate.Length(1))
    file_ids = fields.List(fields.UUID(), validate=validate.Length(1))

    @validates_schema
    def _one_way(self, data: dict[str, Any], **_: Any) -> None:
        if len(data) != 1:
            raise ValidationError("Name the files by 'paths' or by 'file_ids'.", "paths")
