"""Inside archives: what is found, and what is told of that which cannot be looked at."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from strongroom.scanning import Inspection, ScanLimits, Verdict

from tests.scanning.samples import (
    COMPRESSORS,
    EICAR,
    EICAR_NAME,
    MIB,
    ar,
    docx,
    gif,
    layered,
    noise,
    odt,
    pe,
    scan,
    tarred,
    zipped,
)

TESTFILES = Path("/usr/share/clamav-testfiles")
HARMLESS = b"nothing to see here, " * 20


def unscanned(found: Inspection) -> str:
    """The reason of a verdict that must be unscanned."""
    assert found.verdict is Verdict.UNSCANNED, found
    return found.reason


NESTINGS: dict[str, Callable[[bytes], bytes]] = {
    "zip": zipped,
    "zip stored": lambda data: zipped(data, method=zipfile.ZIP_STORED),
    "zip bzip2": lambda data: zipped(data, method=zipfile.ZIP_BZIP2),
    "zip of many": lambda data: zipped(HARMLESS, data, HARMLESS),
    "docx": docx,
    "tar": tarred,
    "tar gnu": lambda data: tarred(HARMLESS, data, format=tarfile.GNU_FORMAT, name="n" * 300 + "{}"),
    "tar pax": lambda data: tarred(HARMLESS, data, name="ü" * 300 + "{}"),
    **COMPRESSORS,
    "deb": lambda data: ar(b"2.0\n", gzip.compress(tarred(HARMLESS)), b"odd", lzma.compress(tarred(data))),
    "ar": lambda data: ar(b"", data),
    "two gzips": lambda data: gzip.compress(HARMLESS) + gzip.compress(data),
    "two xz with padding": lambda data: lzma.compress(HARMLESS) + bytes(8) + lzma.compress(data),
    "zip in tar.gz": lambda data: gzip.compress(tarred(HARMLESS, zipped(data))),
    "tar.xz in zip": lambda data: zipped(lzma.compress(tarred(data))),
    "gz in tar in tar": lambda data: tarred(tarred(gzip.compress(data))),
    "zip behind a picture": lambda data: gif() + zipped(data),
    "zip behind a program": lambda data: pe() + noise(MIB) + zipped(data),
    "zip in zip behind a picture": lambda data: gif() + zipped(gif() + zipped(data)),
}


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("size", ["small", "over windows"])
def test_eicar_is_found_inside(nesting: str, size: str) -> None:
    member = EICAR if size == "small" else noise(MIB - 30) + EICAR + noise(MIB)
    found = scan(NESTINGS[nesting](member))
    assert (found.verdict, found.reason) == (Verdict.INFECTED, EICAR_NAME)


@pytest.mark.parametrize("nesting", NESTINGS)
def test_harmless_archives_are_clean(nesting: str) -> None:
    assert scan(NESTINGS[nesting](noise(MIB))).verdict is Verdict.CLEAN
    assert scan(NESTINGS[nesting](HARMLESS), chunk_bytes=5).verdict is Verdict.CLEAN


def test_empty_archives_are_clean() -> None:
    for data in (zipped(), gzip.compress(b""), tarred(), tarred(b""), zipped(b""), odt()):
        assert scan(data).verdict is Verdict.CLEAN


def test_a_finding_beats_what_could_not_be_looked_at() -> None:
    data = tarred(encrypted_zip(), gzip.compress(EICAR), noise(5))
    assert scan(data).reason == EICAR_NAME
    assert scan(layered(HARMLESS, 12) + EICAR).verdict is Verdict.INFECTED


# Depth


def test_depth_up_to_the_limit_is_opened_and_behind_it_is_unscanned() -> None:
    limits = ScanLimits(max_depth=4)
    assert scan(layered(EICAR, 4), limits=limits).verdict is Verdict.INFECTED
    assert unscanned(scan(layered(EICAR, 5), limits=limits)) == "archive_too_deep"


def test_the_default_depth_stops_a_matryoshka() -> None:
    assert unscanned(scan(layered(HARMLESS, 60))) == "archive_too_deep"


def test_zips_behind_pictures_have_a_depth_too() -> None:
    data = EICAR
    for _ in range(12):
        data = gif() + zipped(data)
    assert unscanned(scan(data)) == "archive_too_deep"
    assert scan(data, limits=ScanLimits(max_depth=12)).verdict is Verdict.INFECTED


# Encryption, and other things that cannot be opened


def encrypted_zip() -> bytes:
    """A zip whose one member says that it is encrypted."""
    data = bytearray(zipped(HARMLESS))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def test_encrypted_zip() -> None:
    assert unscanned(scan(encrypted_zip())) == "archive_encrypted"


def test_encrypted_only_by_its_local_header() -> None:
    data = bytearray(zipped(HARMLESS))
    data[6] |= 1
    assert unscanned(scan(bytes(data))) == "archive_encrypted"


def test_unknown_method() -> None:
    data = bytearray(zipped(HARMLESS))
    data[8:10] = data[data.index(b"PK\x01\x02") + 10 :][:2] = struct.pack("<H", 97)
    data[data.index(b"PK\x01\x02") + 10] = 97
    assert unscanned(scan(bytes(data))) == "archive_unsupported"


@pytest.mark.parametrize("head", [b"7z\xbc\xaf\x27\x1c\0\4", b"Rar!\x1a\x07\x01\0", b"\x28\xb5\x2f\xfd\x04\0", b"MSCF\0\0\0\0"])
def test_archives_that_nobody_here_can_open(head: bytes) -> None:
    assert unscanned(scan(head + noise(500))) == "archive_unsupported"


@pytest.mark.skipif(not TESTFILES.exists(), reason="package clamav-testfiles is not installed")
@pytest.mark.parametrize("name", sorted(path.name for path in TESTFILES.glob("clam*.*")) or ["none"])
def test_clamav_collection_is_never_called_clean_if_it_is_an_archive(name: str) -> None:
    found = scan((TESTFILES / name).read_bytes(), name=name)
    if name in ("clam.zip", "clam.tar.gz", "clam.exe.bz2", "clam.bz2.zip", "clam.exe", "clam.ole.doc"):
        assert found.verdict is Verdict.INFECTED
    if name.endswith((".7z", ".cab", ".rar", ".zip", ".arj", ".cpio")):
        assert found.verdict is not Verdict.CLEAN


# Bombs


def test_ratio_bomb_gzip() -> None:
    bomb = gzip.compress(bytes(64 * MIB), 9)
    assert unscanned(scan(bomb)) == "archive_bomb_ratio"


def test_ratio_bomb_zip_of_xz() -> None:
    assert unscanned(scan(zipped(lzma.compress(bytes(40 * MIB))))) == "archive_bomb_ratio"


def test_small_regular_files_are_no_bombs() -> None:
    assert scan(gzip.compress(bytes(15 * MIB), 9)).verdict is Verdict.CLEAN


def test_size_limit() -> None:
    limits = ScanLimits(max_extracted_bytes=2 * MIB)
    assert unscanned(scan(zipped(noise(MIB), noise(MIB), noise(MIB)), limits=limits)) == "archive_bomb_size"
    assert unscanned(scan(gzip.compress(noise(3 * MIB)), limits=limits)) == "archive_bomb_size"


def test_nested_bomb_stops_in_little_memory() -> None:
    bomb = zipped(*[zipped(*[zipped(bytes(4 * MIB))] * 16)] * 16)
    tracemalloc.start()
    try:
        found = scan(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert unscanned(found) == "archive_bomb_ratio"
    assert peak < 32 * MIB


def test_many_tiny_files() -> None:
    limits = ScanLimits(max_entries=100)
    members = [b"x"] * 101
    assert unscanned(scan(zipped(*members), limits=limits)) == "archive_too_many_entries"
    assert unscanned(scan(tarred(*members), limits=limits)) == "archive_too_many_entries"
    assert scan(zipped(*members[:100]), limits=limits).verdict is Verdict.CLEAN


def test_a_directory_that_would_fill_the_memory_is_not_read() -> None:
    limits = ScanLimits(max_entries=200)
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<HHH", 60000, 0, 0) + bytes(12) + b"n" * 60000
    directory = entry * 3
    data = zipped(HARMLESS)
    data = data[: data.index(b"PK\x01\x02")]
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 3, 3, len(directory), len(data), 0)
    assert unscanned(scan(data + directory + end, limits=limits)) == "archive_too_many_entries"


def test_flat_bomb_of_overlapping_members() -> None:
    data = zipped(HARMLESS)
    at = data.index(b"PK\x01\x02")
    entry = data[at : data.index(b"PK\x05\x06")]
    directory = entry * 50
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 50, 50, len(directory), at, 0)
    assert unscanned(scan(data[:at] + directory + end)) == "archive_overlap"


def test_spool_limit() -> None:
    limits = ScanLimits(max_spool_bytes=MIB)
    assert unscanned(scan(zipped(noise(3 * MIB), method=zipfile.ZIP_STORED), limits=limits)) == "archive_too_large"
    assert unscanned(scan(gif() + zipped(noise(3 * MIB), method=0), limits=limits)) == "archive_too_large"
    assert scan(zipped(noise(1000)), limits=limits).verdict is Verdict.CLEAN


def test_spool_is_nameless_and_gone_afterwards(tmp_path: Path) -> None:
    random_bytes = random.Random(1).randbytes(3 * MIB)  # noqa: S311 - any bytes will do
    assert scan(zipped(random_bytes), limits=ScanLimits(spool_dir=tmp_path)).verdict is Verdict.CLEAN
    assert list(tmp_path.iterdir()) == []
    open_files = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]  # noqa: PTH115 - what a link says, which may be no path
    assert not any(str(tmp_path) in name for name in open_files)


def test_member_names_are_never_paths(tmp_path: Path) -> None:
    limits = ScanLimits(spool_dir=tmp_path)
    assert scan(zipped(HARMLESS, name="../../escape-{}"), limits=limits).verdict is Verdict.CLEAN
    assert scan(tarred(HARMLESS, name="../escape-{}"), limits=limits).verdict is Verdict.CLEAN
    assert not list(tmp_path.parent.glob("escape*"))


# Damage and deceit


@pytest.mark.parametrize("nesting", ["zip", "gzip", "bzip2", "xz", "tar", "ar", "zip in tar.gz", "tar.xz in zip"])
def test_truncated_archives(nesting: str) -> None:
    whole = NESTINGS[nesting](noise(300_000))
    for keep in (len(whole) // 2, len(whole) - 30 if nesting not in ("tar", "ar") else 200_000):
        assert unscanned(scan(whole[:keep])) == "archive_broken"


def test_eicar_before_the_damage_is_found() -> None:
    assert scan(gzip.compress(EICAR + noise(900_000))[:500_000]).verdict is Verdict.INFECTED
    damaged = bytearray(gzip.compress(EICAR + noise(900_000)))
    damaged[-6] ^= 1
    assert scan(bytes(damaged)).verdict is Verdict.INFECTED


def test_flipped_bytes_never_make_an_archive_clean_and_never_crash() -> None:
    dice = random.Random(7)  # noqa: S311 - any flips will do
    whole = zipped(tarred(EICAR, lzma.compress(EICAR)), gzip.compress(EICAR))
    for _ in range(300):
        data = bytearray(whole)
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        found = scan(bytes(data))
        assert found.verdict in (Verdict.INFECTED, Verdict.UNSCANNED)


def test_member_that_the_directory_does_not_name() -> None:
    hidden = zipped(EICAR)
    hidden = hidden[: hidden.index(b"PK\x01\x02")]
    shown = zipped(HARMLESS)
    at = shown.index(b"PK\x01\x02")
    directory = bytearray(shown[at : shown.index(b"PK\x05\x06")])
    directory[42:46] = struct.pack("<I", len(hidden))
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), len(hidden) + at, 0)
    assert unscanned(scan(hidden + shown[:at] + bytes(directory) + end)) == "archive_inconsistent"


def test_directory_that_understates_a_members_size() -> None:
    """`zipfile` and others would stop at the stated size, whose checksum is right, and never see the rest."""
    data = bytearray(zipped(HARMLESS + EICAR))
    at = data.index(b"PK\x01\x02")
    short = HARMLESS[:10]
    for crc_at in (14, at + 16):
        data[crc_at : crc_at + 4] = struct.pack("<I", zlib.crc32(short))
        data[crc_at + 8 : crc_at + 12] = struct.pack("<I", len(short))
    assert scan(bytes(data)).verdict is Verdict.INFECTED
    harmless = bytearray(zipped(HARMLESS))
    harmless[harmless.index(b"PK\x01\x02") + 24] ^= 1
    assert unscanned(scan(bytes(harmless))) == "archive_broken"


def test_zip64_with_data_descriptors_is_opened() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes alone, no other buffer
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # not seekable: sizes come after the data
        for number in range(3):
            with archive.open(f"m{number}", "w", force_zip64=True) as member:
                member.write(HARMLESS)
    assert scan(pipe.data).verdict is Verdict.CLEAN


def test_tar_without_mark_and_with_odd_members() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"n{kind!r}")
            info.type, info.linkname = kind, "elsewhere"
            archive.addfile(info)
        info = tarfile.TarInfo("last")
        info.size = len(zipped(EICAR))
        archive.addfile(info, io.BytesIO(zipped(EICAR)))
    assert scan(buffer.getvalue()).verdict is Verdict.INFECTED
    header = bytearray(tarfile.TarInfo("v7").tobuf(tarfile.USTAR_FORMAT))
    header[257:265] = bytes(8)
    header[148:156] = b"        "
    header[124:135] = b"%011o" % len(gzip.compress(EICAR))
    header[148:156] = b"%06o\0 " % sum(header)
    assert scan(bytes(header) + gzip.compress(EICAR) + bytes(2048)).verdict is Verdict.INFECTED


def test_second_tar_behind_the_first_ones_end() -> None:
    assert scan(tarred(HARMLESS) + tarred(gzip.compress(EICAR))).verdict is Verdict.INFECTED


def test_xz_that_asks_for_too_much_memory() -> None:
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 4 * MIB}])
    data = bytearray(compressor.compress(HARMLESS) + compressor.flush())
    block = bytearray(data[12 : 12 + (data[12] + 1) * 4 - 4])
    block[4] = 34  # 512 MiB, by the format's own table
    data[12 : 12 + len(block)] = block
    data[12 + len(block) : 16 + len(block)] = zlib.crc32(block).to_bytes(4, "little")
    assert unscanned(scan(bytes(data))) == "archive_memory"
