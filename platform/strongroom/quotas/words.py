"""What people are told of a limit that is nearly or wholly used up: in mail and in the consoles."""

from __future__ import annotations

from strongroom.quotas.models import FULL, Use

NAMES = {"bytes": "Storage", "files": "Files", "users": "Users", "buckets": "Buckets", "transfer": "Transfer of this month"}
_THEN = {
    "bytes": "no file can be stored until some are deleted, also from the trash, or the plan is changed.",
    "files": "no new file can be stored until some are deleted, also from the trash, or the plan is changed.",
    "users": "nobody can be added until a user is removed, or the plan is changed.",
    "buckets": "no bucket can be made until one is removed, or the plan is changed.",
    "transfer": "nothing can be uploaded or downloaded until the next month begins (UTC), or the plan is changed.",
}
IN_BYTES = frozenset({"bytes", "transfer"})
BYTES_A_UNIT = 1000


def title(use: Use) -> str:
    """Return in a few words how far a limit is used."""
    return f"{NAMES[use.resource]}: used up" if use.percent >= FULL else f"{NAMES[use.resource]}: {use.percent} % used"


def of(use: Use) -> str:
    """Return how much is used of how much."""
    return f"{amount(use.resource, use.used)} of {amount(use.resource, use.limit)}"


def then(use: Use) -> str:
    """Return what does not work any more, or soon will not."""
    text = _THEN[use.resource]
    return text[0].upper() + text[1:] if use.percent >= FULL else f"When all of it is used, {text}"


def amount(resource: str, count: int) -> str:
    """Return a number of things, or of bytes for people."""
    if resource not in IN_BYTES:
        return f"{count:,}"
    value = float(count)
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if value < BYTES_A_UNIT:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= BYTES_A_UNIT
    return f"{value:.1f} PB"
