"""The bundled engine: YARA-X with the rules in `rules/`, over a file's own bytes and over all that its archives hold.

Rules run on windows of 1 MiB that overlap by 64 KiB, so a rule must be satisfiable within the overlap and must not use
offsets, `filesize` or modules. A rule carries `threat` (its name for people), or `unscanned` (a code) when it finds not
a threat but something that nobody can look into. Docs: https://virustotal.github.io/yara-x/docs/api/python/
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from strongroom.scanning.archives import Content, Walk
from strongroom.scanning.models import MIB, ScanContext, ScannerVerdict, ScanSession, Verdict

WINDOW_BYTES = MIB
OVERLAP_BYTES = 64 * 1024
WINDOW_TIMEOUT_S = 60
_MAX_THREATS = 16


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The compiled rules and their manifest."""

    rules: Any
    version: str
    released_at: datetime


@functools.cache
def bundled_ruleset() -> Ruleset:
    """Compile the bundled rules, once per process."""
    import yara_x  # noqa: PLC0415 - 5 MiB that processes which scan nothing do without

    folder = resources.files("strongroom.scanning") / "rules"
    compiler = yara_x.Compiler(error_on_slow_pattern=True, includes_enabled=False)
    for source in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if source.name.endswith(".yar"):
            compiler.add_source(source.read_text("utf-8"), origin=source.name)
    manifest = json.loads((folder / "ruleset.json").read_text("utf-8"))
    released_at = datetime.fromisoformat(manifest["released_at"]).astimezone(UTC)
    return Ruleset(compiler.build(), manifest["version"], released_at)


class YaraScanner:
    """The bundled engine. Compiling takes a moment; make it once and keep it."""

    def __init__(self) -> None:
        self._ruleset = bundled_ruleset()
        self._engine = f"yara-x {importlib.metadata.version('yara-x')}"

    def begin(self, context: ScanContext) -> ScanSession:
        """Start a file. Memory stays under about 20 MiB, temporary files under `context.limits.max_spool_bytes`."""
        return _Session(self._ruleset, self._engine, context)


class _Session:
    def __init__(self, ruleset: Ruleset, engine: str, context: ScanContext) -> None:
        self._ruleset = ruleset
        self._engine = engine
        self._search = _Search(ruleset.rules)
        self._walk = Walk(context.limits, lambda: _Windows(self._search.scan))
        self._content = Content(self._walk)

    def feed(self, data: bytes) -> None:
        self._walk.source_bytes += len(data)
        self._content.feed(data)

    def finish(self) -> ScannerVerdict:
        self._content.finish()
        self.abort()
        verdict, reason = self._answer()
        return ScannerVerdict(verdict, self._engine, self._walk.source_bytes, reason, self._ruleset.released_at)

    def abort(self) -> None:
        self._content.abort()
        self._search.close()

    def _answer(self) -> tuple[Verdict, str]:
        if self._search.threats:
            return Verdict.INFECTED, ", ".join(self._search.threats)
        if self._search.failed:
            return Verdict.ERROR, "yara_timeout"
        reasons = self._walk.reasons | self._search.closed
        return (Verdict.UNSCANNED, ", ".join(reasons)) if reasons else (Verdict.CLEAN, "")


class _Idle(threading.local):
    """The scanner that a thread keeps for its next file: making one takes longer than scanning a small file."""

    def __init__(self) -> None:
        self.rules: Any = None
        self.scanner: Any = None

    def take(self, rules: Any) -> Any:
        """Return a scanner for these rules, the kept one if there is."""
        kept, self.scanner = self.scanner, None
        return kept if kept is not None and self.rules is rules else _make_scanner(rules)

    def keep(self, rules: Any, scanner: Any) -> None:
        """Keep a scanner instead of the one kept so far, which is freed here and now."""
        self.rules, self.scanner = rules, scanner


_idle = _Idle()


def _make_scanner(rules: Any) -> Any:
    import yara_x  # noqa: PLC0415 - see bundled_ruleset

    scanner = yara_x.Scanner(rules)
    scanner.set_timeout(WINDOW_TIMEOUT_S)
    scanner.fast_scan(True)
    return scanner


class _Search:
    """Collects what the rules find. Belongs to one thread, as a YARA-X scanner does."""

    def __init__(self, rules: Any) -> None:
        self.threats: dict[str, None] = {}
        self.closed: dict[str, None] = {}
        self.failed = False
        import yara_x  # noqa: PLC0415 - see bundled_ruleset

        self._broken = (yara_x.TimeoutError, yara_x.ScanError)
        self._rules, self._scanner = rules, _idle.take(rules)

    def close(self) -> None:
        """Give the scanner back to its thread: dropped by the garbage collector in another one, it would leak. Idempotent."""
        if self._scanner is not None and not self.failed:
            _idle.keep(self._rules, self._scanner)
        self._scanner = None

    def scan(self, window: bytes) -> None:
        try:
            found = self._scanner.scan(window).matching_rules
        except self._broken:
            self.failed = True
            return
        for rule in found:
            self._keep(dict(rule.metadata), rule.identifier)

    def _keep(self, metadata: dict[str, str], identifier: str) -> None:
        if code := metadata.get("unscanned"):
            self.closed[code] = None
        elif len(self.threats) < _MAX_THREATS:
            self.threats[metadata.get("threat", identifier)] = None


class _Windows:
    """Cuts a stream into overlapping windows."""

    def __init__(self, scan: Callable[[bytes], None]) -> None:
        self._scan = scan
        self._parts: list[bytes] = []
        self._held_bytes = 0

    def feed(self, data: bytes) -> None:
        self._parts.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= WINDOW_BYTES:
            window = b"".join(self._parts)
            self._scan(window)
            self._parts = [window[-OVERLAP_BYTES:]]
            self._held_bytes = OVERLAP_BYTES

    def finish(self) -> None:
        if self._parts:
            self._scan(b"".join(self._parts))
        self.abort()

    def abort(self) -> None:
        self._parts = []
        self._held_bytes = 0
