"""What a tenant does with providers of its own. They are reached through the guard alone. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from strongroom.access import Principal
from strongroom.errors import Forbidden
from strongroom.events.service import emit
from strongroom.operating import providers
from strongroom.operating.providers import Step
from strongroom.runtime import Runtime
from strongroom.storage.probe import must_work
from tenants import providers as registered
from tenants import repository
from tenants.models import ProviderInfo, Tenant

PLATFORM = "platform"
"""Names the provider that the platform gives, where the id of an own one is asked for."""


def _must_be_allowed(tenant: Tenant) -> None:
    if not tenant.limits.own_providers:
        raise Forbidden("The plan of this tenant has no storage providers of its own. Ask the operator for it.")


def list_providers(runtime: Runtime, tenant: Tenant) -> list[dict[str, Any]]:
    """Return the tenant's own providers as they may be shown; none of the platform's is among them."""
    present = _present(runtime, tenant)
    return [_shown(runtime, info, present) for info in registered.list_owned(runtime.databases, tenant.id)]


def _present(runtime: Runtime, tenant: Tenant) -> UUID:
    with runtime.databases.control() as connection:
        return repository.get_tenant(connection, tenant.id).provider_id


def _shown(runtime: Runtime, info: ProviderInfo, present: UUID) -> dict[str, Any]:
    return {**providers.shown(runtime, info), "in_use": info.id == present}


def add_provider(
    runtime: Runtime, tenant: Tenant, principal: Principal, *, name: str, kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any]
) -> dict[str, Any]:
    """Add a provider of the tenant's own after having seen that everything works there.

    Raises:
        Forbidden: the plan has none.
        UnknownProviderKind, ValidationFailed, OutboundRefused, StorageUnavailable, AlreadyExists
    """
    _must_be_allowed(tenant)
    info = registered.new_owned(tenant.id, name=name, kind=kind, config=config)
    must_work(runtime.make_provider(info, config, secrets), runtime.outbound.pools)
    made = registered.add_owned(runtime.databases, runtime.keys, info, secrets)
    _note(runtime, tenant, principal, "provider.added", made)
    return _shown(runtime, made, tenant.provider_id)


def update_provider(
    runtime: Runtime, tenant: Tenant, principal: Principal, provider_id: UUID, *, config: Mapping[str, Any] | None,
    secrets: Mapping[str, Any] | None, keep: Collection[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Replace configuration, secrets, or both, after having seen that everything works with them.

    `keep`: names of present secrets that stay beside the new ones.

    Raises:
        NotFound, Forbidden, ValidationFailed, OutboundRefused, StorageUnavailable, ProviderInUse
    """
    info = registered.get_owned(runtime.databases, tenant.id, provider_id)
    _must_be_allowed(tenant)
    changed = providers.change_info(runtime, info, config, secrets, keep)
    _note(runtime, tenant, principal, "provider.updated", changed)
    return _shown(runtime, changed, _present(runtime, tenant))


def delete_provider(runtime: Runtime, tenant: Tenant, principal: Principal, provider_id: UUID) -> None:
    """Forget a provider at which no bytes of the tenant lie.

    Raises:
        NotFound, ProviderInUse
    """
    info = registered.get_owned(runtime.databases, tenant.id, provider_id)
    registered.remove(runtime.databases, info.id)
    runtime.forget_provider(info.id)
    _note(runtime, tenant, principal, "provider.deleted", info)


def try_provider(runtime: Runtime, tenant: Tenant, provider_id: UUID) -> list[Step]:
    """Do at a provider once everything that Strongroom does there; return how each step went.

    Raises:
        NotFound
    """
    return providers.try_info(runtime, registered.get_owned(runtime.databases, tenant.id, provider_id))


def get_provider(runtime: Runtime, tenant: Tenant, provider_id: UUID) -> dict[str, Any]:
    """Return one of the tenant's own providers as it may be shown.

    Raises:
        NotFound
    """
    return _shown(runtime, registered.get_owned(runtime.databases, tenant.id, provider_id), _present(runtime, tenant))


def try_new(runtime: Runtime, tenant: Tenant, *, kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any]) -> list[Step]:
    """Do the same at a provider before it is added; nothing is kept.

    Raises:
        Forbidden: the plan has none.
    """
    _must_be_allowed(tenant)
    info = registered.new_owned(tenant.id, name="new", kind=kind, config=config)
    return providers.try_change(runtime, info, config, secrets)


def try_change(
    runtime: Runtime, tenant: Tenant, provider_id: UUID, *, config: Mapping[str, Any], secrets: Mapping[str, Any], keep: Collection[str]
) -> list[Step]:
    """Do the same at a provider as it would be after `update_provider`; nothing is changed.

    Raises:
        NotFound, Forbidden
    """
    info = registered.get_owned(runtime.databases, tenant.id, provider_id)
    _must_be_allowed(tenant)
    return providers.try_change(runtime, info, config, secrets, keep)


def use_provider(runtime: Runtime, tenant: Tenant, principal: Principal, provider_id: UUID | None) -> None:
    """Have new files go to an own provider, or (None) to the platform's again; those that exist stay where they are.

    Raises:
        NotFound, Forbidden
        StorageUnavailable: it does not pass its test.
    """
    if provider_id is None:
        with runtime.databases.control() as connection:
            info = repository.get_provider(connection)
    else:
        info = registered.get_owned(runtime.databases, tenant.id, provider_id)
        _must_be_allowed(tenant)
        must_work(runtime.make_provider(info), runtime.outbound.pools)
    registered.assign(runtime.databases, tenant.id, info.id)
    runtime.registry.forget()
    _note(runtime, tenant, principal, "provider.used", info)


def _note(runtime: Runtime, tenant: Tenant, principal: Principal, kind: str, info: ProviderInfo) -> None:
    name = PLATFORM if info.tenant_id is None else info.name
    with runtime.tenant(tenant) as connection:
        emit(connection, kind, info.id, {"name": name}, principal.actor)
