"""What an operator does with providers: add, try, change and remove them, seal their secrets anew, hand them to tenants. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from strongroom.auth import operators
from strongroom.errors import DomainError, ProviderInUse, UnknownHost
from strongroom.imports import service as imports
from strongroom.operating.service import find_tenant, list_providers, living_tenants
from strongroom.runtime import Runtime
from strongroom.storage.base import Provider
from strongroom.storage.keys import object_key, tenant_prefix
from strongroom.storage.probe import Outcome, must_work, probe
from strongroom.storage.providers import make_provider
from tenants import providers as registered
from tenants import repository, tenant_secrets
from tenants import service as tenants
from tenants.models import ProviderInfo, Tenant
from tenants.provider_secrets import open_secrets

PLACE = ("bucket", "root", "scheme", "options", "endpoint_url")
"""What of a configuration tells where the bytes lie."""


@dataclass(frozen=True)
class Step:
    """One step of a provider's test. `advice`: what to do where it went wrong."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class Resealed:
    """What `rotate_secrets` did. `already`: those that were sealed under the present key."""

    resealed: int
    already: int
    import_addresses: int
    tenant_secrets: int


def get_provider(runtime: Runtime, name: str) -> ProviderInfo:
    """Return one of the operator's providers.

    Raises:
        NotFound
    """
    with runtime.databases.control() as connection:
        return repository.get_provider(connection, name=name)


def shown(runtime: Runtime, info: ProviderInfo) -> dict[str, Any]:
    """Return a provider as it may be shown: of its secrets only the names, never a value."""
    try:
        names = sorted(open_secrets(runtime.keys, info))
    except DomainError:
        names = ["(cannot be opened with the configured master keys)"]
    values = {name: value for name, value in vars(info).items() if name not in {"secrets", "tenant_id"}}
    return {**values, "secrets_set": names}


def list_shown(runtime: Runtime) -> list[dict[str, Any]]:
    """Return all of the operator's providers as they may be shown."""
    return [shown(runtime, info) for info in list_providers(runtime)]


def list_all(runtime: Runtime) -> list[ProviderInfo]:
    """Return the operator's providers, and those that tenants brought and use."""
    return list_providers(runtime) + registered.list_used_of_tenants(runtime.databases)


def add_provider(
    runtime: Runtime, operator: str, *, name: str, kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any] | None = None,
    default: bool = False,
) -> ProviderInfo:  # fmt: skip
    """Add a provider after having seen that everything works there.

    Raises:
        UnknownProviderKind, ValidationFailed, StorageUnavailable, AlreadyExists
    """
    must_work(make_provider(kind, config, secrets))
    info = tenants.add_provider(
        runtime.databases, runtime.keys, name=name, kind=kind, config=dict(config), secrets=secrets, default=default
    )
    operators.record(runtime.databases, operator, "provider.add", name, {"kind": kind})
    return info


def steps_of(outcomes: list[Outcome]) -> list[Step]:
    """Return how a test went."""
    return [Step(each.name, not each.problem, each.problem, each.advice) for each in outcomes]


def try_provider(runtime: Runtime, name: str) -> list[Step]:
    """Do at a provider once everything that Strongroom does there; return how each step went.

    Raises:
        NotFound: there is no such provider.
    """
    return try_info(runtime, get_provider(runtime, name))


def try_info(runtime: Runtime, info: ProviderInfo) -> list[Step]:
    """The same for any provider, a tenant's too, which is reached through the guard."""
    return try_change(runtime, info, None, None)


def try_new(kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any]) -> list[Step]:
    """The same for a provider of the operator's before it is added; nothing is kept."""
    return _tried(lambda: make_provider(kind, config, secrets), {})


def try_change(
    runtime: Runtime, info: ProviderInfo, config: Mapping[str, Any] | None, secrets: Mapping[str, Any] | None, keep: Collection[str] = (),
) -> list[Step]:  # fmt: skip
    """The same for any provider as it would be after `change_info`; nothing is changed."""
    return _tried(lambda: runtime.make_provider(info, *_changed(runtime, info, config, secrets, keep)), probe_options(runtime, info))


def probe_options(runtime: Runtime, info: ProviderInfo) -> dict[str, Any]:
    """Return with what a provider is tried: a tenant's through the guard."""
    return {} if info.tenant_id is None else {"pools": runtime.outbound.pools}


def _tried(make: Callable[[], Provider], options: Mapping[str, Any]) -> list[Step]:
    try:
        provider = make()
    except DomainError as error:
        return [Step("open", ok=False, detail=error.detail, advice="Set configuration and secrets anew.")]
    return steps_of(list(probe(provider, **options)))


def update_provider(
    runtime: Runtime, operator: str, name: str, *, config: Mapping[str, Any] | None = None, secrets: Mapping[str, Any] | None = None,
    keep: Collection[str] = (),
) -> ProviderInfo:  # fmt: skip
    """Replace a provider's configuration, its secrets, or both, after having seen that everything works with them.

    `keep`: names of present secrets that stay beside the new ones. Other processes go over to it within half a minute.

    Raises:
        NotFound, ValidationFailed, StorageUnavailable
        ProviderInUse: tenants have bytes there, and the new configuration leads to another place.
    """
    info = get_provider(runtime, name)
    changed = change_info(runtime, info, config, secrets, keep)
    data = {"config": config is not None, "secrets_changed": sorted(secrets) if secrets is not None else []}
    operators.record(runtime.databases, operator, "provider.update", name, data)
    return changed


def change_info(
    runtime: Runtime, info: ProviderInfo, config: Mapping[str, Any] | None, secrets: Mapping[str, Any] | None, keep: Collection[str] = ()
) -> ProviderInfo:
    """Do what `update_provider` says, for any provider."""
    new_config, new_secrets = _changed(runtime, info, config, secrets, keep)
    provider = runtime.make_provider(info, new_config, new_secrets)
    must_work(provider, **probe_options(runtime, info))
    moved = any(info.config.get(name) != new_config.get(name) for name in PLACE)
    if moved and registered.users_of(runtime.databases, info.id):
        _must_be_same_place(runtime.make_provider(info), provider)
    changed = registered.change(runtime.databases, runtime.keys, info.id, config=new_config, secrets=new_secrets)
    runtime.forget_provider(info.id)
    return changed


def _changed(
    runtime: Runtime, info: ProviderInfo, config: Mapping[str, Any] | None, secrets: Mapping[str, Any] | None, keep: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return configuration and secrets as they would be. What is replaced whole need not open with the present master keys."""
    new_config = dict(info.config if config is None else config)
    if secrets is not None and not keep:
        return new_config, dict(secrets)
    present = open_secrets(runtime.keys, info)
    return new_config, present if secrets is None else {**{name: present[name] for name in keep if name in present}, **secrets}


def _must_be_same_place(present: Provider, wanted: Provider) -> None:
    """What is written by the present configuration must be found by the new one."""
    prefix = tenant_prefix(uuid4())
    key = object_key(prefix, uuid4(), uuid4())
    try:
        writer = present.writer(key, 1)
        writer.write(b"x")
        writer.complete()
        wanted.head(key)
    except DomainError:
        raise ProviderInUse(
            "Tenants have files there, and the new configuration leads to another place (or the present one does not work, so that"
            " nobody can tell). Add another provider and move them: strongroom tenant move-bytes."
        ) from None
    finally:
        present.delete_prefix(prefix)


def offer_as_host(runtime: Runtime, operator: str, name: str, *, offered: bool) -> ProviderInfo:
    """Let tenants mirror their files to a provider, or let no more of them begin to; those that do go on.

    Raises:
        NotFound
    """
    info = registered.offer_as_host(runtime.databases, name, offered=offered)
    operators.record(runtime.databases, operator, "provider.offer_as_host", name, {"offered": offered})
    return info


def delete_provider(runtime: Runtime, operator: str, name: str) -> None:
    """Forget a provider that no tenant uses; what may lie there is left alone.

    Raises:
        NotFound, ProviderInUse
    """
    info = get_provider(runtime, name)
    registered.remove(runtime.databases, info.id)
    runtime.forget_provider(info.id)
    operators.record(runtime.databases, operator, "provider.delete", name)


def set_default_provider(runtime: Runtime, operator: str, name: str) -> ProviderInfo:
    """Make a provider the one that new tenants get.

    Raises:
        NotFound
    """
    info = tenants.set_default_provider(runtime.databases, name)
    operators.record(runtime.databases, operator, "provider.default", name)
    return info


def set_tenant_provider(runtime: Runtime, operator: str, slug: str, name: str) -> Tenant:
    """Have a tenant's new files go to a provider; those that it has stay where they are.

    Raises:
        NotFound
    """
    info = get_provider(runtime, name)
    tenant = registered.assign(runtime.databases, find_tenant(runtime, slug).id, info.id)
    runtime.registry.forget()
    operators.record(runtime.databases, operator, "tenant.provider", slug, {"provider": name})
    return tenant


def rotate_secrets(runtime: Runtime, operator: str) -> Resealed:
    """Seal every stored secret under the present master key. Can be cut off and done again at any time.

    Raises:
        ConfigurationError: one of them opens with none of the configured master keys.
    """
    resealed, already = registered.reseal(runtime.databases, runtime.keys)
    addresses = sum(_reseal_addresses(runtime, tenant) for tenant in living_tenants(runtime))
    own, own_already = tenant_secrets.reseal(runtime.databases, runtime.keys)
    operators.record(runtime.databases, operator, "provider.rotate_secrets", str(resealed + addresses + own))
    return Resealed(resealed, already + own_already, addresses, own)


def _reseal_addresses(runtime: Runtime, tenant: Tenant) -> int:
    try:
        return imports.reseal(runtime, tenant)
    except UnknownHost:
        return 0  # it was deleted after it had been listed
