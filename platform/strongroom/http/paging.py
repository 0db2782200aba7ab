"""Lists: `?limit=&cursor=` → `{"items": […], "next_cursor": …}`. Cursors are opaque and belong to one tenant and listing."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from strongroom.http.context import current_tenant, runtime
from strongroom.security.tokens import make_cursor, read_cursor

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000


class PageQuery(Schema):
    """The query of any list."""

    limit = fields.Integer(load_default=DEFAULT_LIMIT, validate=validate.Range(1, MAX_LIMIT), metadata={"description": "Items per page."})
    cursor = fields.String(load_default=None, metadata={"description": "`next_cursor` of the page before."})


def position_of(listing: str, cursor: str | None) -> list[Any] | None:
    """Return the position in a cursor, or None at the start.

    Raises:
        InvalidCursor: it is another tenant's, another listing's, or altered.
    """
    return read_cursor(_key(), listing, cursor) if cursor else None


def cursor_at(listing: str, position: list[Any] | None) -> str | None:
    """Return the cursor for a position, or None at the end."""
    return make_cursor(_key(), listing, position) if position is not None else None


def _key() -> bytes:
    return runtime().keys.tenant_key(current_tenant().id, "cursor")
