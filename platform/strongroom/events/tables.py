"""The change feed of a tenant, for SQLAlchemy Core."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, FetchedValue, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

from strongroom.db.tables import TIME, tenant_metadata


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name."""
        return "xid8"


events = Table(
    "events",
    tenant_metadata,
    Column("epoch", Integer, FetchedValue(), primary_key=True),
    Column("xid", Xid8(), FetchedValue(), primary_key=True),
    Column("id", BigInteger, FetchedValue(), primary_key=True),
    Column("kind", Text),
    Column("subject", Uuid),
    Column("data", JSONB),
    Column("actor", JSONB),
    Column("at", TIME),
)
