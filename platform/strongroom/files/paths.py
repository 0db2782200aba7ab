"""What a path may be. Paths are names only: they never become part of an object key or of a place on a disk."""

from __future__ import annotations

import unicodedata

from strongroom.errors import InvalidPath

MAX_BYTES = 1024
FORBIDDEN_SEGMENTS = frozenset({"", ".", ".."})


def check_path(path: str) -> str:
    """Return the path in NFC, so that names which look the same are the same.

    Raises:
        InvalidPath: empty, too long, with '.', '..' or empty segments, backslash, control or unassigned characters.
    """
    normal = unicodedata.normalize("NFC", path)
    if len(normal.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InvalidPath(f"The path has more than {MAX_BYTES} bytes.")
    if any(_forbidden(character) for character in normal):
        raise InvalidPath("The path has a backslash, a control character or something that is not Unicode text.")
    if not FORBIDDEN_SEGMENTS.isdisjoint(normal.split("/")):
        raise InvalidPath("The path has an empty segment, '.' or '..'.")
    return normal


def check_prefix(prefix: str) -> str:
    """Return a listing's prefix in NFC; it may end anywhere, also in the middle of a segment."""
    normal = unicodedata.normalize("NFC", prefix)
    if len(normal.encode("utf-8", "surrogatepass")) > MAX_BYTES or any(_forbidden(character) for character in normal):
        raise InvalidPath("The prefix is no beginning of a path.")
    return normal


def _forbidden(character: str) -> bool:
    return character == "\\" or unicodedata.category(character) in {"Cc", "Cs"}


def path_from_wsgi(raw: str) -> str:
    """Return a path from PATH_INFO, where each character stands for one byte (PEP 3333).

    Raises:
        InvalidPath: the bytes are not UTF-8.
    """
    try:
        return check_path(raw.encode("latin-1").decode("utf-8"))
    except UnicodeError:
        raise InvalidPath("The path is not UTF-8.") from None
