"""Tenants made and removed; their limits and brand. And the operator's providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from strongroom.db.engines import Databases
from strongroom.db.ids import new_id
from strongroom.errors import AlreadyExists, ValidationFailed
from strongroom.security.keys import KeyRing
from strongroom.storage.keys import tenant_prefix
from strongroom.storage.providers import make_provider

from tenants import branding, placement, repository, settings, tenant_secrets
from tenants.models import ProviderInfo, Tenant, TenantStatus, check_slug, wrong_limits
from tenants.provider_secrets import seal_secrets
from tenants.provisioning import provision

ABANDONED_AFTER_S = 3600.0
SYSTEM = {"system": "platform"}


def create_tenant(
    databases: Databases, *, slug: str, name: str = "", provider: str | None = None,
    plan: str = "standard", limits: Mapping[str, int] | None = None, before_active: Callable[[Tenant], None] | None = None,
) -> Tenant:  # fmt: skip
    """Make a tenant: its row in the registry, its role and schema in its cell, what `before_active` adds; then call it active.

    The steps are separate transactions when the cell is another database; what a crash leaves is a row in status
    `provisioning`, which the same call with the same slug takes up again.

    Raises:
        AlreadyExists: the slug is taken.
        ValidationFailed, NotFound (no such provider or plan)
    """
    check_slug(slug)
    with databases.control() as alone:  # of several callers with one slug, one after the other
        alone.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:slug, 1))"), {"slug": slug})
        tenant = _reserve(databases, slug, name or slug.capitalize(), provider, plan, dict(limits or {}))
        revision = _provision(databases, tenant)
        if before_active is not None:
            before_active(tenant)
        repository.update_tenant(alone, tenant.id, status=TenantStatus.ACTIVE, schema_revision=revision)
        return repository.get_tenant(alone, tenant.id)


def begin_import(
    databases: Databases, *, slug: str, name: str, provider: str | None, plan: str, limits: Mapping[str, int] | None
) -> Tenant:  # fmt: skip
    """Make the row, role and schema of a tenant that is to be filled from an archive; nobody reaches it before that is done.

    Raises:
        AlreadyExists, ValidationFailed, NotFound (no such provider or plan)
    """
    check_slug(slug)
    tenant = _reserve(databases, slug, name, provider, plan, dict(limits or {}), TenantStatus.IMPORTING)
    revision = _provision(databases, tenant)
    with databases.control() as connection:
        repository.update_tenant(connection, tenant.id, schema_revision=revision)
        return repository.get_tenant(connection, tenant.id)


def touch(databases: Databases, tenant_id: UUID) -> None:
    """Tell that somebody still works on a tenant that is not ready."""
    with databases.control() as connection:
        repository.update_tenant(connection, tenant_id)


def abandoned_imports(databases: Databases) -> list[Tenant]:
    """Return the tenants on whose import nobody works any more."""
    with databases.control() as connection:
        return repository.untouched(connection, TenantStatus.IMPORTING, ABANDONED_AFTER_S)


def _provision(databases: Databases, tenant: Tenant) -> str:
    """Make role and schema in one transaction unless they are there; return the schema's revision."""
    with databases.cell(tenant.cell) as connection:
        exists = connection.execute(text("SELECT to_regnamespace(:name) IS NOT NULL"), {"name": tenant.ref.role}).scalar_one()
        if not exists:
            return provision(connection, tenant.ref)
        return str(connection.execute(text("SELECT revision FROM strongroom.tenant_script")).scalar_one())


def _reserve(
    databases: Databases, slug: str, name: str, provider: str | None, plan: str, limits: dict[str, int],
    status: TenantStatus = TenantStatus.PROVISIONING,
) -> Tenant:  # fmt: skip
    _check_limits(limits)
    tenant_id = new_id()
    try:
        with databases.control() as connection:
            existing = repository.find_by_slug(connection, slug)
            if existing is not None and existing.status == status == TenantStatus.PROVISIONING:
                return existing
            chosen = repository.get_provider(connection, name=provider)
            if plan not in repository.plan_names(connection):
                raise ValidationFailed(f"There is no plan '{plan}'.", errors={"plan": ["There is no such plan."]})
            repository.insert_tenant(
                connection, id=tenant_id, slug=slug, name=name, status=status,
                cell=_choose_cell(connection, databases), provider_id=chosen.id, prefix=tenant_prefix(tenant_id), plan=plan,
                limits=limits, brand={},
            )  # fmt: skip
            return repository.get_tenant(connection, tenant_id)
    except IntegrityError:
        raise AlreadyExists(f"There is a tenant '{slug}' already.") from None


def _choose_cell(connection: Connection, databases: Databases) -> str:
    return placement.roomiest(databases.cell_names, placement.rooms(connection))


def _check_limits(limits: Mapping[str, int]) -> None:
    if wrong := wrong_limits(limits):
        raise ValidationFailed(errors=wrong)


def set_limits(databases: Databases, tenant_id: UUID, *, plan: str | None = None, limits: Mapping[str, int] | None = None) -> Tenant:
    """Give a tenant another plan, or limits of its own over the plan's."""
    _check_limits(limits or {})
    with databases.control() as connection:
        values: dict[str, Any] = {}
        if plan is not None:
            if plan not in repository.plan_names(connection):
                raise ValidationFailed(f"There is no plan '{plan}'.", errors={"plan": ["There is no such plan."]})
            values["plan"] = plan
        if limits is not None:
            values["limits"] = dict(limits)
        if values:
            repository.update_tenant(connection, tenant_id, **values)
        return repository.get_tenant(connection, tenant_id)


def drop_schema(databases: Databases, tenant: Tenant) -> None:
    """Remove a tenant's role and schema from its cell. Idempotent."""
    with databases.cell(tenant.cell) as connection:
        connection.execute(text("SELECT strongroom.drop_tenant(:id)"), {"id": tenant.id})


def finish_deletion(databases: Databases, tenant_id: UUID) -> None:
    """Mark a tenant as gone. Its row stays, so that id, schema and prefix are never given to another."""
    with databases.control() as connection:
        repository.delete_domains(connection, tenant_id)
        settings.forget(connection, tenant_id)
        tenant_secrets.forget(connection, tenant_id)
        gone: dict[str, Any] = {"logo": None, "logo_type": None, "logo_digest": None, "brand": {}, "settings": {}, "former_slugs": []}
        repository.update_tenant(connection, tenant_id, status=TenantStatus.DELETED, **gone)


def set_brand(databases: Databases, tenant_id: UUID, changes: Mapping[str, str], actor: Mapping[str, Any] = SYSTEM) -> Tenant:
    """Change name and colours, as a new version of the tenant's settings.

    Raises:
        ValidationFailed: a colour is not `#rrggbb`, or the name too long.
    """
    checked = branding.check_brand(changes)
    with databases.control() as connection:
        settings.change(connection, tenant_id, {"brand": checked}, actor=actor)
        return repository.get_tenant(connection, tenant_id)


def set_logo(databases: Databases, tenant_id: UUID, data: bytes | None) -> Tenant:
    """Store a logo (PNG, JPEG or WebP), or remove it with None.

    Raises:
        ValidationFailed: too large, or not such a picture.
    """
    media_type = branding.check_logo(data) if data is not None else None
    digest = sha256(data).hexdigest() if data is not None else None
    with databases.control() as connection:
        repository.update_tenant(connection, tenant_id, logo=data, logo_type=media_type, logo_digest=digest)
        return repository.get_tenant(connection, tenant_id)


def set_default_provider(databases: Databases, name: str) -> ProviderInfo:
    """Make a provider the one that new tenants get; those that exist stay where they are. Idempotent.

    Raises:
        NotFound
    """
    with databases.control() as connection:
        repository.get_provider(connection, name=name)
        repository.set_default_provider(connection, name)
        return repository.get_provider(connection, name=name)


def add_provider(
    databases: Databases, keys: KeyRing, *, name: str, kind: str, config: dict[str, Any], secrets: Mapping[str, Any] | None = None,
    default: bool = False,
) -> ProviderInfo:  # fmt: skip
    """Add a provider after having seen that it works. Its secrets are stored sealed and never returned.

    Raises:
        UnknownProviderKind, ValidationFailed, StorageUnavailable, AlreadyExists
    """
    make_provider(kind, config, secrets).check()
    provider_id = new_id()
    sealed = seal_secrets(keys, provider_id, secrets or {})
    try:
        with databases.control() as connection:
            repository.insert_provider(connection, id=provider_id, name=name, kind=kind, config=config, secrets=sealed, is_default=default)
            return repository.get_provider(connection, name=name)
    except IntegrityError:
        raise AlreadyExists(f"There is a provider '{name}' already.") from None
