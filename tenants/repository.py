"""SQL of the registry: tenants, plans, providers, domains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from strongroom.errors import AlreadyExists, NotFound, PlanInUse

from tenants.models import (
    DEFAULT_PRIMARY,
    LIMIT_NAMES,
    STANDARD,
    Brand,
    Host,
    Limits,
    Plan,
    ProviderInfo,
    ScanPolicy,
    SessionLengths,
    SignUpPolicy,
    SingleSignOn,
    Tenant,
    TenantSettings,
    TenantStatus,
)
from tenants.tables import domains, plans, providers, tenant_providers, tenants

STAND_INS = "%--%"
"""Slugs that no customer's tenant can have (`check_slug`): of tenants that the probe of the walls makes and removes again."""
_PLAN_COLUMNS = [plans.c[name] for name in LIMIT_NAMES]
_TENANT_COLUMNS = [
    tenants.c[name]
    for name in (
        "id", "slug", "name", "status", "cell", "provider_id", "prefix", "plan", "limits", "brand", "schema_revision",
        "created_at", "logo_type",
        "logo_digest", "former_slugs", "settings", "writes_paused",
    )
]  # fmt: skip


def _tenant_query() -> Select[Any]:
    return select(*_TENANT_COLUMNS, *_PLAN_COLUMNS).join(plans, plans.c.name == tenants.c.plan)


# Made once: every process asks them all the time, and making a statement costs more than running it.
_BY_ID = _tenant_query().where(tenants.c.id == bindparam("tenant_id"))
_BY_ID_LOCKED = _BY_ID.with_for_update(of=tenants)
_BY_SLUG = _tenant_query().where(tenants.c.slug == bindparam("slug"), tenants.c.status != TenantStatus.DELETED)
_BY_DOMAIN = (
    _tenant_query()
    .join(domains, domains.c.tenant_id == tenants.c.id)
    .where(domains.c.domain == bindparam("domain"), domains.c.verified_at.is_not(None), tenants.c.status != TenantStatus.DELETED)
)


def to_tenant(row: Row[Any]) -> Tenant:
    """Make a tenant of a row of `_tenant_query`."""
    overrides = {name: int(value) for name, value in row.limits.items() if name in LIMIT_NAMES}
    limits = Limits(**{name: overrides.get(name, int(getattr(row, name))) for name in LIMIT_NAMES})
    primary = row.brand.get("primary", DEFAULT_PRIMARY)
    brand = Brand(
        name=row.brand.get("name") or row.name,
        primary=primary,
        accent=row.brand.get("accent", primary),
        has_logo=row.logo_type is not None,
        logo_version=(row.logo_digest or "")[:16],
    )
    return Tenant(
        id=row.id, slug=row.slug, name=row.name, status=TenantStatus(row.status), cell=row.cell,
        provider_id=row.provider_id, prefix=row.prefix, plan=row.plan, limits=limits, brand=brand,
        schema_revision=row.schema_revision, created_at=row.created_at, overrides=overrides,
        former_slugs=frozenset(row.former_slugs), settings=to_settings(row.settings), writes_paused=row.writes_paused,
    )  # fmt: skip


def to_settings(stored: dict[str, Any]) -> TenantSettings:
    """Make a tenant's settings of what is stored of them; what this version does not know of is passed over."""

    def known(kind: type[Any], part: str) -> Any:
        return kind(**{name: value for name, value in stored.get(part, {}).items() if name in kind.__dataclass_fields__})

    hosts = tuple(Host.read(host_id, host) for host_id, host in sorted(stored.get("hosts", {}).items()))
    return TenantSettings(
        stored.get("bucket_defaults", {}), known(ScanPolicy, "scanning"), known(SessionLengths, "sessions"),
        sign_up=known(SignUpPolicy, "sign_up"), sso=known(SingleSignOn, "sso"), hosts=hosts,
    )  # fmt: skip


def get_tenant(connection: Connection, tenant_id: UUID, *, lock: bool = False) -> Tenant:
    """Return a tenant by id, whatever its status; with `lock` its row is ours until the transaction ends.

    Raises:
        NotFound
    """
    row = connection.execute(_BY_ID_LOCKED if lock else _BY_ID, {"tenant_id": tenant_id}).first()
    if row is None:
        raise NotFound(f"There is no tenant {tenant_id}.")
    return to_tenant(row)


def find_by_slug(connection: Connection, slug: str) -> Tenant | None:
    """Return the living tenant of that slug, compared exactly."""
    row = connection.execute(_BY_SLUG, {"slug": slug}).first()
    return to_tenant(row) if row else None


def find_by_domain(connection: Connection, domain: str) -> Tenant | None:
    """Return the living tenant whose proven domain it is, compared exactly."""
    row = connection.execute(_BY_DOMAIN, {"domain": domain}).first()
    return to_tenant(row) if row else None


def list_tenants(
    connection: Connection, *, after: str = "", limit: int | None = None, search: str = "", status: str | None = None
) -> Sequence[Tenant]:
    """Return the living tenants by slug, or only those of one status; no stand-ins."""
    living = (tenants.c.status != TenantStatus.DELETED) & tenants.c.slug.not_like(STAND_INS)
    query = _tenant_query().where(living, tenants.c.slug > after).order_by(tenants.c.slug)
    if status is not None:
        query = query.where(tenants.c.status == status)
    if search:
        query = query.where(tenants.c.slug.icontains(search, autoescape=True) | tenants.c.name.icontains(search, autoescape=True))
    return [to_tenant(row) for row in connection.execute(query.limit(limit))]


def untouched(connection: Connection, status: TenantStatus, seconds: float) -> list[Tenant]:
    """Return the tenants of a status that nobody has changed for so long."""
    before = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    rows = connection.execute(_tenant_query().where(tenants.c.status == status, tenants.c.updated_at < before))
    return [to_tenant(row) for row in rows]


def stand_ins(connection: Connection, seconds: float) -> list[Tenant]:
    """Return the tenants made for a probe that nobody has changed for so long."""
    before = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    query = _tenant_query().where(tenants.c.slug.like(STAND_INS), tenants.c.updated_at < before)
    return [to_tenant(row) for row in connection.execute(query)]


def count_tenants(connection: Connection) -> dict[str, int]:
    """Return the number of living tenants by status."""
    living = (tenants.c.status != TenantStatus.DELETED) & tenants.c.slug.not_like(STAND_INS)
    query = select(tenants.c.status, func.count()).where(living).group_by(tenants.c.status)
    return {row[0]: row[1] for row in connection.execute(query)}


def tenant_names(connection: Connection, tenant_ids: Iterable[UUID]) -> dict[UUID, tuple[str, str]]:
    """Return slug and name of those of the tenants that still live."""
    query = select(tenants.c.id, tenants.c.slug, tenants.c.name)
    rows = connection.execute(query.where(tenants.c.id.in_(list(tenant_ids)), tenants.c.status != TenantStatus.DELETED))
    return {row.id: (row.slug, row.name) for row in rows}


def insert_tenant(connection: Connection, **values: Any) -> None:
    """Add a tenant's row, and note where its bytes will lie."""
    connection.execute(insert(tenants).values(**values))
    connection.execute(insert(tenant_providers).values(tenant_id=values["id"], provider_id=values["provider_id"]))


def provider_ids(connection: Connection, tenant_id: UUID) -> list[UUID]:
    """Return every provider at which bytes of a tenant may lie, the oldest first."""
    query = select(tenant_providers.c.provider_id).where(tenant_providers.c.tenant_id == tenant_id)
    return list(connection.execute(query.order_by(tenant_providers.c.created_at)).scalars())


def update_tenant(connection: Connection, tenant_id: UUID, **values: Any) -> None:
    """Change columns of a tenant's row."""
    connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(**values, updated_at=func.now()))


def get_logo(connection: Connection, tenant_id: UUID) -> tuple[bytes, str] | None:
    """Return a tenant's logo and its media type."""
    row = connection.execute(select(tenants.c.logo, tenants.c.logo_type).where(tenants.c.id == tenant_id)).first()
    return (row.logo, row.logo_type) if row and row.logo is not None else None


def delete_domains(connection: Connection, tenant_id: UUID) -> None:
    """Let go of a tenant's domains."""
    connection.execute(delete(domains).where(domains.c.tenant_id == tenant_id))


def _plan_query() -> Select[Any]:
    living = select(func.count()).where(tenants.c.plan == plans.c.name, tenants.c.status != TenantStatus.DELETED).scalar_subquery()
    return select(plans.c.name, *_PLAN_COLUMNS, living.label("tenants"))


def _to_plan(row: Row[Any]) -> Plan:
    return Plan(row.name, Limits(**{name: int(getattr(row, name)) for name in LIMIT_NAMES}), row.tenants)


def list_plans(connection: Connection) -> list[Plan]:
    """Return all plans by name."""
    return [_to_plan(row) for row in connection.execute(_plan_query().order_by(plans.c.name))]


def get_plan(connection: Connection, name: str) -> Plan:
    """Return a plan by name.

    Raises:
        NotFound
    """
    row = connection.execute(_plan_query().where(plans.c.name == name)).first()
    if row is None:
        raise NotFound(f"There is no plan '{name}'.")
    return _to_plan(row)


def insert_plan(connection: Connection, name: str, limits: Mapping[str, int]) -> None:
    """Add a plan.

    Raises:
        AlreadyExists
    """
    try:
        connection.execute(insert(plans).values(name=name, **_stored(limits)))
    except IntegrityError:
        raise AlreadyExists(f"There is a plan '{name}' already.") from None


def update_plan(connection: Connection, name: str, limits: Mapping[str, int]) -> None:
    """Change limits of a plan."""
    connection.execute(update(plans).where(plans.c.name == name).values(**_stored(limits)))


def delete_plan(connection: Connection, name: str) -> None:
    """Forget a plan; deleted tenants that had it keep no name of it but the standard's.

    Raises:
        PlanInUse: a tenant has it, or got it this moment.
    """
    gone = (tenants.c.plan == name) & (tenants.c.status == TenantStatus.DELETED)
    try:
        connection.execute(update(tenants).where(gone).values(plan=STANDARD))
        connection.execute(delete(plans).where(plans.c.name == name))
    except IntegrityError:
        raise PlanInUse(f"The plan '{name}' has tenants.") from None


def _stored(limits: Mapping[str, int]) -> dict[str, Any]:
    return {name: bool(value) if name == "own_providers" else value for name, value in limits.items()}


def tenants_of_plan(connection: Connection, name: str) -> list[tuple[UUID, str]]:
    """Return id and cell of the living tenants that have a plan."""
    rows = connection.execute(select(tenants.c.id, tenants.c.cell).where(tenants.c.plan == name, tenants.c.status != TenantStatus.DELETED))
    return [(row.id, row.cell) for row in rows]


def plan_names(connection: Connection) -> list[str]:
    """Return the names of all plans."""
    return list(connection.execute(select(plans.c.name).order_by(plans.c.name)).scalars())


def to_provider(row: Row[Any]) -> ProviderInfo:
    """Make a provider of a whole row."""
    return ProviderInfo(
        row.id, row.name, row.kind, row.config, row.is_default, row.created_at, row.tenant_id, row.secrets, row.offered_as_host
    )  # fmt: skip


def list_providers(connection: Connection) -> list[ProviderInfo]:
    """Return the operator's providers by name."""
    query = select(providers).where(providers.c.tenant_id.is_(None)).order_by(providers.c.name)
    return [to_provider(row) for row in connection.execute(query)]


def provider_names(connection: Connection) -> dict[UUID, str]:
    """Return the names of all providers; those that tenants brought are marked."""
    rows = connection.execute(select(providers.c.id, providers.c.name, providers.c.tenant_id))
    return {row.id: row.name if row.tenant_id is None else f"{row.name} (its own)" for row in rows}


def get_provider(connection: Connection, *, provider_id: UUID | None = None, name: str | None = None) -> ProviderInfo:
    """Return one provider by id or name, or the default one when neither is given.

    Raises:
        NotFound
    """
    query = select(providers)
    if provider_id is not None:
        query = query.where(providers.c.id == provider_id)
    elif name is not None:
        query = query.where(providers.c.name == name, providers.c.tenant_id.is_(None))
    else:
        query = query.where(providers.c.is_default)
    row = connection.execute(query).first()
    if row is None:
        wanted = f"provider '{name}'" if name else "default provider"
        raise NotFound(f"There is no {wanted}. See 'strongroom provider list', add one with 'strongroom provider add'.")
    return to_provider(row)


def insert_provider(connection: Connection, **values: Any) -> None:
    """Add a provider's row."""
    if values.get("is_default"):
        connection.execute(update(providers).values(is_default=False))
    connection.execute(insert(providers).values(**values))


def set_default_provider(connection: Connection, name: str) -> None:
    """Make a provider the one for new tenants."""
    connection.execute(update(providers).where(providers.c.is_default, providers.c.name != name).values(is_default=False))
    connection.execute(update(providers).where(providers.c.name == name, providers.c.tenant_id.is_(None)).values(is_default=True))
