"""The mail that answers a sign-up. What it says depends on whether there is such a user: only whoever reads the mailbox learns it.

Nothing in it was typed by whoever asked, but for the address that it goes to: nobody can have words of theirs sent from here.
"""

from __future__ import annotations

import logging
import time

from strongroom import mail
from strongroom.errors import EmailDomainNotAllowed, MailRefused, SignUpClosed
from strongroom.jobs.queue import Job
from strongroom.runtime import Runtime
from strongroom.signup import repository
from strongroom.signup.models import Asked
from strongroom.signup.service import check_admitted, make_token, read_asked
from tenants.models import Tenant

log = logging.getLogger(__name__)
HOUR_S, MINUTE_S = 3600, 60


def send(runtime: Runtime, tenant: Tenant, job: Job) -> None:
    """Send the mail for one sign-up, if it is still allowed and in time. A repetition bears the same Message-ID.

    Raises:
        MailUnavailable: the server could not be reached, or put the mail off.
    """
    asked, asked_at = read_asked(runtime, tenant, job.ids), job.created_at.timestamp()
    if runtime.settings.smtp_host is None or time.time() >= asked_at + runtime.settings.sign_up_lifetime_s:
        return
    try:
        check_admitted(tenant, asked.mailbox)
        with runtime.tenant(tenant) as connection:
            status = repository.status_of(connection, asked.mailbox.keys)
        mail.send(runtime.settings, _compose(runtime, tenant, asked, status, asked_at, key=f"{job.id}"))
    except (SignUpClosed, EmailDomainNotAllowed):
        return
    except MailRefused:
        log.warning("a mail was refused for good", exc_info=True, extra={"tenant_id": str(tenant.id), "job_id": str(job.id)})


def _compose(runtime: Runtime, tenant: Tenant, asked: Asked, status: str | None, asked_at: float, *, key: str) -> mail.Mail:
    brand = tenant.brand.name
    if status is None:
        token = make_token(runtime, tenant, asked.mailbox, asked.name, asked_at=asked_at)
        subject, lines = f"{brand}: confirm your email address", _proving(runtime, brand, f"{asked.origin}/console/signup/{token}")
    else:
        subject, lines = f"{brand}: about your account", _known(status, brand, f"{asked.origin}/console/login")
    return mail.Mail(to=asked.mailbox.address, subject=subject, text="\n\n".join(lines) + "\n", key=f"{key}.signup")


def _proving(runtime: Runtime, brand: str, url: str) -> list[str]:
    return [
        f"Somebody (you, we hope) wants to make an account at {brand} with this email address.",
        "To make it, open this link and choose a password:",
        url,
        f"The link works for {_lasting(runtime.settings.sign_up_lifetime_s)}, and once.",
        "If it was not you, do nothing: there is no account, and none will be made.",
    ]


def _known(status: str, brand: str, url: str) -> list[str]:
    asked = f"Somebody (you, we hope) wanted to make an account at {brand} with this email address."
    answer = {
        "active": f"You have one already. Sign in here:\n\n{url}",
        "invited": "You are invited already: open the link of your invitation, or ask whoever invited you for a new one.",
        "disabled": "There is one already, but it may not sign in at present. Ask an administrator.",
    }[status]
    return [asked, answer, "Nothing was changed. If it was not you, there is nothing to do."]


def _lasting(seconds: int) -> str:
    number, unit = (seconds // HOUR_S, "hour") if seconds >= HOUR_S else (max(1, seconds // MINUTE_S), "minute")
    return f"{number} {unit}{'' if number == 1 else 's'}"
