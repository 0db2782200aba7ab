"""How pages of both consoles show what a tenant uses of its limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from strongroom.quotas import words
from strongroom.quotas.models import FULL, Use
from strongroom.quotas.service import to_be_noticed

from admin.theme import format_bytes
from tenants.models import LIMIT_LABELS, LIMIT_NAMES, Limits, Tenant


def shown_notices(uses: Iterable[Use]) -> list[dict[str, str]]:
    """Return what is to be said of limits that are nearly or wholly used up."""
    return [
        {
            "tone": "bad" if use.percent >= FULL else "warn", "title": f"{words.title(use)} ({words.of(use)})", "text": words.then(use),
            "resource": use.resource,
        }
        for use in to_be_noticed(uses)
    ]  # fmt: skip


def shown_limits(tenant: Tenant, plan: Limits, uses: Iterable[Use]) -> list[dict[str, Any]]:
    """Return every limit of a tenant: what the plan allows, what was agreed for it alone, what holds, and what is used of it."""
    used = {"quota_transfer_bytes" if use.resource == "transfer" else f"quota_{use.resource}": use for use in uses}
    return [
        {
            "label": LIMIT_LABELS[name].removesuffix(", bytes").removesuffix(" bytes"), "plan": _amount(name, getattr(plan, name)),
            "alone": _amount(name, tenant.overrides[name]) if name in tenant.overrides else None,
            "holds": _amount(name, getattr(tenant.limits, name)), "use": used.get(name),
            "used": _amount(name, used[name].used) if name in used else None,
        }
        for name in LIMIT_NAMES
    ]  # fmt: skip


def _amount(name: str, value: int) -> str:
    if name == "own_providers":
        return "Yes" if value else "No"
    return format_bytes(value) if name.endswith("_bytes") else f"{value:,}"


def shown_uses(uses: Iterable[Use]) -> list[dict[str, Any]]:
    """Return each limit with what is used of it."""
    return [
        {"label": words.NAMES[use.resource], "used": use.used, "limit": use.limit, "percent": use.percent, "text": words.of(use)}
        for use in uses
    ]
