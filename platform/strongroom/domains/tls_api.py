"""/internal/tls/ask: whether a proxy in front (Caddy's on-demand TLS) may get a certificate for a name.

For the proxy alone: asked directly, by the platform's host or this machine's own names. What a proxy passes on from outside
bears X-Forwarded-For, and is not answered. Who asks learns no more than by opening a TLS connection to the name.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from strongroom.errors import NotFound, UnknownHost
from strongroom.http.context import runtime
from strongroom.http.hosts import host_name, is_platform_host
from strongroom.http.pace import uncounted
from strongroom.http.permissions import anywhere
from tenants.models import TenantStatus

blueprint = Blueprint("tls", __name__, url_prefix="/internal/tls")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
PASSED_ON = ("X-Forwarded-For", "Forwarded")


@blueprint.get("/ask")
@anywhere
@uncounted  # the proxy is one address, and asks for everybody
def ask() -> Response:
    """Answer 200 for a name that leads to a tenant, else 404. Costs at most one query by an index, for a name not seen lately."""
    if not _is_asked_directly() or not _leads_to_a_tenant(request.args.get("domain", "")):
        raise NotFound
    return Response(status=200, headers={"Cache-Control": "no-store"})


def _is_asked_directly() -> bool:
    if any(name in request.headers for name in PASSED_ON):
        return False
    try:
        host = host_name(request.environ.get("HTTP_HOST"))
    except UnknownHost:
        return False
    return host in LOOPBACK or is_platform_host(runtime().settings, host)


def _leads_to_a_tenant(name: str) -> bool:
    """A suspended tenant keeps the certificate of its address below the base domain, which is the platform's; none of its own domains."""
    try:
        if host_name(name) != name:
            return False
    except UnknownHost:
        return False
    tenant = runtime().registry.by_host(name)
    if tenant is None:
        return False
    is_given = name.endswith(f".{runtime().settings.base_domain}")
    return tenant.status == TenantStatus.ACTIVE or (is_given and tenant.status == TenantStatus.SUSPENDED)
