"""The bundled engine on plain bytes: borders, rules, memory."""

from __future__ import annotations

import re
import resource
import threading
import tracemalloc
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from strongroom.scanning import ScanLimits, Verdict, YaraScanner, inspect
from strongroom.scanning.streaming import PIECE_BYTES
from strongroom.scanning.yara import OVERLAP_BYTES, WINDOW_BYTES, bundled_ruleset

from tests.scanning.samples import EICAR, EICAR_NAME, MIB, noise, scan

CLAM_EXE = Path("/usr/share/clamav-testfiles/clam.exe")


def test_eicar_is_infected_and_named() -> None:
    found = scan(EICAR)
    assert (found.verdict, found.reason, found.scanned_bytes) == (Verdict.INFECTED, EICAR_NAME, len(EICAR))
    assert found.engine.startswith("yara-x ")
    assert found.signatures_at == bundled_ruleset().released_at


def test_harmless_bytes_are_clean() -> None:
    found = scan(noise(3 * MIB))
    assert (found.verdict, found.reason, found.scanned_bytes) == (Verdict.CLEAN, "", 3 * MIB)


@pytest.mark.parametrize("chunk_bytes", [1, 7, 34, 67, 4096])
def test_eicar_in_small_chunks(chunk_bytes: int) -> None:
    assert scan(b"x" * 50 + EICAR + b"y" * 50, chunk_bytes=chunk_bytes).verdict is Verdict.INFECTED


@pytest.mark.parametrize("border", [PIECE_BYTES, WINDOW_BYTES, WINDOW_BYTES - OVERLAP_BYTES, 2 * WINDOW_BYTES - OVERLAP_BYTES])
@pytest.mark.parametrize("before", [0, 1, 34, 67, 68])
def test_eicar_over_each_border(border: int, before: int) -> None:
    data = bytes(border - before) + EICAR + bytes(MIB)
    assert scan(data).reason == EICAR_NAME


def test_eicar_as_the_last_bytes() -> None:
    assert scan(noise(2 * MIB + 5) + EICAR).verdict is Verdict.INFECTED


@pytest.mark.skipif(not CLAM_EXE.exists(), reason="package clamav-testfiles is not installed")
def test_clamav_test_file() -> None:
    assert scan(CLAM_EXE.read_bytes()).reason == "ClamAV-Test-File"


@pytest.mark.parametrize(
    ("threat", "data"),
    [
        ("Webshell.PHP.EvalRequest", b"<?php @ev" + b"al($_POST['x']); ?>"),
        ("Webshell.PHP.EvalRequest", b"<?php ev" + b"al(gzinflate(base64_decode('7X1r"),
        ("Webshell.PHP.Known", b"<?php $default_action = " + b"'FilesMan'; ?>"),
        ("Webshell.ASPX.EvalRequest", b'<%@ Page Language="Jscript"%><%ev' + b'al(Request.Item["z"],"unsafe");%>'),
        ("Webshell.JSP.ExecRequest", b"<% Runtime.getRuntime()" + b'.exec(request.getParameter("c")); %>'),
        ("Dropper.HTML.Ramnit", b'DropFileName = "svc' + b'host.exe"\nWriteData = "4D5A' + b"90000300" * 9),
        ("Dropper.PowerShell.HiddenEncoded", b"powershell -nop -w hid" + b"den -enc " + b"QUJD" * 60),
        ("Miner.JS.Coinhive", b"new CoinHive.An" + b"onymous('" + b"a" * 32 + b"')"),
    ],
)
def test_bundled_rules_find_what_they_are_for(threat: str, data: bytes) -> None:
    assert scan(b"\n" + data + b"\n").reason == threat


@pytest.mark.parametrize(
    "data",
    [
        b"<?php echo htmlspecialchars($_POST['name']); ?>",
        b"<p>Never write eval($_POST['x']) in PHP.</p>",
        b"powershell -NoProfile -File build.ps1",
        b"The EICAR-STANDARD-ANTIVIRUS-TEST-FILE is a string of 68 bytes.",
        b"$bytes = [Convert]::FromBase64String($text)",
    ],
)
def test_bundled_rules_leave_honest_text_alone(data: bytes) -> None:
    assert scan(data).verdict is Verdict.CLEAN


def test_encrypted_office_document_is_unscanned() -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    data += "EncryptionInfo".encode("utf-16-le") + bytes(64) + "EncryptedPackage".encode("utf-16-le") + bytes(512)
    found = scan(data)
    assert (found.verdict, found.reason) == (Verdict.UNSCANNED, "document_encrypted")


def test_rules_use_nothing_that_windows_would_falsify() -> None:
    for source in (resources.files("strongroom.scanning") / "rules").iterdir():
        if source.name.endswith(".yar"):
            text = source.read_text("utf-8")
            assert "import" not in text.split(), source.name
            for condition in re.findall(r"condition:(.*?)\n}", text, re.DOTALL):
                assert not re.search(r"\b(filesize|entrypoint|at|in|u?int\d+(be)?)\b|[@#!]\w", condition), source.name
            assert len(re.findall(r"^rule ", text, re.MULTILINE)) == text.count("threat =") + text.count("unscanned ="), source.name


def test_no_rule_finds_the_rules_themselves() -> None:
    for source in (resources.files("strongroom.scanning") / "rules").iterdir():
        assert scan(source.read_bytes()).verdict is Verdict.CLEAN, source.name


def test_one_scanner_serves_many_threads() -> None:
    scanner = YaraScanner()
    verdicts: list[Verdict] = []
    threads = [threading.Thread(target=lambda: verdicts.append(scan(noise(MIB) + EICAR, scanners=[scanner]).verdict)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [Verdict.INFECTED] * 8


def test_what_one_file_holds_is_not_told_of_the_next() -> None:
    """A thread keeps its scanner from one file to the next, also one of other rules."""
    one, another = YaraScanner(), YaraScanner()
    for scanner in (one, one, another, one):
        assert scan(EICAR, scanners=[scanner]).verdict is Verdict.INFECTED
        assert scan(b"harmless", scanners=[scanner]).verdict is Verdict.CLEAN


def test_memory_stays_flat_for_200_mib() -> None:
    def zeros() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(MIB)

    scanner = YaraScanner()
    scan(bytes(MIB), scanners=[scanner])
    rss_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        found = inspect(zeros(), size_bytes=200 * MIB, declared_type="", name="z", scanners=[scanner], limits=ScanLimits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.verdict is Verdict.CLEAN
    assert peak < 16 * MIB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss_before < 64 * 1024
