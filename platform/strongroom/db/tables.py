"""The metadata that all tables of a tenant's schema share. No schema name: the search path of the transaction says which."""

from __future__ import annotations

from typing import Any

from sqlalchemy import DateTime, MetaData, String
from sqlalchemy.types import TypeDecorator

tenant_metadata = MetaData()
TIME = DateTime(timezone=True)


class ShortText(TypeDecorator[str]):
    """A text that is cut off at so many characters when it is written: what nobody reads to its end must not make a statement fail.

    A table of which no row can be longer than 2,000 bytes (4 for a character) has no further one for long values, and no index of
    that one: two relations less for each tenant (PostgreSQL documentation, 66.2).
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:  # noqa: ARG002 - SQLAlchemy calls it so
        """Cut it off."""
        return None if value is None else value[: self.length]
