"""/api/v1/auth/signup: make an account of one's own, where the tenant allows it."""

from __future__ import annotations

from typing import Any

from strongroom.errors import (
    AlreadyExists,
    EmailDomainNotAllowed,
    MailNotSetUp,
    NotFound,
    QuotaExceeded,
    SignUpClosed,
    TokenExpired,
    TokenInvalid,
)
from strongroom.http.context import current_tenant, own_url, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import public
from strongroom.signup import service
from strongroom.signup.limits import limit_completions, limit_sign_ups
from strongroom.signup.schemas import CompletionSchema, SignUpAskedSchema, SignUpSchema
from strongroom.users.api import UserSchema

blueprint = Blueprint("signup", __name__, url_prefix="/api/v1/auth/signup", description="Make an account of one's own.")


@blueprint.post("")
@public
@limit_sign_ups
@blueprint.arguments(SignUpSchema)
@blueprint.response(202, SignUpAskedSchema)
@described(fails=(SignUpClosed, EmailDomainNotAllowed, MailNotSetUp))
def sign_up(body: dict[str, Any]) -> dict[str, Any]:
    """Have a mail sent with a link that makes an account. The answer is the same whether or not there is one already."""
    service.ask(runtime(), current_tenant(), **body, origin=own_url(""))
    return {"status": "mail_sent", "expires_in_s": runtime().settings.sign_up_lifetime_s}


@blueprint.post("/complete")
@public
@limit_completions
@blueprint.arguments(CompletionSchema)
@blueprint.response(201, UserSchema)
@described(fails=(TokenInvalid, TokenExpired, SignUpClosed, EmailDomainNotAllowed, AlreadyExists, NotFound, QuotaExceeded))
def complete_sign_up(body: dict[str, Any]) -> Any:
    """Make the account with the token of the mail's link: set name and password."""
    return service.complete(runtime(), current_tenant(), body["token"], name=body["name"], password=body["password"])
