"""Bytes to upload: small real files of known types, large ones made on the fly, and what must not get in."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

MIB = 1 << 20
EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()
TEXT = b"Strongroom keeps what it is given.\nEvery line of it.\n"
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 64, 0, 0) + bytes(64)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 8, height: int = 8) -> bytes:
    """A real picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([row % 256, 90, 200]) * width for row in range(height))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def pdf() -> bytes:
    """A small, whole PDF."""
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] >>",
    ]
    text, offsets = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        offsets.append(len(text))
        text += b"%d 0 obj\n%b\nendobj\n" % (number, part)
    start = len(text)
    text += b"xref\n0 4\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return text + b"trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start


def noise(size: int, seed: int = 0) -> bytes:
    """`size` bytes of no type at all, the same for the same seed."""
    return random.Random(f"strongroom {seed}").randbytes(size)  # noqa: S311 - content, not a secret


class Noise:
    """A body of `size` bytes made while it is sent: its memory does not grow with its size."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size, self.sent = size, 0
        self._block = noise(MIB, seed)
        self.sha256 = hashlib.sha256()

    def __len__(self) -> int:
        return self.size - self.sent

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes; at most 64 KiB, to be sent at once."""
        start = self.sent % MIB
        wanted = min(self.size - self.sent, count if count >= 0 else MIB, MIB - start)
        data = self._block[start : start + wanted]
        self.sent += len(data)
        self.sha256.update(data)
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read():
            yield data


def sha256(data: bytes) -> str:
    """The hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def digest_of_stream(response: Any) -> str:
    """The hexadecimal SHA-256 of a streamed answer's body."""
    digest = hashlib.sha256()
    for piece in response.iter_content(MIB):
        digest.update(piece)
    return digest.hexdigest()
