"""A tenant's move, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Table, Uuid

from strongroom.db.tables import TIME, ShortText, tenant_metadata

moves = Table(
    "moves",
    tenant_metadata,
    Column("only_row", Boolean, primary_key=True),
    Column("provider_id", Uuid),
    Column("state", ShortText(8)),
    Column("moved_objects", BigInteger),
    Column("moved_bytes", BigInteger),
    Column("problem", ShortText(300)),
    Column("began_at", TIME),
    Column("ended_at", TIME),
)
move_failures = Table(
    "move_failures",
    tenant_metadata,
    Column("version_id", Uuid, primary_key=True),
    Column("reason", ShortText(300)),
    Column("at", TIME),
)
