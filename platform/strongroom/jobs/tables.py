"""The jobs of a cell, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="strongroom")
TIME = DateTime(timezone=True)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid),
    Column("realm", Text),
    Column("kind", Text),
    Column("ids", JSONB),
    Column("dedupe_key", Text),
    Column("state", Text),
    Column("attempts", Integer),
    Column("error", Text),
    Column("run_at", TIME),
    Column("sent_at", TIME),
    Column("lease_id", Uuid),
    Column("lease_until", TIME),
    Column("created_at", TIME),
    Column("finished_at", TIME),
)
paused_tenants = Table("paused_tenants", metadata, Column("tenant_id", Uuid, primary_key=True), Column("paused_at", TIME))
