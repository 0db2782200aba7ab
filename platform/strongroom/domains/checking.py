"""Looking at domains' proofs: now, and regularly, so that a domain that was given up leads to nobody's files.

A proof counts as gone only where name servers say so. Timeouts and their failures say nothing: they neither begin nor
prolong the time after which a domain is let go, nor do they end it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select

from strongroom.config import Settings
from strongroom.errors import DomainTaken, NotFound
from strongroom.events.service import emit
from strongroom.runtime import Runtime
from strongroom.security.txt_records import TxtAnswer
from tenants import domains as registered
from tenants import repository
from tenants.domains import Domain, Finding
from tenants.models import Tenant, TenantStatus

CHECK = "tenant.domains"
MIN_MISSES = 3
SHOWN_TEXTS = 5


@dataclass(frozen=True)
class Seen:
    """What a look found, and the sentence that tells it."""

    finding: Finding
    detail: str


def look(runtime: Runtime, domain: Domain) -> Seen:
    """Ask the domain's own name servers for its proof. Takes at most `dns_timeout_s`, holds no connection."""
    runtime.let_go()
    answer = runtime.txt_lookup.look_up(domain.proof_name, domain.proof_value)
    if answer.failure:
        return Seen(Finding.UNREACHABLE, answer.failure)
    if domain.proof_value in answer.texts:
        return Seen(Finding.PROVEN, "The record is there.")
    return Seen(Finding.ALIAS if answer.is_alias else Finding.MISSING, _explained(domain, answer))


def _explained(domain: Domain, answer: TxtAnswer) -> str:
    if answer.is_alias:
        return f"At {domain.proof_name} there is a CNAME. Aliases are not followed: set the TXT record at that name itself."
    if answer.texts:
        found = ", ".join(f"'{text[:100]}'" for text in sorted(answer.texts)[:SHOWN_TEXTS])
        return f"At {domain.proof_name} there are other TXT records: {found}. Add one with the value shown."
    return f"There is no TXT record at {domain.proof_name}."


def pause_s(settings: Settings, finding: Finding) -> float:
    """Return the time until the next look: sooner where something is amiss, so that the grace time has several."""
    if finding == Finding.PROVEN:
        return float(settings.domain_check_interval_s)
    if finding == Finding.UNREACHABLE:
        return settings.domain_check_interval_s / 6
    return min(float(settings.domain_check_interval_s), settings.domain_grace_s / (MIN_MISSES + 1))


def lapses_at(settings: Settings, domain: Domain) -> datetime | None:
    """Return when a domain whose proof is gone is let go, at the first look from then on; None when it is there."""
    return domain.missing_since + timedelta(seconds=settings.domain_grace_s) if domain.missing_since else None


def recheck(runtime: Runtime, tenant_id: UUID) -> None:
    """Look again at those of a tenant's proven domains that are due, whatever the tenant's status. Idempotent."""
    with runtime.databases.control() as connection:
        try:
            tenant = repository.get_tenant(connection, tenant_id)
        except NotFound:
            return
        found = registered.due(connection, tenant_id)
    for domain in found:
        seen = look(runtime, domain)
        try:
            _write_down(runtime, tenant, domain, seen.finding)
        except (NotFound, DomainTaken):
            continue  # removed meanwhile


def _write_down(runtime: Runtime, tenant: Tenant, domain: Domain, finding: Finding) -> None:
    """Note what was seen and tell it in the tenant's feed: the event first, so that none is lost to a crash."""
    settings = runtime.settings
    with runtime.databases.control() as connection:
        if finding == Finding.PROVEN:
            noted = registered.prove(connection, domain, check_in_s=pause_s(settings, finding))
            kind = "domain.recovered" if domain.missing_since else None
        else:
            noted = registered.note_finding(connection, domain, finding, check_in_s=pause_s(settings, finding))
            kind = "domain.missing" if noted.missing_since and not domain.missing_since else None
            ends, now = lapses_at(settings, noted), connection.execute(select(func.now())).scalar_one()
            if finding != Finding.UNREACHABLE and ends and noted.misses >= MIN_MISSES and ends <= now:
                noted, kind = registered.lapse(connection, noted), "domain.lapsed"
        if kind:
            _tell(runtime, tenant, kind, noted)
    if kind == "domain.lapsed":
        runtime.registry.forget()


def _tell(runtime: Runtime, tenant: Tenant, kind: str, domain: Domain) -> None:
    if tenant.status not in {TenantStatus.ACTIVE, TenantStatus.SUSPENDED}:
        return  # its schema may be gone
    ends = lapses_at(runtime.settings, domain)
    data = {"domain": domain.domain, **({"lapses_at": ends.isoformat()} if ends and kind == "domain.missing" else {})}
    with runtime.tenant(tenant) as connection:
        emit(connection, kind, None, data)


def enqueue_due(runtime: Runtime) -> None:
    """Queue a job for each tenant of which a domain is to be looked at again; forget claims that came to nothing."""
    with runtime.databases.control() as connection:
        registered.forget_old(connection, runtime.settings.domain_claim_lifetime_s)
        due = registered.tenants_due(connection)
    for cell in {cell for _, cell in due} & set(runtime.ready_cells()):
        with runtime.databases.cell(cell) as connection:
            registered.enqueue_checks(connection, CHECK, [tenant_id for tenant_id, at in due if at == cell])
