"""/api/v1/auth/oidc: sign in by one of the tenant's identity providers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import Response, g, jsonify, redirect, request

from strongroom.auth import cookies
from strongroom.auth.jwt import token_pair
from strongroom.errors import (
    BadRequest,
    QuotaExceeded,
    SsoFailed,
    SsoNotReady,
    SsoRefused,
    SsoStateInvalid,
    SsoUnavailable,
)
from strongroom.http.context import current_tenant, own_url, remote_addr, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.local_paths import local_path
from strongroom.http.pace import limit_failed_sign_ins
from strongroom.http.permissions import public
from strongroom.sso import service
from strongroom.sso.api import redirect_uri
from strongroom.sso.schemas import CallbackSchema, OfferedPage, StartQuery

blueprint = Blueprint("oidc", __name__, url_prefix="/api/v1/auth/oidc", description="Sign in by an identity provider.")
CONSOLE = "/console"
FOUND, SEE_OTHER = 302, 303
MAX_AFTER_BYTES = 1500
"""What is longer is passed over: the cookie that carries it must stay below 4,096 bytes, more of which browsers drop."""
AS_IT_IS = "%/:?#[]@!$&'()*+,;=~"
ANSWERED = ("code", "state", "iss", "error", "error_description")


def offers() -> list[dict[str, str]]:
    """Return the ways to sign in that are ready, for sign-in pages."""
    found = service.offered(runtime(), current_tenant())
    return [{"name": each.name, "label": each.label, "start_url": own_url(f"/api/v1/auth/oidc/{each.name}/start")} for each in found]


def _cookie() -> str:
    """Return the cookie's name; behind https one that no other host and no path can set (RFC 6265bis, 4.1.3.2)."""
    return "__Host-sr_oidc" if _is_secure() else "sr_oidc"


def _is_secure() -> bool:
    return runtime().settings.public_scheme == "https"


def _after(address: str | None) -> str | None:
    """Return where a sign-in is to end, if that is a page of the console, in ASCII: other letters take six bytes each in a token."""
    path = local_path(address, CONSOLE)
    written = quote(path, safe=AS_IT_IS) if path is not None else None
    return written if written is None or len(written) <= MAX_AFTER_BYTES else None


@blueprint.get("")
@public
@blueprint.response(200, OfferedPage)
def list_offers() -> dict[str, Any]:
    """List the identity providers by which somebody can sign in here, and who can with a password."""
    return {"items": offers(), "next_cursor": None, "password_sign_in": current_tenant().settings.sso.password_sign_in}


@blueprint.get("/<connection>/start")
@public
@limit_failed_sign_ins
@blueprint.arguments(StartQuery, location="query")
@blueprint.response(302)
@described(gives={302: ("Location",)}, fails=(BadRequest, SsoNotReady, SsoUnavailable))
def start(query: dict[str, Any], connection: str) -> Any:
    """Begin a sign-in: send a browser here. It comes back with a cookie that holds for ten minutes."""
    g.answers_apps = query["mode"] == service.TOKEN
    if g.on_platform:
        raise BadRequest("Begin at the tenant's own address.")
    url, token = service.begin(
        runtime(), current_tenant(), connection, redirect_uri=redirect_uri(connection), mode=query["mode"],
        after=_after(query["next"]), prompt=query["prompt"],
    )  # fmt: skip
    response = redirect(url, FOUND)
    response.set_cookie(_cookie(), token, max_age=service.LIFETIME_S, secure=_is_secure(), httponly=True, samesite="Lax", path="/")
    return response


@blueprint.get("/<connection>/callback")
@public
@limit_failed_sign_ins
@blueprint.response(200, CallbackSchema)
@described(gives={303: ("Location",)}, fails=(SsoStateInvalid, SsoFailed, SsoRefused, SsoNotReady, SsoUnavailable, QuotaExceeded))
def callback(connection: str) -> Any:
    """Finish a sign-in: the provider sends the browser here. Ends with tokens for an app, or with the way to the console."""
    flow = service.read_flow(runtime(), current_tenant(), request.cookies.get(_cookie()))
    g.answers_apps = flow.mode == service.TOKEN
    answer = {name: request.args[name] for name in ANSWERED if name in request.args}
    grant = service.finish(
        runtime(), current_tenant(), flow, connection, answer, redirect_uri=redirect_uri(connection),
        user_agent=request.headers.get("User-Agent", ""), remote_addr=remote_addr(),
    )  # fmt: skip
    if flow.mode == service.TOKEN:
        response = jsonify(token_pair(grant))
    else:
        response = redirect(flow.after or f"{CONSOLE}/", SEE_OTHER)  # type: ignore[assignment]  # it is Flask's own response class
        cookies.set_session(response, cookies.CONSOLE, grant)
    return response


@blueprint.after_request
def _forget_flow(response: Response) -> Response:
    """Whatever came of it, a sign-in is finished once."""
    if request.endpoint == "oidc.callback" and _cookie() in request.cookies:
        response.delete_cookie(_cookie(), path="/", secure=_is_secure(), httponly=True, samesite="Lax")
    return response
