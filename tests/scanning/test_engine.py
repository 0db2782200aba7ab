"""`inspect` itself: one reading, digests, the combining of verdicts."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from blake3 import blake3
from strongroom.scanning import (
    BytesChanged,
    ScanContext,
    ScanLimits,
    ScannerVerdict,
    ScanSession,
    Verdict,
    YaraScanner,
    inspect,
)

from tests.scanning.samples import EICAR, MIB, elf, noise, png, scan


@dataclass
class Fixed:
    """A scanner that says what it is told to, and remembers what it was given."""

    verdict: Verdict
    reason: str = ""
    scanned_bytes: int | None = None
    signatures_at: datetime | None = None
    seen: list[bytes] = field(default_factory=list)
    aborted: int = 0

    def begin(self, context: ScanContext) -> ScanSession:
        self.context = context
        return self

    def feed(self, data: bytes) -> None:
        self.seen.append(data)

    def finish(self) -> ScannerVerdict:
        total = sum(map(len, self.seen)) if self.scanned_bytes is None else self.scanned_bytes
        return ScannerVerdict(self.verdict, f"fixed-{self.verdict}", total, self.reason, self.signatures_at)

    def abort(self) -> None:
        self.aborted += 1


CLEAN, INFECTED, UNSCANNED, ERROR = Verdict.CLEAN, Verdict.INFECTED, Verdict.UNSCANNED, Verdict.ERROR


def test_digests_and_sizes() -> None:
    data = noise(3 * MIB + 17)
    found = scan(data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.blake3 == blake3(data).hexdigest()
    assert found.size_bytes == len(data)


@pytest.mark.parametrize("chunk_bytes", [1000, 256 * 1024, 3 * MIB])
def test_every_scanner_gets_every_byte_in_even_pieces(chunk_bytes: int) -> None:
    data = noise(2 * MIB + 99)
    scanners = [Fixed(CLEAN), Fixed(CLEAN)]
    scan(data, scanners=scanners, chunk_bytes=chunk_bytes)
    for scanner in scanners:
        assert b"".join(scanner.seen) == data
        assert {len(piece) for piece in scanner.seen[:-1]} == {256 * 1024}
        assert scanner.aborted == 1


def test_file_objects_are_read_too() -> None:
    data = b"line\nline\n" * 100_000
    found = inspect(
        io.BytesIO(data),
        size_bytes=len(data),
        declared_type="",
        name="f",
        scanners=[YaraScanner()],
        limits=ScanLimits(),
    )
    assert found.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("given", "verdict", "reason"),
    [
        ([(CLEAN, ""), (CLEAN, "")], CLEAN, ""),
        ([(UNSCANNED, "a"), (INFECTED, "V")], INFECTED, "V"),
        ([(ERROR, "e"), (INFECTED, "V")], INFECTED, "V"),
        ([(INFECTED, "V"), (INFECTED, "W")], INFECTED, "V, W"),
        ([(INFECTED, "V"), (INFECTED, "V")], INFECTED, "V"),
        ([(ERROR, "e"), (UNSCANNED, "u")], ERROR, "e"),
        ([(CLEAN, ""), (UNSCANNED, "clamav_size_limit")], UNSCANNED, "clamav_size_limit"),
        ([(CLEAN, ""), (ERROR, "clamav_unreachable")], ERROR, "clamav_unreachable"),
    ],
)
def test_combining(given: list[tuple[Verdict, str]], verdict: Verdict, reason: str) -> None:
    found = scan(b"abc", scanners=[Fixed(*each) for each in given])
    assert (found.verdict, found.reason) == (verdict, reason)


def test_engines_dates_and_coverage() -> None:
    old, new = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    scanners = [Fixed(CLEAN, signatures_at=old), Fixed(UNSCANNED, "x", 2, new), Fixed(CLEAN)]
    found = scan(b"abcdef", scanners=scanners)
    assert found.engine == "fixed-clean + fixed-unscanned + fixed-clean"
    assert found.signatures_at == new
    assert found.scanned_bytes == 2


def test_nothing_is_clean_without_a_scanner() -> None:
    found = scan(b"abc", scanners=[])
    assert (found.verdict, found.reason, found.scanned_bytes) == (UNSCANNED, "no_scanner", 0)


def test_an_empty_file_is_clean_whatever_the_scanners_do() -> None:
    found = scan(b"", name="a.png", declared_type="image/png", scanners=[Fixed(ERROR, "down")])
    assert (found.verdict, found.scanned_bytes, found.reason, found.type_ok) == (CLEAN, 0, "", True)
    assert found.detected_type == "inode/x-empty"
    assert found.sha256 == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("size_bytes", [0, 99, 101, 10 * MIB])
def test_a_stream_of_another_length_is_refused(size_bytes: int) -> None:
    scanner = Fixed(CLEAN)
    with pytest.raises(BytesChanged) as refused:
        inspect(
            io.BytesIO(bytes(100)),
            size_bytes=size_bytes,
            declared_type="",
            name="f",
            scanners=[scanner],
            limits=ScanLimits(),
        )
    assert refused.value.expected_bytes == size_bytes
    assert refused.value.seen_bytes == 100
    assert scanner.aborted == (1 if size_bytes else 0)


def test_too_long_a_stream_is_not_read_to_its_end() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(MIB)

    with pytest.raises(BytesChanged):
        inspect(endless(), size_bytes=MIB, declared_type="", name="f", scanners=[Fixed(CLEAN)], limits=ScanLimits())
    assert taken < 4


def test_a_failing_stream_releases_the_scanners() -> None:
    def failing() -> Iterator[bytes]:
        yield EICAR
        raise ConnectionResetError

    scanner = Fixed(CLEAN)
    with pytest.raises(ConnectionResetError):
        inspect(failing(), size_bytes=68, declared_type="", name="f", scanners=[scanner, YaraScanner()], limits=ScanLimits())
    assert scanner.aborted == 1


def test_type_is_checked_beside_the_verdict() -> None:
    good = scan(png(), name="a.png", declared_type="image/png")
    assert (good.detected_type, good.type_ok, good.type_reason) == ("image/png", True, "")
    bad = scan(elf(), name="a.png", declared_type="image/png")
    assert (bad.verdict, bad.type_ok, bad.type_reason) == (CLEAN, False, "type_mismatch")
    cut = scan(png()[:-12], name="a.png", declared_type="image/png")
    assert (cut.type_ok, cut.type_reason) == (False, "png_truncated")
