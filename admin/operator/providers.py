"""/operator/providers/: where bytes live, and whether each place works."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flask import Response, request
from strongroom.errors import DomainError, ProviderInUse
from strongroom.http.context import current_operator, runtime
from strongroom.operating import providers as operated
from strongroom.operating import service
from strongroom.operating.schemas import NewProviderSchema

from admin import provider_forms, provider_pages
from admin.forms import checked, field
from admin.notices import say
from admin.operator.frame import ADMIN, OperatorView, acts, shows
from admin.pages import OPERATOR, go
from admin.provider_kinds import KINDS, Kind, kind_of

HERE = f"{OPERATOR}/providers/"


class Providers(OperatorView):
    """The providers."""

    @shows("/")
    def index(self) -> Response:
        """Show the providers with what they hold."""
        today = datetime.now(UTC).date()
        tenants: dict[str, int] = defaultdict(int)
        stored: dict[str, int] = defaultdict(int)
        for each in service.list_figures(runtime(), start=today, end=today):
            tenants[each.provider] += 1
            stored[each.provider] += each.stored_bytes
        rows = [
            {**vars(info), "shown_kind": kind_of(info.kind), "where": provider_pages.where(info.config), "tenants": tenants[info.name],
             "stored_bytes": stored[info.name]}
            for info in service.list_providers(runtime())
        ]  # fmt: skip
        return self.show("providers.html", providers=rows)

    @shows("/new", operator_role=ADMIN)
    def new(self) -> Response:
        """Ask for a new provider: its kind first."""
        kind = provider_pages.chosen_kind(request.args.get("kind"), KINDS)
        return self._form(kind, provider_pages.new_values(kind, request.args.get("service")), {})

    @acts("/new")
    def add(self) -> Response:
        """Add a provider after having seen that everything works there."""
        kind = provider_pages.posted_kind(KINDS)
        try:
            typed = provider_forms.read(kind)
            body = {"name": field("name"), "kind": kind.name, "config": typed.config, "secrets": typed.secrets}
            operated.add_provider(runtime(), current_operator().email, **checked(NewProviderSchema(), body))
        except DomainError as error:
            values = {**provider_forms.typed_values(kind), "name": field("name")}
            return self._form(kind, values, provider_forms.errors_at(error, kind), status=error.status)
        return say(go(HERE), "good", f"{field('name')} works and was added.")

    @acts("/new/try")
    def try_new(self) -> Response:
        """Try out what was typed; nothing is kept. Answers with a piece of a page."""
        kind = provider_pages.posted_kind(KINDS)

        def act() -> list[operated.Step]:
            typed = provider_forms.read(kind)
            return operated.try_new(kind.name, typed.config, typed.secrets)

        return provider_pages.tried(act)

    @shows("/<provider>/edit", operator_role=ADMIN)
    def edit(self, provider: str) -> Response:
        """Show a provider's configuration to be changed; of its secrets, which are set."""
        info = operated.get_provider(runtime(), provider)
        return self._form(kind_of(info.kind), provider_forms.flat(info.config), {}, provider)

    @acts("/<provider>/edit")
    def update(self, provider: str) -> Response:
        """Change configuration and secrets, after having seen that everything works with them."""
        kind, present = _present(provider)
        try:
            typed = provider_forms.read(kind, present)
            operated.update_provider(
                runtime(), current_operator().email, provider, config=typed.config, secrets=typed.secrets, keep=typed.keep
            )
        except DomainError as error:
            values = provider_forms.typed_values(kind)
            return self._form(kind, values, provider_forms.errors_at(error, kind), provider, error.status)
        return say(go(HERE), "good", f"{provider} works and was changed. Other processes go over to it within half a minute.")

    @acts("/<provider>/edit/try")
    def try_change(self, provider: str) -> Response:
        """Try out what was typed; nothing is changed. Answers with a piece of a page."""
        kind, present = _present(provider)

        def act() -> list[operated.Step]:
            typed, info = provider_forms.read(kind, present), operated.get_provider(runtime(), provider)
            return operated.try_change(runtime(), info, typed.config, typed.secrets, typed.keep)

        return provider_pages.tried(act)

    @acts("/<provider>/test")
    def test(self, provider: str) -> Response:
        """Do once all that Strongroom does at a provider; answers with a piece of a page."""
        operated.get_provider(runtime(), provider)
        return provider_pages.tried(lambda: operated.try_provider(runtime(), provider))

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

    @acts("/<provider>/offer")
    def offer(self, provider: str) -> Response:
        """Let tenants mirror their files to a provider, or let no more of them begin to."""
        offered = bool(field("offered"))
        info = operated.offer_as_host(runtime(), current_operator().email, provider, offered=offered)
        told = "Tenants may mirror their files to it." if offered else "Those who mirror there go on; nobody else can begin to."
        return say(go(HERE), "good", f"{info.name}: {told}")

    def _form(self, kind: Kind, values: dict[str, Any], errors: dict[str, str], provider: str | None = None, status: int = 200) -> Response:
        secrets_set = _present(provider)[1] if provider else frozenset()
        form = provider_pages.form_values(kind, HERE, values, quote(provider, safe="") if provider else None, secrets_set)
        return self.show(
            "provider_form.html", status, form=form, kinds=KINDS.values(), provider=provider, values=values, errors=errors,
            secrets_set=secrets_set,
        )  # fmt: skip


def _present(provider: str) -> tuple[Kind, frozenset[str]]:
    """Return a provider's kind, and the names of its secrets."""
    info = operated.get_provider(runtime(), provider)
    return kind_of(info.kind), frozenset(operated.shown(runtime(), info)["secrets_set"])
