"""What was typed into the form of a provider, as configuration and secrets.

A secret that is left empty stays as it is; none is ever put into a page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import request
from strongroom.errors import DomainError, ValidationFailed
from strongroom.storage.opendal_schemes import is_secret_name

from admin import forms
from admin.provider_kinds import OPENDAL, Field, Kind, fields_of

PAIRS = ("option", "secret")
"""What precedes the names of the two lists of an OpenDAL provider's form."""
STEPS = {"open": "Open", "check": "Reach it", "write": "Write an object", "describe": "Describe it", "read": "Read it back",
         "read a range": "Read a part of it", "list": "List it", "download by a signed address": "Download it by a signed address",
         "upload in parts": "Upload in parts", "write on": "Write on in an object", "delete": "Delete it"}  # fmt: skip
"""The steps of a test, as they are told."""


@dataclass(frozen=True)
class Typed:
    """What was typed. `keep`: the present secrets that stay, since nothing was typed in their place."""

    config: dict[str, Any]
    secrets: dict[str, Any] = field(default_factory=dict)
    keep: frozenset[str] = frozenset()


def read(kind: Kind, present: frozenset[str] = frozenset()) -> Typed:
    """Return what was typed into the form of the current request. `present`: the names of the secrets that are set.

    Raises:
        ValidationFailed: with the field.
    """
    config: dict[str, Any] = {}
    for each in fields_of(kind):
        if not each.secret and (value := _value(each)) is not None:
            _put(config, each.name, value)
    if kind is OPENDAL:
        return _read_pairs(config, present)
    return _with_secrets(kind, config, present)


def _value(each: Field) -> Any:
    """Return a field's value; None where nothing was said, or only what holds anyway."""
    text = forms.field(each.name)
    if not text or (each.choices and text == each.choices[0][0]):
        return None
    if each.type != "number":
        return text
    try:
        number = float(text)
    except ValueError:
        raise ValidationFailed(errors={each.name: ["This must be a number."]}) from None
    return int(number) if number.is_integer() else number


def _put(config: dict[str, Any], name: str, value: Any) -> None:
    if name.startswith("sts_"):
        config.setdefault("sts", {})[name.removeprefix("sts_")] = value
    else:
        config[name] = value


def _with_secrets(kind: Kind, config: dict[str, Any], present: frozenset[str]) -> Typed:
    names = [each.name for each in fields_of(kind) if each.secret]
    if config.get("credentials"):  # not those that are stored
        return Typed(config, {name: forms.field(name) for name in names if forms.field(name)})
    secrets: dict[str, Any] = {name: forms.field(name) for name in names if forms.field(name)}
    if "service_account" in secrets:
        secrets["service_account"] = _object(secrets["service_account"])
    keep = present & set(names) - set(secrets)
    return Typed(config, secrets, keep - {"session_token"} if "access_key_id" in secrets else keep)


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ValidationFailed(errors={"service_account": ["This is no JSON."]}) from None


def _read_pairs(config: dict[str, Any], present: frozenset[str]) -> Typed:
    """Names and values of an OpenDAL provider: what is secret goes among the secrets, wherever it was typed."""
    options: dict[str, str] = {}
    secrets: dict[str, str] = {}
    keep: set[str] = set()
    for name, value in (pair for prefix in PAIRS for pair in _pairs(prefix)):
        if not is_secret_name(name):
            options |= {name: value} if value else {}
        elif value:
            secrets[name] = value
        elif name in present:
            keep.add(name)
    return Typed({**config, "scheme": forms.field("scheme"), "options": options}, secrets, frozenset(keep))


def _pairs(prefix: str) -> list[tuple[str, str]]:
    names, values = request.form.getlist(f"{prefix}_name"), request.form.getlist(f"{prefix}_value")
    return [(name.strip(), value.strip()) for name, value in zip(names, values, strict=False) if name.strip()]


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as the values of its form."""
    inner = config.get("sts") if isinstance(config.get("sts"), Mapping) else None
    return {**config, **{f"sts_{name}": value for name, value in (inner or {}).items()}}


def typed_values(kind: Kind) -> dict[str, Any]:
    """Return what was typed, for showing the form again: everything but secrets."""
    values: dict[str, Any] = {each.name: forms.field(each.name) for each in fields_of(kind) if not each.secret}
    if kind is OPENDAL:
        values |= {
            "scheme": forms.field("scheme"),
            "options": dict(_pairs("option")),
            "secret_names": [name for name, _ in _pairs("secret")],
        }
    return values


def errors_at(error: DomainError, kind: Kind) -> dict[str, str]:
    """Return a problem's text per field; one that names a field in quotation marks stands there, any other at the top (`form`)."""
    found = {name.rpartition(".")[2]: text for name, text in forms.errors_of(error).items()}
    if set(found) != {"form"}:
        return found
    step = str(error.extra.get("step"))
    if step in STEPS:
        return {"form": found["form"].replace(f"{step}: ", f"{STEPS[step]}: ", 1)}
    named = [each.name for each in fields_of(kind) if f"'{each.name.replace('sts_', 'sts.')}'" in found["form"]]
    return {named[0]: found["form"]} if len(named) == 1 else found
