"""/console/branding/: the tenant's name, colours and logo."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from strongroom.access import Role
from strongroom.errors import DomainError
from strongroom.http.context import bind_tenant, current_principal, current_tenant, runtime
from strongroom.tenant_settings import service as settings

from admin.brand import brand_of
from admin.console.frame import ConsoleView, acts, shows
from admin.forms import errors_of, field, ticked
from admin.notices import say
from admin.pages import CONSOLE, go
from tenants import branding, service
from tenants.branding import MAX_LOGO_BYTES
from tenants.models import Tenant

HERE = f"{CONSOLE}/branding/"


class Branding(ConsoleView):
    """The tenant's looks."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show name, colours and logo, as they are now rather than as they were a moment ago."""
        runtime().registry.forget()
        tenant = runtime().registry.by_slug(current_tenant().slug)
        bind_tenant(tenant)
        brand = current_tenant().brand
        return self._form(current_tenant(), {"name": brand.name, "primary": brand.primary, "accent": brand.accent})

    @acts("/", role=Role.ADMIN)
    def update(self) -> Response:
        """Change name, colours and logo: all of it, or nothing when a part is wrong."""
        typed = {name: field(name) for name in ("name", "primary", "accent")}
        try:
            branding.check_brand(typed)
            _set_logo()
            settings.update_settings(runtime(), current_tenant(), current_principal().actor, {"brand": typed})
        except DomainError as error:
            return self._form(current_tenant(), typed, errors_of(error, otherwise="name"), error.status)
        runtime().registry.forget()
        return say(go(HERE), "good", "The branding was saved.")

    def _form(self, tenant: Tenant, values: dict[str, Any], errors: dict[str, str] | None = None, status: int = 200) -> Response:
        return self.show("branding.html", status, values=values, errors=errors or {}, logo_url=brand_of(tenant)["logo_url"])


def _set_logo() -> None:
    picture = request.files.get("logo")
    if picture is not None and picture.filename:
        service.set_logo(runtime().databases, current_tenant().id, picture.stream.read(MAX_LOGO_BYTES + 1))
    elif ticked("remove_logo"):
        service.set_logo(runtime().databases, current_tenant().id, None)
