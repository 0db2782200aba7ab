"""The metadata that all tables of a tenant's schema share. No schema name: the search path of the transaction says which."""

from __future__ import annotations

from sqlalchemy import DateTime, MetaData

tenant_metadata = MetaData()
TIME = DateTime(timezone=True)
