"""Uploads under way, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text, Uuid

from strongroom.db.tables import TIME, tenant_metadata

uploads = Table(
    "uploads",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("bucket_id", Uuid),
    Column("path", Text),
    Column("version_id", Uuid),
    Column("reserved_bytes", BigInteger),
    Column("reserved_files", Integer),
    Column("content_type", Text),
    Column("created_by", Uuid),
    Column("created_at", TIME),
    Column("expires_at", TIME),
)
