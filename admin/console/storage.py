"""/console/storage/: storage providers of the tenant's own."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, render_template, request
from strongroom.access import Role
from strongroom.db.ids import parse_id
from strongroom.errors import DomainError, ValidationFailed
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.own_providers import service
from strongroom.own_providers.schemas import NewOwnProviderSchema

from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.pages import CONSOLE, go, page

HERE = f"{CONSOLE}/storage/"
FIELDS = ("bucket", "endpoint_url", "region")
S3_SECRETS = ("access_key_id", "secret_access_key")


class Storage(ConsoleView):
    """The tenant's own providers."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show the providers, and a form for another one."""
        return self._page({"kind": "s3"}, {})

    @acts("/", role=Role.ADMIN)
    def add(self) -> Response:
        """Add a provider after having seen that everything works there."""
        typed = {name: field(name) for name in ("name", "kind", *FIELDS)}
        try:
            body = checked(NewOwnProviderSchema(), _body(typed))
            service.add_provider(runtime(), current_tenant(), current_principal(), **body)
        except DomainError as error:
            return self._page(typed, _errors(error), error.status)
        return say(go(HERE), "good", f"{typed['name']} works and was added. Nothing is put there before you use it.")

    @acts("/<provider_id>/test", role=Role.ADMIN)
    def test(self, provider_id: str) -> Response:
        """Try a provider out; answers with a piece of a page."""
        steps = service.try_provider(runtime(), current_tenant(), parse_id(provider_id))
        rows = [{"name": each.name, "ok": each.ok, "detail": f"{each.detail} {each.advice}".strip(), "took_ms": None} for each in steps]
        return page(render_template("operator/_provider_test.html", ok=all(each.ok for each in steps), steps=rows))

    @acts("/<provider_id>/use", role=Role.ADMIN)
    def use(self, provider_id: str) -> Response:
        """Have new files go to a provider, or to the platform's again."""
        chosen = None if provider_id == service.PLATFORM else parse_id(provider_id)
        try:
            service.use_provider(runtime(), current_tenant(), current_principal(), chosen)
        except DomainError as error:
            return _refused(error)
        return say(go(HERE), "good", "New files go there from now on. Files that exist stay where they are.")

    @acts("/<provider_id>/delete", role=Role.ADMIN)
    def delete(self, provider_id: str) -> Response:
        """Forget a provider at which no files lie."""
        try:
            service.delete_provider(runtime(), current_tenant(), current_principal(), parse_id(provider_id))
        except DomainError as error:
            return _refused(error)
        return say(go(HERE), "good", "The provider is forgotten. What is in its bucket was left alone.")

    def _page(self, values: dict[str, Any], errors: dict[str, str], status: int = 200) -> Response:
        found = service.list_providers(runtime(), current_tenant())
        rows = [{**each, "where": " · ".join(str(each["config"][name]) for name in FIELDS if each["config"].get(name))} for each in found]
        allowed = bool(current_tenant().limits.own_providers)
        return self.show("storage.html", status, providers=rows, allowed=allowed, values=values, errors=errors)


def _refused(error: DomainError) -> Response:
    if error.status in {403, 404}:
        raise error
    return say(go(HERE), "bad", error.detail)


def _body(typed: dict[str, str]) -> dict[str, Any]:
    config = {name: typed[name] for name in FIELDS if typed[name]}
    if typed["kind"] == "gcs":
        return {"name": typed["name"], "kind": "gcs", "config": config, "secrets": {"service_account": _key()}}
    secrets = {name: request.form.get(name, "").strip() for name in S3_SECRETS}
    return {"name": typed["name"], "kind": typed["kind"], "config": config, "secrets": secrets}


def _key() -> Any:
    try:
        return json.loads(request.form.get("service_account", ""))
    except ValueError:
        raise ValidationFailed(errors={"service_account": ["This is no JSON."]}) from None


def _errors(error: DomainError) -> dict[str, str]:
    return {name.rpartition(".")[2]: text for name, text in errors_of(error, "name").items()}
