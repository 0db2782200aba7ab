"""Uploads under way, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from strongroom.db.tables import TIME, tenant_metadata

uploads = Table(
    "uploads",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text),
    Column("state", Text),
    Column("bucket_id", Uuid),
    Column("path", Text),
    Column("version_id", Uuid),
    Column("provider_id", Uuid),
    Column("session", Text),
    Column("size_bytes", BigInteger),
    Column("offset_bytes", BigInteger),
    Column("tail_bytes", BigInteger),
    Column("part_size_bytes", BigInteger),
    Column("reserved_bytes", BigInteger),
    Column("reserved_files", Integer),
    Column("content_type", Text),
    Column("detected_type", Text),
    Column("request", JSONB),
    Column("concat", Text),
    Column("source_url", LargeBinary),
    Column("lock_id", Uuid),
    Column("locked_until", TIME),
    Column("lock_wanted", Boolean),
    Column("file_id", Uuid),
    Column("reason", Text),
    Column("created_by", Uuid),
    Column("api_key_id", Uuid),
    Column("created_at", TIME),
    Column("expires_at", TIME),
)
parts = Table(
    "parts",
    tenant_metadata,
    Column("upload_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("offset_bytes", BigInteger),
    Column("size_bytes", BigInteger),
    Column("tag", Text),
    Column("blocks", LargeBinary),
)
