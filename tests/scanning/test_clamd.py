"""The ClamAV engine against a real clamd."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from strongroom.scanning import (
    ClamdError,
    ClamdScanner,
    Inspection,
    ScanLimits,
    Verdict,
    YaraScanner,
    find_clamd,
    inspect,
)
from strongroom.scanning.clamd import _parse_version

from tests.scanning.samples import EICAR, EICAR_NAME, MIB, noise, scan, zipped
from tests.services.clamd import ClamdService, clamd


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClamdService]:
    """A clamd that tells of what it skips."""
    folder = tmp_path_factory.mktemp("clamd")
    with clamd(folder, AlertExceedsMax="yes", AlertEncrypted="yes", StreamMaxLength="2M", MaxFileSize="1M") as running:
        yield running


@pytest.fixture
def scanner(service: ClamdService) -> ClamdScanner:
    return ClamdScanner(str(service.socket_path))


def answer(found: Inspection) -> tuple[Verdict, str, int]:
    return found.verdict, found.reason, found.scanned_bytes


def test_clean_and_infected(scanner: ClamdScanner) -> None:
    assert answer(scan(noise(500_000), scanners=[scanner])) == (Verdict.CLEAN, "", 500_000)
    found = scan(noise(500_000) + EICAR, scanners=[scanner])
    assert found.verdict is Verdict.INFECTED
    assert found.reason.startswith(EICAR_NAME)
    assert found.engine.startswith("clamav 1.")
    assert found.signatures_at is None  # an unofficial database has no date


def test_both_engines_together(scanner: ClamdScanner) -> None:
    found = scan(zipped(EICAR), scanners=[YaraScanner(), scanner])
    assert found.verdict is Verdict.INFECTED
    assert found.reason.startswith(f"{EICAR_NAME}, {EICAR_NAME}")
    assert " + clamav" in found.engine


def test_ping_version_and_probe(scanner: ClamdScanner) -> None:
    assert scanner.ping()
    assert scanner.version().engine.startswith("clamav ")
    assert scanner.alerts_on_limits()


def test_stream_limit_is_unscanned_and_remembered(scanner: ClamdScanner) -> None:
    big = noise(6 * MIB)
    assert answer(scan(big, scanners=[scanner])) == (Verdict.UNSCANNED, "clamav_size_limit", 0)
    assert scanner.refusal(len(big)) == "clamav_size_limit"
    assert answer(scan(big, scanners=[scanner])) == (Verdict.UNSCANNED, "clamav_size_limit", 0)
    assert scan(noise(100_000), scanners=[scanner]).verdict is Verdict.CLEAN


def test_stream_limit_passed_by_the_last_piece(scanner: ClamdScanner) -> None:
    assert answer(scan(noise(2 * MIB + 1), scanners=[scanner])) == (Verdict.UNSCANNED, "clamav_size_limit", 0)


def test_whole_by_one_engine_but_not_by_the_other_is_unscanned(scanner: ClamdScanner) -> None:
    found = scan(noise(6 * MIB), scanners=[YaraScanner(), scanner])
    assert answer(found) == (Verdict.UNSCANNED, "clamav_size_limit", 0)
    assert scan(noise(6 * MIB) + EICAR, scanners=[YaraScanner(), scanner]).reason == EICAR_NAME


def test_what_clamd_skips_and_tells_is_unscanned(scanner: ClamdScanner) -> None:
    assert answer(scan(noise(MIB + 500_000), scanners=[scanner])) == (Verdict.UNSCANNED, "clamav_limit_exceeded", 0)


def test_encrypted_is_unscanned(scanner: ClamdScanner) -> None:
    data = bytearray(zipped(noise(1000)))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    found = scan(bytes(data), scanners=[scanner])
    assert (found.verdict, found.reason) == (Verdict.UNSCANNED, "clamav_encrypted")


def test_own_limit_needs_no_sending(service: ClamdService) -> None:
    own = ClamdScanner(str(service.socket_path), max_bytes=1000)
    assert answer(scan(noise(1001), scanners=[own])) == (Verdict.UNSCANNED, "clamav_size_limit", 0)
    assert scan(noise(1000), scanners=[own]).verdict is Verdict.CLEAN


def test_silent_clamd_is_trusted_only_with_small_files(tmp_path: Path) -> None:
    with clamd(tmp_path, AlertExceedsMax="no", MaxFileSize="1M") as silent:
        own = ClamdScanner(str(silent.socket_path), silent_max_bytes=MIB)
        assert not own.alerts_on_limits()
        assert answer(scan(noise(MIB + 1), scanners=[own])) == (Verdict.UNSCANNED, "clamav_limits_silent", 0)
        assert scan(noise(MIB), scanners=[own]).verdict is Verdict.CLEAN


def test_over_tcp(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with clamd(tmp_path, TCPSocket=port, TCPAddr="127.0.0.1", StreamMaxLength="2M"):
        own = ClamdScanner(f"127.0.0.1:{port}")
        assert scan(EICAR, scanners=[own]).verdict is Verdict.INFECTED
        assert scan(noise(100), scanners=[own]).verdict is Verdict.CLEAN
        assert scan(noise(6 * MIB), scanners=[own]).reason == "clamav_size_limit"


def test_killed_in_the_middle_is_an_error(tmp_path: Path) -> None:
    with clamd(tmp_path) as running:
        own = ClamdScanner(str(running.socket_path))
        own.version()

        def stream() -> Iterator[bytes]:
            yield noise(MIB)
            running.kill()
            yield noise(7 * MIB)

        found = inspect(stream(), size_bytes=8 * MIB, declared_type="", name="f", scanners=[YaraScanner(), own], limits=ScanLimits())
        assert answer(found) == (Verdict.ERROR, "clamav_connection_lost", 0)
        assert not own.ping()
        assert scan(b"abc", scanners=[YaraScanner(), own]).reason == "clamav_unreachable"


@pytest.mark.parametrize("address", ["/nonexistent/clamd.sock", "/" + "x" * 200, "127.0.0.1:1"])
def test_down_is_an_error_never_clean(address: str) -> None:
    down = ClamdScanner(address)
    assert not down.ping()
    assert answer(scan(b"abc", scanners=[down])) == (Verdict.ERROR, "clamav_unreachable", 0)
    with pytest.raises(ClamdError):
        down.version()


def test_something_else_behind_the_socket_is_an_error(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(tmp_path / "s"))
        stranger.listen()
        own = ClamdScanner(str(tmp_path / "s"), reply_timeout_s=0.05)
        assert scan(b"abc", scanners=[own]).verdict is Verdict.ERROR


@pytest.mark.parametrize("address", ["", "relative/path", "host", "host:name", ":3310"])
def test_odd_addresses_are_refused_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="clamd address"):
        ClamdScanner(address)


def test_find_clamd(service: ClamdService, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert find_clamd([str(tmp_path / "plain"), str(tmp_path / "none"), str(service.socket_path)]) == str(service.socket_path)
    assert find_clamd([]) is None


def test_version_replies() -> None:
    dated = _parse_version("ClamAV 1.4.3/27755/Wed Sep 10 08:26:45 2025")
    assert dated.engine == "clamav 1.4.3"
    assert dated.signatures_at == datetime(2025, 9, 10, 8, 26, 45, tzinfo=UTC)
    assert _parse_version("ClamAV 1.5.0-rc2").signatures_at is None
    with pytest.raises(ClamdError):
        _parse_version("HTTP/1.1 400 Bad Request")
