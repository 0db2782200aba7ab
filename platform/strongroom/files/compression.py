"""Compressing text on its way out, in fixed memory and at levels that cost little. Media and archives are compressed already."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from strongroom.errors import StorageUnavailable
from strongroom.http.encodings import CODINGS, IDENTITY, choose_coding
from strongroom.storage.base import Reader

MIN_BYTES, MAX_BYTES = 1024, 64 << 20
PIECE_BYTES = 256 * 1024
ZSTD_LEVEL, BROTLI_QUALITY, GZIP_LEVEL = 3, 3, 4
BROTLI_WINDOW_BITS = 18  # 256 KiB; its default takes 4 MiB for each download
GZIP_WINDOW_BITS = 31  # zlib's way of saying 32 KiB and a gzip head
TEXT_TYPES = frozenset({
    "application/javascript", "application/json", "application/graphql", "application/rtf", "application/sql", "application/toml",
    "application/x-csh", "application/x-javascript", "application/x-ndjson", "application/x-sh", "application/x-subrip",
    "application/x-tex", "application/x-yaml", "application/xml", "application/xml-dtd", "application/yaml", "image/svg+xml",
    "message/rfc822",
})  # fmt: skip
TEXT_SUFFIXES = ("+json", "+xml", "+yaml")


@dataclass(frozen=True)
class Compressor:
    """Takes pieces, gives compressed ones (perhaps empty), and at the end the rest."""

    compress: Callable[[bytes], bytes]
    finish: Callable[[], bytes]


def is_compressible(content_type: str) -> bool:
    """Tell whether files of a type are worth compressing."""
    return content_type.startswith("text/") or content_type in TEXT_TYPES or content_type.endswith(TEXT_SUFFIXES)


def coding_for(content_type: str, size_bytes: int, accept_encoding: str | None) -> str | None:
    """Return the coding in which a file goes out, or `IDENTITY`; None when the client accepts nothing that can be had.

    Files that are too small or too large to be worth it are compressed only for those who refuse them plain.
    """
    if not is_compressible(content_type):
        return choose_coding(accept_encoding, ())
    if MIN_BYTES < size_bytes < MAX_BYTES:
        return choose_coding(accept_encoding, CODINGS)
    plain = choose_coding(accept_encoding, ())
    return IDENTITY if plain == IDENTITY else choose_coding(accept_encoding, CODINGS)


def compressed(reader: Reader, coding: str, size_bytes: int) -> Iterator[bytes]:
    """Yield a file's bytes in a coding; memory stays the same for any size.

    Raises:
        StorageUnavailable: the bytes ended early; what was sent must not look complete.
    """
    compressor, read = make_compressor(coding, size_bytes), 0
    while piece := reader.read(PIECE_BYTES):
        read += len(piece)
        if out := compressor.compress(piece):
            yield out
    if read != size_bytes:
        raise StorageUnavailable("The bytes at the provider ended early.")
    yield compressor.finish()


def make_compressor(coding: str, size_bytes: int) -> Compressor:
    """Return a compressor for one of `CODINGS`. The libraries are loaded with the first file that needs them."""
    if coding == "zstd":
        import zstandard  # noqa: PLC0415 - only when a client asks for it

        zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj(size=size_bytes)
        return Compressor(zstd.compress, zstd.flush)
    if coding == "br":
        import brotli  # noqa: PLC0415 - only when a client asks for it

        br = brotli.Compressor(quality=BROTLI_QUALITY, lgwin=BROTLI_WINDOW_BITS)
        return Compressor(br.process, br.finish)
    gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW_BITS)
    return Compressor(gzip.compress, gzip.flush)
