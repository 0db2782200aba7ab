"""The tenant's door: sign in, sign out, accept an invitation. The only pages of the console without a session."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, render_template, request
from flask_limiter.errors import RateLimitExceeded
from strongroom.access import Permission, Realm
from strongroom.auth import cookies, service
from strongroom.auth.models import SessionGrant
from strongroom.auth.schemas import LoginSchema
from strongroom.errors import DomainError, InvalidCredentials, PasswordSignInOff, TooManyRequests
from strongroom.http.context import current_principal, current_tenant, remote_addr, runtime
from strongroom.http.local_paths import local_path
from strongroom.http.pace import limit_failed_logins
from strongroom.http.permissions import permit, public
from strongroom.signup import service as signup
from strongroom.sso.sign_in_api import offers
from strongroom.users import service as users
from strongroom.users.api import AcceptSchema

from admin.brand import brand_of
from admin.forms import checked, errors_of, field
from admin.pages import CONSOLE, check_same_origin, go, nonce, page
from tenants.sso import OWNERS

door = Blueprint("console_door", __name__, url_prefix=CONSOLE)
WRONG = "Email and password do not match."
NO_PASSWORDS = "Only owners sign in with a password here. Use one of the buttons."
TOO_OFTEN = "That was tried too often. Wait a minute, then try again."


def door_page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a page for people who have not signed in, under the tenant's brand."""
    tenant = current_tenant()
    frame = {
        "root": CONSOLE, "brand": brand_of(tenant), "csp_nonce": nonce(), "csrf_token": "", "flashes": [],
        "may_sign_up": signup.is_offered(runtime(), tenant),
    }  # fmt: skip
    return page(render_template(f"console/{template}", **frame, **values), status)


def _login_page(errors: dict[str, str], status: int) -> Response:
    return _ask(local_path(field("next"), CONSOLE), {"email": field("email")}, errors, status)


def _ask(after: str | None, values: dict[str, str], errors: dict[str, str], status: int = 200) -> Response:
    only_owners = current_tenant().settings.sso.password_sign_in == OWNERS
    return door_page("login.html", status, next=after, values=values, errors=errors, offers=offers(), only_owners=only_owners)


def is_inside() -> bool:
    """Tell whether whoever asks is signed in."""
    session_id = cookies.console_session()
    return session_id is not None and service.is_living_session(runtime(), current_tenant(), session_id, "console")


@door.get("/login")
@public
def login() -> Response:
    """Ask who it is, unless that is known."""
    after = local_path(request.args.get("next"), CONSOLE)
    return go(after or f"{CONSOLE}/") if is_inside() else _ask(after, {}, {})


@door.post("/login")
@public
@limit_failed_logins
def sign_in() -> Response:
    """Begin a session."""
    check_same_origin()
    try:
        values = checked(LoginSchema(), {"email": field("email"), "password": request.form.get("password", "")})
        grant = begin_session(values["email"], values["password"])
    except InvalidCredentials as error:
        return _login_page({"form": WRONG}, error.status)
    except PasswordSignInOff as error:
        return _login_page({"form": NO_PASSWORDS}, error.status)
    except DomainError as error:
        return _login_page(errors_of(error), error.status)
    return signed_in(grant, local_path(field("next"), CONSOLE))


@door.errorhandler(RateLimitExceeded)
def too_often(_error: RateLimitExceeded) -> Response:
    """Say that one has to wait, on the form itself."""
    return _login_page({"form": TOO_OFTEN}, TooManyRequests.status)


def begin_session(email: str, password: str) -> SessionGrant:
    """Sign somebody in at the console.

    Raises:
        InvalidCredentials
    """
    return service.login(
        runtime(), current_tenant(), email=email, password=password, kind="console",
        user_agent=request.headers.get("User-Agent", ""), remote_addr=remote_addr(),
    )  # fmt: skip


def signed_in(grant: SessionGrant, after: str | None) -> Response:
    """Give the browser its session, and lead it in."""
    response = go(after or f"{CONSOLE}/")
    cookies.set_session(response, cookies.CONSOLE, grant)
    return response


@door.post("/logout")
@permit(Permission(Realm.CONSOLE))
def logout() -> Response:
    """End the session."""
    session_id = current_principal().session_id
    if session_id is not None:
        service.logout(runtime(), current_tenant(), session_id)
    response = go(f"{CONSOLE}/login")
    cookies.clear_session(response, cookies.CONSOLE)
    return response


@door.get("/invite/<token>")
@public
def invite(token: str) -> Response:
    """Welcome an invited user."""
    return _invite_page(token, {}, {})


@door.post("/invite/<token>")
@public
@limit_failed_logins
def accept(token: str) -> Response:
    """Set an invited user's name and password, and sign it in."""
    check_same_origin()
    values = {"name": field("name"), "password": request.form.get("password", "")}
    try:
        accepted = checked(AcceptSchema(), {"token": token, **values})
        user = users.accept_invitation(runtime(), current_tenant(), **accepted)
    except DomainError as error:
        return _invite_page(token, {"name": values["name"]}, errors_of(error), error.status)
    return signed_in(begin_session(user.email, values["password"]), None)


def _invite_page(token: str, values: dict[str, str], errors: dict[str, str], status: int = 200) -> Response:
    try:
        user = users.read_invitation(runtime(), current_tenant(), token)
    except DomainError:
        return door_page("invite.html", 404, token=token, invitation=None, values={}, errors={})
    if service.password_sign_in_is_off(current_tenant(), user.role):
        return door_page("invite_sso.html", invitation={"email": user.email, "role": user.role}, offers=offers())
    invitation = {"email": user.email, "role": user.role, "expires_at": users.invitation_ends(runtime(), user)}
    return door_page("invite.html", status, token=token, invitation=invitation, values=values, errors=errors)
