"""/operator/domains/: all tenants' own domains."""

from __future__ import annotations

from flask import Response, request
from strongroom.domains.schemas import shown_domain
from strongroom.errors import DomainError, NotFound, ValidationFailed
from strongroom.http.context import current_operator, runtime
from strongroom.operating import domains

from admin.notices import say
from admin.operator.frame import OperatorView, acts, shows
from admin.pages import OPERATOR, go
from admin.query import address

HERE = f"{OPERATOR}/domains/"
PAGE = 50


class Domains(OperatorView):
    """The tenants' domains."""

    @shows("/")
    def index(self) -> Response:
        """Show domains by name."""
        search, cursor = request.args.get("q", "").strip(), request.args.get("cursor")
        found, following = domains.list_domains(runtime(), cursor=cursor, limit=PAGE, search=search)
        rows = [{**shown_domain(runtime().settings, each), "tenant": (slug, name)} for slug, name, each in found]
        return self.show(
            "domains.html", domains=rows, q=search or None, base=HERE, previous_url=address(HERE, q=search) if cursor else None,
            next_url=address(HERE, q=search, cursor=following) if following else None,
        )  # fmt: skip

    @acts("/<slug>/<domain>/verify")
    def verify(self, slug: str, domain: str) -> Response:
        """Look for a domain's DNS record."""
        try:
            domains.verify_domain(runtime(), current_operator().email, slug, domain)
        except (NotFound, ValidationFailed):
            raise
        except DomainError as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", f"{domain} leads to {slug}.")

    @acts("/<slug>/<domain>/remove")
    def remove(self, slug: str, domain: str) -> Response:
        """Take a domain from a tenant."""
        domains.remove_domain(runtime(), current_operator().email, slug, domain)
        return say(go(HERE), "good", f"{domain} was taken from {slug}.")
