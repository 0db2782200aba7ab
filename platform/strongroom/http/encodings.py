"""Content codings: which one a client wants of those that are offered (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

ELEMENT = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:;\s*[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?")
IDENTITY = ""
CODINGS = ("zstd", "br", "gzip")
"""Codings in which files go out; each has an entity tag of its own, which ends in its name."""
ALIASES = {"x-gzip": "gzip"}


def choose_coding(header: str | None, offered: Sequence[str]) -> str | None:
    """Return the coding to use: the offered one of the greatest weight, the first of equals; `IDENTITY` for none.

    None: the client accepts neither an offered coding nor the bytes as they are.
    """
    if header is None:
        return IDENTITY
    weights = _weights(header)
    otherwise = weights.get("*", 0.0)
    best = max(offered, key=lambda coding: weights.get(coding, otherwise), default=None)
    weight = weights.get(best, otherwise) if best else 0.0
    plain = weights.get("identity", weights.get("*", 1.0))
    if weight > 0 and weight >= weights.get("identity", 0.0):
        return best
    return IDENTITY if plain > 0 else None


def _weights(header: str) -> dict[str, float]:
    """Return the weight of each coding named; what cannot be understood is left out."""
    found: dict[str, float] = {}
    for element in header.split(","):
        if match := ELEMENT.fullmatch(element):
            name = match[1].lower()
            found[ALIASES.get(name, name)] = float(match[2] or 1)
    return found
