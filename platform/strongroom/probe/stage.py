"""What a probe needs beside the tenant: two stand-ins with users, keys and things, an operator, and the tenant's own secrets.

In the tenant itself there are two secrets, which no listing, counter, event or statistic shows: a text in the row of the
report that is being made, and an object of some bytes under its prefix that no file names. Whatever a crash leaves of
them goes with the daily housekeeping.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from flask import Flask
from sqlalchemy import delete, func

from strongroom.access import Principal, Role, Scope
from strongroom.api_keys import service as api_keys
from strongroom.auth import cookies, operators
from strongroom.auth import service as sessions
from strongroom.db.ids import new_id
from strongroom.isolation import repository
from strongroom.probe.door import NOBODY, Credential, Door
from strongroom.runtime import Runtime
from strongroom.security.tokens import sign
from strongroom.storage.bound import TenantStorage
from strongroom.users import service as users
from tenants import stand_ins
from tenants.models import Tenant
from tenants.tables import operators as operator_accounts

log = logging.getLogger(__name__)
SYSTEM = Principal(UUID(int=0), "", "", Role.OWNER)
COOKIE_LIFETIME_S = 900
SAMPLED = 3


def new_canary() -> str:
    """Return a secret that nobody can guess, and that is found again wherever it turns up."""
    return f"canary-{secrets.token_hex(16)}"


@dataclass
class Party:
    """A stand-in: its users by role, each as the credentials that it has, and one of everything that a tenant can have."""

    tenant: Tenant
    canary: str
    by_role: dict[Role, Credential] = field(default_factory=dict)
    key: Credential = NOBODY
    cookie: Credential = NOBODY
    refresh: Credential = NOBODY
    things: dict[str, str] = field(default_factory=dict)
    """By the names that routes give them; `tokens.` and `tus.` before some."""

    @property
    def owner(self) -> Credential:
        """Its owner, signed in."""
        return self.by_role[Role.OWNER]

    @property
    def credentials(self) -> list[Credential]:
        """All kinds of credential that it has."""
        return [*self.by_role.values(), self.key, self.cookie, self.refresh]

    @property
    def secrets(self) -> list[str]:
        """What nobody else may ever see."""
        return [self.canary, self.tenant.prefix, self.tenant.ref.role, self.things["key_text"]]


@dataclass(frozen=True)
class Target:
    """The tenant whose walls are probed, and where its secrets are."""

    tenant: Tenant
    canary: str
    report_id: UUID
    bucket_id: UUID
    version_id: UUID
    storage: TenantStorage


@dataclass(frozen=True)
class Stage:
    """Everybody and everything."""

    runtime: Runtime
    door: Door
    target: Target
    attacker: Party
    victim: Party
    operator: Credential
    others: list[Tenant]
    """Some real tenants of the same cell, chosen by chance: their roles and views are tried, nothing of theirs is read."""


@contextmanager
def planted(runtime: Runtime, tenant: Tenant) -> Iterator[Target]:
    """Put the secrets into the tenant, and take them away again."""
    target = Target(tenant, new_canary(), new_id(), new_id(), new_id(), runtime.storage(tenant))
    data = target.canary.encode()
    try:
        with runtime.tenant(tenant) as connection:
            repository.plant(connection, target.report_id, target.canary)
        writer = target.storage.writer(target.bucket_id, target.version_id, len(data))
        writer.write(data)
        writer.complete()
        yield target
    finally:
        with runtime.tenant(tenant) as connection:
            repository.drop(connection, target.report_id)
        target.storage.delete([(target.bucket_id, target.version_id)])


@contextmanager
def staged(runtime: Runtime, app: Flask, target: Target) -> Iterator[Stage]:
    """Make everything that a probe needs, and remove it again."""
    settings = runtime.settings
    door = Door(app, settings.base_domain, settings.platform_hosts[0])
    sweep(runtime)
    with ExitStack() as stack:
        attacker, victim = (stack.enter_context(_stand_in(runtime, target.tenant)) for _ in range(2))
        operator = stack.enter_context(_operator(runtime, door))
        for party, roles in ((attacker, list(Role)), (victim, [Role.OWNER])):
            _sign_in(runtime, door, party, roles)
        with runtime.databases.control() as connection:
            ids = repository.sample(connection, target.tenant.cell, target.tenant.id, SAMPLED)
        others = [each for each in map(runtime.registry.by_id, ids) if each is not None]
        yield Stage(runtime, door, target, attacker, victim, operator, others)


def sweep(runtime: Runtime) -> int:
    """Remove the stand-ins and operators that crashed probes have left; return how many stand-ins."""
    found = stand_ins.abandoned(runtime.databases)
    for tenant in found:
        _remove(runtime, tenant)
    table = operator_accounts
    old = table.c.created_at < func.now() - func.make_interval(0, 0, 0, 0, 1)
    with runtime.databases.control() as connection:
        connection.execute(delete(table).where(table.c.email.like("probe--%@probe.invalid"), old))
    return len(found)


@contextmanager
def _stand_in(runtime: Runtime, beside: Tenant) -> Iterator[Party]:
    tenant = stand_ins.make(runtime.databases, beside)
    try:
        yield Party(tenant, new_canary())
    finally:
        _remove(runtime, tenant)


def _remove(runtime: Runtime, tenant: Tenant) -> None:
    """What does not answer now is left for the next probe's sweep."""
    try:
        runtime.storage(tenant).delete_all()
        stand_ins.remove(runtime.databases, tenant)
    except Exception:
        log.exception("a stand-in could not be removed; a later probe will", extra={"tenant_id": str(tenant.id)})


@contextmanager
def _operator(runtime: Runtime, door: Door) -> Iterator[Credential]:
    """An operator that may only look, for as long as the probe lasts."""
    email, password = f"probe--{secrets.token_hex(8)}@probe.invalid", secrets.token_urlsafe(24)
    made = operators.create_operator(runtime.databases, email=email, password=password, role="viewer")
    try:
        answer = door.ask("POST", door.platform_host, "/operator/api/v1/auth/login", json={"email": email, "password": password})
        yield _bearer("operator viewer", str((answer.get_json() or {}).get("access_token")))
    finally:
        with runtime.databases.control() as connection:
            connection.execute(delete(operator_accounts).where(operator_accounts.c.id == made.id))


def _bearer(name: str, token: str) -> Credential:
    return Credential(name, {"Authorization": f"Bearer {token}"})


def _sign_in(runtime: Runtime, door: Door, party: Party, roles: list[Role]) -> None:
    """Make a user of each role, signed in by the real door; and the owner's API key and console session."""
    password, tenant = secrets.token_urlsafe(24), party.tenant
    for role in roles:
        email = f"{role}@{secrets.token_hex(4)}.probe.invalid"
        user = users.create_user(runtime, tenant, SYSTEM, email=email, role=role, password=password, name=party.canary)
        body = {"email": email, "password": password}
        tokens = door.ask("POST", door.host(tenant), "/api/v1/auth/login", json=body).get_json() or {}
        party.by_role[role] = _bearer(f"{role} of another tenant", str(tokens.get("access_token")))
        if role == Role.OWNER:
            party.things["user_id"] = str(user.id)
            party.refresh = _bearer("refresh token of another tenant", str(tokens.get("refresh_token")))
            _add_key_and_cookie(runtime, party, email, password)


def _add_key_and_cookie(runtime: Runtime, party: Party, email: str, password: str) -> None:
    tenant, keys = party.tenant, runtime.keys
    grant = sessions.login(runtime, tenant, email=email, password=password, kind="console", user_agent="", remote_addr="")
    cookie = sign(keys.tenant_key(tenant.id, cookies.CONSOLE), cookies.CONSOLE, str(grant.session_id), COOKIE_LIFETIME_S)
    csrf = hmac.digest(keys.tenant_key(tenant.id, "csrf"), grant.session_id.bytes, "sha256").hex()
    headers = {"Cookie": f"{cookies.CONSOLE}={cookie}", "X-CSRF-Token": csrf}
    party.cookie = Credential("console cookie of another tenant", headers)
    owner = Principal(grant.subject_id, email, "", Role.OWNER)
    key, text = api_keys.create_api_key(runtime, tenant, owner, name=party.canary, scopes=[Scope.ADMIN])
    party.key = _bearer("API key of another tenant", text)
    party.things.update(session_id=str(grant.session_id), api_key_id=str(key.id), key_id=str(key.id), key_text=text)
