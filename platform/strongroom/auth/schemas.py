"""Sign-in in JSON."""

from __future__ import annotations

from marshmallow import Schema, fields, validate


class LoginSchema(Schema):
    """E-mail and password."""

    email = fields.String(required=True, validate=validate.Length(1, 320))
    password = fields.String(required=True, validate=validate.Length(1, 1024), load_only=True)


class RefreshSchema(Schema):
    """A refresh token in the body; it may come as Bearer instead."""

    refresh_token = fields.String(load_default=None)


class TokenSchema(Schema):
    """A pair of tokens."""

    access_token = fields.String()
    refresh_token = fields.String()
    token_type = fields.String()
    expires_in_s = fields.Integer()


class SessionSchema(Schema):
    """A session of the caller."""

    id = fields.UUID()
    kind = fields.String()
    user_agent = fields.String()
    remote_addr = fields.String()
    created_at = fields.AwareDateTime(format="iso")
    used_at = fields.AwareDateTime(format="iso")
    expires_at = fields.AwareDateTime(format="iso")


class SessionPage(Schema):
    """The living sessions of the caller."""

    items = fields.List(fields.Nested(SessionSchema))
    next_cursor = fields.String(allow_none=True)
