"""How sizes are typed and shown in forms of bucket policies."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from strongroom.errors import ValidationFailed

UNITS = {"TB": 10**12, "GB": 10**9, "MB": 10**6}


def in_units(size_bytes: int | None) -> tuple[str | None, str]:
    """Return a size in the largest unit in which it is at least one, exactly."""
    if size_bytes is None:
        return None, "GB"
    unit = next((name for name, factor in UNITS.items() if size_bytes >= factor), "MB")
    return f"{(Decimal(size_bytes) / UNITS[unit]).normalize():f}", unit


def typed_size(number: str, unit: str) -> int | None:
    """Return the bytes of what was typed; None when nothing was.

    Raises:
        ValidationFailed
    """
    if not number:
        return None
    try:
        return int(Decimal(number) * UNITS.get(unit, UNITS["MB"]))
    except (InvalidOperation, OverflowError, ValueError):
        raise ValidationFailed(errors={"max_size": ["Write a number."]}) from None
