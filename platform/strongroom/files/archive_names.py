"""Names in an archive: none leads out of the folder it is unpacked in, and no two are the same on any system."""

from __future__ import annotations

import re
import unicodedata

# What Windows takes in no name; with control and invisible characters, of which zip tools and readers make strange things
FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]')
RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[\d¹²³])\s*(?:\..*)?", re.IGNORECASE)
MAX_SEGMENT_BYTES = 200
"""Most file systems take 255; some room is left for a number, and for systems that count decomposed characters."""
MAX_EXTENSION_BYTES = 20


class ArchiveNames:
    """Gives each path a name that is safe and free. Case does not tell two names apart: not every file system does."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: dict[str, str] = {"": ""}
        self._taken_folders: set[str] = set()
        self._numbers: dict[str, int] = {}

    def free(self, path: str) -> str:
        """Return the name for a path, and take it."""
        *folders, last = [safe_segment(each) for each in path.split("/")]
        folder = ""
        for each in folders:
            folder = self._folder(f"{folder}{each}")
        name = self._numbered(f"{folder}{last}")
        self._files.add(_same(name))
        return name

    def _folder(self, name: str) -> str:
        """Return the folder's name with a slash; one at whose place a file lies is numbered, always the same way."""
        key = _same(name)
        if key not in self._folders:
            free, number = name, 1
            while _same(free) in self._files:
                number += 1
                free = f"{name} ({number})"
            self._folders[key] = f"{free}/"
            self._taken_folders.add(_same(free))
        return self._folders[key]

    def _numbered(self, name: str) -> str:
        stem, dot, extension = name.rpartition(".")
        if not dot or "/" in extension or not stem or stem.endswith("/"):
            stem, dot, extension = name, "", ""
        key = _same(name)
        free, number = name, self._numbers.get(key, 1)  # where the last one like it stopped: thousands may be alike
        while _same(free) in self._files or _same(free) in self._taken_folders:
            number += 1
            free = f"{stem} ({number}){dot}{extension}"
        self._numbers[key] = number
        return free


def _same(name: str) -> str:
    """Return what two names have in common that some file system takes for one: case, and how characters are composed."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def safe_segment(segment: str) -> str:
    """Return a part of a path as every system takes it: never empty or too long, never '..', no reserved name of Windows."""
    safe = _shortened(FORBIDDEN.sub("_", segment))
    kept = safe.rstrip(". ")
    safe = kept + "_" * (len(safe) - len(kept))
    return f"_{safe}" if RESERVED.fullmatch(safe) else safe or "_"


def _shortened(segment: str) -> str:
    """Return a name of at most `MAX_SEGMENT_BYTES` in UTF-8, with its extension."""
    if len(segment.encode()) <= MAX_SEGMENT_BYTES:
        return segment
    stem, dot, extension = segment.rpartition(".")
    if not stem or len(extension.encode()) > MAX_EXTENSION_BYTES:
        stem, dot, extension = segment, "", ""
    room = MAX_SEGMENT_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + extension
