"""How much room a tenant's plan leaves: for bytes and files, users, buckets, and this month's transfer. Knows no HTTP.

Whoever adds a user or a bucket first holds the tenant's totals, so that of any number of them at once none passes the limit.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Table, func, select

from strongroom.buckets import repository
from strongroom.errors import QuotaExceeded, TransferExceeded
from strongroom.jobs.queue import enqueue
from tenants.models import Limits

CHECK_QUOTA = "quota.check"
NEARLY = 0.8
_TEXTS = {
    "bytes": "This tenant may store {limit} bytes; {used} are stored, and {reserved} are promised to uploads under way.",
    "files": "This tenant may have {limit} files; it has {used}, and {reserved} are promised to uploads under way.",
    "users": "This tenant may have {limit} users; it has {used}, those counted who are invited or may not sign in.",
    "buckets": "This tenant may have {limit} buckets; it has {used}.",
}


def exceeded(resource: str, *, limit: int, used: int, reserved: int = 0) -> QuotaExceeded:
    """Return the refusal of what would pass a limit: `resource` is bytes, files, users or buckets."""
    text = _TEXTS[resource].format(limit=limit, used=used, reserved=reserved)
    return QuotaExceeded(text, resource=resource, limit=limit, used=used, reserved=reserved)


def no_room(connection: Connection, limits: Limits, *, size_bytes: int = 0) -> QuotaExceeded:
    """Return the refusal of an upload for which there is no room, telling which of the two limits stands in its way."""
    held = repository.totals(connection)
    if held.used_bytes + held.reserved_bytes + size_bytes > limits.quota_bytes:
        return exceeded("bytes", limit=limits.quota_bytes, used=held.used_bytes, reserved=held.reserved_bytes)
    return exceeded("files", limit=limits.quota_files, used=held.used_files, reserved=held.reserved_files)


def check_number(connection: Connection, resource: str, table: Table, limit: int) -> None:
    """See that one more row may be added to a table. Exact: the caller is alone with the tenant's totals from here on.

    Raises:
        QuotaExceeded
    """
    repository.lock_totals(connection)
    used = int(connection.execute(select(func.count()).select_from(table)).scalar_one())
    if used >= limit:
        raise exceeded(resource, limit=limit, used=used)
    if used + 1 >= limit * NEARLY:
        check_later(connection)


def check_later(connection: Connection) -> None:
    """Have it looked at whether somebody is to be told how near to its limits the tenant is."""
    enqueue(connection, CHECK_QUOTA, {}, dedupe_key="all")


def check_transfer(limits: Limits, transferred_bytes: int) -> None:
    """See that bytes may begin to travel. What is under way when the limit is reached comes to its end, and counts.

    Raises:
        TransferExceeded
    """
    if transferred_bytes >= limits.quota_transfer_bytes:
        text = f"This tenant may transfer {limits.quota_transfer_bytes} bytes a month (UTC); {transferred_bytes} have come in or gone out."
        more = {"resource": "transfer", "limit": limits.quota_transfer_bytes, "used": transferred_bytes}
        raise TransferExceeded(text, retry_after_s=_left_of_month_s(datetime.now(UTC)), **more)


def _left_of_month_s(now: datetime) -> int:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(((first + timedelta(days=32)).replace(day=1) - now).total_seconds()) + 1
