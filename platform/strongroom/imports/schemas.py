"""Imports in JSON."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates

from strongroom.files.schemas import MAX_METADATA_KEYS, MAX_METADATA_VALUE
from strongroom.security.outbound import MAX_URL
from strongroom.uploads.models import Kind, State


class ImportSchema(Schema):
    """A file to be fetched."""

    url = fields.String(
        required=True, validate=validate.Length(1, MAX_URL), metadata={"description": "An http or https URL of a public host. Kept sealed."}
    )
    bucket = fields.String(required=True)
    path = fields.String(
        load_default=None, metadata={"description": "Default: the name that the source gives, else the last segment of the URL."}
    )
    content_type = fields.String(load_default=None, validate=validate.Length(max=255), metadata={"description": "Default: the source's."})
    metadata = fields.Dict(
        keys=fields.String(validate=validate.Length(1, 128)), values=fields.String(validate=validate.Length(max=MAX_METADATA_VALUE)),
        load_default=dict,
    )  # fmt: skip
    if_none_match = fields.String(
        load_default=None,
        metadata={"description": "As the header: `*` for only if nothing is at the path. Without `path` the URL then names the file."},
    )

    @validates("metadata")
    def _few(self, value: dict[str, Any], **_: Any) -> None:
        if len(value) > MAX_METADATA_KEYS:
            raise ValidationError(f"Use at most {MAX_METADATA_KEYS} keys.")


class BegunImport(Schema):
    """An import that a worker will do. `path` is provisional when the request named none."""

    id = fields.UUID()
    mode = fields.Enum(Kind, by_value=True, attribute="kind")
    state = fields.Enum(State, by_value=True)
    bucket = fields.String(attribute="bucket.name")
    path = fields.String()
    expires_at = fields.AwareDateTime(format="iso")
