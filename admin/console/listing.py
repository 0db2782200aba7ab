"""Files as the console's lists show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from strongroom.files.models import File

from admin.words import reason_in_words

PAGE = 100


def shown(file: File, **more: Any) -> dict[str, Any]:
    """Return a file as the templates take it; its name is the last part of its path."""
    reason = reason_in_words(file.scan)
    values = {
        **vars(file), "name": file.path.rsplit("/", 1)[-1], "etag": file.etag, "verdict": file.scan.verdict, "reason": reason,
        "scan": {**vars(file.scan), "reason": reason}, "purged_at": file.purge_at,
    }  # fmt: skip
    return {**values, **more}


def moment_of(position: list[Any] | None) -> tuple[datetime, UUID] | None:
    """Return a place in a list that goes by time."""
    return (datetime.fromisoformat(position[0]), UUID(position[1])) if position else None
