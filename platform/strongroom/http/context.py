"""What a request is bound to: the runtime, its id, its tenant and who asks. Set once, before anything else runs."""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app, g, request

from strongroom.access import Anonymous, OperatorPrincipal, Principal, Visitor
from strongroom.errors import TenantMoving, TenantSuspended, Unauthenticated, UnknownHost
from strongroom.http.hosts import host_name, is_platform_host
from strongroom.runtime import MOVING_RETRY_AFTER_S, Runtime
from tenants.models import Tenant, TenantStatus

EXTENSION = "strongroom"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def runtime() -> Runtime:
    """Return the process's runtime."""
    return cast(Runtime, current_app.extensions[EXTENSION])


def install_runtime(app: Flask, value: Runtime) -> None:
    """Give the app its runtime."""
    app.extensions[EXTENSION] = value


def bind_tenant(tenant: Tenant | None) -> None:
    """Bind the request to a tenant; everything after this happens inside it.

    Raises:
        UnknownHost: there is no such tenant, or no longer.
        TenantSuspended
        TenantMoving: it can only be read just now, and this request may want to write.
    """
    if tenant is None or tenant.status not in {TenantStatus.ACTIVE, TenantStatus.SUSPENDED}:
        raise UnknownHost
    g.tenant = tenant
    if tenant.status == TenantStatus.SUSPENDED:
        raise TenantSuspended
    if tenant.writes_paused and request.method not in SAFE_METHODS:
        raise TenantMoving(retry_after_s=MOVING_RETRY_AFTER_S)


def current_tenant() -> Tenant:
    """Return the tenant that this request is bound to.

    Raises:
        UnknownHost: it is bound to none.
    """
    tenant: Tenant | None = g.get("tenant")
    if tenant is None:
        raise UnknownHost
    return tenant


def current_principal() -> Principal:
    """Return who asks, in a tenant.

    Raises:
        Unauthenticated
    """
    principal: Principal | None = g.get("principal")
    if principal is None:
        raise Unauthenticated
    return principal


def current_visitor() -> Visitor:
    """Return who asks, at a route that is open for what is public.

    Raises:
        Unauthenticated: the gate let nobody in.
    """
    anonymous: Anonymous | None = g.get("anonymous")
    return anonymous or current_principal()


def current_operator() -> OperatorPrincipal:
    """Return the operator who asks.

    Raises:
        Unauthenticated
    """
    operator: OperatorPrincipal | None = g.get("operator")
    if operator is None:
        raise Unauthenticated
    return operator


def own_url(path: str) -> str:
    """Return a path's address on the tenant's own host: the one that was asked, or else the tenant's own below the base domain."""
    settings, host = runtime().settings, host_name(request.environ.get("HTTP_HOST"))
    return settings.tenant_url(current_tenant().slug, path) if is_platform_host(settings, host) else settings.public_url(host, path)


def request_id() -> str:
    """Return the id of this request, as its answer and its log lines carry it."""
    return str(g.get("request_id", ""))


def remote_addr() -> str:
    """Return the caller's address."""
    return request.remote_addr or ""
