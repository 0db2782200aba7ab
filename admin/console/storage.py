"""/console/storage/: storage providers of the tenant's own."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from strongroom.access import Role
from strongroom.db.ids import parse_id
from strongroom.errors import DomainError
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.operating.providers import Step
from strongroom.own_providers import service
from strongroom.own_providers.schemas import NewOwnProviderSchema

from admin import provider_forms, provider_pages
from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, field
from admin.notices import say
from admin.pages import CONSOLE, go
from admin.provider_kinds import TENANTS_KINDS as KINDS
from admin.provider_kinds import Kind, kind_of

HERE = f"{CONSOLE}/storage/"


class Storage(ConsoleView):
    """The tenant's own providers."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show the providers."""
        found = service.list_providers(runtime(), current_tenant())
        rows = [{**each, "shown_kind": kind_of(each["kind"]), "where": provider_pages.where(each["config"])} for each in found]
        return self.show("storage.html", providers=rows, allowed=_allowed())

    @shows("/new", role=Role.ADMIN)
    def new(self) -> Response:
        """Ask for a new provider: its kind first."""
        if not _allowed():
            return go(HERE)
        return self._form(provider_pages.chosen_kind(request.args.get("kind"), KINDS), {}, {})

    @acts("/new", role=Role.ADMIN)
    def add(self) -> Response:
        """Add a provider after having seen that everything works there."""
        kind = provider_pages.posted_kind(KINDS)
        try:
            typed = provider_forms.read(kind)
            body = {"name": field("name"), "kind": kind.name, "config": typed.config, "secrets": typed.secrets}
            service.add_provider(runtime(), current_tenant(), current_principal(), **checked(NewOwnProviderSchema(), body))
        except DomainError as error:
            values = {**provider_forms.typed_values(kind), "name": field("name")}
            return self._form(kind, values, provider_forms.errors_at(error, kind), status=error.status)
        return say(go(HERE), "good", f"{field('name')} works and was added. Nothing is put there before you use it.")

    @acts("/new/try", role=Role.ADMIN)
    def try_new(self) -> Response:
        """Try out what was typed; nothing is kept. Answers with a piece of a page."""
        kind = provider_pages.posted_kind(KINDS)

        def act() -> list[Step]:
            typed = provider_forms.read(kind)
            return service.try_new(runtime(), current_tenant(), kind=kind.name, config=typed.config, secrets=typed.secrets)

        return provider_pages.tried(act)

    @shows("/<provider_id>/edit", role=Role.ADMIN)
    def edit(self, provider_id: str) -> Response:
        """Show a provider's configuration to be changed; of its secrets, which are set."""
        info = _present(provider_id)
        return self._form(KINDS[info["kind"]], provider_forms.flat(info["config"]), {}, info)

    @acts("/<provider_id>/edit", role=Role.ADMIN)
    def update(self, provider_id: str) -> Response:
        """Change configuration and secrets, after having seen that everything works with them."""
        info = _present(provider_id)
        kind = KINDS[info["kind"]]
        try:
            typed = provider_forms.read(kind, frozenset(info["secrets_set"]))
            service.update_provider(
                runtime(), current_tenant(), current_principal(), info["id"], config=typed.config, secrets=typed.secrets, keep=typed.keep
            )
        except DomainError as error:
            return self._form(kind, provider_forms.typed_values(kind), provider_forms.errors_at(error, kind), info, error.status)
        return say(go(HERE), "good", f"{info['name']} works and was changed.")

    @acts("/<provider_id>/edit/try", role=Role.ADMIN)
    def try_change(self, provider_id: str) -> Response:
        """Try out what was typed; nothing is changed. Answers with a piece of a page."""
        info = _present(provider_id)

        def act() -> list[Step]:
            typed = provider_forms.read(KINDS[info["kind"]], frozenset(info["secrets_set"]))
            return service.try_change(runtime(), current_tenant(), info["id"], config=typed.config, secrets=typed.secrets, keep=typed.keep)

        return provider_pages.tried(act)

    @acts("/<provider_id>/test", role=Role.ADMIN)
    def test(self, provider_id: str) -> Response:
        """Do once all that Strongroom does at a provider; answers with a piece of a page."""
        info = _present(provider_id)
        return provider_pages.tried(lambda: service.try_provider(runtime(), current_tenant(), info["id"]))

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

    def _form(
        self, kind: Kind, values: dict[str, Any], errors: dict[str, str], info: dict[str, Any] | None = None, status: int = 200
    ) -> Response:
        form = provider_pages.form_values(kind, HERE, values, str(info["id"]) if info else None)
        return self.show(
            "storage_form.html", status, form=form, kinds=KINDS.values(), provider=info, values=values, errors=errors,
            secrets_set=info["secrets_set"] if info else [],
        )  # fmt: skip


def _present(provider_id: str) -> dict[str, Any]:
    return service.get_provider(runtime(), current_tenant(), parse_id(provider_id))


def _allowed() -> bool:
    return bool(current_tenant().limits.own_providers)


def _refused(error: DomainError) -> Response:
    if error.status in {403, 404}:
        raise error
    return say(go(HERE), "bad", error.detail)
