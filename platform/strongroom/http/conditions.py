"""Conditional and range requests, and announced digests: parsing of headers (RFC 9110, RFC 9530, RFC 1864)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Request
from werkzeug.http import parse_date

from strongroom.errors import BadRequest, PreconditionFailed, RangeNotSatisfiable

ETAG_PATTERN = re.compile(r'(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"')
RANGE_PATTERN = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
DIGEST_PATTERN = re.compile(r"([a-z0-9-]+)=:([A-Za-z0-9+/=]*):")
DIGEST_NAMES = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5"}


def etags(header: str | None, *, strong: bool = False) -> frozenset[str] | None:
    """Return the tags of If-Match or If-None-Match; `*` for any; None when the header is absent.

    `strong`: leave out weak tags, which match nothing in If-Match (RFC 9110, 13.1.1).

    Raises:
        BadRequest: it is neither.
    """
    if header is None:
        return None
    if header.strip() == "*":
        return frozenset({"*"})
    found = list(ETAG_PATTERN.finditer(header))
    if not found:
        raise BadRequest('Write an ETag in quotes: "…".')
    return frozenset(match["tag"] for match in found if not (strong and match["weak"]))


def digests(request: Request) -> dict[str, bytes]:
    """Return the digests that the client announced, by hash name. Unknown algorithms are ignored, as RFC 9530 says.

    Raises:
        BadRequest: a digest is not base64.
    """
    pairs = [(name, value) for name, value in DIGEST_PATTERN.findall(request.headers.get("Content-Digest", "")) if name in DIGEST_NAMES]
    if md5 := request.headers.get("Content-MD5"):
        pairs.append(("md5", md5))
    try:
        return {DIGEST_NAMES[name]: base64.b64decode(value, validate=True) for name, value in pairs}
    except ValueError:
        raise BadRequest("The announced digest is not base64.") from None


@dataclass(frozen=True)
class ByteRange:
    """A part of a file: first byte and length."""

    start: int
    length: int


def byte_range(request: Request, *, size_bytes: int, etag: str, modified: datetime) -> ByteRange | None:
    """Return the range asked for; None for the whole file: no range, several, another unit, or If-Range says so (RFC 9110, 14).

    Raises:
        RangeNotSatisfiable
    """
    match = RANGE_PATTERN.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if match is None or match.groups() == ("", "") or not _if_range_holds(request.headers.get("If-Range"), etag, modified):
        return None
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return None  # syntactically invalid: ignored
    start = int(first) if first else max(size_bytes - int(last), 0)
    end = min(int(last), size_bytes - 1) if first and last else size_bytes - 1
    if start >= size_bytes or (not first and int(last) == 0):
        raise RangeNotSatisfiable(f"The file has {size_bytes} bytes.", size_bytes=size_bytes)
    return ByteRange(start, end - start + 1)


def _if_range_holds(header: str | None, etag: str, modified: datetime) -> bool:
    if header is None:
        return True
    if match := ETAG_PATTERN.fullmatch(header.strip()):
        return match["weak"] is None and match["tag"] == etag
    return parse_date(header) == modified.astimezone(UTC).replace(microsecond=0)


def check_preconditions(request: Request, *, etag: str, modified: datetime) -> None:
    """Hold If-Match, or else If-Unmodified-Since, against what there is (RFC 9110, 13.2.2): before anything else.

    Raises:
        PreconditionFailed
    """
    tags = etags(request.headers.get("If-Match"), strong=True)
    if tags is not None:
        if "*" not in tags and etag not in tags:
            raise PreconditionFailed
        return
    since = parse_date(request.headers.get("If-Unmodified-Since"))
    if since is not None and modified.astimezone(UTC).replace(microsecond=0) > since:
        raise PreconditionFailed


def not_modified(request: Request, *, etag: str, modified: datetime) -> bool:
    """Tell whether the client's copy is still good: If-None-Match by weak comparison, else If-Modified-Since."""
    tags = etags(request.headers.get("If-None-Match"))
    if tags is not None:
        return "*" in tags or etag in tags
    since = parse_date(request.headers.get("If-Modified-Since"))
    return since is not None and modified.astimezone(UTC).replace(microsecond=0) <= since
