"""The consoles' cookies: a session id in a purpose-bound token, for one host, out of reach of scripts."""

from __future__ import annotations

import hmac
import time
from uuid import UUID

from flask import Response, g, request

from strongroom.auth.models import SessionGrant
from strongroom.errors import DomainError
from strongroom.http.context import runtime
from strongroom.security.tokens import sign, verify
from tenants.models import Tenant

CONSOLE, OPERATOR = "sr_console", "sr_operator"


def _key(purpose: str) -> bytes:
    tenant: Tenant | None = g.get("tenant")
    keys = runtime().keys
    return keys.operator_key(purpose) if tenant is None else keys.tenant_key(tenant.id, purpose)


def set_session(response: Response, name: str, grant: SessionGrant) -> None:
    """Give the browser a session; it ends with the session's own end."""
    lifetime_s = max(1, int(grant.expires_at.timestamp() - time.time()))
    token = sign(_key(name), name, str(grant.session_id), lifetime_s)
    secure = runtime().settings.public_scheme == "https"
    path = "/" if name == CONSOLE else "/operator"
    response.set_cookie(name, token, max_age=lifetime_s, secure=secure, httponly=True, samesite="Lax", path=path)


def clear_session(response: Response, name: str) -> None:
    """Take the session from the browser."""
    response.delete_cookie(name, path="/" if name == CONSOLE else "/operator")


def console_session() -> UUID | None:
    """Return the session of the tenant's console, if the browser has a good one."""
    return _session(CONSOLE)


def operator_session() -> UUID | None:
    """Return the session of the operator's console, if the browser has a good one."""
    return _session(OPERATOR)


def _session(name: str) -> UUID | None:
    token = request.cookies.get(name)
    if not token:
        return None
    try:
        return UUID(verify(_key(name), name, token)["sub"])
    except (DomainError, ValueError):
        return None


def csrf_token(session_id: UUID) -> str:
    """Return the token that forms and scripts of this session must send back."""
    return hmac.digest(_key("csrf"), session_id.bytes, "sha256").hex()
