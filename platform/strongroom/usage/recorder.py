"""Recording one access, in the transaction that it belongs to, and asking for its roll-up."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, insert

from strongroom.access import Visitor
from strongroom.jobs.queue import enqueue
from strongroom.usage.tables import access_log

ROLL_UP = "usage.roll_up"


@dataclass(frozen=True)
class Caller:
    """From where a request came, as far as the access log keeps it."""

    remote_addr: str = ""
    request_id: str = ""


def record(
    connection: Connection, principal: Visitor, caller: Caller, *, operation: str, bucket_id: UUID, file_id: UUID, content_type: str,
    bytes_in: int = 0, bytes_out: int = 0, delay_s: float = 1.0,
) -> None:  # fmt: skip
    """Add one access to the tenant's log; a job that rolls it up follows within `delay_s`."""
    connection.execute(
        insert(access_log).values(
            operation=operation, bucket_id=bucket_id, file_id=file_id, user_id=principal.user_id, api_key_id=principal.api_key_id,
            content_type=content_type, bytes_in=bytes_in, bytes_out=bytes_out, remote_addr=caller.remote_addr, request_id=caller.request_id,
        )
    )  # fmt: skip
    enqueue(connection, ROLL_UP, {}, dedupe_key="all", delay_s=delay_s)
