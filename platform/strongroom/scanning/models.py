"""The values and the two small protocols that every part of the scanning package shares."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

MIB = 1024 * 1024


class Verdict(enum.StrEnum):
    """What is known about a file. Only `CLEAN` means that every engine saw all of it and found nothing."""

    CLEAN = "clean"
    INFECTED = "infected"
    UNSCANNED = "unscanned"
    ERROR = "error"


class BytesChanged(Exception):
    """The stream did not carry the number of bytes that the version's row promises."""

    def __init__(self, expected_bytes: int, seen_bytes: int) -> None:
        super().__init__(f"expected {expected_bytes} bytes, saw {seen_bytes}")
        self.expected_bytes = expected_bytes
        self.seen_bytes = seen_bytes


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """How far the bundled scanner goes into archives. Whatever lies behind a limit is `unscanned`, never clean.

    `max_ratio` is extracted bytes over the file's own bytes and counts only after `ratio_floor_bytes` were extracted,
    so that a small, very regular file is no bomb. `max_spool_bytes` bounds what one file may hold in temporary files at
    any moment (a zip must be seekable); they are nameless and lie in `spool_dir`, or in the system's temporary folder.
    """

    max_depth: int = 8
    max_extracted_bytes: int = 8192 * MIB
    max_ratio: int = 300
    ratio_floor_bytes: int = 16 * MIB
    max_entries: int = 50_000
    max_spool_bytes: int = 4096 * MIB
    spool_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class ScanContext:
    """What a scanner is told of a file before its first byte."""

    name: str
    size_bytes: int
    declared_type: str
    limits: ScanLimits


@dataclass(frozen=True, slots=True)
class ScannerVerdict:
    """One engine's answer. `reason` is empty only when it is clean; `scanned_bytes` counts bytes of the file itself."""

    verdict: Verdict
    engine: str
    scanned_bytes: int
    reason: str = ""
    signatures_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that one reading of a file's bytes has told.

    `reason` explains the verdict: threat names when infected, else codes such as `archive_encrypted`, joined by ", ";
    empty when clean. `signatures_at` (UTC) is the date of the signature database of the last engine that has one.
    `scanned_bytes` is the least that any engine covered. `sha256` and `blake3` are hex digests of the whole.
    `type_reason` says why `type_ok` is false.
    """

    verdict: Verdict
    engine: str
    signatures_at: datetime | None
    scanned_bytes: int
    reason: str
    detected_type: str
    sha256: str
    blake3: str
    size_bytes: int
    type_ok: bool
    type_reason: str = ""


class ScanSession(Protocol):
    """One file on its way through one engine; used by one thread, from `begin` to `finish` or `abort`."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes. An engine's failure is kept for `finish`, not raised, so that the others see the whole
        file.
        """

    def finish(self) -> ScannerVerdict:
        """Answer for all bytes fed, and release everything."""

    def abort(self) -> None:
        """Release everything without an answer; harmless after `finish`."""


class Scanner(Protocol):
    """An engine. Safe to share between threads; its sessions are not."""

    def begin(self, context: ScanContext) -> ScanSession:
        """Start a file. Does not raise when the engine is down: the session then ends in `error`."""
