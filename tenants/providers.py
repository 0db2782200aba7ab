"""The life of providers after they were added: changed, handed to tenants, taken away, their secrets sealed anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from strongroom.db.engines import Databases
from strongroom.db.ids import new_id
from strongroom.errors import AlreadyExists, NotFound, ProviderInUse
from strongroom.security.keys import KeyRing

from tenants import repository
from tenants.models import ProviderInfo, Tenant, TenantStatus
from tenants.provider_secrets import open_secrets, seal_secrets
from tenants.tables import providers, tenant_providers, tenants


def list_owned(databases: Databases, tenant_id: UUID) -> list[ProviderInfo]:
    """Return the providers that a tenant brought, by name."""
    query = select(providers).where(providers.c.tenant_id == tenant_id).order_by(providers.c.name)
    with databases.control() as connection:
        return [repository.to_provider(row) for row in connection.execute(query)]


def list_used_of_tenants(databases: Databases) -> list[ProviderInfo]:
    """Return the providers that tenants brought and at which bytes of living ones may lie."""
    used = exists().where(tenant_providers.c.provider_id == providers.c.id, tenants.c.id == providers.c.tenant_id)
    query = select(providers).where(providers.c.tenant_id.is_not(None), used.where(tenants.c.status != TenantStatus.DELETED))
    with databases.control() as connection:
        return [repository.to_provider(row) for row in connection.execute(query.order_by(providers.c.name))]


def get_owned(databases: Databases, tenant_id: UUID, provider_id: UUID) -> ProviderInfo:
    """Return a provider that this tenant brought.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    query = select(providers).where(providers.c.id == provider_id, providers.c.tenant_id == tenant_id)
    with databases.control() as connection:
        row = connection.execute(query).first()
    if row is None:  # the same words for both: nobody learns that somebody else has it
        raise NotFound("There is no such provider.")
    return repository.to_provider(row)


def list_for_hosts(databases: Databases, tenant_id: UUID) -> list[ProviderInfo]:
    """Return the providers to which a tenant may mirror its files: its own ones, and the operator's that are offered; by name."""
    offered = providers.c.tenant_id.is_(None) & providers.c.offered_as_host
    query = select(providers).where((providers.c.tenant_id == tenant_id) | offered).order_by(providers.c.tenant_id, providers.c.name)
    with databases.control() as connection:
        return [repository.to_provider(row) for row in connection.execute(query)]


def get_for_host(databases: Databases, tenant_id: UUID, provider_id: UUID) -> ProviderInfo:
    """Return a provider to which this tenant may mirror its files.

    Raises:
        NotFound: there is none, or it is not for this tenant.
    """
    query = select(providers).where(providers.c.id == provider_id)
    with databases.control() as connection:
        row = connection.execute(query).first()
    info = None if row is None else repository.to_provider(row)
    if info is None or not info.may_be_host_of(tenant_id):
        raise NotFound("There is no such provider.")
    return info


def offer_as_host(databases: Databases, name: str, *, offered: bool) -> ProviderInfo:
    """Let tenants mirror their files to a provider of the operator's, or no more do so anew. Idempotent.

    Raises:
        NotFound
    """
    with databases.control() as connection:
        info = repository.get_provider(connection, name=name)
        connection.execute(update(providers).where(providers.c.id == info.id).values(offered_as_host=offered))
        return repository.get_provider(connection, name=name)


def add_owned(databases: Databases, keys: KeyRing, info: ProviderInfo, secrets: Mapping[str, Any]) -> ProviderInfo:
    """Keep a provider that a tenant brought; its id is `info`'s.

    Raises:
        AlreadyExists
    """
    values = {"id": info.id, "name": info.name, "kind": info.kind, "config": info.config, "tenant_id": info.tenant_id}
    try:
        with databases.control() as connection:
            connection.execute(insert(providers).values(**values, secrets=seal_secrets(keys, info.id, secrets), is_default=False))
            return repository.get_provider(connection, provider_id=info.id)
    except IntegrityError:
        raise AlreadyExists(f"There is a provider '{info.name}' already.") from None


def new_owned(tenant_id: UUID, *, name: str, kind: str, config: Mapping[str, Any]) -> ProviderInfo:
    """Return what a tenant's provider will be, so that it can be tried before it is kept."""
    return ProviderInfo(new_id(), name, kind, dict(config), is_default=False, created_at=func.now(), tenant_id=tenant_id)  # type: ignore[arg-type]  # the database's clock


def change(
    databases: Databases, keys: KeyRing, provider_id: UUID, *, config: Mapping[str, Any], secrets: Mapping[str, Any]
) -> ProviderInfo:
    """Replace a provider's configuration and secrets."""
    values = {"config": dict(config), "secrets": seal_secrets(keys, provider_id, secrets)}
    with databases.control() as connection:
        connection.execute(update(providers).where(providers.c.id == provider_id).values(**values))
        return repository.get_provider(connection, provider_id=provider_id)


def users_of(databases: Databases, provider_id: UUID) -> list[str]:
    """Return the slugs of the tenants at which bytes may lie at a provider, or that put new ones there."""
    with databases.control() as connection:
        return _users(connection, provider_id)


def _users(connection: Connection, provider_id: UUID) -> list[str]:
    keeps = exists().where(tenant_providers.c.tenant_id == tenants.c.id, tenant_providers.c.provider_id == provider_id)
    query = select(tenants.c.slug).where(tenants.c.status != TenantStatus.DELETED, (tenants.c.provider_id == provider_id) | keeps)
    return list(connection.execute(query.order_by(tenants.c.slug)).scalars())


def remove(databases: Databases, provider_id: UUID) -> None:
    """Forget a provider that nobody uses. What deleted tenants once had there is gone already: their rows let go of it.

    Raises:
        ProviderInUse: tenants may have bytes there, or it is what new tenants are given.
    """
    with databases.control() as connection:
        row = connection.execute(select(providers).where(providers.c.id == provider_id).with_for_update()).first()
        if row is None:
            raise NotFound("There is no such provider.")
        if row.is_default:
            raise ProviderInUse("It is the default provider. Make another one the default first.")
        if users := _users(connection, provider_id):
            raise ProviderInUse(f"Used by: {', '.join(users[:10])}{' …' if len(users) > 10 else ''}. Move them first.")  # noqa: PLR2004 - as many as a message shows
        _let_go(connection, provider_id)
        connection.execute(delete(providers).where(providers.c.id == provider_id))


def _let_go(connection: Connection, provider_id: UUID) -> None:
    other = select(providers.c.id).where(providers.c.id != provider_id).order_by(providers.c.is_default.desc()).limit(1).scalar_subquery()
    connection.execute(update(tenants).where(tenants.c.provider_id == provider_id).values(provider_id=other))
    connection.execute(delete(tenant_providers).where(tenant_providers.c.provider_id == provider_id))


def forget_owned(databases: Databases, tenant_id: UUID) -> None:
    """Forget the providers of a tenant that is deleted, and their secrets. Idempotent."""
    with databases.control() as connection:
        for provider_id in connection.execute(select(providers.c.id).where(providers.c.tenant_id == tenant_id)).scalars().all():
            _let_go(connection, provider_id)
            connection.execute(delete(providers).where(providers.c.id == provider_id))


def assign(databases: Databases, tenant_id: UUID, provider_id: UUID) -> Tenant:
    """Have a tenant's new files go to a provider; those that it has stay where they are. Idempotent.

    Raises:
        NotFound: there is no such provider, or it is another tenant's.
    """
    with databases.control() as connection:
        connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id).with_for_update())  # before its provider, as settings do
        row = connection.execute(select(providers.c.tenant_id).where(providers.c.id == provider_id).with_for_update(key_share=True)).first()
        if row is None or row.tenant_id not in {None, tenant_id}:
            raise NotFound("There is no such provider.")
        note_use(connection, tenant_id, provider_id)
        repository.update_tenant(connection, tenant_id, provider_id=provider_id)
        return repository.get_tenant(connection, tenant_id)


def note_use(connection: Connection, tenant_id: UUID, provider_id: UUID) -> None:
    """Note that bytes of a tenant may lie at a provider. Idempotent."""
    connection.execute(upsert(tenant_providers).values(tenant_id=tenant_id, provider_id=provider_id).on_conflict_do_nothing())


def leave(databases: Databases, tenant_id: UUID, provider_id: UUID) -> bool:
    """Note that no bytes of a tenant lie at a provider any more; False when its new files go there, or are mirrored there."""
    with databases.control() as connection:
        return leave_in(connection, tenant_id, provider_id)


def leave_in(connection: Connection, tenant_id: UUID, provider_id: UUID) -> bool:
    """Do what `leave` does in an open transaction."""
    query = select(tenants.c.provider_id, tenants.c.settings).where(tenants.c.id == tenant_id)
    present = connection.execute(query.with_for_update()).first()
    if present is None:
        return False
    if present.provider_id == provider_id or repository.to_settings(present.settings).host_at(provider_id) is not None:
        return False
    row = (tenant_providers.c.tenant_id == tenant_id) & (tenant_providers.c.provider_id == provider_id)
    connection.execute(delete(tenant_providers).where(row))
    return True


def reseal(databases: Databases, keys: KeyRing) -> tuple[int, int]:
    """Seal all secrets of providers under the present master key; return how many were and how many were so already.

    One transaction a row: what was cut off goes on where it was.

    Raises:
        ConfigurationError: one of them opens with none of the configured master keys.
    """
    with databases.control() as connection:
        ids = connection.execute(select(providers.c.id).where(providers.c.secrets.is_not(None)).order_by(providers.c.id)).scalars().all()
    done = [_reseal(databases, keys, provider_id) for provider_id in ids]
    return done.count(True), done.count(False)


def _reseal(databases: Databases, keys: KeyRing, provider_id: UUID) -> bool:
    with databases.control() as connection:
        row = connection.execute(select(providers).where(providers.c.id == provider_id).with_for_update()).first()
        if row is None or row.secrets is None or keys.is_present(row.secrets):
            return False
        sealed = seal_secrets(keys, provider_id, open_secrets(keys, repository.to_provider(row)))
        connection.execute(update(providers).where(providers.c.id == provider_id).values(secrets=sealed))
        return True
