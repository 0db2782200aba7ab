"""Files made in memory for the scanning tests."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence

from strongroom.scanning import Inspection, ScanLimits, Scanner, YaraScanner, inspect

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""In two halves, so that no scanner finds this file."""
EICAR_NAME = "Eicar-Test-Signature"
MIB = 1024 * 1024


def scan(
    data: bytes,
    *,
    name: str = "file.bin",
    declared_type: str = "application/octet-stream",
    scanners: Sequence[Scanner] | None = None,
    limits: ScanLimits | None = None,
    chunk_bytes: int = 100_000,
) -> Inspection:
    """Inspect bytes from memory, with the bundled scanner unless others are given."""
    return inspect(
        chunks(data, chunk_bytes),
        size_bytes=len(data),
        declared_type=declared_type,
        name=name,
        scanners=[YaraScanner()] if scanners is None else scanners,
        limits=limits or ScanLimits(),
    )


def chunks(data: bytes, chunk_bytes: int) -> Iterator[bytes]:
    """Cut bytes into chunks."""
    for start in range(0, len(data), chunk_bytes):
        yield data[start : start + chunk_bytes]


def zipped(*members: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "member-{}") -> bytes:
    """A zip of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for number, member in enumerate(members):
            archive.writestr(name.format(number), member)
    return buffer.getvalue()


def tarred(*members: bytes, format: int = tarfile.PAX_FORMAT, name: str = "member-{}") -> bytes:  # noqa: A002 - tarfile's word
    """A tar of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for number, member in enumerate(members):
            info = tarfile.TarInfo(name.format(number))
            info.size = len(member)
            archive.addfile(info, io.BytesIO(member))
    return buffer.getvalue()


def ar(*members: bytes) -> bytes:
    """An ar archive of these members."""
    data = b"!<arch>\n"
    for member in members:
        data += b"member.bin/".ljust(16) + b"0".ljust(32) + str(len(member)).encode().ljust(10) + b"`\n" + member
        data += b"\n" * (len(member) % 2)
    return data


def layered(data: bytes, levels: int) -> bytes:
    """Bytes within so many zips."""
    for _ in range(levels):
        data = zipped(data)
    return data


def noise(size_bytes: int) -> bytes:
    """Bytes without structure, the same every time."""
    block = b"".join(zlib.crc32(struct.pack("!I", number)).to_bytes(4, "big") for number in range(16384))
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def png() -> bytes:
    """A whole picture of one pixel."""

    def block(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    header = struct.pack("!IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + block(b"IHDR", header) + block(b"IDAT", zlib.compress(b"\0\0")) + block(b"IEND", b"")


def jpeg() -> bytes:
    """As much of a picture as the checks look at, with a thumbnail in its header that ends like a picture."""
    thumbnail = b"Exif\0\0" + b"\xff\xd8thumb\xff\xd9"
    header = b"\xff\xd8\xff\xe1" + struct.pack("!H", len(thumbnail) + 2) + thumbnail
    return header + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + noise(500).replace(b"\xff", b"\xfe") + b"\xff\xd9"


def gif() -> bytes:
    """A whole picture of one pixel."""
    return b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b"


def pdf() -> bytes:
    """A small document."""
    return b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\nstartxref\n9\n%%EOF\n"


def mp4() -> bytes:
    """The first boxes of a film."""
    return b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2" + b"\0\0\0\x08free" + b"\0\0\0\x10mdat" + bytes(8)


def elf(size_bytes: int = 64) -> bytes:
    """The header of a Linux program."""
    return (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0\x01\0\0\0").ljust(size_bytes, b"\0")


def pe() -> bytes:
    """The headers of a Windows program."""
    return (b"MZ\x90\0\x03" + bytes(55) + struct.pack("<I", 64) + b"PE\0\0\x4c\x01" + bytes(100)).ljust(512, b"\0")


def docx(*more: bytes) -> bytes:
    """A document with the members that make it one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<document/>")
        for number, data in enumerate(more):
            archive.writestr(f"word/media/{number}", data)
    return buffer.getvalue()


def odt() -> bytes:
    """An OpenDocument text, its type first."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", "<x/>")
    return buffer.getvalue()


COMPRESSORS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}
