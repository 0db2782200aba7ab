"""SQL of custom domains: claimed by any number of tenants, proven by one, looked at again, let go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement
from strongroom.errors import AlreadyExists, DomainTaken, NotFound

from tenants.domain_names import PROOF_LABEL
from tenants.models import TenantStatus
from tenants.tables import domains, tenants

PROOF_PREFIX = "strongroom-verify="


class DomainStatus(StrEnum):
    """Where a domain is in its life."""

    PENDING = "pending"
    VERIFIED = "verified"
    LAPSED = "lapsed"


class Finding(StrEnum):
    """What the last look at a domain's proof found. `alias`: a CNAME stands where the record should; `unreachable` says nothing."""

    NONE = ""
    PROVEN = "proven"
    MISSING = "missing"
    ALIAS = "alias"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Domain:
    """A tenant's claim on a domain. `missing_since`: since when the proof of a verified one has been gone."""

    domain: str
    tenant_id: UUID
    token: str
    created_at: datetime
    verified_at: datetime | None
    lapsed_at: datetime | None
    checked_at: datetime | None
    finding: Finding
    missing_since: datetime | None
    misses: int

    @property
    def status(self) -> DomainStatus:
        """Where it is in its life."""
        if self.verified_at is not None:
            return DomainStatus.VERIFIED
        return DomainStatus.LAPSED if self.lapsed_at is not None else DomainStatus.PENDING

    @property
    def proof_name(self) -> str:
        """The name at which the proof's TXT record is to be set."""
        return f"{PROOF_LABEL}.{self.domain}"

    @property
    def proof_value(self) -> str:
        """The text of that record."""
        return PROOF_PREFIX + self.token


_COLUMNS = [domains.c[name] for name in Domain.__dataclass_fields__]


def _to_domain(row: Row[Any]) -> Domain:
    return Domain(**{**row._mapping, "finding": Finding(row.finding)})


def _is(tenant_id: UUID, domain: str) -> ColumnElement[bool]:
    return (domains.c.tenant_id == tenant_id) & (domains.c.domain == domain)


def find_owner(connection: Connection, domain: str) -> UUID | None:
    """Return the tenant that has proven a domain."""
    return connection.execute(select(domains.c.tenant_id).where(domains.c.domain == domain, domains.c.verified_at.is_not(None))).scalar()


def claim(connection: Connection, tenant_id: UUID, domain: str) -> Domain:
    """Add a tenant's claim, with a new token.

    Raises:
        AlreadyExists: the tenant has claimed it before.
    """
    try:
        with connection.begin_nested():
            query = insert(domains).values(domain=domain, tenant_id=tenant_id)
            return _to_domain(connection.execute(query.returning(*_COLUMNS)).one())
    except IntegrityError:
        raise AlreadyExists("This domain is in your list already.") from None


def count_for(connection: Connection, tenant_id: UUID) -> int:
    """Return how many domains a tenant has in its list; callers until the transaction's end come one after the other."""
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id).with_for_update())
    return connection.execute(select(func.count()).where(domains.c.tenant_id == tenant_id)).scalar_one()


def get(connection: Connection, tenant_id: UUID, domain: str) -> Domain:
    """Return a domain of a tenant's list.

    Raises:
        NotFound
    """
    row = connection.execute(select(*_COLUMNS).where(_is(tenant_id, domain))).first()
    if row is None:
        raise NotFound("There is no such domain.")
    return _to_domain(row)


def list_for(connection: Connection, tenant_id: UUID) -> list[Domain]:
    """Return a tenant's domains by name."""
    query = select(*_COLUMNS).where(domains.c.tenant_id == tenant_id).order_by(domains.c.domain)
    return [_to_domain(row) for row in connection.execute(query)]


def list_all(
    connection: Connection, *, after: tuple[str, UUID] | None, limit: int, search: str = "", status: DomainStatus | None = None
) -> list[tuple[str, str, Domain]]:
    """Return all tenants' domains by name, each with its tenant's slug and name."""
    query = select(tenants.c.slug, tenants.c.name, *_COLUMNS).join(tenants, tenants.c.id == domains.c.tenant_id)
    if after is not None:
        query = query.where((domains.c.domain > after[0]) | ((domains.c.domain == after[0]) & (domains.c.tenant_id > after[1])))
    if search:
        query = query.where(or_(domains.c.domain.icontains(search, autoescape=True), tenants.c.slug.icontains(search, autoescape=True)))
    if status is not None:
        query = query.where(_has_status(status))
    rows = connection.execute(query.order_by(domains.c.domain, domains.c.tenant_id).limit(limit))
    return [(row.slug, row.name, Domain(**{**_part(row), "finding": Finding(row.finding)})) for row in rows]


def _part(row: Row[Any]) -> dict[str, Any]:
    return {name: row._mapping[name] for name in Domain.__dataclass_fields__}


def _has_status(status: DomainStatus) -> ColumnElement[bool]:
    if status == DomainStatus.VERIFIED:
        return domains.c.verified_at.is_not(None)
    lapsed = domains.c.lapsed_at.is_not(None)
    return domains.c.verified_at.is_(None) & (lapsed if status == DomainStatus.LAPSED else ~lapsed)


def prove(connection: Connection, domain: Domain, *, check_in_s: float) -> Domain:
    """Give a domain to the tenant whose proof was found, unless another one has it.

    Raises:
        DomainTaken: another tenant was first.
        NotFound: the claim is gone meanwhile.
    """
    values = {
        "verified_at": func.coalesce(domains.c.verified_at, func.now()), "lapsed_at": None, "missing_since": None, "misses": 0,
        **_looked(Finding.PROVEN, check_in_s),
    }  # fmt: skip
    try:
        with connection.begin_nested():
            return _changed(connection, domain, values)
    except IntegrityError:
        raise DomainTaken from None


def note_finding(connection: Connection, domain: Domain, finding: Finding, *, check_in_s: float) -> Domain:
    """Write down a look that found no proof, or nothing at all. Only of a verified domain are misses counted.

    Raises:
        NotFound: the claim is gone meanwhile.
    """
    values = _looked(finding, check_in_s)
    if finding in {Finding.MISSING, Finding.ALIAS} and domain.status == DomainStatus.VERIFIED:
        values |= {"missing_since": func.coalesce(domains.c.missing_since, func.now()), "misses": domains.c.misses + 1}
    return _changed(connection, domain, values)


def lapse(connection: Connection, domain: Domain) -> Domain:
    """Let go of a domain whose proof is gone: from now on it leads nowhere.

    Raises:
        NotFound
    """
    return _changed(connection, domain, {"verified_at": None, "lapsed_at": func.now(), "missing_since": None, "misses": 0})


def _looked(finding: Finding, check_in_s: float) -> dict[str, Any]:
    due = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, check_in_s)
    return {"finding": finding, "checked_at": func.now(), "check_at": due}


def _changed(connection: Connection, domain: Domain, values: dict[str, Any]) -> Domain:
    """Change the very claim that was looked at: one that was removed and made again has another token."""
    query = update(domains).where(_is(domain.tenant_id, domain.domain), domains.c.token == domain.token).values(**values)
    row = connection.execute(query.returning(*_COLUMNS)).first()
    if row is None:
        raise NotFound("There is no such domain.")
    return _to_domain(row)


def remove(connection: Connection, tenant_id: UUID, domain: str) -> Domain:
    """Take a domain from a tenant's list.

    Raises:
        NotFound
    """
    row = connection.execute(delete(domains).where(_is(tenant_id, domain)).returning(*_COLUMNS)).first()
    if row is None:
        raise NotFound("There is no such domain.")
    return _to_domain(row)


def due(connection: Connection, tenant_id: UUID) -> list[Domain]:
    """Return a tenant's verified domains that are to be looked at again."""
    is_due = domains.c.verified_at.is_not(None) & (domains.c.check_at <= func.now())
    return [_to_domain(row) for row in connection.execute(select(*_COLUMNS).where(domains.c.tenant_id == tenant_id, is_due))]


def tenants_due(connection: Connection) -> list[tuple[UUID, str]]:
    """Return id and cell of the living tenants of which a domain is to be looked at again."""
    query = select(tenants.c.id, tenants.c.cell).distinct().join(domains, domains.c.tenant_id == tenants.c.id)
    is_due = domains.c.verified_at.is_not(None) & (domains.c.check_at <= func.now())
    return [(row.id, row.cell) for row in connection.execute(query.where(is_due, tenants.c.status != TenantStatus.DELETED))]


def forget_old(connection: Connection, lifetime_s: float) -> int:
    """Forget claims that nobody proved, and domains that lapsed, so long ago; return how many."""
    old = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, lifetime_s)
    ended = func.coalesce(domains.c.lapsed_at, domains.c.created_at) < old
    return connection.execute(delete(domains).where(domains.c.verified_at.is_(None), ended)).rowcount


_ENQUEUE = text("""
INSERT INTO strongroom.jobs (tenant_id, realm, kind, dedupe_key, run_at)
SELECT t.tenant, 'platform', :kind, 'due', now() + random() * interval '1 minute' FROM unnest(CAST(:ids AS uuid[])) AS t(tenant)
ON CONFLICT DO NOTHING
""")


def enqueue_checks(connection: Connection, kind: str, tenant_ids: Iterable[UUID]) -> None:
    """Queue, in a cell's transaction, one look at the due domains of each tenant, unless one waits already."""
    connection.execute(_ENQUEUE, {"kind": kind, "ids": list(tenant_ids)})
