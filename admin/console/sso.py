"""/console/sso/: the identity providers by which the tenant's people sign in, and who may still use a password."""

from __future__ import annotations

from typing import Any

from flask import Response
from strongroom.access import Role
from strongroom.errors import DomainError, ValidationFailed
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.pace import limit_provider_tests
from strongroom.sso import connections
from strongroom.sso.api import check_name, redirect_uri, shown
from strongroom.sso.schemas import ConnectionBody
from strongroom.tenant_settings import service as settings
from strongroom.tenant_settings.sso_schemas import SsoPart

from admin import provider_pages
from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, errors_of, field, ticked
from admin.notices import say
from admin.pages import CONSOLE, go
from tenants.sso import MAX_CONNECTIONS, SCOPES

HERE = f"{CONSOLE}/sso/"
TEXTS = ("name", "label", "issuer", "client_id", "role")
SWITCHES = ("create_users", "enabled")
NEW = {"role": "member", "enabled": True, "scopes": " ".join(SCOPES), "domains": ""}


class SingleSignOn(ConsoleView):
    """The tenant's identity providers."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show the identity providers."""
        return self._list({})

    @shows("/new", role=Role.ADMIN)
    def new(self) -> Response:
        """Ask for a new one."""
        return self._form(None, dict(NEW), {})

    @acts("/", role=Role.ADMIN)
    def add(self) -> Response:
        """Add one."""
        return self._keep(None)

    @shows("/<connection>/edit", role=Role.ADMIN)
    def edit(self, connection: str) -> Response:
        """Show one to be changed; of its secret, whether it is set."""
        present = _present(connection)
        return self._form(present, {**present, "scopes": " ".join(present["scopes"]), "domains": "\n".join(present["domains"])}, {})

    @acts("/<connection>/edit", role=Role.ADMIN)
    def update(self, connection: str) -> Response:
        """Change one."""
        return self._keep(_present(connection))

    @acts("/<connection>/test", role=Role.ADMIN)
    @limit_provider_tests
    def test(self, connection: str) -> Response:
        """Ask a provider for what every sign-in needs; answers with a piece of a page."""
        _present(connection)
        return provider_pages.tried(lambda: connections.try_connection(runtime(), current_tenant(), connection))

    @acts("/<connection>/remove", role=Role.ADMIN)
    def remove(self, connection: str) -> Response:
        """Remove one."""
        try:
            connections.delete_connection(runtime(), current_tenant(), current_principal(), connection)
        except ValidationFailed as error:
            return say(go(HERE), "bad", _first(error))
        return say(go(HERE), "good", "Nobody comes in by it any more. People who did stay.")

    @acts("/passwords", role=Role.ADMIN)
    def passwords(self) -> Response:
        """Choose who signs in with a password."""
        try:
            part = checked(SsoPart(), {"password_sign_in": field("password_sign_in")})
            settings.update_settings(runtime(), current_tenant(), current_principal().actor, {"sso": part})
        except DomainError as error:
            return self._list({"password_sign_in": _first(error)}, error.status)
        return say(go(HERE), "good", "Saved. Whoever is signed in stays so.")

    def _keep(self, present: dict[str, Any] | None) -> Response:
        try:
            name = present["name"] if present else check_name(field("name"))
            body = checked(ConnectionBody(), _typed())
            secret = body.pop("client_secret", None)
            if present is None:
                _must_be_new(name)
            connections.put_connection(runtime(), current_tenant(), current_principal(), name, body, secret)
        except DomainError as error:
            values = {each: field(each) for each in (*TEXTS, "scopes", "domains")} | {each: ticked(each) for each in SWITCHES}
            return self._form(present, values, errors_of(error), error.status)
        return say(go(HERE), "good", f"{body['label']} was saved. Test it before you tell people.")

    def _list(self, errors: dict[str, str], status: int = 200) -> Response:
        found, passwords = connections.list_connections(runtime(), current_tenant())
        return self.show(
            "sso.html", status, base=HERE, connections=[shown(each) for each in found], passwords=passwords, errors=errors,
            most=MAX_CONNECTIONS,
        )  # fmt: skip

    def _form(self, present: dict[str, Any] | None, values: dict[str, Any], errors: dict[str, str], status: int = 200) -> Response:
        pattern = redirect_uri(present["name"] if present else "NAME")
        return self.show("sso_form.html", status, base=HERE, connection=present, values=values, errors=errors, redirect_uri=pattern)


def _present(name: str) -> dict[str, Any]:
    return connections.get_connection(runtime(), current_tenant(), name)


def _must_be_new(name: str) -> None:
    if any(each["name"] == name for each in connections.list_connections(runtime(), current_tenant())[0]):
        raise ValidationFailed(errors={"name": ["There is one of that name already."]})


def _typed() -> dict[str, Any]:
    """Return what was typed as the API takes it."""
    typed: dict[str, Any] = {name: field(name) for name in TEXTS[1:]}
    secret = field("client_secret")
    return {
        **typed, **{name: ticked(name) for name in SWITCHES}, **({"client_secret": secret} if secret else {}),
        "scopes": field("scopes").split(), "domains": field("domains").replace(",", " ").split(),
    }  # fmt: skip


def _first(error: DomainError) -> str:
    return next(iter(errors_of(error).values()))
