"""Files and versions of a tenant, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from strongroom.db.tables import TIME, ShortText, tenant_metadata

files = Table(
    "files",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("bucket_id", Uuid),
    Column("path", Text),
    Column("version_id", Uuid),
    Column("metadata", JSONB),
    Column("created_by", Uuid),
    Column("created_at", TIME),
    Column("updated_at", TIME),
    Column("deleted_at", TIME),
    Column("purge_at", TIME),
)
versions = Table(
    "versions",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("file_id", Uuid),
    Column("bucket_id", Uuid),
    Column("provider_id", Uuid),
    Column("provider_tag", Text),
    Column("size_bytes", BigInteger),
    Column("content_type", Text),
    Column("detected_type", Text),
    Column("etag", Text),
    Column("fingerprint", Text),
    Column("blake3", Text),
    Column("sha256", Text),
    Column("status", Text),
    Column("verdict", Text),
    Column("engine", Text),
    Column("signatures_at", TIME),
    Column("scanned_bytes", BigInteger),
    Column("reason", Text),
    Column("claims", JSONB),
    Column("created_by", Uuid),
    Column("created_at", TIME),
    Column("checked_at", TIME),
)
byte_claims = Table(
    "byte_claims",
    tenant_metadata,
    Column("version_id", Uuid, primary_key=True),
    Column("provider_id", Uuid, primary_key=True),
    Column("purpose", ShortText(8)),
    Column("until", TIME),
)
mirrors = Table(
    "mirrors",
    tenant_metadata,
    Column("version_id", Uuid, primary_key=True),
    Column("provider_id", Uuid, primary_key=True),
    Column("size_bytes", BigInteger),
    Column("state", ShortText(8)),
    Column("attempts", Integer),
    Column("problem", ShortText(300)),
    Column("provider_tag", String(128)),
    Column("at", TIME),
)
blocks = Table(
    "blocks",
    tenant_metadata,
    Column("version_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", LargeBinary),
)
export_segments = Table(
    "export_segments",
    tenant_metadata,
    Column("export_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("segment_id", Uuid),
    Column("provider_id", Uuid),
    Column("size_bytes", BigInteger),
)
"""Of archives of the whole tenant, which lie beside its versions."""
