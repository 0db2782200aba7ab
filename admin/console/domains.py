"""/console/domains/: the tenant's own domains, with the DNS record that proves each."""

from __future__ import annotations

from flask import Response
from strongroom.access import Role
from strongroom.domains import service
from strongroom.domains.schemas import NewDomainSchema, shown_domain
from strongroom.errors import DomainError, NotFound, ValidationFailed
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.pace import limit_dns_lookups

from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.pages import CONSOLE, go

HERE = f"{CONSOLE}/domains/"


class Domains(ConsoleView):
    """The tenant's own domains."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show the domains."""
        return self._page({}, {})

    @acts("/", role=Role.ADMIN)
    def claim(self) -> Response:
        """Put a domain into the list."""
        typed = {"domain": field("domain")}
        try:
            name = checked(NewDomainSchema(), typed)["domain"]
            made = service.claim_domain(runtime(), current_tenant(), current_principal().actor, name)
        except DomainError as error:
            return self._page(typed, errors_of(error, otherwise="domain"), error.status)
        return say(go(HERE), "good", f"{made.domain} is in your list. Have its DNS record set, then let us look for it.")

    @acts("/<domain>/verify", role=Role.ADMIN)
    @limit_dns_lookups
    def verify(self, domain: str) -> Response:
        """Look for a domain's DNS record."""
        try:
            found = service.verify_domain(runtime(), current_tenant(), current_principal().actor, domain)
        except (NotFound, ValidationFailed):
            raise
        except DomainError as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", f"{found.domain} leads here now.")

    @acts("/<domain>/remove", role=Role.ADMIN)
    def remove(self, domain: str) -> Response:
        """Take a domain from the list."""
        service.remove_domain(runtime(), current_tenant(), current_principal().actor, domain)
        return say(go(HERE), "good", f"{domain} was removed. It leads here no longer.")

    def _page(self, values: dict[str, str], errors: dict[str, str], status: int = 200) -> Response:
        settings, found = runtime().settings, service.list_domains(runtime(), current_tenant())
        given = settings.tenant_url(current_tenant().slug).partition("://")[2]
        rows = [shown_domain(settings, each) for each in found]
        return self.show("domains.html", status, domains=rows, given=given, base=HERE, values=values, errors=errors)
