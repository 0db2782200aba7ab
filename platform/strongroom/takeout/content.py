"""What an archive holds of each table: columns by name, so that a new one is never taken out by accident."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

FORMAT, FORMAT_VERSION = "strongroom-tenant", 1
ROWS = 500
MEMBER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Content:
    """A table: its columns in the archive, and in which order its rows come."""

    table: str
    columns: tuple[str, ...]
    order: str = "id"


CONTENTS = (
    Content("users", ("id", "email", "name", "role", "status", "created_at", "updated_at", "last_login_at")),
    Content("identities", ("issuer", "subject", "user_id", "created_at", "last_login_at"), "issuer, subject"),
    Content("api_keys", ("id", "key_id", "name", "scopes", "created_by", "created_at", "expires_at", "used_at", "revoked_at")),
    Content(
        "buckets",
        (
            "id", "name", "allowed_types", "max_size_bytes", "versioning", "trash_days", "serve_unscanned", "public", "cache_max_age_s",
            "redirect_downloads", "created_at", "updated_at",
        ),
    ),
    Content(
        "files",
        ("id", "bucket_id", "path", "version_id", "metadata", "created_by", "created_at", "updated_at", "deleted_at", "purge_at"),
    ),
    Content(
        "versions",
        (
            "id", "file_id", "bucket_id", "size_bytes", "content_type", "detected_type", "etag", "fingerprint", "blake3", "sha256",
            "status", "verdict", "engine", "signatures_at", "scanned_bytes", "reason", "claims", "created_by", "created_at", "checked_at",
        ),
    ),
    Content("events", ("kind", "subject", "data", "actor", "at"), "epoch, xid, id"),
    Content(
        "access_log",
        (
            "at", "operation", "bucket_id", "file_id", "user_id", "api_key_id", "content_type", "bytes_in", "bytes_out", "remote_addr",
            "request_id", "rolled_up",
        ),
    ),
    Content(
        "usage_hourly",
        ("hour", "operation", "bucket_id", "user_id", "api_key_id", "content_type", "requests", "bytes_in", "bytes_out"),
        "hour, operation, bucket_id, user_id, api_key_id, content_type",
    ),
    Content("stored_hourly", ("hour", "bucket_id", "stored_bytes", "stored_files"), "hour, bucket_id"),
)  # fmt: skip
EXPRESSIONS = {("versions", "claims"): "claims - 'block_hashes' AS claims"}
"""Columns that are taken out otherwise than as they are: of blocks that were announced, any number could be in one row."""
LEFT_OUT = {
    "sessions": "secrets", "idempotency_keys": "secrets", "used_links": "links are signed by a key that stays behind",
    "uploads": "not complete", "parts": "not complete", "moves": "of this deployment", "move_failures": "of this deployment",
    "byte_claims": "of this deployment", "blocks": "made anew of the bytes", "counters": "made anew of the rows",
    "transfer": "of this deployment", "mirrors": "of this deployment",
    "exports": "of this deployment", "export_segments": "of this deployment", "export_items": "of this deployment",
    "alembic_version": "of this deployment", "isolation_reports": "of this deployment",
}  # fmt: skip
"""Tables that no archive holds, and why."""


def pages(connection: Connection, content: Content) -> Iterator[list[str]]:
    """Yield a table's rows as JSON texts, some at a time, from a cursor at the server."""
    columns = ", ".join(EXPRESSIONS.get((content.table, column), column) for column in content.columns)
    query = f"SELECT to_jsonb(r)::text FROM (SELECT {columns} FROM {content.table} ORDER BY {content.order}) r"  # noqa: S608 - names of our own
    connection.execute(text(f"DECLARE taken NO SCROLL CURSOR FOR {query}"))
    while rows := list(connection.execute(text(f"FETCH {ROWS} FROM taken")).scalars()):
        yield rows
    connection.execute(text("CLOSE taken"))
