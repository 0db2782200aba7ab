"""Single accesses and rolled-up usage of a tenant, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Table, Text, Uuid

from strongroom.db.tables import TIME, tenant_metadata

access_log = Table(
    "access_log",
    tenant_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("at", TIME),
    Column("operation", Text),
    Column("bucket_id", Uuid),
    Column("file_id", Uuid),
    Column("user_id", Uuid),
    Column("api_key_id", Uuid),
    Column("content_type", Text),
    Column("bytes_in", BigInteger),
    Column("bytes_out", BigInteger),
    Column("remote_addr", Text),
    Column("request_id", Text),
    Column("rolled_up", Boolean),
)
usage_hourly = Table(
    "usage_hourly",
    tenant_metadata,
    Column("hour", TIME, primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("bucket_id", Uuid, primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("api_key_id", Uuid, primary_key=True),
    Column("content_type", Text, primary_key=True),
    Column("requests", BigInteger),
    Column("bytes_in", BigInteger),
    Column("bytes_out", BigInteger),
)
stored_hourly = Table(
    "stored_hourly",
    tenant_metadata,
    Column("hour", TIME, primary_key=True),
    Column("bucket_id", Uuid, primary_key=True),
    Column("stored_bytes", BigInteger),
    Column("stored_files", BigInteger),
)
