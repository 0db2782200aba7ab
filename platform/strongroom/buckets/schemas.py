"""Buckets in JSON."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

MAX_TYPES = 100
MAX_TRASH_DAYS = 3650
YEAR_S = 365 * 86400


class PolicySchema(Schema):
    """What a bucket takes and keeps."""

    allowed_types = fields.List(
        fields.String(),
        validate=validate.Length(max=MAX_TYPES),
        metadata={"description": "Media types such as `image/*`; empty: every type."},
    )
    max_size_bytes = fields.Integer(
        allow_none=True,
        strict=True,
        validate=validate.Range(min=1, max=2**53),
        metadata={"description": "Largest file; null: the plan's limit."},
    )
    versioning = fields.Boolean(metadata={"description": "Keep former versions when a file is replaced."})
    trash_days = fields.Integer(
        strict=True, validate=validate.Range(0, MAX_TRASH_DAYS), metadata={"description": "Days for which deleted files can be restored."}
    )
    serve_unscanned = fields.Boolean(metadata={"description": "Give out files that could not be scanned whole."})
    public = fields.Boolean(metadata={"description": "Anybody may get the bucket's clean files by their path, without a credential."})
    cache_max_age_s = fields.Integer(
        strict=True,
        validate=validate.Range(0, YEAR_S),
        metadata={"description": "For how long caches may keep a file of a public bucket before they ask again."},
    )
    redirect_downloads = fields.Boolean(
        metadata={"description": "Send downloads on to the storage provider where it can sign addresses, as `?redirect=1` does."}
    )


class NewBucketSchema(PolicySchema):
    """A bucket to be made."""

    name = fields.String(required=True, validate=validate.Length(1, 63))


class BucketSchema(PolicySchema):
    """A bucket."""

    id = fields.UUID()
    name = fields.String()
    used_bytes = fields.Integer()
    used_files = fields.Integer()
    created_at = fields.AwareDateTime(format="iso")
    updated_at = fields.AwareDateTime(format="iso")


class BucketPage(Schema):
    """A page of buckets."""

    items = fields.List(fields.Nested(BucketSchema))
    next_cursor = fields.String(allow_none=True)
