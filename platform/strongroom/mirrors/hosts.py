"""A tenant's hosts: added, changed, removed, and how far they are. They are a part of its settings. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Principal
from strongroom.db.ids import new_id
from strongroom.errors import Conflict, Forbidden, NotFound, PreconditionFailed, ValidationFailed
from strongroom.files import repository as files
from strongroom.files.models import File, Status, Verdict
from strongroom.jobs.queue import enqueue
from strongroom.mirrors import repository
from strongroom.mirrors.models import Mirror, Progress
from strongroom.runtime import Runtime
from strongroom.storage.probe import must_work
from strongroom.tenant_settings import service as settings
from tenants import providers as registered
from tenants import repository as registry
from tenants.hosts import MIRROR, PART
from tenants.models import Host, ProviderInfo, Tenant

FORGOTTEN_AT_ONCE = 10_000
TRIES = 5


@dataclass(frozen=True)
class HostState:
    """A host, where it is, and how far it is. `is_main`: new files go to its provider, so that nothing is copied there."""

    host: Host
    provider: ProviderInfo
    progress: Progress
    is_main: bool


def list_hosts(runtime: Runtime, tenant: Tenant) -> list[HostState]:
    """Return the tenant's hosts, the oldest first."""
    with runtime.databases.control() as connection:
        present = registry.get_tenant(connection, tenant.id)
        hosts = sorted(present.settings.hosts, key=lambda host: (host.created_at, host.id))
        infos = {host.id: registry.get_provider(connection, provider_id=host.provider_id) for host in hosts}
    with runtime.tenant(tenant) as connection:
        found = repository.progress(connection) if hosts else {}
    return [
        HostState(host, infos[host.id], found.get(host.provider_id, Progress()), host.provider_id == present.provider_id) for host in hosts
    ]


def list_providers(runtime: Runtime, tenant: Tenant) -> list[dict[str, Any]]:
    """Return the providers to which the tenant may mirror: its own ones, and those of the platform that are offered for it."""
    with runtime.databases.control() as connection:
        present = registry.get_tenant(connection, tenant.id)
    return [
        {
            "id": info.id, "name": info.name, "kind": info.kind, "is_own": info.tenant_id is not None,
            "is_free": info.id != present.provider_id and present.settings.host_at(info.id) is None,
        }
        for info in registered.list_for_hosts(runtime.databases, tenant.id)
        if info.tenant_id is None or tenant.limits.own_providers
    ]  # fmt: skip


def get_host(runtime: Runtime, tenant: Tenant, host_id: UUID) -> HostState:
    """Return one host.

    Raises:
        NotFound
    """
    found = next((each for each in list_hosts(runtime, tenant) if each.host.id == host_id), None)
    if found is None:
        raise NotFound("There is no such host.")
    return found


def _find(runtime: Runtime, tenant: Tenant, host_id: UUID) -> tuple[Host, ProviderInfo]:
    """Return a host and its provider, without counting all its copies."""
    with runtime.databases.control() as connection:
        found = next((each for each in registry.get_tenant(connection, tenant.id).settings.hosts if each.id == host_id), None)
        if found is None:
            raise NotFound("There is no such host.")
        return found, registry.get_provider(connection, provider_id=found.provider_id)


def add_host(
    runtime: Runtime, tenant: Tenant, principal: Principal, *, name: str, provider_id: UUID, buckets: list[UUID] | None = None,
    enabled: bool = True,
) -> HostState:  # fmt: skip
    """Have files mirrored to a provider, after having seen that everything works there. Those that exist follow by jobs.

    Raises:
        NotFound: there is no such provider, or it is somebody else's.
        Forbidden: the plan has no storage of the tenant's own.
        StorageUnavailable: it does not pass its test.
        Conflict: new files go there, or there are hosts enough.
        AlreadyExists: a host is there already, or has that name.
        ValidationFailed: there is no such bucket.
    """
    info = _provider(runtime, tenant, provider_id)
    _check_buckets(runtime, tenant, buckets)
    must_work(runtime.make_provider(info), *([] if info.tenant_id is None else [runtime.outbound.pools]))
    host_id = new_id()
    stored = {
        "name": name, "provider_id": str(info.id), "buckets": _stored(buckets), "enabled": enabled,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    settings.update_settings(runtime, tenant, principal.actor, {PART: {str(host_id): stored}})
    return get_host(runtime, tenant, host_id)


def _provider(runtime: Runtime, tenant: Tenant, provider_id: UUID) -> ProviderInfo:
    info = registered.get_for_host(runtime.databases, tenant.id, provider_id)
    if info.tenant_id is not None and not tenant.limits.own_providers:
        raise Forbidden("The plan of this tenant has no storage providers of its own. Ask the operator for it.")
    with runtime.databases.control() as connection:
        if registry.get_tenant(connection, tenant.id).provider_id == info.id:
            raise Conflict("New files go to this provider. A mirror is somewhere else.")
    return info


def _check_buckets(runtime: Runtime, tenant: Tenant, buckets: list[UUID] | None) -> None:
    if not buckets:
        return
    with runtime.tenant(tenant) as connection:
        unknown = repository.unknown_buckets(connection, buckets)
    if unknown:
        raise ValidationFailed(errors={"buckets": [f"There is no bucket {each}." for each in unknown]})


def _stored(buckets: list[UUID] | None) -> list[str] | None:
    return None if buckets is None else sorted(str(each) for each in set(buckets))


def update_host(runtime: Runtime, tenant: Tenant, principal: Principal, host_id: UUID, changes: Mapping[str, Any]) -> HostState:
    """Change a host's name, its buckets, or whether copies are made. The copies follow by jobs.

    Raises:
        NotFound, AlreadyExists
        ValidationFailed: there is no such bucket.
    """
    wanted = dict(changes)
    if "buckets" in wanted:
        _check_buckets(runtime, tenant, wanted["buckets"])
        wanted["buckets"] = _stored(wanted["buckets"])
    for _ in range(TRIES):
        present = settings.get_settings(runtime, tenant)
        host = present.settings[PART].get(str(host_id))
        if host is None:
            raise NotFound("There is no such host.")
        changed, expected = {PART: {str(host_id): {**host, **wanted}}}, frozenset({present.version})
        with suppress(PreconditionFailed):  # somebody changed something else meanwhile
            settings.update_settings(runtime, tenant, principal.actor, changed, expected=expected)
            return get_host(runtime, tenant, host_id)
    raise Conflict("The settings are being changed by others. Try again.")


def remove_host(runtime: Runtime, tenant: Tenant, principal: Principal, host_id: UUID, *, keep_copies: bool = False) -> None:
    """Mirror no longer to a host. Its copies are removed by jobs, or, with `keep_copies`, left there and forgotten.

    Raises:
        NotFound
        Conflict: copies cannot be kept at storage that is not the tenant's own: they would count in no quota, and outlive erased files.
            Nor where files themselves lie: what belongs to no file is removed there every day.
    """
    host, provider = _find(runtime, tenant, host_id)
    if keep_copies:
        if provider.tenant_id != tenant.id:
            raise Conflict("Nobody could remove the copies from the platform's storage any more. They stay only at storage of your own.")
        _forget_copies(runtime, tenant, host)

    def leave(connection: Connection) -> None:
        if keep_copies:
            registered.leave_in(connection, tenant.id, host.provider_id)

    settings.update_settings(runtime, tenant, principal.actor, {PART: {str(host_id): None}}, beside=leave)


def _forget_copies(runtime: Runtime, tenant: Tenant, host: Host) -> None:
    """First: should the rest not happen, they are made again."""
    with runtime.tenant(tenant) as connection:
        if repository.lies_at(connection, host.provider_id):
            raise Conflict("Files lie at this provider by themselves, so that copies cannot stay there unknown. Move the files first.")
    count = FORGOTTEN_AT_ONCE
    while count == FORGOTTEN_AT_ONCE:
        with runtime.tenant(tenant) as connection:
            count = repository.forget_at(connection, host.provider_id, FORGOTTEN_AT_ONCE)


def retry_host(runtime: Runtime, tenant: Tenant, host_id: UUID) -> int:
    """Have what failed at a host tried again now; return how many copies that are.

    Raises:
        NotFound
    """
    host, _ = _find(runtime, tenant, host_id)
    with runtime.tenant(tenant) as connection:
        count = repository.retry(connection, host.provider_id)
        enqueue(connection, MIRROR, {"provider_id": str(host.provider_id)}, dedupe_key=f"{host.provider_id} now")
    return count


@dataclass(frozen=True)
class FileAtHost:
    """Where the current version of a file stands at a host. `mirror` None: it does not belong there, as `reason` says."""

    host: Host
    mirror: Mirror | None
    reason: str = ""


def file_mirrors(runtime: Runtime, tenant: Tenant, file_id: UUID) -> list[FileAtHost]:
    """Return where a file's current version stands at each host.

    Raises:
        NotFound
    """
    with runtime.tenant(tenant) as connection:
        file = files.get_by_id(connection, file_id)
        found = repository.of_version(connection, file.version_id)
    return [FileAtHost(host, found.get(host.provider_id), _why_not(host, file)) for host in tenant.settings.hosts]


def _why_not(host: Host, file: File) -> str:
    if host.provider_id == file.provider_id:
        return "The file itself lies there."
    if host.buckets is not None and file.bucket_id not in host.buckets:
        return "Its bucket is not mirrored there."
    if file.status != Status.AVAILABLE:
        return "Only files that have passed their check are mirrored."
    if file.scan.verdict == Verdict.UNSCANNED:
        return "It could not be checked whole, and is not given out."
    return "" if host.enabled else "The host is paused."
