"""What a tenant, and the operator for it, does with custom domains. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strongroom.domains.checking import look, pause_s
from strongroom.errors import DnsUnavailable, DomainNotProven, DomainTaken, TooManyDomains
from strongroom.events.service import emit
from strongroom.runtime import Runtime
from tenants import domain_names
from tenants import domains as registered
from tenants.domains import Domain, Finding
from tenants.models import Tenant, TenantStatus

Actor = Mapping[str, Any]


def list_domains(runtime: Runtime, tenant: Tenant) -> list[Domain]:
    """Return a tenant's domains by name."""
    with runtime.databases.control() as connection:
        return registered.list_for(connection, tenant.id)


def get_domain(runtime: Runtime, tenant: Tenant, name: str) -> Domain:
    """Return one domain of a tenant.

    Raises:
        NotFound, ValidationFailed
    """
    with runtime.databases.control() as connection:
        return registered.get(connection, tenant.id, domain_names.normalise(name))


def claim_domain(runtime: Runtime, tenant: Tenant, actor: Actor, name: str) -> Domain:
    """Put a domain into a tenant's list. It leads nowhere before it is proven, and claiming keeps nobody else from it.

    Raises:
        ValidationFailed: it can be nobody's own, or is the platform's.
        DomainTaken: another tenant has proven it.
        AlreadyExists, TooManyDomains
    """
    settings = runtime.settings
    domain = domain_names.normalise(name)
    domain_names.check_claimable(domain, own_names=[settings.base_domain, *settings.platform_hosts])
    with runtime.databases.control() as connection:
        if registered.find_owner(connection, domain) not in {None, tenant.id}:
            raise DomainTaken
        if registered.count_for(connection, tenant.id) >= settings.domain_limit:
            raise TooManyDomains(f"A tenant has at most {settings.domain_limit} domains. Remove one that is not used.")
        made = registered.claim(connection, tenant.id, domain)
    _note(runtime, tenant, actor, "domain.claimed", made)
    return made


def verify_domain(runtime: Runtime, tenant: Tenant, actor: Actor, name: str) -> Domain:
    """Look for a domain's proof now; from then on the domain leads to the tenant, in every process.

    Raises:
        NotFound, ValidationFailed
        DomainNotProven: with what was found in its place.
        DomainTaken: another tenant has proven it.
        DnsUnavailable: no name server answered; nothing has changed.
    """
    domain = get_domain(runtime, tenant, name)
    seen = look(runtime, domain)
    was_verified = domain.verified_at is not None
    with runtime.databases.control() as connection:
        if seen.finding == Finding.PROVEN:
            domain = registered.prove(connection, domain, check_in_s=pause_s(runtime.settings, Finding.PROVEN))
        elif not was_verified:  # of one that is, only the regular looks count
            domain = registered.note_finding(connection, domain, seen.finding, check_in_s=0.0)
    if seen.finding == Finding.UNREACHABLE:
        raise DnsUnavailable(seen.detail, retry_after_s=60)
    if seen.finding != Finding.PROVEN:
        raise DomainNotProven(seen.detail, expected={"type": "TXT", "name": domain.proof_name, "value": domain.proof_value})
    runtime.registry.forget()
    if not was_verified:
        _note(runtime, tenant, actor, "domain.verified", domain)
    return domain


def remove_domain(runtime: Runtime, tenant: Tenant, actor: Actor, name: str) -> None:
    """Take a domain from a tenant's list; it leads nowhere at once.

    Raises:
        NotFound, ValidationFailed
    """
    with runtime.databases.control() as connection:
        removed = registered.remove(connection, tenant.id, domain_names.normalise(name))
    runtime.registry.forget()
    _note(runtime, tenant, actor, "domain.removed", removed)


def _note(runtime: Runtime, tenant: Tenant, actor: Actor, kind: str, domain: Domain) -> None:
    if tenant.status not in {TenantStatus.ACTIVE, TenantStatus.SUSPENDED}:
        return  # an operator's doing; its schema may be gone
    with runtime.tenant(tenant) as connection:
        emit(connection, kind, None, {"domain": domain.domain}, actor)
