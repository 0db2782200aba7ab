"""Sign-up: asked for, proven by a mail, completed. Knows no HTTP.

Until an address is proven nothing is known of it but a job that is to mail to it; who asks learns from no answer, and from
no time that one takes, whether there is a user with that address. What the tenant allows is looked up anew at each step.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from strongroom.access import Role
from strongroom.errors import (
    AlreadyExists,
    EmailDomainNotAllowed,
    MailNotSetUp,
    NotFound,
    QuotaExceeded,
    SignUpClosed,
    TokenInvalid,
    ValidationFailed,
)
from strongroom.events.service import emit
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.security.passwords import check_password, hash_password
from strongroom.security.tokens import sign, verify
from strongroom.signup import repository
from strongroom.signup.models import Asked, Claim
from strongroom.users import service as users
from strongroom.users.addresses import Mailbox, read
from strongroom.users.models import User
from strongroom.users.outdated import is_outdated
from tenants.models import SignUpMode, Tenant
from tenants.sso import OWNERS

PURPOSE = "signup"
MAIL = "signup.mail"
NO_ROOM = "Nobody can be added here just now. Ask an administrator to make room, then open your link again."


def is_offered(runtime: Runtime, tenant: Tenant) -> bool:
    """Tell whether there is any use in asking for an account."""
    return not _is_closed(tenant) and runtime.settings.smtp_host is not None


def _is_closed(tenant: Tenant) -> bool:
    """Tell whether nobody makes an account: it has a password, which is no use where only owners sign in with one."""
    return tenant.settings.sign_up.mode == SignUpMode.CLOSED or tenant.settings.sso.password_sign_in == OWNERS


def ask(runtime: Runtime, tenant: Tenant, *, email: str, name: str, origin: str) -> None:
    """Have a mail sent to an address, whoever may have it. The same is done for every address that the policy admits.

    `origin`: where the tenant is, as whoever asks has reached it, such as `https://files.example.com`.

    Raises:
        SignUpClosed, EmailDomainNotAllowed, MailNotSetUp, ValidationFailed
    """
    check_open(runtime, tenant)
    mailbox = read(email)
    check_admitted(tenant, mailbox)
    asked = json.dumps({"email": mailbox.email, "name": name, "origin": origin}).encode()
    sealed = base64.b64encode(runtime.keys.seal(asked, _sealed_for(tenant))).decode()
    with runtime.tenant(tenant) as connection:
        enqueue(connection, MAIL, {"asked": sealed})


def read_asked(runtime: Runtime, tenant: Tenant, ids: Mapping[str, Any]) -> Asked:
    """Return what a job was given by `ask`."""
    told = json.loads(runtime.keys.open(base64.b64decode(ids["asked"]), _sealed_for(tenant)))
    return Asked(read(told["email"]), told["name"], told["origin"])


def check_open(runtime: Runtime, tenant: Tenant) -> None:
    """See that people may make accounts at all.

    Raises:
        SignUpClosed, MailNotSetUp
    """
    if _is_closed(tenant):
        raise SignUpClosed
    if runtime.settings.smtp_host is None:
        raise MailNotSetUp


def check_admitted(tenant: Tenant, mailbox: Mailbox) -> None:
    """See that whoever has this mailbox may make an account.

    Raises:
        SignUpClosed, EmailDomainNotAllowed
    """
    if _is_closed(tenant):
        raise SignUpClosed
    if not tenant.settings.sign_up.admits(mailbox.domain):
        raise EmailDomainNotAllowed


def make_token(runtime: Runtime, tenant: Tenant, mailbox: Mailbox, name: str, *, asked_at: float) -> str:
    """Return the token that proves, when it comes back, that somebody reads this mailbox. `asked_at`: by the database's clock."""
    ends_at = asked_at + runtime.settings.sign_up_lifetime_s
    return sign(_key(runtime, tenant), PURPOSE, mailbox.email, int(ends_at - time.time()), name=name, ends=ends_at)


def read_token(runtime: Runtime, tenant: Tenant, token: str) -> Claim:
    """Return what a token says, if the tenant still admits its address and its link was not used. Changes nothing.

    Raises:
        TokenExpired, TokenInvalid, SignUpClosed, EmailDomainNotAllowed
        AlreadyExists: there is such a user by now: the link was used, most likely.
        NotFound: a newer link is needed.
    """
    claims = verify(_key(runtime, tenant), PURPOSE, token)
    try:
        claim = Claim(read(claims["sub"]), str(claims["name"]), float(claims["ends"]))
    except (KeyError, ValueError, ValidationFailed):
        raise TokenInvalid from None
    check_admitted(tenant, claim.mailbox)
    with runtime.tenant(tenant) as connection:
        _check_unused(connection, runtime, tenant, claim)
    return claim


def complete(runtime: Runtime, tenant: Tenant, token: str, *, name: str, password: str) -> User:
    """Make the user whose address a token proves, with the role that the policy gives now. Of any number at once one succeeds.

    Raises:
        TokenExpired, TokenInvalid, SignUpClosed, EmailDomainNotAllowed, AlreadyExists, NotFound: see `read_token`.
        QuotaExceeded: the tenant has as many users as it may; the link stays good.
        ValidationFailed
    """
    claim = read_token(runtime, tenant, token)
    check_password(password)
    hashed, role = hash_password(password), Role(tenant.settings.sign_up.role)
    with runtime.tenant(tenant) as connection:
        try:
            user = users.insert_active(
                connection, tenant, email=claim.mailbox.email, name=name or claim.name, role=role, password_hash=hashed
            )
        except QuotaExceeded:
            raise QuotaExceeded(NO_ROOM, resource="users") from None  # how many there are is no stranger's business
        _check_living(connection, runtime, tenant, claim)  # now that nobody else can add such a user
        emit(connection, "user.created", user.id, {"email": user.email, "role": role}, {"user_id": str(user.id), "signed_up": True})
    return user


def _check_unused(connection: Connection, runtime: Runtime, tenant: Tenant, claim: Claim) -> None:
    status = repository.status_of(connection, claim.mailbox.keys)
    if status == "invited":
        raise AlreadyExists("You are invited already: use the invitation's link, or ask whoever invited you for a new one.")
    if status is not None:
        raise AlreadyExists("There is an account with this e-mail already: sign in.")
    _check_living(connection, runtime, tenant, claim)


def _check_living(connection: Connection, runtime: Runtime, tenant: Tenant, claim: Claim) -> None:
    if is_outdated(connection, runtime, tenant, claim.mailbox.keys, claim.ends_at):
        raise NotFound("This link no longer works. Ask for a new one.")


def _key(runtime: Runtime, tenant: Tenant) -> bytes:
    return runtime.keys.tenant_key(tenant.id, PURPOSE)


def _sealed_for(tenant: Tenant) -> str:
    return f"signup {tenant.id}"
