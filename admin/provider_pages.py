"""What the pages of providers have in common in both consoles: the values of a form, where bytes lie, and a test's answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from flask import Response, render_template
from strongroom.errors import DomainError, ValidationFailed
from strongroom.operating.providers import Step
from strongroom.storage import opendal_schemes as opendal

from admin.forms import field
from admin.pages import page
from admin.provider_forms import PAIRS, STEPS
from admin.provider_kinds import OPENDAL, Kind

PLACES = ("root", "scheme", "endpoint_url", "endpoint", "bucket", "container")  # what a list tells of a provider's configuration
FIRST_SERVICE = "webdav"
EMPTY_ROWS = 3


def where(config: Mapping[str, Any]) -> str:
    """Return in one line where bytes lie; nothing of it is secret."""
    found = {**(config.get("options") or {}), **config}
    return " · ".join(str(found[name]) for name in PLACES if found.get(name))


def chosen_kind(name: str | None, kinds: Mapping[str, Kind]) -> Kind:
    """Return the kind of that name; the first one where there is none."""
    return kinds.get(name or "") or next(iter(kinds.values()))


def posted_kind(kinds: Mapping[str, Kind]) -> Kind:
    """Return the kind of the form that was sent.

    Raises:
        ValidationFailed
    """
    if field("kind") not in kinds:
        raise ValidationFailed("Choose one of the kinds.")
    return kinds[field("kind")]


def form_values(kind: Kind, base: str, values: Mapping[str, Any], provider: str | None = None, secrets_set: Collection[str] = ()) -> Any:
    """Return what the template of the form wants; `provider`: of whom the present configuration is, None for a new one."""
    action = f"{base}{provider}/edit" if provider else f"{base}new"
    made = {
        "kind": kind, "is_new": provider is None, "action": action, "try_url": f"{action}/try",
        "back": base, "services": [], "service_title": "", "rows": {}, "names": {},
    }  # fmt: skip
    return made if kind is not OPENDAL else {**made, **_opendal_values(values, secrets_set)}


def _opendal_values(values: Mapping[str, Any], secrets_set: Collection[str]) -> dict[str, Any]:
    services = [{"value": name, "label": opendal.SCHEMES[name].title} for name in opendal.available()]
    scheme = known_service(values.get("scheme"))
    names = sorted(opendal.known_options(scheme) - {"disable_config_load"})
    secret = [name for name in names if opendal.is_secret_name(name)]
    shown = (values.get("options") or {}).items()
    rows = {
        "option": [{"name": name, "value": value, "is_set": True} for name, value in shown if name in names],
        "secret": [{"name": name, "value": "", "is_set": name in secrets_set} for name in values.get("secret_names", sorted(secrets_set))],
    }
    return {
        "services": sorted(services, key=lambda each: each["label"].lower()), "service_title": opendal.SCHEMES[scheme].title,
        "names": {"option": [name for name in names if name not in secret], "secret": secret},
        "rows": {prefix: rows[prefix] + [{"name": "", "value": "", "is_set": False}] * EMPTY_ROWS for prefix in PAIRS},
    }  # fmt: skip


def new_values(kind: Kind, service: str | None) -> dict[str, Any]:
    """Return with what the form of a new provider begins."""
    return {"scheme": known_service(service), "options": {"endpoint": ""}} if kind is OPENDAL else {}


def known_service(name: str | None) -> str:
    """Return the name of one of OpenDAL's services that we know: that one, or the one that people use most."""
    return name if name and name in opendal.SCHEMES else FIRST_SERVICE


def tried(act: Callable[[], list[Step]]) -> Response:
    """Answer with a piece of a page that tells how each step of a test went; what cannot even be read is its first step."""
    try:
        steps = act()
    except ValidationFailed as error:
        steps = [Step("open", ok=False, detail=_all_texts(error))]
    rows = [
        {"name": STEPS.get(step.name, step.name), "ok": step.ok, "detail": f"{step.detail} {step.advice}".strip(), "took_ms": None}
        for step in steps
    ]
    return page(render_template("layout/provider_test.html", ok=all(step.ok for step in steps), steps=rows))


def _all_texts(error: DomainError) -> str:
    found = error.extra.get("errors")
    if not isinstance(found, dict) or not found:
        return error.detail
    return " ".join(f"{name.rpartition('.')[2]}: {' '.join(map(str, texts))}" for name, texts in found.items())
