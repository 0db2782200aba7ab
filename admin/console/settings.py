"""/console/settings/: what the tenant chooses for itself, and its former choices."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, request
from strongroom.access import Role
from strongroom.errors import DomainError, NotFound, PreconditionFailed, ValidationFailed
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.tenant_settings import service
from strongroom.tenant_settings.schemas import SettingsChange, shown_parts
from strongroom.users import service as users

from admin.console.bucket_policy import in_units, typed_size
from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, field, ticked
from admin.notices import say
from admin.pages import CONSOLE, go
from tenants.domain_names import shown
from tenants.settings import SettingsVersion

HERE = f"{CONSOLE}/settings/"
SHOWN_VERSIONS = 20
SWITCHES = ("versioning", "serve_unscanned", "redirect_downloads", "uploader_gets_unchecked", "buckets_may_serve_unscanned")
NUMBERS = ("trash_days", "cache_max_age_s", "access_token_lifetime_s", "session_lifetime_s")
SIGN_UP = ("sign_up_mode", "sign_up_domains", "sign_up_role")
TEXTS = (*NUMBERS, "allowed_types", "max_size", "max_size_unit", *SIGN_UP)
AGAIN = "Somebody else changed the settings meanwhile. Look at them as they are now, then change them again."


class Settings(ConsoleView):
    """The tenant's settings."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show the settings as they are now."""
        present = service.get_settings(runtime(), current_tenant())
        return self._form(_values(present), {})

    @acts("/", role=Role.ADMIN)
    def update(self) -> Response:
        """Change the settings, unless somebody else did since the page was shown."""
        try:
            body = checked(SettingsChange(), _changed(_typed()))
            service.update_settings(runtime(), current_tenant(), current_principal().actor, body, expected=_expected())
        except PreconditionFailed:
            return say(go(HERE), "bad", AGAIN)
        except DomainError as error:
            values = {**{name: field(name) for name in (*TEXTS, "version")}, **{name: ticked(name) for name in SWITCHES}}
            return self._form(values, _errors(error), error.status)
        return say(go(HERE), "good", "The settings were saved. They hold for what comes from now on.")

    @acts("/versions/<version>/restore", role=Role.ADMIN)
    def restore(self, version: str) -> Response:
        """Make a former version's settings the present ones."""
        if not (version.isascii() and version.isdigit()):
            raise NotFound
        try:
            service.restore_version(runtime(), current_tenant(), current_principal().actor, int(version[:9]), expected=_expected())
        except PreconditionFailed:
            return say(go(HERE), "bad", AGAIN)
        return say(go(HERE), "good", f"The settings, and name and colours, are those of version {version} again.")

    def _form(self, values: dict[str, Any], errors: dict[str, str], status: int = 200) -> Response:
        found = service.list_versions(runtime(), current_tenant(), limit=SHOWN_VERSIONS)
        makers = [UUID(each.actor["user_id"]) if "user_id" in each.actor else None for each in found]
        names = users.names_of(runtime(), current_tenant(), makers)
        versions = [{**vars(each), "by": names.get(maker)} for each, maker in zip(found, makers, strict=True)]
        platform = runtime().settings
        return self.show("settings.html", status, values=values, errors=errors, versions=versions, base=HERE, platform=platform)


def _expected() -> frozenset[int]:
    version = field("version")
    return frozenset({int(version[:9])}) if version.isascii() and version.isdigit() else frozenset()


def _values(present: SettingsVersion) -> dict[str, Any]:
    parts = shown_parts(current_tenant(), present.settings)
    policy = parts["bucket_defaults"]
    size, unit = in_units(policy["max_size_bytes"])
    texts = {"allowed_types": "\n".join(policy["allowed_types"]), "max_size": size, "max_size_unit": unit, "version": present.version}
    sign_up = {f"sign_up_{name}": value for name, value in parts["sign_up"].items()}
    sign_up["sign_up_domains"] = "\n".join(shown(each) for each in parts["sign_up"]["domains"])
    return {**policy, **parts["scanning"], **parts["sessions"], **sign_up, **texts}


def _typed() -> dict[str, dict[str, Any]]:
    """Return what was typed as the API takes it."""
    numbers = {name: _number(name) for name in NUMBERS}
    switches = {name: ticked(name) for name in SWITCHES}
    policy = {
        "allowed_types": [line.strip().lower() for line in field("allowed_types").splitlines() if line.strip()],
        "max_size_bytes": typed_size(field("max_size"), field("max_size_unit")),
        **{name: numbers[name] for name in NUMBERS[:2]}, **{name: switches[name] for name in SWITCHES[:3]},
    }  # fmt: skip
    scanning, sessions = {name: switches[name] for name in SWITCHES[3:]}, {name: numbers[name] for name in NUMBERS[2:]}
    return {"bucket_defaults": policy, "scanning": scanning, "sessions": sessions, "sign_up": _typed_sign_up()}


def _typed_sign_up() -> dict[str, Any]:
    if "sign_up_mode" not in request.form:
        return {}
    domains = [line.strip() for line in field("sign_up_domains").splitlines() if line.strip()]
    return {"mode": field("sign_up_mode"), "domains": domains, "role": field("sign_up_role")}


def _changed(typed: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Leave out what is as it was, so that defaults stay defaults."""
    shown = shown_parts(current_tenant(), service.get_settings(runtime(), current_tenant()).settings)
    return {part: {name: value for name, value in fields.items() if value != shown[part][name]} for part, fields in typed.items()}


def _number(name: str) -> int | None:
    text = field(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValidationFailed(errors={name: ["Write a whole number."]})
    return int(text[:18])


def _errors(error: DomainError) -> dict[str, str]:
    """Return a problem's texts by the form's fields: the parts have no names in common."""
    found = error.extra.get("errors")
    parts = found if isinstance(found, dict) else {}
    flat: dict[str, str] = {}
    for part, texts in parts.items():
        prefix = "sign_up_" if part == "sign_up" else ""
        flat |= {prefix + name: _first(each) for name, each in texts.items()} if isinstance(texts, dict) else {str(part): _first(texts)}
    if "max_size_bytes" in flat:
        flat["max_size"] = flat.pop("max_size_bytes")
    return flat or {"allowed_types": error.detail}


def _first(texts: Any) -> str:
    while isinstance(texts, dict) and texts:
        texts = next(iter(texts.values()))
    return str(texts[0]) if isinstance(texts, list) and texts else str(texts)
