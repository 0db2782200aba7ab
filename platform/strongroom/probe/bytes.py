"""The wall of bytes: what others' views of the tenant's provider reach, and what addresses signed for others open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import urllib3

from strongroom.db.ids import new_id
from strongroom.errors import DomainError, NotFound
from strongroom.isolation.models import Wall
from strongroom.probe.stage import Stage, Target
from strongroom.probe.tally import HERE, Tally
from strongroom.storage.base import OwnAuthority, Presigning, Provider
from strongroom.storage.bound import TenantStorage
from strongroom.storage.keys import object_key, tenant_prefix
from tenants import repository
from tenants.models import ProviderInfo, Tenant

VIEW, SIGNED, CODE = "provider view bound to another prefix", "signed address of another", "no tenant's prefix"
NO_PREFIXES = ("", "/", "tn-", "{whole}", "../{whole}/", "{whole}/../", "{whole}//", "{whole}0/", "*")
LIFETIME_S, TIMEOUT_S = 60, 10
OK = 200


class ForgedId(UUID):
    """An id whose text leads out of its folder."""

    leads_to = ""

    @property
    def hex(self) -> str:
        """What becomes a part of a key."""
        return self.leads_to


def forged(leads_to: str) -> ForgedId:
    """Return an id that writes itself as this."""
    made = ForgedId(int=new_id().int)
    object.__setattr__(made, "leads_to", leads_to)
    return made


def bytes_(stage: Stage, tally: Tally) -> None:
    """The tenant's object through views of the stand-ins and of some real tenants; removal only of the secret itself."""
    target = stage.target
    tally.control(Wall.BYTES, HERE, "the secret through its own view", lambda: _read(target.storage, target) == target.canary.encode())
    provider = stage.runtime.make_provider(_info(stage))
    for tenant in (stage.attacker.tenant, stage.victim.tenant, *stage.others):
        _through(stage, tally, TenantStorage(provider, tenant.prefix))
        _by_runtime(stage, tally, tenant)
    _remove(stage, tally, provider)
    for form in NO_PREFIXES:
        found = _made(provider, form.format(whole=target.tenant.prefix.rstrip("/")))
        tally.attempt(Wall.BYTES, CODE, HERE, "a view of what is no prefix", found)
    _signed(stage, tally, provider)


def _info(stage: Stage) -> ProviderInfo:
    with stage.runtime.databases.control() as connection:
        return repository.get_provider(connection, provider_id=stage.target.tenant.provider_id)


def _is_its_own(stage: Stage) -> bool:
    return _info(stage).tenant_id is not None


def _read(storage: TenantStorage, target: Target, bucket_id: UUID | None = None) -> bytes:
    reader = storage.open(bucket_id or target.bucket_id, target.version_id)
    try:
        return reader.read(len(target.canary) + 1)
    finally:
        reader.close()


def _through(stage: Stage, tally: Tally, view: TenantStorage) -> None:
    target = stage.target
    out = forged(f"../{target.tenant.prefix}{target.bucket_id.hex}")
    ways: dict[str, Callable[[], Any]] = {
        "opened": lambda: _read(view, target),
        "described": lambda: view.head(target.bucket_id, target.version_id),
        "opened by an id that leads out of its folder": lambda: _read(view, target, out),
        "copied from": lambda: _copy(view, target),
    }
    for what, act in ways.items():
        tally.attempt(Wall.BYTES, VIEW, HERE, what, _refused(act))
    listed = any(version_id == target.version_id for _, version_id, _ in view.list())
    tally.attempt(Wall.BYTES, VIEW, HERE, "listed", "it is in another's listing" if listed else "")


def _copy(view: TenantStorage, target: Target) -> None:
    """What copies within the provider begins with: the size of the source."""
    if view.head(target.bucket_id, target.version_id).size_bytes:
        raise AssertionError("the source of a copy is there")


def _refused(act: Callable[[], Any]) -> str:
    try:
        act()
    except DomainError:
        return ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it was no refusal
        return f"no refusal but {type(error).__name__}"
    return "the provider has answered"


def _by_runtime(stage: Stage, tally: Tally, tenant: Tenant) -> None:
    """By the id of the tenant's provider, as a row of another might name it: one that a tenant brought is nobody else's."""
    target = stage.target
    found = _refused(lambda: _read(stage.runtime.storage(tenant, target.tenant.provider_id), target))
    tally.attempt(Wall.BYTES, VIEW, HERE, "opened at the provider that another names", found)
    if _is_its_own(stage):  # that the prefix holds is not enough: nobody else may reach it at all
        found = _refused(lambda: stage.runtime.storage(tenant, target.tenant.provider_id))
        tally.attempt(Wall.BYTES, VIEW, HERE, "the provider that the tenant brought", found)


def _remove(stage: Stage, tally: Tally, provider: Provider) -> None:
    target, view = stage.target, TenantStorage(provider, stage.attacker.tenant.prefix)
    ways: dict[str, Callable[[], None]] = {
        "removed": lambda: view.delete([(target.bucket_id, target.version_id)]),
        "removed with all of another": lambda: TenantStorage(provider, tenant_prefix(new_id())).delete_all(),
    }
    for what, act in ways.items():
        act()
        tally.attempt(Wall.BYTES, VIEW, HERE, what, "" if is_there(target) else "it was removed by another")


def is_there(target: Target) -> bool:
    """Tell whether the tenant's object is still there."""
    try:
        return target.storage.head(target.bucket_id, target.version_id).size_bytes > 0
    except NotFound:
        return False


def _made(provider: Provider, prefix: str) -> str:
    try:
        TenantStorage(provider, prefix)
    except ValueError:
        return ""
    return "a view was made of it"


def _signed(stage: Stage, tally: Tally, provider: Provider) -> None:
    """An address that is signed for an object of the stand-in, with the tenant's key put in its place."""
    target, other = stage.target, stage.attacker.tenant
    if not isinstance(provider, Presigning):
        tally.left_out.append("bytes: the provider signs no addresses of its own")
        return
    if _is_its_own(stage):
        tally.left_out.append("bytes: signed addresses of a provider that the tenant brought itself are not fetched")
        return
    view, bucket_id, version_id = TenantStorage(provider, other.prefix), new_id(), new_id()
    writer = view.writer(bucket_id, version_id, 1)
    writer.write(b"x")
    writer.complete()
    signed = view.presign_get(bucket_id, version_id, LIFETIME_S, content_type="text/plain", disposition="attachment")
    assert signed is not None  # noqa: S101 - the provider signs
    mine, its = object_key(other.prefix, bucket_id, version_id), object_key(target.tenant.prefix, target.bucket_id, target.version_id)
    with urllib3.PoolManager(timeout=TIMEOUT_S, retries=False, ca_certs=_authority(provider)) as pool:
        tally.control(Wall.BYTES, HERE, "an address signed for it", lambda: _fetch(pool, signed.url, signed.headers)[0] == OK)
        status, data = _fetch(pool, signed.url.replace(mine, its), signed.headers)
    wrong = status < 400 or target.canary.encode() in data  # noqa: PLR2004 - HTTP
    tally.attempt(Wall.BYTES, SIGNED, HERE, "with the tenant's key put in", f"answered with status {status}" if wrong else "")


def _fetch(pool: urllib3.PoolManager, url: str, headers: Any) -> tuple[int, bytes]:
    answer = pool.request("GET", url, headers=dict(headers))
    return answer.status, answer.data


def _authority(provider: Provider) -> str | None:
    return provider.ca_file if isinstance(provider, OwnAuthority) else None
