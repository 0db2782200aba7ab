"""The two statements by which an upload becomes a version. Both run in one of the tenant's transactions.

They write to the tables of several features at once, because each round trip is paid for by every upload; and the tenant's
totals come last, because uploads of one tenant wait for each other while one of them holds that row.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Connection, Row, Text, Uuid, bindparam, column, text
from sqlalchemy.dialects.postgresql import JSONB

from strongroom.access import Principal
from strongroom.db.tables import TIME
from strongroom.files.models import File, Scan, Status, Verdict
from strongroom.files.service import event_data
from strongroom.jobs.queue import enqueue_ids
from strongroom.uploads.models import Received, Reservation, Upload
from strongroom.usage.recorder import ADD_TRANSFER, ROLL_UP, Caller
from tenants.models import Limits

# What the statements return, by position: so SQLAlchemy finds out once how to read it.
POINTER = (
    column("id", Uuid), column("version_id", Uuid), column("metadata", JSONB), column("created_by", Uuid), column("created_at", TIME),
    column("updated_at", TIME), column("is_new", Boolean),
)  # fmt: skip
SETTLED = (column("check_id", Uuid), column("roll_up_id", Uuid), column("has_room", Boolean))
_POINT = (
    text("""
WITH pointer AS (
    INSERT INTO files (id, bucket_id, path, version_id, metadata, created_by)
    VALUES (:file_id, :bucket_id, :path, :version_id, :metadata, :user_id)
    ON CONFLICT (bucket_id, path) WHERE deleted_at IS NULL DO UPDATE SET updated_at = now()
    RETURNING id, version_id, metadata, created_by, created_at, updated_at
), version AS (
    INSERT INTO versions (id, file_id, bucket_id, provider_id, provider_tag, size_bytes, content_type, detected_type, etag, fingerprint,
                          blake3, status, claims, created_by)
    SELECT :version_id, pointer.id, :bucket_id, :provider_id, :provider_tag, :size_bytes, :content_type, :detected_type, :etag,
           :fingerprint, :blake3, 'pending', :claims, :user_id FROM pointer
)
SELECT id, version_id, metadata, created_by, created_at, updated_at, version_id = :version_id AS is_new FROM pointer
""")
    .columns(*POINTER)
    .bindparams(
        *(bindparam(name, type_=Uuid) for name in ("file_id", "bucket_id", "version_id", "provider_id", "user_id")),
        *(bindparam(name, type_=JSONB) for name in ("metadata", "claims")),
        *(
            bindparam(name, type_=Text)
            for name in ("path", "provider_tag", "content_type", "detected_type", "etag", "fingerprint", "blake3")
        ),
        bindparam("size_bytes", type_=BigInteger),
    )
)
_SETTLE = text("""
WITH event AS (
    INSERT INTO events (kind, subject, data, actor) VALUES (:event, :file_id, :data, :actor)
), access AS (
    INSERT INTO access_log (operation, bucket_id, file_id, user_id, api_key_id, content_type, bytes_in, remote_addr, request_id)
    VALUES ('upload', :bucket_id, :file_id, :user_id, :api_key_id, :content_type, :size_bytes, :remote_addr, :request_id)
), total AS (
    UPDATE counters SET used_bytes = used_bytes + :bytes_change, used_files = used_files + :files_change,
                        reserved_bytes = reserved_bytes - :reserved_bytes, reserved_files = reserved_files - :reserved_files
    WHERE (:more_bytes = 0 OR used_bytes + reserved_bytes + :more_bytes <= :quota_bytes)
      AND (:more_files = 0 OR used_files + reserved_files + :more_files <= :quota_files)
    RETURNING 1
), bucket AS (
    UPDATE buckets SET used_bytes = used_bytes + :bytes_change, used_files = used_files + :files_change WHERE id = :bucket_id
), transferred AS (
""" + ADD_TRANSFER.replace(":bytes", ":size_bytes") + """
)
SELECT strongroom.enqueue_job('files.check', jsonb_build_object('version_id', :version_id)) AS check_id,
       strongroom.enqueue_job(:roll_up, '{}', 'all', :roll_up_delay_s) AS roll_up_id,
       (SELECT count(*) FROM total) = 1 AS has_room
""").columns(*SETTLED).bindparams(  # noqa: S608 - no value from outside
    *(bindparam(name, type_=Uuid) for name in ("file_id", "bucket_id", "user_id", "api_key_id")),
    *(bindparam(name, type_=JSONB) for name in ("data", "actor")),
    *(bindparam(name, type_=Text) for name in ("event", "content_type", "remote_addr", "request_id", "version_id", "roll_up")),
    *(
        bindparam(name, type_=BigInteger)
        for name in (
            "size_bytes", "bytes_change", "files_change", "reserved_bytes", "reserved_files", "more_bytes", "more_files", "quota_bytes",
            "quota_files",
        )
    ),
)  # fmt: skip


def point(connection: Connection, principal: Principal, upload: Upload, received: Received, file_id: UUID) -> Row[Any]:
    """Add the version; make the file if its path is free, else lock the one that is there and leave its pointer alone.

    Both are by whoever began the upload: who completes another's has no right to its bytes before they are checked. Return
    the file's columns with `version_id`, the current one, and `is_new`.
    """
    values = {
        "file_id": file_id, "bucket_id": upload.bucket.id, "path": upload.path, "version_id": upload.version_id,
        "metadata": dict(upload.request.metadata), "user_id": upload.created_by or principal.user_id, "provider_id": upload.provider_id,
        "provider_tag": received.provider_tag, "size_bytes": received.size_bytes, "content_type": received.content_type,
        "detected_type": received.detected_type, "etag": etag_of(upload, received), "fingerprint": received.fingerprint,
        "blake3": received.blake3, "claims": dict(upload.request.claims),
    }  # fmt: skip
    return connection.execute(_POINT, values).one()


def etag_of(upload: Upload, received: Received) -> str:
    """Return the entity tag that the version keeps for ever, whatever is found out of it later."""
    return received.fingerprint or upload.version_id.hex


def new_file(upload: Upload, received: Received, row: Row[Any]) -> File:
    """Return the file that `point` has made."""
    return File(
        id=row.id, bucket=upload.bucket.name, bucket_id=upload.bucket.id, path=upload.path, size_bytes=received.size_bytes,
        content_type=received.content_type, detected_type=received.detected_type, fingerprint=received.fingerprint, blake3=received.blake3,
        sha256=None, status=Status.PENDING, scan=Scan(Verdict.PENDING, None, None, None, None), version_id=upload.version_id,
        provider_id=upload.provider_id, etag=etag_of(upload, received), metadata=row.metadata, created_by=row.created_by,
        uploaded_by=row.created_by, created_at=row.created_at, updated_at=row.updated_at, deleted_at=None, purge_at=None,
        version_created_at=row.created_at, public=upload.bucket.public,
    )  # fmt: skip


def settle(
    connection: Connection, limits: Limits, principal: Principal, caller: Caller, file: File, reserved: Reservation, *, is_new: bool,
    bytes_freed: int, roll_up_delay_s: float,
) -> bool:  # fmt: skip
    """Event, usage, totals and jobs of a file that has a new version; False when the quota has no room for it.

    `reserved` is given back; what the file needs beyond it is held against the quota, exact under any number of callers.
    """
    files_needed = 1 if is_new else 0
    values = {
        "event": "file.created" if is_new else "file.updated", "file_id": file.id, "data": event_data(file), "actor": principal.actor,
        "bucket_id": file.bucket_id, "user_id": principal.user_id, "api_key_id": principal.api_key_id, "content_type": file.content_type,
        "size_bytes": file.size_bytes, "remote_addr": caller.remote_addr, "request_id": caller.request_id,
        "bytes_change": file.size_bytes - bytes_freed, "files_change": files_needed, "reserved_bytes": reserved.size_bytes,
        "reserved_files": reserved.files, "more_bytes": max(0, file.size_bytes - reserved.size_bytes),
        "more_files": max(0, files_needed - reserved.files), "quota_bytes": limits.quota_bytes, "quota_files": limits.quota_files,
        "version_id": str(file.version_id), "roll_up": ROLL_UP, "roll_up_delay_s": float(roll_up_delay_s),
    }  # fmt: skip
    row = connection.execute(_SETTLE, values).one()
    enqueue_ids(connection, (row.check_id, 0.0), (row.roll_up_id, roll_up_delay_s))
    return bool(row.has_room)
