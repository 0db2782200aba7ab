"""What OpenDAL says, in our words. Its own texts carry addresses and headers, so they go no further."""

from __future__ import annotations

import re
from collections.abc import Mapping

from opendal import exceptions

from strongroom.errors import DomainError, StorageFull, StorageUnavailable

STATUS = re.compile(r"\bstatus: (\d{3})\b")
NO_ROOM = frozenset({413, 507})
REFUSED = frozenset({401, 403})
FTP_NO_ROOM = re.compile(r"\b(452|552)\b.*(space|storage|quota)", re.IGNORECASE)
ERRORS = tuple(each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception))


def is_empty(error: Exception) -> bool:
    """Tell whether a read failed only because there is no byte to read (416)."""
    return bool(re.search(r"\bstatus: 416\b", str(error)))


def is_vague(error: Exception) -> bool:
    """Tell whether an FTP server said that it does not give a file, for whatever reason (550, 551)."""
    return bool(re.search(r"\[55[01]\]", str(error)))


def translate(title: str, error: Exception) -> DomainError:
    text = str(error)
    found = STATUS.search(text)
    status = int(found[1]) if found else None
    if status in NO_ROOM or FTP_NO_ROOM.search(text):
        return StorageFull()
    if status in REFUSED or isinstance(error, exceptions.PermissionDenied):
        return StorageUnavailable(f"{title} refuses the account or what it may do: check the secrets and its rights.", retry_after_s=60)
    if status == 429 or isinstance(error, exceptions.RateLimited):  # noqa: PLR2004 - Too Many Requests
        return StorageUnavailable(f"{title} asks for fewer requests.", retry_after_s=30)
    said = f"answers with status {status}" if status else "does not answer"
    return StorageUnavailable(f"{title} {said}. Is its address right, and is it up?", retry_after_s=10)


def first_line(error: Exception, options: Mapping[str, str]) -> str:
    """Return what the library says, unless it repeats a value: that could be a secret."""
    line = str(error).partition("\n")[0].rpartition("=> ")[2]
    return line if not any(value and value in line for value in options.values()) else "a value is not of the form that it must have."
