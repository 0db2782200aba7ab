"""JSON of a tenant's archives."""

from __future__ import annotations

from marshmallow import Schema, fields


class ExportSchema(Schema):
    """An archive of all that the tenant has."""

    id = fields.UUID()
    state = fields.String(metadata={"description": "`running` or `ready`."})
    created_by = fields.UUID(allow_none=True, metadata={"description": "None: the operator."})
    total_objects = fields.Integer(metadata={"description": "Versions whose bytes it is to hold; known soon after the start."})
    total_bytes = fields.Integer()
    done_objects = fields.Integer()
    done_bytes = fields.Integer()
    missing_objects = fields.Integer(metadata={"description": "Versions that were removed for good before their turn came."})
    size_bytes = fields.Integer(metadata={"description": "Size of the archive so far."})
    problem = fields.String(metadata={"description": "What holds it up; it is tried again by itself."})
    created_at = fields.AwareDateTime(format="iso")
    ended_at = fields.AwareDateTime(format="iso", allow_none=True)
    expires_at = fields.AwareDateTime(format="iso", allow_none=True, metadata={"description": "Then it is removed."})


class ExportPage(Schema):
    """The archives."""

    items = fields.List(fields.Nested(ExportSchema))
    next_cursor = fields.String(allow_none=True)


class ExportLinkSchema(Schema):
    """A link by which an archive is fetched."""

    url = fields.String()
    expires_at = fields.AwareDateTime(format="iso")
