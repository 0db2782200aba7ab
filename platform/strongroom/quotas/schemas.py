"""A tenant's plan and its use in JSON."""

from __future__ import annotations

from marshmallow import Schema, fields


class UseSchema(Schema):
    """What is used of one limit."""

    resource = fields.String(metadata={"description": "bytes, files, users, buckets or transfer"})
    used = fields.Integer()
    reserved = fields.Integer(metadata={"description": "Promised to uploads under way; it counts."})
    limit = fields.Integer()
    percent = fields.Integer(metadata={"description": "Of the limit, rounded down."})
    level = fields.Integer(metadata={"description": "Which level was told: 80 or 100 percent; 0: none."})


class QuotaSchema(Schema):
    """What may be used and what is. Reserved: asked for by uploads under way. Transfer: of this month (UTC)."""

    plan = fields.String()
    quota_bytes = fields.Integer()
    quota_files = fields.Integer()
    quota_users = fields.Integer()
    quota_buckets = fields.Integer()
    quota_transfer_bytes = fields.Integer()
    max_file_size_bytes = fields.Integer()
    requests_per_s = fields.Integer()
    parallel_uploads = fields.Integer()
    own_providers = fields.Integer()
    used_bytes = fields.Integer()
    used_files = fields.Integer()
    used_users = fields.Integer()
    used_buckets = fields.Integer()
    used_transfer_bytes = fields.Integer()
    reserved_bytes = fields.Integer()
    reserved_files = fields.Integer()
    uses = fields.List(fields.Nested(UseSchema))
