"""A tenant's settings: read, changed, and put back to what they were. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from strongroom.buckets.service import check_policy
from strongroom.config import Settings
from strongroom.errors import ValidationFailed
from strongroom.events.service import emit
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.users import repository as users
from tenants import hosts, sso
from tenants import settings as registered
from tenants.branding import check_brand
from tenants.models import SignUpMode, Tenant
from tenants.settings import SettingsVersion
from tenants.sign_up import check_domains

Changes = Mapping[str, Mapping[str, Any]]
Actor = Mapping[str, Any]
CONNECTIONS = "sso.connections"
MAY_SERVE = "scanning.buckets_may_serve_unscanned"


def get_settings(runtime: Runtime, tenant: Tenant) -> SettingsVersion:
    """Return the settings as they are now, past every cache."""
    with runtime.databases.control() as connection:
        return registered.get(connection, tenant.id)


def get_version(runtime: Runtime, tenant: Tenant, version: int) -> SettingsVersion:
    """Return a present or former version.

    Raises:
        NotFound
    """
    with runtime.databases.control() as connection:
        return registered.get_version(connection, tenant.id, version)


def list_versions(runtime: Runtime, tenant: Tenant, *, before: int | None = None, limit: int) -> list[SettingsVersion]:
    """Return the versions, newest first."""
    with runtime.databases.control() as connection:
        return registered.list_versions(connection, tenant.id, before=before, limit=limit)


def update_settings(
    runtime: Runtime, tenant: Tenant, actor: Actor, changes: Changes, *, expected: frozenset[int] | None = None,
    beside: Callable[[Connection], object] = lambda _connection: None,
) -> SettingsVersion:  # fmt: skip
    """Change fields of the settings, all or none. They hold at once, in every process, for what comes from now on.

    `beside`: what happens in the same transaction of the registry, before the whole is looked at.

    Raises:
        ValidationFailed
        PreconditionFailed: another version than those expected is the present one.
    """
    checked = _checked(changes)

    def act(connection: Connection) -> SettingsVersion:
        changed = registered.change(connection, tenant.id, checked, actor=actor, expected=expected)
        beside(connection)
        _check_whole(runtime, connection, tenant, changed)
        return changed

    return _act(runtime, tenant, actor, act)


def restore_version(
    runtime: Runtime, tenant: Tenant, actor: Actor, version: int, *, expected: frozenset[int] | None = None
) -> SettingsVersion:
    """Make a former version's settings the present ones, as a new version.

    Raises:
        NotFound, PreconditionFailed
        ValidationFailed: what was allowed then is not any more.
    """

    def act(connection: Connection) -> SettingsVersion:
        restored = registered.restore(connection, tenant.id, version, actor=actor, expected=expected)
        _checked(restored.settings)
        _check_whole(runtime, connection, tenant, restored)
        return restored

    return _act(runtime, tenant, actor, act)


def _act(runtime: Runtime, tenant: Tenant, actor: Actor, act: Callable[[Connection], SettingsVersion]) -> SettingsVersion:
    with runtime.databases.control() as connection:
        former = registered.get(connection, tenant.id)
        present = act(connection)
        hosts.keep(connection, tenant.id, former.settings[hosts.PART], present.settings[hosts.PART])
    if present.version != former.version:
        runtime.registry.forget()
        with runtime.tenant(tenant) as connection:
            _tell_hosts(connection, present, actor)
            _forget_identities(connection, present)
            emit(connection, "settings.updated", tenant.id, {"version": present.version, "changes": present.changes}, actor)
    return present


def _tell_hosts(connection: Connection, present: SettingsVersion, actor: Actor) -> None:
    """Tell what became of hosts, and have the files follow: also where fewer or more of them may be given out than before."""
    changed = {name: change for name, change in present.changes.items() if name.startswith(f"{hosts.PART}.")}
    for name, change in changed.items():
        before, after = change["from"], change["to"]
        kind = "host.added" if before is None else "host.removed" if after is None else "host.updated"
        emit(connection, kind, UUID(name.partition(".")[2]), {"name": (after or before)["name"]}, actor)
    if changed or (MAY_SERVE in present.changes and present.settings[hosts.PART]):
        enqueue(connection, hosts.SETTLE, {}, dedupe_key="all")


def _forget_identities(connection: Connection, present: SettingsVersion) -> None:
    """Whoever an issuer knows that no connection names any more is a stranger, should one name it again: nobody sees such links."""
    if CONNECTIONS in present.changes:
        users.forget_issuers_but(connection, [each.issuer for each in sso.connections_of(present.settings["sso"])])


def _checked(changes: Changes) -> dict[str, dict[str, Any]]:
    checked = {part: dict(fields) for part, fields in changes.items()}
    given = {name: value for name, value in checked.get("brand", {}).items() if value is not None}
    checked["brand"] = {**checked.get("brand", {}), **_within("brand", lambda: check_brand(given))}
    policy = {name: value for name, value in checked.get("bucket_defaults", {}).items() if value is not None}
    _within("bucket_defaults", lambda: check_policy(policy))
    if (domains := checked.get("sign_up", {}).get("domains")) is not None:
        checked["sign_up"] |= _within("sign_up", lambda: {"domains": check_domains(domains)})
    return checked


def _within(part: str, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do a check whose errors are about fields of a part."""
    try:
        return check()
    except ValidationFailed as error:
        raise ValidationFailed("Some fields are missing or wrong: see 'errors'.", errors={part: error.extra.get("errors", {})}) from None


def _check_whole(runtime: Runtime, connection: Connection, tenant: Tenant, version: SettingsVersion) -> None:
    """See that the parts fit together, and to the secrets that are there."""
    _check_lengths(runtime.settings, version)
    _check_sign_up(version)
    chosen = version.settings["sso"]
    connections = sso.connections_of(chosen)
    sso.forget_others(connection, tenant.id, connections)
    usable = sso.secrets_of(connection, runtime.keys, tenant.id, [each for each in connections if each.enabled])
    if chosen.get("password_sign_in") == sso.OWNERS and not any(each.domains and each.name in usable for each in connections):
        text = (
            "Nobody but owners could sign in: accounts that exist are opened only by an identity provider that names their e-mail "
            "domains. Set one up that is enabled, has its client secret and names domains, or let everybody use a password."
        )
        raise ValidationFailed(text, errors={"sso": {"password_sign_in": [text]}})


def _check_lengths(settings: Settings, version: SettingsVersion) -> None:
    """An access token that outlives its session would only seem to."""
    chosen = version.settings["sessions"]
    access_s = chosen.get("access_token_lifetime_s", settings.access_token_lifetime_s)
    session_s = chosen.get("session_lifetime_s", settings.refresh_token_lifetime_s)
    if "access_token_lifetime_s" in chosen and access_s > session_s:
        text = f"An access token cannot be good for longer than its session, which lasts {session_s} seconds."
        raise ValidationFailed(text, errors={"sessions": {"access_token_lifetime_s": [text]}})


def _check_sign_up(version: SettingsVersion) -> None:
    """A list of domains without one would let nobody in while it seems to be open."""
    chosen = version.settings["sign_up"]
    if chosen.get("mode") == SignUpMode.DOMAINS and not chosen.get("domains"):
        text = "Name at least one domain whose e-mail addresses may sign up."
        raise ValidationFailed(text, errors={"sign_up": {"domains": [text]}})
