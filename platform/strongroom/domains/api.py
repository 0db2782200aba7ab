"""/api/v1/tenant/domains"""

from __future__ import annotations

from typing import Any

from strongroom.access import Role, Scope
from strongroom.domains import service
from strongroom.domains.schemas import DomainPage, DomainSchema, NewDomainSchema, shown_domain
from strongroom.errors import AlreadyExists, DnsUnavailable, DomainNotProven, DomainTaken, TooManyDomains, ValidationFailed
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.pace import limit_dns_lookups
from strongroom.http.permissions import requires

blueprint = Blueprint(
    "domains", __name__, url_prefix="/api/v1/tenant/domains", description="The tenant's own domains, proven by a DNS record."
)


@blueprint.get("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, DomainPage)
def list_domains() -> dict[str, Any]:
    """List the domains by name."""
    found = service.list_domains(runtime(), current_tenant())
    return {"items": [shown_domain(runtime().settings, each) for each in found], "next_cursor": None}


@blueprint.post("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(NewDomainSchema)
@blueprint.response(201, DomainSchema)
@described(fails=(AlreadyExists, DomainTaken, TooManyDomains))
def claim_domain(body: dict[str, str]) -> dict[str, Any]:
    """Claim a domain. It leads nowhere before its DNS record was seen, and does not keep others from claiming it."""
    made = service.claim_domain(runtime(), current_tenant(), current_principal().actor, body["domain"])
    return shown_domain(runtime().settings, made)


@blueprint.get("/<domain>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, DomainSchema)
@described(fails=(ValidationFailed,))
def get_domain(domain: str) -> dict[str, Any]:
    """Get one domain, with the DNS record that proves it."""
    return shown_domain(runtime().settings, service.get_domain(runtime(), current_tenant(), domain))


@blueprint.delete("/<domain>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(204)
@described(fails=(ValidationFailed,))
def remove_domain(domain: str) -> None:
    """Take a domain from the list; it leads nowhere at once."""
    service.remove_domain(runtime(), current_tenant(), current_principal().actor, domain)


@blueprint.post("/<domain>/verify")
@requires(Role.ADMIN, Scope.ADMIN)
@limit_dns_lookups
@blueprint.response(200, DomainSchema)
@described(fails=(ValidationFailed, DomainNotProven, DomainTaken, DnsUnavailable))
def verify_domain(domain: str) -> dict[str, Any]:
    """Look for the DNS record now, at the domain's own name servers. Thirty times a minute at most."""
    found = service.verify_domain(runtime(), current_tenant(), current_principal().actor, domain)
    return shown_domain(runtime().settings, found)
