"""How pages of both consoles show what a tenant uses of its limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from strongroom.quotas import words
from strongroom.quotas.models import FULL, Use
from strongroom.quotas.service import to_be_noticed


def shown_notices(uses: Iterable[Use]) -> list[dict[str, str]]:
    """Return what is to be said of limits that are nearly or wholly used up."""
    return [
        {
            "tone": "bad" if use.percent >= FULL else "warn", "title": f"{words.title(use)} ({words.of(use)})", "text": words.then(use),
            "resource": use.resource,
        }
        for use in to_be_noticed(uses)
    ]  # fmt: skip


def shown_uses(uses: Iterable[Use]) -> list[dict[str, Any]]:
    """Return each limit with what is used of it."""
    return [
        {"label": words.NAMES[use.resource], "used": use.used, "limit": use.limit, "percent": use.percent, "text": words.of(use)}
        for use in uses
    ]
