"""Forms: their fields checked by the same schemas as the API's, and errors put beside the fields they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError
from strongroom.errors import DomainError, ValidationFailed


def field(name: str) -> str:
    """Return what was typed into a field, without spaces around it."""
    return request.form.get(name, "").strip()


def ticked(name: str) -> bool:
    """Tell whether a box was ticked."""
    return name in request.form


def checked(schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as the schema loads them.

    Raises:
        ValidationFailed: with the texts per field in `errors`.
    """
    try:
        loaded: dict[str, Any] = schema.load(values)
    except ValidationError as error:
        messages = error.messages if isinstance(error.messages, dict) else {}
        raise ValidationFailed(errors=messages) from None
    return loaded


def errors_of(error: DomainError, otherwise: str = "form", names: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a problem's text per field of the form; `otherwise` names the field for one that is about no field.

    `names` translates the service's names of fields into those of the form.
    """
    found = error.extra.get("errors")
    if not isinstance(found, dict) or not found:
        return {otherwise: error.detail}
    return {(names or {}).get(str(name), str(name)): _first(texts) for name, texts in found.items()}


def _first(texts: Any) -> str:
    while isinstance(texts, (list, tuple, dict)) and texts:
        texts = next(iter(texts.values() if isinstance(texts, dict) else texts))
    return str(texts)
