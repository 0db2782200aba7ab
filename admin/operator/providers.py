"""/operator/providers/: where bytes live, and whether each place works."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from flask import Response, render_template
from strongroom.errors import DomainError, ProviderInUse, ValidationFailed
from strongroom.http.context import current_operator, runtime
from strongroom.operating import providers as operated
from strongroom.operating import service
from strongroom.operating.schemas import NewProviderSchema
from strongroom.storage.providers import KINDS

from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.operator.frame import OperatorView, acts, shows
from admin.pages import OPERATOR, go, page
from tenants.models import ProviderInfo

HERE = f"{OPERATOR}/providers/"
PLACES = ("root", "endpoint_url", "endpoint", "bucket", "container")  # what may be shown of a provider's configuration
STEPS = {"open": "Open", "check": "Reach it", "write": "Write an object", "describe": "Describe it", "read": "Read it back",
         "read a range": "Read a part of it", "list": "List it", "download by a signed address": "Download it by a signed address",
         "upload in parts": "Upload in parts", "write on": "Write on in an object", "delete": "Delete it"}  # fmt: skip


class Providers(OperatorView):
    """The providers."""

    @shows("/")
    def index(self) -> Response:
        """Show the providers with what they hold."""
        return self._page({"kind": "s3"}, {})

    def _page(self, values: dict[str, Any], errors: dict[str, str], status: int = 200) -> Response:
        today = datetime.now(UTC).date()
        tenants: dict[str, int] = defaultdict(int)
        stored: dict[str, int] = defaultdict(int)
        for each in service.list_figures(runtime(), start=today, end=today):
            tenants[each.provider] += 1
            stored[each.provider] += each.stored_bytes
        rows = [
            {**vars(info), "where": _where(info), "tenants": tenants[info.name], "stored_bytes": stored[info.name]}
            for info in service.list_providers(runtime())
        ]
        kinds = [{"value": kind, "label": kind} for kind in sorted(KINDS)]
        return self.show("providers.html", status, providers=rows, kinds=kinds, values=values, errors=errors)

    @acts("/<provider>/test")
    def test(self, provider: str) -> Response:
        """Write, read, list and delete a probe object; answers with a piece of a page."""
        steps = operated.try_provider(runtime(), provider)
        rows = [
            {"name": STEPS.get(step.name, step.name), "ok": step.ok, "detail": f"{step.detail} {step.advice}".strip(), "took_ms": None}
            for step in steps
        ]
        return page(render_template("operator/_provider_test.html", ok=all(step.ok for step in steps), steps=rows))

    @acts("/")
    def add(self) -> Response:
        """Add a provider after having seen that everything works there."""
        typed = {name: field(name) for name in ("name", "kind", "config")}
        try:
            body = {"name": typed["name"], "kind": typed["kind"], "config": _json("config") or {}, "secrets": _json("secrets") or {}}
            operated.add_provider(runtime(), current_operator().email, **checked(NewProviderSchema(), body))
        except DomainError as error:
            return self._page(typed, errors_of(error, "config"), error.status)
        return say(go(HERE), "good", f"{typed['name']} works and was added.")

    @acts("/<provider>/update")
    def update(self, provider: str) -> Response:
        """Replace configuration, secrets, or both, after having seen that everything works with them."""
        operated.get_provider(runtime(), provider)
        try:
            change = {"config": _json("config"), "secrets": _json("secrets")}
            operated.update_provider(runtime(), current_operator().email, provider, **change)
        except DomainError as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", f"{provider} was changed.")

    @acts("/<provider>/delete")
    def delete(self, provider: str) -> Response:
        """Forget a provider that no tenant uses."""
        operated.get_provider(runtime(), provider)
        try:
            operated.delete_provider(runtime(), current_operator().email, provider)
        except ProviderInUse as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", f"{provider} is forgotten. What lies there was left alone.")

    @acts("/<provider>/default")
    def make_default(self, provider: str) -> Response:
        """Make a provider the one that new tenants get."""
        info = operated.set_default_provider(runtime(), current_operator().email, provider)
        return say(go(HERE), "good", f"New tenants are put on {info.name} from now on. Those that exist stay where they are.")


def _json(name: str) -> dict[str, Any] | None:
    """Return the JSON object in a field; None when it is empty."""
    if not field(name):
        return None
    try:
        found = json.loads(field(name))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValidationFailed(errors={name: ["This must be a JSON object."]})
    return found


def _where(info: ProviderInfo) -> Any:
    return " · ".join(str(info.config[name]) for name in PLACES if info.config.get(name))
