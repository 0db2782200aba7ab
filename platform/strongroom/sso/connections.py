"""A tenant's connections to identity providers: listed, changed and tried out. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection as Database

from strongroom.access import Principal
from strongroom.errors import NotFound, PreconditionFailed, TooManyConnections
from strongroom.events.service import emit
from strongroom.operating.providers import Step
from strongroom.runtime import Runtime
from strongroom.sso.cache import Entry, cache_of
from strongroom.sso.models import Trouble
from strongroom.sso.service import reset
from strongroom.tenant_settings import service as settings
from tenants import settings as registered
from tenants import sso, tenant_secrets
from tenants.models import Tenant
from tenants.settings import SettingsVersion

TRIES = 5
Stored = Mapping[str, Any]
Edit = Callable[[Stored | None], Stored | None]


def list_connections(runtime: Runtime, tenant: Tenant) -> tuple[list[dict[str, Any]], str]:
    """Return the connections as they may be shown, by name, past every cache; and who signs in with a password."""
    with runtime.databases.control() as database:
        stored = registered.get(database, tenant.id).settings["sso"]
        connections = sso.connections_of(stored)
        secrets = sso.secrets_of(database, runtime.keys, tenant.id, connections)
    shown = [{**vars(each), "client_secret_set": each.name in secrets} for each in connections]
    return shown, stored.get("password_sign_in", sso.EVERYBODY)


def get_connection(runtime: Runtime, tenant: Tenant, name: str) -> dict[str, Any]:
    """Return one of them.

    Raises:
        NotFound
    """
    for each in list_connections(runtime, tenant)[0]:
        if each["name"] == name:
            return each
    raise NotFound("There is no such identity provider.")


def put_connection(
    runtime: Runtime, tenant: Tenant, principal: Principal, name: str, values: Stored, secret: str | None
) -> tuple[dict[str, Any], bool]:
    """Add a connection, or replace it; return it, and whether it is new. A secret that is there stays as long as it fits.

    Raises:
        TooManyConnections, ValidationFailed
    """
    made: list[bool] = []

    def edit(former: Stored | None) -> Stored:
        made.append(former is None)
        return values

    _edit(runtime, tenant, principal, name, edit, secret)
    return get_connection(runtime, tenant, name), made[-1]


def change_connection(
    runtime: Runtime, tenant: Tenant, principal: Principal, name: str, changes: Stored, secret: str | None
) -> dict[str, Any]:
    """Change fields of a connection. With another issuer or client the secret has to be given anew.

    Raises:
        NotFound, ValidationFailed
    """

    def edit(former: Stored | None) -> Stored:
        if former is None:
            raise NotFound("There is no such identity provider.")
        return {**former, **changes}

    _edit(runtime, tenant, principal, name, edit, secret)
    return get_connection(runtime, tenant, name)


def delete_connection(runtime: Runtime, tenant: Tenant, principal: Principal, name: str) -> None:
    """Remove a connection with its secret. Users stay, and who they are at its provider is forgotten unless another connection names it.

    Raises:
        NotFound
        ValidationFailed: nobody but owners could sign in any more.
    """

    def edit(former: Stored | None) -> None:
        if former is None:
            raise NotFound("There is no such identity provider.")

    _edit(runtime, tenant, principal, name, edit, None)


def _edit(runtime: Runtime, tenant: Tenant, principal: Principal, name: str, edit: Edit, secret: str | None) -> None:
    """Change one connection on top of whatever the others have become meanwhile."""
    for left in reversed(range(TRIES)):
        present = settings.get_settings(runtime, tenant)
        try:
            _edit_once(runtime, tenant, principal, present, name, edit, secret)
        except PreconditionFailed:
            if not left:
                raise
        else:
            break
    cache_of(runtime).forget(tenant, name)
    if secret is not None:
        with runtime.tenant(tenant) as database:
            emit(database, "sso.secret_set", None, {"connection": name}, principal.actor)


def _edit_once(
    runtime: Runtime, tenant: Tenant, principal: Principal, present: SettingsVersion, name: str, edit: Edit, secret: str | None
) -> None:
    connections = dict(present.settings["sso"].get("connections") or {})
    changed = edit(connections.pop(name, None))
    if changed is not None:
        connections[name] = dict(changed)
    if len(connections) > sso.MAX_CONNECTIONS:
        raise TooManyConnections(f"A tenant may have {sso.MAX_CONNECTIONS} identity providers.")

    def put_secret(database: Database) -> None:
        if secret is not None and changed is not None:
            sealed = sso.seal_secret(runtime.keys, tenant.id, sso.connection_of(name, changed), secret)
            tenant_secrets.put(database, tenant.id, sso.PREFIX + name, sealed)

    changes = {"sso": {"connections": connections or None}}
    settings.update_settings(runtime, tenant, principal.actor, changes, expected=frozenset({present.version}), beside=put_secret)


def try_connection(runtime: Runtime, tenant: Tenant, name: str) -> list[Step]:
    """Ask a connection's provider for what every sign-in needs of it; return how each step went.

    Raises:
        NotFound
    """
    shown = get_connection(runtime, tenant, name)
    tenant = runtime.look_up(tenant)
    steps = _ask(reset(runtime, tenant, name))
    advice = "" if shown["client_secret_set"] else "Give the client secret that the provider shows for this issuer and client."
    secret = Step("The client secret", shown["client_secret_set"], "It is set." if shown["client_secret_set"] else "It is not set.", advice)
    return [*steps, secret]


def _ask(entry: Entry) -> list[Step]:
    try:
        provider = entry.provider()
    except Trouble as trouble:
        advice = "Compare the issuer with what the provider shows, letter by letter; it must answer from outside, over https."
        return [Step("The discovery document", ok=False, detail=str(trouble), advice=advice)]
    found = Step("The discovery document", ok=True, detail=f"People sign in at {provider.authorization_endpoint}.")
    try:
        count = len(entry.keys())
    except Trouble as trouble:
        return [found, Step("The keys", ok=False, detail=str(trouble), advice="Ask whoever runs the provider.")]
    advice = "" if count else "The provider must sign ID tokens with RSA (2,048 bits or more), an elliptic curve or Ed25519."
    return [found, Step("The keys", ok=count > 0, detail=f"{count} of them can sign.", advice=advice)]
