"""Settings as fields of a frozen dataclass: each is declared with its meaning and its limits, and read from the text of a variable.

A library for this (pydantic) would hold 9 MiB in every process for as long as it lives, to read some texts at its start.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import operator
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
YES, NO = frozenset({"true", "1", "yes", "on", "t", "y"}), frozenset({"false", "0", "no", "off", "f", "n"})
LIMITS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": ("greater than", operator.gt),
    "ge": ("at least", operator.ge),
    "lt": ("less than", operator.lt),
    "le": ("at most", operator.le),
}
RULES = "rules"


class WrongSettings(ValueError):
    """Some values are wrong; `reasons` has why, by the names of their fields, and never a value that is secret."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
        self.reasons = dict(reasons)


class SecretStr:
    """A text that shows itself to nobody who does not ask for it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """Return the text."""
        return self._value

    def __repr__(self) -> str:
        return "SecretStr('**********')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


def setting(*, description: str, default: Any = dataclasses.MISSING, default_factory: Any = dataclasses.MISSING, **rules: Any) -> Any:
    """Declare a field; without a default it is required.

    `rules`: `gt`, `ge`, `lt`, `le` for numbers; `pattern`, a regular expression for the whole of a text.
    """
    metadata = {"description": description, RULES: rules}
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Tell whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def names_of(settings: type) -> list[str]:
    """Return the names of a dataclass's fields."""
    return [field.name for field in dataclasses.fields(settings)]


def make(settings: type[T], values: Mapping[str, Any]) -> T:
    """Return a dataclass of settings made from values by their names.

    Raises:
        WrongSettings: with all that are missing, or else all that are wrong.
    """
    missing = {field.name: "is missing" for field in dataclasses.fields(settings) if is_required(field) and field.name not in values}  # type: ignore[arg-type]  # it is a dataclass
    if missing:
        raise WrongSettings(missing)
    return settings(**values)


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return the value of a field for which none is given."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def settle(settings: Any) -> None:
    """Give every field of a dataclass being made a value of its type; to be called by its `__post_init__`.

    Raises:
        WrongSettings: with all that is wrong.
    """
    kinds, wrong = get_type_hints(type(settings), include_extras=True), {}
    for field in dataclasses.fields(settings):
        try:
            value = _read(kinds[field.name], getattr(settings, field.name))
            for reason in _broken(field.metadata[RULES], value):
                raise ValueError(reason)
        except ValueError as error:
            wrong[field.name] = str(error)
        else:
            object.__setattr__(settings, field.name, value)  # frozen for everybody else
    if wrong:
        raise WrongSettings(wrong)


def _broken(rules: Mapping[str, Any], value: Any) -> Iterator[str]:
    for name, limit in rules.items():
        if value is None:
            continue
        if name == "pattern":
            if not re.fullmatch(limit, value):
                yield f"must match {limit}"
        elif not LIMITS[name][1](value, limit):
            yield f"must be {LIMITS[name][0]} {limit}"


def _read(kind: Any, value: Any) -> Any:
    """Return a value of a type; from its text where it is one.

    Raises:
        ValueError: it is none.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return functools.reduce(lambda read, check: check(read), inner[1:], _read(inner[0], value))
    if origin in {Union, types.UnionType}:  # of a type and None
        return None if value is None else _read(next(each for each in inner if each is not types.NoneType), value)
    if origin is list:
        return [_read(inner[0], each) for each in _from_json(value, list, "a JSON list")]
    if origin is dict:
        return {_read(inner[0], name): _read(inner[1], each) for name, each in _from_json(value, dict, "a JSON object").items()}
    return READERS[kind](value)


def _from_json(value: Any, kind: type, what: str) -> Any:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, kind):
        raise ValueError(f"must be {what}")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _secret(value: Any) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(_text(value))


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in YES | NO:
        raise ValueError("must be true or false")
    return word in YES


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("must be a number")
    return number


def _int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _number(value)
    if not number.is_integer():
        raise ValueError("must be a whole number")
    return int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() else int(number)


READERS: Mapping[Any, Callable[[Any], Any]] = {str: _text, SecretStr: _secret, bool: _bool, int: _int, float: _number}
