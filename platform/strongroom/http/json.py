"""JSON as it comes in and goes out: what no part behind can store or count with is refused at the door, with 400."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import orjson
from flask.json.provider import DefaultJSONProvider
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import Schema
from webargs import missing
from webargs.flaskparser import FlaskParser

from strongroom.errors import BadRequest, UnsupportedMediaType

MAX_DIGITS = 18


def loads(text: str | bytes) -> Any:
    """Return the value of a JSON document.

    Raises:
        ValueError: it is no JSON, or is nested too deeply, or has a number, a NUL or half a surrogate pair that nothing can hold.
    """
    try:
        value = json.loads(text, parse_int=_parse_int, parse_constant=_refuse)
        _check_strings(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1:
        raise ValueError("a number is too large")
    return int(digits)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check_strings(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value or (not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)):
            raise ValueError("a string has a NUL or half a surrogate pair")
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_strings(key)
            _check_strings(item)


def _written(value: Any) -> Any:
    """Return how a value is written that JSON does not know: times by RFC 3339."""
    return value.isoformat() if isinstance(value, datetime) else DefaultJSONProvider.default(value)


class StrictJSON(DefaultJSONProvider):
    """Flask's JSON, strict in what it reads, and quick in what it writes: lists of files are large. Times are those of RFC 3339."""

    default = staticmethod(_written)

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Write a document."""
        if kwargs.keys() - {"separators"}:
            return super().dumps(obj, **kwargs)
        try:
            return orjson.dumps(obj, self.default, orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # what the standard library can still write: half a surrogate pair, an integer beyond 64 bits
            return super().dumps(obj, **kwargs)

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Read a document; see `loads`."""
        return loads(s)


class StrictParser(FlaskParser):
    """The arguments of API views, with strict JSON."""

    def _raw_load_json(self, req: Any) -> Any:
        body = req.get_data(cache=True)
        if not body:
            return missing
        if not req.is_json:
            raise UnsupportedMediaType
        try:
            value = loads(body)
        except ValueError as error:
            raise BadRequest(f"The body is not JSON that can be taken: {error}.") from None
        if value is None:
            raise BadRequest("The body has to be a JSON object.")
        return value


class Blueprint(SmorestBlueprint):  # type: ignore[misc]  # flask-smorest has no types
    """An API blueprint with strict JSON."""

    ARGUMENTS_PARSER = StrictParser()

    def arguments(self, schema: Schema | type[Schema], **options: Any) -> Any:
        """As flask-smorest's, with one schema for all requests: making one costs as much as reading a query by it."""
        return super().arguments(schema() if isinstance(schema, type) else schema, **options)
