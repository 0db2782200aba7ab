"""Sign-up in JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

MAX_NAME = 200


def _printable(text: str) -> None:
    if not text.isprintable():
        raise ValidationError("Use printable characters, on one line.")


NAME: list[Callable[[Any], Any]] = [validate.Length(max=MAX_NAME), _printable]


class SignUpSchema(Schema):
    """Who wants an account."""

    email = fields.String(required=True, validate=validate.Length(3, 320))
    name = fields.String(load_default="", validate=NAME, metadata={"description": "Proposed again when the link is opened."})


class SignUpAskedSchema(Schema):
    """The same for every address: whether there is an account with it is told by mail alone."""

    status = fields.String(metadata={"description": "Always `mail_sent`."})
    expires_in_s = fields.Integer(metadata={"description": "For how long the link in the mail works."})


class CompletionSchema(Schema):
    """A sign-up's link, opened."""

    token = fields.String(required=True, load_only=True, metadata={"description": "The last part of the link in the mail."})
    name = fields.String(load_default="", validate=NAME, metadata={"description": "Empty: the one that was given before."})
    password = fields.String(required=True, load_only=True)
