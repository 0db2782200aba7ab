"""A tenant's reports, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, LargeBinary, Table, Text, Uuid

from strongroom.db.tables import TIME, tenant_metadata

reports = Table(
    "isolation_reports",
    tenant_metadata,
    Column("id", Uuid, primary_key=True),
    Column("began_at", TIME),
    Column("ended_at", TIME),
    Column("canary", Text),
    Column("ok", Boolean),
    Column("findings", Integer),
    Column("signed", Text),
    Column("signature", LargeBinary),
)
