"""A tenant's archives, for SQLAlchemy Core. Their segments are in `files.tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text, Uuid

from strongroom.db.tables import TIME, tenant_metadata

exports = Table(
    "exports",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("state", Text),
    Column("created_by", Uuid),
    Column("total_objects", BigInteger),
    Column("total_bytes", BigInteger),
    Column("done_objects", BigInteger),
    Column("done_bytes", BigInteger),
    Column("missing_objects", BigInteger),
    Column("size_bytes", BigInteger),
    Column("members", BigInteger),
    Column("segments", Integer),
    Column("chain", Text),
    Column("problem", Text),
    Column("created_at", TIME),
    Column("ended_at", TIME),
    Column("expires_at", TIME),
)
export_items = Table(
    "export_items",
    tenant_metadata,
    Column("export_id", Uuid, primary_key=True),
    Column("version_id", Uuid, primary_key=True),
)
