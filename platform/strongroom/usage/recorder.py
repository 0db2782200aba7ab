"""Recording one access, in the transaction that it belongs to, and asking for its roll-up."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, Connection, Float, Text, Uuid, bindparam, text

from strongroom.access import Visitor
from strongroom.buckets.repository import THIS_MONTH
from strongroom.jobs.queue import enqueue_ids

ROLL_UP = "usage.roll_up"
SLOTS = 16
ADD_TRANSFER = f"""
    INSERT INTO transfer AS t (month, slot, bytes) SELECT {THIS_MONTH}, pg_backend_pid() % {SLOTS}, :bytes WHERE :bytes > 0
    ON CONFLICT (month, slot) DO UPDATE SET bytes = t.bytes + excluded.bytes
"""
"""Counts `:bytes` of transfer. A transaction uses one slot only, and takes it last: no two can wait for each other."""
_RECORD = text(f"""
WITH access AS (
    INSERT INTO access_log (operation, bucket_id, file_id, user_id, api_key_id, content_type, bytes_in, bytes_out, remote_addr, request_id)
    VALUES (:operation, :bucket_id, :file_id, :user_id, :api_key_id, :content_type, :bytes_in, :bytes_out, :remote_addr, :request_id)
), transferred AS ({ADD_TRANSFER})
SELECT strongroom.enqueue_job(:roll_up, '{{}}', 'all', :delay_s)
""").bindparams(  # noqa: S608 - no value from outside
    *(bindparam(name, type_=Uuid) for name in ("bucket_id", "file_id", "user_id", "api_key_id")),
    *(bindparam(name, type_=Text) for name in ("operation", "content_type", "remote_addr", "request_id", "roll_up")),
    *(bindparam(name, type_=BigInteger) for name in ("bytes_in", "bytes_out", "bytes")),
    bindparam("delay_s", type_=Float),
)


@dataclass(frozen=True)
class Caller:
    """From where a request came, as far as the access log keeps it."""

    remote_addr: str = ""
    request_id: str = ""


def record(
    connection: Connection, principal: Visitor, caller: Caller, *, operation: str, bucket_id: UUID, file_id: UUID, content_type: str,
    bytes_in: int = 0, bytes_out: int = 0, delay_s: float = 1.0,
) -> None:  # fmt: skip
    """Add one access to the tenant's log and its bytes to the month's transfer; a job that rolls it up follows within `delay_s`."""
    values = {
        "operation": operation, "bucket_id": bucket_id, "file_id": file_id, "user_id": principal.user_id,
        "api_key_id": principal.api_key_id, "content_type": content_type, "bytes_in": bytes_in, "bytes_out": bytes_out,
        "bytes": bytes_in + bytes_out, "remote_addr": caller.remote_addr, "request_id": caller.request_id, "roll_up": ROLL_UP,
        "delay_s": float(delay_s),
    }  # fmt: skip
    enqueue_ids(connection, (connection.execute(_RECORD, values).scalar_one(), delay_s))
