"""Buckets and the tenant's exact totals, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from strongroom.db.tables import TIME, tenant_metadata

buckets = Table(
    "buckets",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("allowed_types", ARRAY(Text)),
    Column("max_size_bytes", BigInteger),
    Column("versioning", Boolean),
    Column("trash_days", Integer),
    Column("serve_unscanned", Boolean),
    Column("public", Boolean),
    Column("cache_max_age_s", Integer),
    Column("redirect_downloads", Boolean),
    Column("used_bytes", BigInteger),
    Column("used_files", BigInteger),
    Column("created_at", TIME),
    Column("updated_at", TIME),
)
counters = Table(
    "counters",
    tenant_metadata,
    Column("only_row", Boolean, primary_key=True),
    Column("used_bytes", BigInteger),
    Column("used_files", BigInteger),
    Column("reserved_bytes", BigInteger),
    Column("reserved_files", BigInteger),
    Column("warned", JSONB),
)
transfer = Table(
    "transfer",
    tenant_metadata,
    Column("month", Date, primary_key=True),
    Column("slot", Integer, primary_key=True),
    Column("bytes", BigInteger),
)
