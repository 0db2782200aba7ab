"""Direct uploads in JSON."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates

from strongroom.files.schemas import MAX_METADATA_KEYS, MAX_METADATA_VALUE, FileSchema
from strongroom.http.paging import PageQuery
from strongroom.uploads.direct import URLS_AT_ONCE
from strongroom.uploads.layout import MOST_PARTS
from strongroom.uploads.models import Kind, State

MOST_BYTES = 10**18
MAX_TAG = 1024
_HEX_32 = validate.Regexp(r"\A[0-9a-f]{64}\Z", error="Write 64 small hexadecimal digits.")


class UploadBody(Schema):
    """A file that is to come."""

    bucket = fields.String(required=True)
    path = fields.String(required=True)
    size_bytes = fields.Integer(required=True, strict=True, validate=validate.Range(0, MOST_BYTES))
    content_type = fields.String(load_default=None, metadata={"description": "The media type; default: what the name and the bytes tell."})
    sha256 = fields.String(load_default=None, validate=_HEX_32, metadata={"description": "Verified after the upload."})
    block_hashes = fields.List(
        fields.String(validate=_HEX_32),
        load_default=None,
        metadata={"description": "The BLAKE3 of each 4 MiB of the file, in order. Blocks that you may read already need not be sent."},
    )
    if_match = fields.String(load_default=None, metadata={"description": "As the header: replace only the file with this ETag."})
    if_none_match = fields.String(load_default=None, metadata={"description": "As the header; `*`: only if there is no such file."})
    metadata = fields.Dict(
        keys=fields.String(validate=validate.Length(1, 128)),
        values=fields.String(validate=validate.Length(max=MAX_METADATA_VALUE)),
        load_default=dict,
    )

    @validates("metadata")
    def _few(self, value: dict[str, Any], **_: Any) -> None:
        if len(value) > MAX_METADATA_KEYS:
            raise ValidationError(f"Use at most {MAX_METADATA_KEYS} keys.")


class PartUrlSchema(Schema):
    """A request that puts one part. Send it as it is, with exactly `size_bytes` bytes."""

    number = fields.Integer()
    size_bytes = fields.Integer()
    url = fields.String(attribute="request.url")
    method = fields.String(attribute="request.method")
    headers = fields.Dict(keys=fields.String(), values=fields.String(), attribute="request.headers")
    tag_header = fields.String(
        attribute="request.tag_header", metadata={"description": "The header of the answer that has the part's tag."}
    )
    expires_at = fields.AwareDateTime(format="iso", attribute="request.expires_at")


class BegunSchema(Schema):
    """`instant`: the file is there. `direct`: send the parts in `needed`, then complete."""

    mode = fields.String(validate=validate.OneOf(["direct", "instant"]))
    file = fields.Nested(FileSchema)
    id = fields.UUID()
    part_size_bytes = fields.Integer()
    part_count = fields.Integer()
    needed = fields.List(fields.Integer(), metadata={"description": "Numbers of all parts that have to be sent."})
    have = fields.List(fields.Integer(), metadata={"description": "Numbers, from 0, of blocks that need not be sent."})
    parts = fields.List(fields.Nested(PartUrlSchema), metadata={"description": f"Of the first {URLS_AT_ONCE} parts in `needed`."})
    expires_at = fields.AwareDateTime(format="iso")


class MorePartsBody(Schema):
    """Which parts' URLs are wanted, for the first time or renewed."""

    numbers = fields.List(fields.Integer(strict=True), required=True, validate=validate.Length(1, URLS_AT_ONCE))


class PartUrls(Schema):
    """URLs of parts."""

    parts = fields.List(fields.Nested(PartUrlSchema))


class PartTag(Schema):
    """What the answer to a part told."""

    number = fields.Integer(required=True, strict=True)
    tag = fields.String(
        required=True, validate=validate.Length(1, MAX_TAG), metadata={"description": "What the answer had in `tag_header`."}
    )


class CompleteBody(Schema):
    """What the client believes to have sent; may be left out."""

    parts = fields.List(fields.Nested(PartTag), load_default=list, validate=validate.Length(max=MOST_PARTS))


class ReceivedPart(Schema):
    """A part that has arrived."""

    number = fields.Integer()
    size_bytes = fields.Integer()
    tag = fields.String()


class UploadSchema(Schema):
    """An upload of several requests."""

    id = fields.UUID()
    kind = fields.Enum(Kind, by_value=True)
    state = fields.Enum(State, by_value=True)
    bucket = fields.String(attribute="bucket.name")
    path = fields.String()
    size_bytes = fields.Integer(allow_none=True)
    offset_bytes = fields.Integer(metadata={"description": "Of uploads that come in order: how many bytes are kept for good."})
    content_type = fields.String(attribute="declared_type")
    part_size_bytes = fields.Integer(allow_none=True)
    file_id = fields.UUID(allow_none=True)
    reason = fields.String(allow_none=True, metadata={"description": "Why it failed."})
    created_by = fields.UUID(allow_none=True)
    created_at = fields.AwareDateTime(format="iso")
    expires_at = fields.AwareDateTime(format="iso")


class UploadProgress(UploadSchema):
    """An upload with what has arrived of it, and the file that it became."""

    received = fields.List(fields.Nested(ReceivedPart))
    file = fields.Nested(FileSchema, allow_none=True)


class UploadPage(Schema):
    """A page of uploads."""

    items = fields.List(fields.Nested(UploadSchema))
    next_cursor = fields.String(allow_none=True)


class TokenQuery(Schema):
    """What lets a part in."""

    token = fields.String(required=True, validate=validate.Length(max=MAX_TAG * 2))


class BlockQuery(PageQuery):
    """Which blocks are wanted."""

    version = fields.UUID(load_default=None, metadata={"description": "A version's id; default: the current one."})


class BlockSchema(Schema):
    """A block of a file, by its number from 0, and its BLAKE3."""

    number = fields.Integer()
    digest = fields.String()


class BlockPage(Schema):
    """A page of a file's blocks."""

    block_size_bytes = fields.Integer()
    size_bytes = fields.Integer()
    items = fields.List(fields.Nested(BlockSchema))
    next_cursor = fields.String(allow_none=True)
