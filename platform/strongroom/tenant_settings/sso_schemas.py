"""The part `sso` of a tenant's settings in JSON: its identity providers, without their secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, post_load, validate

from tenants.sso import EVERYBODY, MAX_CONNECTIONS, MAX_DOMAINS, MAX_LABEL, MAX_SCOPES, MAX_TEXT, NAME_PATTERN, OWNERS, SCOPES

MAX_ISSUER = 200
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{4,253}}\Z){_LABEL}(\.{_LABEL})+")


def is_safe_url(url: str) -> bool:
    """Tell whether what is sent to a URL is kept from others: https, or a server on this very machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


def _issuer(value: str) -> None:
    if not is_safe_url(value) or not value.isascii() or not value.isprintable() or any(each in value for each in ' ?#@"<>\\'):
        raise ValidationError("Write the issuer's URL as the provider shows it: https, without a query.")


def _printable(value: str) -> None:
    if not value.isprintable() or not value.strip():
        raise ValidationError("Write text without control characters.")


def _scopes(values: list[str]) -> None:
    if "openid" not in values or not all(_SCOPE.fullmatch(each) for each in values):
        raise ValidationError("Write names of scopes, 'openid' among them.")


def _domains(values: list[str]) -> None:
    if not all(_DOMAIN.fullmatch(each.strip().lower()) for each in values):
        raise ValidationError("Write domains such as example.com; international ones in their ASCII form (xn--…).")


class ConnectionSchema(Schema):
    """An identity provider that speaks OpenID Connect, by which users come in."""

    label = fields.String(
        required=True,
        validate=[validate.Length(1, MAX_LABEL), _printable],
        metadata={"description": "What the button says after 'Sign in with'."},
    )
    issuer = fields.String(
        required=True,
        validate=[validate.Length(1, MAX_ISSUER), _issuer],
        metadata={
            "description": "Exactly as the provider's discovery document has it. Users that came in by another issuer are unknown here."
        },
    )
    client_id = fields.String(required=True, validate=[validate.Length(1, MAX_TEXT), _printable])
    scopes = fields.List(
        fields.String(), load_default=lambda: list(SCOPES), validate=[validate.Length(1, MAX_SCOPES), _scopes],
        metadata={"description": "What is asked of the provider; `openid` and `email` are needed."},
    )  # fmt: skip
    domains = fields.List(
        fields.String(), load_default=list, validate=[validate.Length(max=MAX_DOMAINS), _domains],
        metadata={"description": "E-mail domains that may come in. Empty: any; then nobody is given an account that exists already."},
    )  # fmt: skip
    create_users = fields.Boolean(load_default=False, metadata={"description": "Whoever is unknown gets an account."})
    role = fields.String(
        load_default="member", validate=validate.OneOf(["member", "viewer"]), metadata={"description": "Of the users that are made."}
    )
    enabled = fields.Boolean(load_default=True)

    @post_load
    def canonical(self, values: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Write domains in one way, each once."""
        if "domains" in values:
            values["domains"] = sorted({each.strip().lower() for each in values["domains"]})
        return values


class SsoPart(Schema):
    """Identity providers, and who signs in with a password. Their secrets are no settings: see /api/v1/tenant/sso."""

    connections = fields.Dict(
        keys=fields.String(validate=validate.Regexp(NAME_PATTERN + r"\Z")), values=fields.Nested(ConnectionSchema),
        validate=validate.Length(max=MAX_CONNECTIONS), allow_none=True, metadata={"description": "By name; all of them. null: none."},
    )  # fmt: skip
    password_sign_in = fields.String(
        validate=validate.OneOf([EVERYBODY, OWNERS]), allow_none=True,
        metadata={
            "description": "`owners`: all others come in by an identity provider. Needs one that is enabled, with its secret and domains."
        },
    )  # fmt: skip


def shown_sso(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part with its defaults."""
    return {"connections": {}, "password_sign_in": EVERYBODY, **stored}
