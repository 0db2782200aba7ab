"""Whether a file is, to its end, what its first bytes claim: cheap checks of common formats as the bytes pass by.

Only what is clearly cut off or clearly something else is refused: readers everywhere forgive trailing bytes, so these
checks do.
"""

from __future__ import annotations

import re

_HEAD_BYTES = 64 * 1024
_TAIL_BYTES = 22 + 0xFFFF
_PDF_TAIL_BYTES = 1024
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_ZIP_END = b"PK\x05\x06"
_ZIP_LIKE = re.compile(r"application/(zip|epub\+zip|java-archive|x-java-archive|vnd\.(openxmlformats-|oasis\.|android\.).*)")


class Structure:
    """Takes a file's bytes in order, the first piece at least 64 KiB or the whole, and says at the end what is
    wrong.
    """

    def __init__(self, detected_type: str) -> None:
        self._type = "application/zip" if _ZIP_LIKE.fullmatch(detected_type) else detected_type
        self._head = b""
        self._tail = b""
        self._mark = {"image/png": _PNG_END, "image/jpeg": _JPEG_END}.get(detected_type, b"")
        self._mark_seen = False

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        start = 0
        if not self._head:
            self._head = piece[:_HEAD_BYTES]
            start = _jpeg_scan_offset(piece) if self._mark == _JPEG_END else 0
        if self._mark and not self._mark_seen:
            border = self._tail[-(len(self._mark) - 1) :] + piece[start : start + len(self._mark) - 1]
            self._mark_seen = piece.find(self._mark, start) >= 0 or self._mark in border
        self._tail = piece[-_TAIL_BYTES:] if len(piece) >= _TAIL_BYTES else (self._tail + piece)[-_TAIL_BYTES:]

    def finish(self) -> str:
        """A code such as `png_truncated`, or nothing when all is well or nothing is known of the type."""
        check = {
            "image/png": self._png,
            "image/jpeg": self._jpeg,
            "image/gif": self._gif,
            "application/pdf": self._pdf,
            "application/zip": self._zip,
        }.get(self._type)
        return check() if check else ""

    def _png(self) -> str:
        if self._head[12:16] not in (b"IHDR", b"CgBI"):  # CgBI: Apple's optimised PNGs
            return "png_broken"
        return "" if self._mark_seen else "png_truncated"

    def _jpeg(self) -> str:
        return "" if self._mark_seen else "jpeg_truncated"

    def _gif(self) -> str:
        flags = self._head[10] if len(self._head) > 10 else 0  # noqa: PLR2004 - the offset of the flags in the header
        blocks_at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
        if self._head[blocks_at : blocks_at + 1] not in (b"\x21", b"\x2c", b"\x3b"):
            return "gif_broken"
        return "" if b"\x3b" in self._tail else "gif_truncated"

    def _pdf(self) -> str:
        end = self._tail.rstrip(b"\0\r\n\t ")[-_PDF_TAIL_BYTES:]
        return "" if b"%%EOF" in end else "pdf_truncated"

    def _zip(self) -> str:
        return "" if _ZIP_END in self._tail else "zip_truncated"


def _jpeg_scan_offset(data: bytes) -> int:
    """Where the picture's own data begin, so that the end of a thumbnail within the header is not taken for the end."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:  # noqa: PLR2004 - every marker begins so
        marker = data[position + 1]
        if marker == _JPEG_SCAN:
            return position
        if marker == 0xFF or marker in _JPEG_STANDALONE:  # noqa: PLR2004 - a fill byte
            position += 1 if marker not in _JPEG_STANDALONE else 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    # the header is longer than this piece, or odd: look in all that follows
    return min(position, len(data)) if position > len(data) - 4 else 2
