"""Identity providers and sign-ins in JSON."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from strongroom.auth.schemas import TokenSchema
from strongroom.sso.service import CONSOLE, MODES
from strongroom.tenant_settings.sso_schemas import ConnectionSchema

MAX_SECRET = 1024
PROMPTS = ("login", "select_account")
OF_SECRETS = "Kept sealed, never shown. It belongs to this issuer and client: with another one it has to be given anew."
PASSWORDS = "`everybody`, or `owners`: who signs in with a password. Changed in /api/v1/tenant/settings."


class ConnectionBody(ConnectionSchema):
    """An identity provider with its secret."""

    client_secret = fields.String(
        load_only=True, validate=[validate.Length(1, MAX_SECRET), validate.Regexp(r"[\x20-\x7e]+\Z")], metadata={"description": OF_SECRETS}
    )


class ConnectionChange(ConnectionBody):
    """Fields of an identity provider to be changed; what is left out stays."""


class ShownConnection(ConnectionSchema):
    """An identity provider, without its secret."""

    name = fields.String()
    client_secret_set = fields.Boolean(metadata={"description": "False: nobody comes in by it before its secret is given."})
    redirect_uri = fields.String(metadata={"description": "What the provider has to be told, for this host."})


class ConnectionPage(Schema):
    """All identity providers of the tenant."""

    items = fields.List(fields.Nested(ShownConnection))
    next_cursor = fields.String(allow_none=True)
    password_sign_in = fields.String(metadata={"description": PASSWORDS})


class Offered(Schema):
    """A way to sign in."""

    name = fields.String()
    label = fields.String()
    start_url = fields.String(metadata={"description": "Where to send the browser."})


class OfferedPage(Schema):
    """The ways to sign in that are ready."""

    items = fields.List(fields.Nested(Offered))
    next_cursor = fields.String(allow_none=True)
    password_sign_in = fields.String(metadata={"description": PASSWORDS})


class StartQuery(Schema):
    """What a sign-in ends with."""

    mode = fields.String(
        load_default=CONSOLE, validate=validate.OneOf(MODES),
        metadata={"description": "`console`: a session of the console. `token`: the tokens that POST /api/v1/auth/login gives, as JSON."},
    )  # fmt: skip
    next = fields.String(load_default=None, metadata={"description": "A path below /console to go to then; any other is passed over."})

    prompt = fields.String(
        load_default=None, validate=validate.OneOf(PROMPTS),
        metadata={"description": "Sent on to the provider: `login` has people sign in again there, maybe as somebody else."},
    )  # fmt: skip


class CallbackSchema(TokenSchema):
    """What a sign-in for an app ends with."""
