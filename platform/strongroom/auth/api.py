"""/api/v1/auth: sign in, refresh, sign out. /api/v1/account/sessions: where the caller is signed in."""

from __future__ import annotations

from typing import Any

from flask import request

from strongroom.access import Role, Scope
from strongroom.auth import service
from strongroom.auth.gate import bearer
from strongroom.auth.jwt import session_of, token_pair
from strongroom.auth.schemas import LoginSchema, RefreshSchema, SessionPage, TokenSchema
from strongroom.db.ids import parse_id
from strongroom.errors import InvalidCredentials, PasswordSignInOff, RefreshReused, TokenExpired, TokenInvalid, Unauthenticated
from strongroom.http.context import current_principal, current_tenant, remote_addr, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.pace import limit_failed_logins
from strongroom.http.permissions import public, requires

blueprint = Blueprint("auth", __name__, url_prefix="/api/v1", description="Sign in, refresh, sign out.")


@blueprint.post("/auth/login")
@public
@limit_failed_logins
@blueprint.arguments(LoginSchema)
@blueprint.response(200, TokenSchema)
@described(fails=(InvalidCredentials, PasswordSignInOff))
def login(body: dict[str, Any]) -> dict[str, Any]:
    """Sign in with e-mail and password."""
    grant = service.login(
        runtime(), current_tenant(), email=body["email"], password=body["password"], kind="api",
        user_agent=request.headers.get("User-Agent", ""), remote_addr=remote_addr(),
    )  # fmt: skip
    return token_pair(grant)


def refresh_token(body: dict[str, Any]) -> str:
    """Return the refresh token of the request: as Bearer, or in the body.

    Raises:
        Unauthenticated
    """
    token = body.get("refresh_token") or bearer()
    if not token:
        raise Unauthenticated("Send the refresh token as Bearer or in 'refresh_token'.")
    return str(token)


@blueprint.post("/auth/refresh")
@public
@blueprint.arguments(RefreshSchema, required=False)
@blueprint.response(200, TokenSchema)
@described(
    fails=(
        Unauthenticated,
        TokenExpired,
        RefreshReused,
    )
)
def refresh(body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Change a refresh token for a new pair. One that is used twice ends its session."""
    session_id, refresh_id = session_of(refresh_token(body or {}), "refresh")
    if refresh_id is None:
        raise TokenInvalid
    return token_pair(service.refresh(runtime(), current_tenant(), session_id=session_id, refresh_id=refresh_id))


@blueprint.post("/auth/logout")
@requires(Role.VIEWER)
@blueprint.response(204)
def logout() -> None:
    """End the session of the access token."""
    session_id = current_principal().session_id
    if session_id is not None:
        service.logout(runtime(), current_tenant(), session_id)


@blueprint.get("/account/sessions")
@requires(Role.VIEWER, Scope.USER_READ)
@blueprint.response(200, SessionPage)
def list_sessions() -> dict[str, Any]:
    """List where the caller is signed in."""
    return {"items": service.list_sessions(runtime(), current_tenant(), current_principal().user_id), "next_cursor": None}


@blueprint.delete("/account/sessions/<session_id>")
@requires(Role.VIEWER, Scope.USER_WRITE)
@blueprint.response(204)
def end_session(session_id: str) -> None:
    """End one of the caller's sessions."""
    service.end_own_session(runtime(), current_tenant(), current_principal().user_id, parse_id(session_id))
