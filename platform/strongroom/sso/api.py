"""/api/v1/tenant/sso: the tenant's identity providers."""

from __future__ import annotations

import re
from typing import Any

from strongroom.access import Role, Scope
from strongroom.errors import TooManyConnections, ValidationFailed
from strongroom.http.context import current_principal, current_tenant, own_url, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.pace import limit_provider_tests
from strongroom.http.permissions import requires
from strongroom.operating.schemas import StepsSchema
from strongroom.sso import connections
from strongroom.sso.schemas import ConnectionBody, ConnectionChange, ConnectionPage, ShownConnection
from tenants.sso import NAME_PATTERN

blueprint = Blueprint("sso", __name__, url_prefix="/api/v1/tenant/sso", description="Identity providers by which users sign in.")
NAME = re.compile(NAME_PATTERN)


def redirect_uri(name: str) -> str:
    """Return where a provider sends people back to: at the host that was asked."""
    return own_url(f"/api/v1/auth/oidc/{name}/callback")


def shown(connection: dict[str, Any]) -> dict[str, Any]:
    """Return a connection as the API and the console show it."""
    return {**connection, "redirect_uri": redirect_uri(connection["name"])}


def check_name(name: str) -> str:
    """Return a name that a connection may bear.

    Raises:
        ValidationFailed
    """
    if not NAME.fullmatch(name):
        raise ValidationFailed(errors={"name": ["Use 1 to 40 small letters, digits and hyphens."]})
    return name


@blueprint.get("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, ConnectionPage)
def list_connections() -> dict[str, Any]:
    """List the identity providers, without their secrets."""
    found, passwords = connections.list_connections(runtime(), current_tenant())
    return {"items": [shown(each) for each in found], "next_cursor": None, "password_sign_in": passwords}


@blueprint.put("/<connection>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(ConnectionBody)
@blueprint.response(200, ShownConnection)
@blueprint.alt_response(201, schema=ShownConnection)
@described(fails=(TooManyConnections,))
def put_connection(body: dict[str, Any], connection: str) -> Any:
    """Add an identity provider under a name, or replace the one that bears it. A secret that fits stays."""
    secret = body.pop("client_secret", None)
    made, is_new = connections.put_connection(runtime(), current_tenant(), current_principal(), check_name(connection), body, secret)
    return shown(made), 201 if is_new else 200


@blueprint.patch("/<connection>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(ConnectionChange(partial=True))
@blueprint.response(200, ShownConnection)
def update_connection(body: dict[str, Any], connection: str) -> Any:
    """Change fields of an identity provider, or give it its secret."""
    secret = body.pop("client_secret", None)
    return shown(connections.change_connection(runtime(), current_tenant(), current_principal(), connection, body, secret))


@blueprint.delete("/<connection>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(204)
@described(fails=(ValidationFailed,))
def delete_connection(connection: str) -> None:
    """Remove an identity provider with its secret; the users that came by it stay."""
    connections.delete_connection(runtime(), current_tenant(), current_principal(), connection)


@blueprint.post("/<connection>/test")
@requires(Role.ADMIN, Scope.ADMIN)
@limit_provider_tests
@blueprint.response(200, StepsSchema)
def try_connection(connection: str) -> dict[str, Any]:
    """Ask an identity provider for what every sign-in needs of it; tell how each step went."""
    steps = connections.try_connection(runtime(), current_tenant(), connection)
    return {"ok": all(step.ok for step in steps), "steps": steps}
