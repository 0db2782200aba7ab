"""Names in an archive: none leads out of the folder it is unpacked in, and no two are the same on any system."""

from __future__ import annotations

import re

# What Windows takes in no name; with control characters, of which zip tools make strange things
FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]')
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


class ArchiveNames:
    """Gives each path a name that is safe and free. Case does not tell two names apart: not every file system does."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: dict[str, str] = {"": ""}
        self._taken_folders: set[str] = set()

    def free(self, path: str) -> str:
        """Return the name for a path, and take it."""
        *folders, last = [safe_segment(each) for each in path.split("/")]
        folder = ""
        for each in folders:
            folder = self._folder(f"{folder}{each}")
        name = self._numbered(f"{folder}{last}")
        self._files.add(name.casefold())
        return name

    def _folder(self, name: str) -> str:
        """Return the folder's name with a slash; one at whose place a file lies is numbered, always the same way."""
        key = name.casefold()
        if key not in self._folders:
            free, number = name, 1
            while free.casefold() in self._files:
                number += 1
                free = f"{name} ({number})"
            self._folders[key] = f"{free}/"
            self._taken_folders.add(free.casefold())
        return self._folders[key]

    def _numbered(self, name: str) -> str:
        stem, dot, extension = name.rpartition(".")
        if not dot or "/" in extension or not stem or stem.endswith("/"):
            stem, dot, extension = name, "", ""
        free, number = name, 1
        while free.casefold() in self._files or free.casefold() in self._taken_folders:
            number += 1
            free = f"{stem} ({number}){dot}{extension}"
        return free


def safe_segment(segment: str) -> str:
    """Return a part of a path as every system takes it: never empty, never '..', no reserved name of Windows."""
    safe = FORBIDDEN.sub("_", segment)
    kept = safe.rstrip(". ")
    safe = kept + "_" * (len(safe) - len(kept))
    return f"_{safe}" if RESERVED.fullmatch(safe) else safe or "_"
