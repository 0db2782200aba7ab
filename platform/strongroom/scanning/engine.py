"""Reads a file's bytes once and feeds every check from that one stream: digests, type, structure and the virus
scanners.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence

from blake3 import blake3

from strongroom.scanning.families import EMPTY_TYPE
from strongroom.scanning.models import (
    BytesChanged,
    Inspection,
    ScanContext,
    ScanLimits,
    Scanner,
    ScannerVerdict,
    ScanSession,
    Verdict,
)
from strongroom.scanning.streaming import Stream, pieces
from strongroom.scanning.structure import Structure
from strongroom.scanning.types import SNIFF_BYTES, agrees, sniff

_SEVERITY = (Verdict.INFECTED, Verdict.ERROR, Verdict.UNSCANNED, Verdict.CLEAN)


def inspect(
    stream: Stream,
    *,
    size_bytes: int,
    declared_type: str,
    name: str,
    scanners: Sequence[Scanner],
    limits: ScanLimits,
    also: Sequence[Callable[[bytes], None]] = (),
) -> Inspection:
    """Read `stream` to its end, once, in fixed memory whatever its size, and say all that is known of it.

    `also`: further readers of the same bytes, fed piece by piece.

    Clean means that every scanner saw every byte; without a scanner nothing is clean but an empty file. A scanner that
    is down gives `error`: try again later.

    Raises:
        BytesChanged: the stream carried fewer or more than `size_bytes`.
    """
    reading = _Reading(ScanContext(name, size_bytes, declared_type, limits))
    with contextlib.ExitStack() as cleanup:
        sessions = _begin(scanners if size_bytes else (), reading.context, cleanup)
        for piece in pieces(stream):
            reading.feed(piece)
            for take in (*(session.feed for session in sessions), *also):
                take(piece)
        reading.check_size()
        return reading.finish([session.finish() for session in sessions])


def _begin(scanners: Sequence[Scanner], context: ScanContext, cleanup: contextlib.ExitStack) -> list[ScanSession]:
    sessions = []
    for scanner in scanners:
        session = scanner.begin(context)
        cleanup.callback(session.abort)
        sessions.append(session)
    return sessions


class _Reading:
    """Everything that is taken from the bytes save the scanners' verdicts."""

    def __init__(self, context: ScanContext) -> None:
        self.context = context
        self._seen_bytes = 0
        self._sha256 = hashlib.sha256()
        self._blake3 = blake3()
        self._detected_type = EMPTY_TYPE
        self._structure: Structure | None = None

    def feed(self, piece: bytes) -> None:
        self._seen_bytes += len(piece)
        if self._seen_bytes > self.context.size_bytes:
            raise BytesChanged(self.context.size_bytes, self._seen_bytes)
        self._sha256.update(piece)
        self._blake3.update(piece)
        if self._structure is None:
            # the first piece is the whole file or longer than any sniffing needs
            self._detected_type = sniff(piece[:SNIFF_BYTES])
            self._structure = Structure(self._detected_type)
        self._structure.feed(piece)

    def check_size(self) -> None:
        if self._seen_bytes != self.context.size_bytes:
            raise BytesChanged(self.context.size_bytes, self._seen_bytes)

    def finish(self, verdicts: list[ScannerVerdict]) -> Inspection:
        verdict = _worst(verdicts) if verdicts or self._seen_bytes else Verdict.CLEAN
        dates = [each.signatures_at for each in verdicts if each.signatures_at]
        type_reason = self._type_reason()
        return Inspection(
            verdict=verdict,
            engine=" + ".join(each.engine for each in verdicts),
            signatures_at=dates[-1] if dates else None,
            scanned_bytes=min((each.scanned_bytes for each in verdicts), default=0),
            reason=_reason(verdict, verdicts),
            detected_type=self._detected_type,
            sha256=self._sha256.hexdigest(),
            blake3=self._blake3.hexdigest(),
            size_bytes=self._seen_bytes,
            type_ok=not type_reason,
            type_reason=type_reason,
        )

    def _type_reason(self) -> str:
        if not agrees(self.context.declared_type, self._detected_type, self.context.name):
            return "type_mismatch"
        return self._structure.finish() if self._structure else ""


def _worst(verdicts: list[ScannerVerdict]) -> Verdict:
    given = {each.verdict for each in verdicts}
    return next((verdict for verdict in _SEVERITY if verdict in given), Verdict.UNSCANNED)


def _reason(verdict: Verdict, verdicts: list[ScannerVerdict]) -> str:
    """The reasons of the engines that gave the verdict, each once."""
    if not verdicts and verdict is Verdict.UNSCANNED:
        return "no_scanner"
    given = (each.reason for each in verdicts if each.verdict is verdict and each.reason)
    return ", ".join(dict.fromkeys(given))
