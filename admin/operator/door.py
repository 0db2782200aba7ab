"""The operator's door: sign in and out, on the platform's own host."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, render_template, request
from flask_limiter.errors import RateLimitExceeded
from strongroom.access import Permission, Realm
from strongroom.auth import cookies, operators
from strongroom.auth.schemas import LoginSchema
from strongroom.errors import DomainError, InvalidCredentials, TooManyRequests
from strongroom.http.context import current_operator, runtime
from strongroom.http.local_paths import local_path
from strongroom.http.pace import limit_failed_logins
from strongroom.http.permissions import permit, platform_only

from admin import theme
from admin.forms import checked, errors_of, field
from admin.pages import OPERATOR, check_same_origin, go, nonce, page

door = Blueprint("operator_console_door", __name__, url_prefix=OPERATOR)
WRONG = "Email and password do not match."
TOO_OFTEN = "That was tried too often. Wait a minute, then try again."


def _page(status: int = 200, **values: Any) -> Response:
    frame = {"root": OPERATOR, "brand": theme.OPERATOR_BRAND, "csp_nonce": nonce(), "csrf_token": "", "flashes": []}
    return page(render_template("operator/login.html", **frame, **values), status)


def _login_page(errors: dict[str, str], status: int) -> Response:
    return _page(status, next=local_path(field("next"), OPERATOR), values={"email": field("email")}, errors=errors)


@door.get("/login")
@platform_only
def login() -> Response:
    """Ask who it is, unless that is known."""
    after = local_path(request.args.get("next"), OPERATOR)
    session_id = cookies.operator_session()
    if session_id is not None:
        try:
            operators.principal_of_session(runtime(), session_id, "console")
        except DomainError:
            session_id = None
    return go(after or f"{OPERATOR}/") if session_id else _page(next=after, values={}, errors={})


@door.post("/login")
@platform_only
@limit_failed_logins
def sign_in() -> Response:
    """Begin a session."""
    check_same_origin()
    try:
        values = checked(LoginSchema(), {"email": field("email"), "password": request.form.get("password", "")})
        grant = operators.login(runtime(), email=values["email"], password=values["password"], kind="console")
    except InvalidCredentials as error:
        return _login_page({"form": WRONG}, error.status)
    except DomainError as error:
        return _login_page(errors_of(error), error.status)
    response = go(local_path(field("next"), OPERATOR) or f"{OPERATOR}/")
    cookies.set_session(response, cookies.OPERATOR, grant)
    return response


@door.errorhandler(RateLimitExceeded)
def too_often(_error: RateLimitExceeded) -> Response:
    """Say that one has to wait, on the form itself."""
    return _login_page({"form": TOO_OFTEN}, TooManyRequests.status)


@door.post("/logout")
@permit(Permission(Realm.OPERATOR_CONSOLE))
def logout() -> Response:
    """End the session."""
    operators.logout(runtime(), current_operator().session_id)
    response = go(f"{OPERATOR}/login")
    cookies.clear_session(response, cookies.OPERATOR)
    return response
