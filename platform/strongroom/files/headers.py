"""The headers of a download: what it is called, for how long it keeps, and that it must not run on our origin."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from urllib.parse import quote

from werkzeug.http import http_date

from strongroom.files.compression import is_compressible
from strongroom.files.models import Grant
from strongroom.http.conditions import Modified, coded_tag

SAFE_INLINE = frozenset({
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "video/mp4", "video/webm", "audio/mpeg", "audio/ogg", "audio/wav",
    "text/plain", "application/pdf",
})  # fmt: skip
EXPOSED = "Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, Content-Range, ETag, Last-Modified"
OF_THE_BYTES = frozenset({"Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type"})


def download_headers(grant: Grant, *, coding: str, inline: bool, once: bool) -> dict[str, str]:
    """Return the headers of a whole file in a coding. `inline`: shown rather than saved, if its type is harmless."""
    file = grant.file
    headers = {
        "Content-Type": media_type(file.content_type),
        "Content-Disposition": disposition(file.name, inline=inline and file.content_type in SAFE_INLINE),
        "ETag": f'"{coded_tag(file.etag, coding)}"',
        "Last-Modified": http_date(modified_of(grant).told(datetime.now(UTC))),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        **_for_whom(grant, once=once),
    }
    if is_compressible(file.content_type):
        headers["Vary"] = "Accept-Encoding"
    return {**headers, "Content-Encoding": coding} if coding else headers


def modified_of(grant: Grant) -> Modified:
    """Return since when these bytes are what a client gets at the address it asked."""
    return Modified(grant.modified_at, grant.has_former)


def _for_whom(grant: Grant, *, once: bool) -> dict[str, str]:
    """What anybody may have may lie in shared caches and in pages of other origins; all else belongs to one caller."""
    if once:
        return {"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin"}
    if not (grant.file.is_for_all and grant.is_current):
        return {"Cache-Control": "private, no-cache", "Cross-Origin-Resource-Policy": "same-origin"}
    return {
        "Cache-Control": f"public, max-age={grant.bucket.cache_max_age_s}, must-revalidate",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": EXPOSED,
    }


def without_bytes(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers without those that speak of the bytes sent (RFC 9110, 15.4.5)."""
    return {name: value for name, value in headers.items() if name not in OF_THE_BYTES}


def media_type(content_type: str) -> str:
    """Return Content-Type: text is UTF-8."""
    return f"{content_type}; charset=utf-8" if content_type.startswith("text/") else content_type


def disposition(name: str, *, inline: bool) -> str:
    """Return Content-Disposition for a file name (RFC 6266): a plain form for old clients, UTF-8 for all others."""
    shown = "".join("_" if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} else character for character in name)
    plain = "".join(character if character.isascii() and character not in '"\\%;' else "_" for character in shown)
    return f"{'inline' if inline else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"
