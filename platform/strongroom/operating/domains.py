"""What an operator does with tenants' domains, written down. The proof is asked of an operator, too. Knows no HTTP."""

from __future__ import annotations

from uuid import UUID

from strongroom.auth import operators
from strongroom.domains import service
from strongroom.errors import InvalidCursor
from strongroom.operating.service import find_tenant
from strongroom.runtime import Runtime
from tenants import domains as registered
from tenants.domains import Domain, DomainStatus
from tenants.models import Tenant

ACTOR = {"system": "operator"}


def list_domains(
    runtime: Runtime, *, cursor: str | None = None, limit: int, search: str = "", status: str | None = None
) -> tuple[list[tuple[str, str, Domain]], str | None]:
    """Return all tenants' domains by name, each with its tenant's slug and name, and the next page's cursor.

    Raises:
        InvalidCursor
    """
    wanted = DomainStatus(status) if status else None
    with runtime.databases.control() as connection:
        found = registered.list_all(connection, after=_position(cursor), limit=limit + 1, search=search, status=wanted)
    last = found[limit - 1][2] if len(found) > limit else None
    return found[:limit], f"{last.domain},{last.tenant_id}" if last else None


def _position(cursor: str | None) -> tuple[str, UUID] | None:
    if not cursor:
        return None
    domain, _, tenant_id = cursor.rpartition(",")
    try:
        return domain, UUID(tenant_id)
    except ValueError:
        raise InvalidCursor from None


def list_domains_of(runtime: Runtime, slug: str) -> list[Domain]:
    """Return a tenant's domains by name.

    Raises:
        NotFound
    """
    return service.list_domains(runtime, find_tenant(runtime, slug))


def claim_domain(runtime: Runtime, operator: str, slug: str, name: str) -> Domain:
    """Put a domain into a tenant's list; see `domains.service.claim_domain`."""
    tenant = find_tenant(runtime, slug)
    made = service.claim_domain(runtime, tenant, ACTOR, name)
    _record(runtime, operator, "domain.claim", tenant, made.domain)
    return made


def verify_domain(runtime: Runtime, operator: str, slug: str, name: str) -> Domain:
    """Look for a domain's proof; see `domains.service.verify_domain`."""
    tenant = find_tenant(runtime, slug)
    found = service.verify_domain(runtime, tenant, ACTOR, name)
    _record(runtime, operator, "domain.verify", tenant, found.domain)
    return found


def remove_domain(runtime: Runtime, operator: str, slug: str, name: str) -> None:
    """Take a domain from a tenant's list; others can have it at once.

    Raises:
        NotFound, ValidationFailed
    """
    tenant = find_tenant(runtime, slug)
    service.remove_domain(runtime, tenant, ACTOR, name)
    _record(runtime, operator, "domain.remove", tenant, name)


def _record(runtime: Runtime, operator: str, action: str, tenant: Tenant, domain: str) -> None:
    operators.record(runtime.databases, operator, action, tenant.slug, {"tenant_id": str(tenant.id), "domain": domain})
