"""JSON of isolation reports and of the keys that verify them."""

from __future__ import annotations

from marshmallow import Schema, fields


class TriedSchema(Schema):
    """How often one kind of credential was tried at one wall."""

    wall = fields.String()
    credential = fields.String()
    at = fields.String(metadata={"description": "`this tenant`, or `a stand-in`: a tenant made for the probe, and removed after it."})
    attempts = fields.Integer()
    findings = fields.Integer()


class FindingSchema(Schema):
    """Something that should not have been possible, or a check that could not be made."""

    wall = fields.String()
    credential = fields.String()
    at = fields.String()
    attempt = fields.String()
    found = fields.String()


class SaidSchema(Schema):
    """What a report says."""

    format = fields.String(metadata={"description": "`strongroom-isolation-report/1`"})
    id = fields.UUID()
    tenant = fields.Dict(keys=fields.String(), values=fields.String(), metadata={"description": "Its `id` and `slug`."})
    software = fields.String()
    began_at = fields.String()
    ended_at = fields.String()
    ok = fields.Boolean(metadata={"description": "Nothing was found, every control held, and nothing was left out for want of time."})
    complete = fields.Boolean(metadata={"description": "Everything was tried within the time limit."})
    attempts = fields.Integer()
    controls = fields.Integer(metadata={"description": "How often a secret was looked for where it may be seen, and was."})
    tried = fields.List(fields.Nested(TriedSchema))
    findings = fields.List(fields.Nested(FindingSchema))
    left_out = fields.List(fields.String(), metadata={"description": "What does not exist here and was not tried, and why."})
    key_id = fields.String()


class ReportSchema(Schema):
    """A report with its signature."""

    report = fields.Nested(SaidSchema)
    signed = fields.String(metadata={"description": "The text of the report; the signature is over its UTF-8 bytes."})
    signature = fields.String(metadata={"description": "Base64."})
    algorithm = fields.String(metadata={"description": "`Ed25519`"})
    key_id = fields.String()
    public_key = fields.String(metadata={"description": "PEM. Trust it only after comparing it with one that came another way."})


class PublicKeySchema(Schema):
    """A key that verifies reports."""

    key_id = fields.String(metadata={"description": "The first 16 hexadecimal digits of the SHA-256 of the key's DER form."})
    algorithm = fields.String()
    public_key = fields.String(metadata={"description": "PEM."})
    present = fields.Boolean(metadata={"description": "New reports are signed with it."})


class PublicKeysSchema(Schema):
    """All keys that verify this deployment's reports."""

    items = fields.List(fields.Nested(PublicKeySchema))
    next_cursor = fields.String(allow_none=True)
