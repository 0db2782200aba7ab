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
from strongroom.quotas.models import FULL, Use
from strongroom.quotas.repository import totals
from strongroom.runtime import Runtime
from strongroom.users import repository as users
from strongroom.users.models import User
from tenants.models import Tenant

log = logging.getLogger(__name__)
NAMES = {
    "bytes": "storage", "files": "number of files", "users": "number of users", "buckets": "number of buckets",
    "transfer": "transfer of this month",
}  # fmt: skip
THEN = {
    "bytes": "No file can be stored until some are deleted, also from the trash, or the plan is changed.",
    "files": "No new file can be stored until some are deleted, also from the trash, or the plan is changed.",
    "users": "Nobody can be invited until a user is removed, or the plan is changed.",
    "buckets": "No bucket can be made until one is removed, or the plan is changed.",
    "transfer": "Nothing can be uploaded or downloaded until the next month begins (UTC), or the plan is changed.",
}
IN_BYTES = frozenset({"bytes", "transfer"})
BYTES_A_UNIT = 1000


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
    name, what = tenant.brand.name, NAMES[use.resource]
    state = "used up" if use.level >= FULL else f"{use.percent} % used"
    lines = [
        f"The {what} of {name} is {state}: {amount(use.resource, use.used)} of {amount(use.resource, use.limit)}.",
        THEN[use.resource] if use.level >= FULL else f"When all of it is used: {THEN[use.resource]}",
        f"See {runtime.settings.tenant_url(tenant.slug, '/console/')}",
        "You get this mail because you manage this account.",
    ]
    return mail.Mail(to=user.email, subject=f"{name}: {what} {state}", text="\n\n".join(lines) + "\n", key=f"{notice_id}.{user.id}")


def amount(resource: str, count: int) -> str:
    """Return a number of things, or of bytes for people."""
    if resource not in IN_BYTES:
        return f"{count:,}"
    value = float(count)
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if value < BYTES_A_UNIT:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= BYTES_A_UNIT
    return f"{value:.1f} PB"
