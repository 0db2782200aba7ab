"""Addresses of our own pages, as strangers name them."""

from __future__ import annotations

from urllib.parse import urlsplit

MAX_LENGTH = 1024


def local_path(address: str | None, root: str) -> str | None:
    """Return an address that a form or a link carried if it leads to a page below `root`, else None: never to another site."""
    if not address or len(address) > MAX_LENGTH or not address.isprintable() or "\\" in address or address.startswith("//"):
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not (parts.path == root or parts.path.startswith(root + "/")):
        return None
    return address
