"""The mail that tells whoever manages a tenant that a limit is nearly or wholly used up. Knows no HTTP.

One job for each recipient: what fails for one is tried again for that one alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from strongroom import mail
from strongroom.access import Role
from strongroom.errors import MailRefused, NotFound
from strongroom.quotas import words
from strongroom.quotas.models import Use
from strongroom.quotas.repository import totals
from strongroom.runtime import Runtime
from strongroom.users import repository as users
from strongroom.users.models import User
from tenants.models import Tenant

log = logging.getLogger(__name__)


def send(runtime: Runtime, tenant: Tenant, ids: Mapping[str, Any]) -> None:
    """Send one notice to one user, if it is still true and the user still manages the tenant. A repetition bears the same Message-ID.

    Raises:
        MailUnavailable: the server could not be reached, or put the mail off.
    """
    with runtime.tenant(tenant) as connection:
        use = next(each for each in totals(connection).uses(tenant.limits) if each.resource == ids["resource"])
        try:
            user = users.get_user(connection, UUID(ids["user_id"]))
        except NotFound:
            return
    if use.level < ids["percent"] or user.status != "active" or not user.role.includes(Role.ADMIN):
        return
    try:
        mail.send(runtime.settings, compose(runtime, tenant, use, user, str(ids["notice_id"])))
    except MailRefused:
        log.warning("a mail was refused for good", exc_info=True, extra={"tenant_id": str(tenant.id), "user_id": str(user.id)})


def compose(runtime: Runtime, tenant: Tenant, use: Use, user: User, notice_id: str) -> mail.Mail:
    """Return what is told to one user of a limit."""
    subject = f"{tenant.brand.name}: {words.title(use)}"
    lines = [
        f"{words.title(use)}: {words.of(use)}.",
        words.then(use),
        f"See {runtime.settings.tenant_url(tenant.slug, '/console/')}",
        f"You get this mail because you manage {tenant.brand.name}.",
    ]
    return mail.Mail(to=user.email, subject=subject, text="\n\n".join(lines) + "\n", key=f"{notice_id}.{user.id}")
