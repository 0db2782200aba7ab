"""Making an account of one's own at the console: ask for a mail, open its link, choose a password."""

from __future__ import annotations

from flask import Blueprint, Response, request
from flask_limiter.errors import RateLimitExceeded
from strongroom.errors import AlreadyExists, DomainError, EmailDomainNotAllowed, MailNotSetUp, SignUpClosed, TooManyRequests
from strongroom.http.context import current_tenant, own_url, runtime
from strongroom.http.permissions import public
from strongroom.signup import service
from strongroom.signup.limits import limit_completions, limit_sign_ups
from strongroom.signup.schemas import CompletionSchema, SignUpSchema

from admin.console.door import begin_session, door_page, is_inside, signed_in
from admin.forms import checked, errors_of, field
from admin.notices import say, take
from admin.pages import CONSOLE, check_same_origin, go
from tenants.domain_names import shown
from tenants.models import SignUpMode

signup = Blueprint("console_signup", __name__, url_prefix=f"{CONSOLE}/signup")
GONE = 404
MOST_NAMED = 3
NOT_FOR_YOU = "People with this address cannot make an account here by themselves. Ask an administrator to invite you."
TOO_OFTEN = {
    "send": "A mail was asked for too often. Look into your mailbox, and its spam folder; else try again in an hour.",
    "complete": "That was tried too often. Wait a minute, then try again.",
}


@signup.get("")
@public
def ask() -> Response:
    """Ask who wants an account."""
    return go(f"{CONSOLE}/") if is_inside() else _form({}, {})


@signup.post("")
@public
@limit_sign_ups
def send() -> Response:
    """Have a mail sent with a link; the page after this is the same for every address."""
    check_same_origin()
    values = {"email": field("email"), "name": field("name")}
    try:
        service.ask(runtime(), current_tenant(), **checked(SignUpSchema(), values), origin=own_url(""))
    except EmailDomainNotAllowed as error:
        return _form(values, {"email": NOT_FOR_YOU}, error.status)
    except DomainError as error:
        return _form(values, errors_of(error), error.status)
    return say(go(f"{CONSOLE}/signup/sent"), "good", sent_to=values["email"])


@signup.get("/sent")
@public
def sent() -> Response:
    """Send people to their mailbox."""
    return door_page("signup_sent.html", sent_to=take().once.get("sent_to"), lifetime_s=runtime().settings.sign_up_lifetime_s)


@signup.get("/<token>")
@public
def opened(token: str) -> Response:
    """Ask somebody whose address is proven for a name and a password. Nothing changes: mail programs open links, too."""
    return _opened(token, None, {})


@signup.post("/<token>")
@public
@limit_completions
def complete(token: str) -> Response:
    """Make the account, and sign in."""
    check_same_origin()
    values = {"name": field("name"), "password": request.form.get("password", "")}
    try:
        user = service.complete(runtime(), current_tenant(), **checked(CompletionSchema(), {"token": token, **values}))
    except DomainError as error:
        return _opened(token, values["name"], errors_of(error), error.status)
    return signed_in(begin_session(user.email, values["password"]), None)


@signup.errorhandler(RateLimitExceeded)
def too_often(_error: RateLimitExceeded) -> Response:
    """Say that one has to wait, on the form itself."""
    view = (request.endpoint or "").rpartition(".")[2]
    if view == "complete":
        return _opened(str((request.view_args or {})["token"]), field("name"), {"form": TOO_OFTEN[view]}, TooManyRequests.status)
    return _form({"email": field("email"), "name": field("name")}, {"form": TOO_OFTEN["send"]}, TooManyRequests.status)


def _form(values: dict[str, str], errors: dict[str, str], status: int = 200) -> Response:
    try:
        service.check_open(runtime(), current_tenant())
    except (SignUpClosed, MailNotSetUp):
        return door_page("signup_gone.html", GONE, why="closed")
    policy = current_tenant().settings.sign_up
    domains = [shown(each) for each in policy.domains] if policy.mode == SignUpMode.DOMAINS else []
    return door_page("signup.html", status, values=values, errors=errors, domains=domains if len(domains) <= MOST_NAMED else [])


def _opened(token: str, name: str | None, errors: dict[str, str], status: int = 200) -> Response:
    """Return the form of a link, or why there is none. `name`: as it was typed here; None: it was not yet."""
    try:
        claim = service.read_token(runtime(), current_tenant(), token)
    except AlreadyExists as error:
        return door_page("signup_gone.html", error.status, why="known", detail=error.detail)
    except (SignUpClosed, EmailDomainNotAllowed) as error:
        return door_page("signup_gone.html", error.status, why="closed" if isinstance(error, SignUpClosed) else "refused")
    except DomainError:
        return door_page("signup_gone.html", GONE, why="spent")
    values = {"name": claim.name if name is None else name}
    return door_page("signup_open.html", status, token=token, email=claim.mailbox.email, values=values, errors=errors)
