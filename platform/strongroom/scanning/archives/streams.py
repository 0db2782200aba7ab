"""Unpackers of compressed streams: gzip, bzip2, xz and lzma, with any number of streams one after the other."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from strongroom.scanning.archives.walk import PIECE_BYTES, CannotUnpack, Sink, Walk
from strongroom.scanning.models import MIB

XZ_MEMORY_BYTES = 128 * MIB
"""xz -9 needs 65 MiB to unpack; a header may ask for gigabytes."""

_GZIP_WBITS = 31
_RAW_WBITS = -15
_MAGICS = {"gzip": b"\x1f\x8b\x08", "bzip2": b"BZh", "xz": b"\xfd7zXZ\0"}
_LONGEST_MAGIC_BYTES = 6
_BROKEN = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


class Decompressor(Protocol):
    """The shape that the standard library's bz2 and lzma decompressors share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Inflate:
    """zlib's decompressor in that shape."""

    def __init__(self, wbits: int = _RAW_WBITS) -> None:
        self._zlib = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail and not self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max(max_length, 0))


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)


def _lzma() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=XZ_MEMORY_BYTES)


_STREAMS: dict[str, Callable[[], Decompressor]] = {
    "gzip": lambda: Inflate(_GZIP_WBITS),
    "bzip2": bz2.BZ2Decompressor,
    "xz": _xz,
    "lzma": _lzma,
}
ZIP_METHODS: dict[int, Callable[[], Decompressor]] = {8: Inflate, 12: bz2.BZ2Decompressor, 95: _xz}
"""Compression methods of a zip's members; 0 is stored."""


def expand(decompressor: Decompressor, data: bytes, walk: Walk, sink: Sink) -> None:
    """Feed `sink` with what `data` expands to, in bounded pieces. Raises `CannotUnpack`."""
    while not decompressor.eof:
        try:
            out = decompressor.decompress(data, PIECE_BYTES)
        except _BROKEN as failure:
            # liblzma tells its memory limit by the text alone
            raise CannotUnpack("archive_memory" if "Memory usage limit" in str(failure) else "archive_broken") from failure
        data = b""
        if out:
            walk.charge(len(out))
            sink.feed(out)
        elif decompressor.needs_input or decompressor.eof:
            return


class StreamUnpacker:
    """Unpacks one compressed file; what follows its last stream is ignored, as the common tools do."""

    def __init__(self, walk: Walk, kind: str, child: Sink) -> None:
        self._walk = walk
        self._kind = kind
        self._child = child
        self._current = _STREAMS[kind]()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        try:
            self._feed(data)
        except CannotUnpack:
            self._child.finish()  # what came out until here may be a find
            raise

    def _feed(self, data: bytes) -> None:
        while True:
            if self._current.eof:
                self._rest = (self._rest + data).lstrip(b"\0")
                if not self._starts_again():
                    return
                data, self._rest = self._rest, b""
                self._current = _STREAMS[self._kind]()
            expand(self._current, data, self._walk, self._child)
            if not self._current.eof:
                return
            data = self._current.unused_data

    def _starts_again(self) -> bool:
        magic = _MAGICS.get(self._kind)
        if magic and len(self._rest) >= len(magic) and self._rest.startswith(magic):
            return True
        self._rest = self._rest[:_LONGEST_MAGIC_BYTES]
        return False

    def finish(self) -> None:
        self.feed(b"")
        if not self._current.eof:
            self._walk.note("archive_broken")
        self._child.finish()

    def abort(self) -> None:
        self._child.abort()
