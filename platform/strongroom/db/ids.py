"""Ids: UUIDv7 (RFC 9562), so that ids sort by their time of making."""

from __future__ import annotations

from uuid import UUID

from uuid_utils import compat

from strongroom.errors import NotFound


def new_id() -> UUID:
    """Return a new UUIDv7."""
    return compat.uuid7()


def parse_id(text: str) -> UUID:
    """Return the id that `text` spells in its canonical form.

    Raises:
        NotFound: it spells none; what cannot be an id cannot be found either.
    """
    try:
        value = UUID(text)
    except ValueError:
        raise NotFound from None
    if str(value) != text.lower():
        raise NotFound
    return value
