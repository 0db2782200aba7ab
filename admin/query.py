"""Addresses with a query."""

from __future__ import annotations

from urllib.parse import urlencode


def address(path: str, **query: str | None) -> str:
    """Return an address with those parts of the query that are given."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
