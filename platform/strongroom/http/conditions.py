"""Conditional requests and announced digests: parsing of headers (RFC 9110, RFC 9530, RFC 1864)."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Request
from werkzeug.http import parse_date

from strongroom.errors import BadRequest, PreconditionFailed
from strongroom.http.encodings import CODINGS

ETAG_PATTERN = re.compile(r'(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"')
TAGS_PATTERN = re.compile(r'[ \t,]*((W/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(,[ \t,]*|$))*')
DIGEST_PATTERN = re.compile(r"([a-z0-9-]+)=:([A-Za-z0-9+/=]*):")
DIGEST_NAMES = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5"}
SETTLES_S = 2


@dataclass(frozen=True)
class Modified:
    """When the bytes at an address became what they are; `has_former`: whether there were others before.

    A date has whole seconds, and a change is visible only when it is committed, a moment after its time. Where there were
    other bytes, the date told is therefore the first second for which it is sure that these were there: whoever has a copy
    of others has an earlier date, be it from Last-Modified or from a clock (RFC 9110, 8.8.2.2). It is sure as long as a
    change commits, and clocks differ, by less than `SETTLES_S`. Entity tags are exact always.
    """

    at: datetime
    has_former: bool

    @property
    def since(self) -> datetime:
        """The date by which a client's copy is compared."""
        moment = self.at.timestamp()
        return datetime.fromtimestamp(math.ceil(moment + SETTLES_S) if self.has_former else math.floor(moment), UTC)

    def told(self, now: datetime) -> datetime:
        """Return Last-Modified: never in the future, so that a copy of a file which changed just now is asked for again."""
        return min(self.since, now.replace(microsecond=0))


def etags(header: str | None, *, strong: bool = False) -> frozenset[str] | None:
    """Return the tags of If-Match or If-None-Match of a request that writes; `*` for any; None when the header is absent.

    The tags are those of the file itself, whatever coding they were seen in. `strong`: leave out weak tags, which match
    nothing in If-Match (RFC 9110, 13.1.1).

    Raises:
        BadRequest: it is no list of tags. A condition that nobody can understand must not let a write through.
    """
    if header is not None and header.strip() != "*" and not (TAGS_PATTERN.fullmatch(header) and ETAG_PATTERN.search(header)):
        raise BadRequest('If-Match and If-None-Match take "*" or ETags in quotes: "…", "…".')
    return tags_named(header, strong=strong)


def tags_named(header: str | None, *, strong: bool = False) -> frozenset[str] | None:
    """Return what `etags` returns, of a request that reads: what is no tag matches nothing."""
    if header is None:
        return None
    if header.strip() == "*":
        return frozenset({"*"})
    return frozenset(plain_tag(match["tag"]) for match in ETAG_PATTERN.finditer(header) if not (strong and match["weak"]))


def coded_tag(etag: str, coding: str) -> str:
    """Return the entity tag of a file in a coding: other bytes, so another tag (RFC 9110, 8.8.3.3)."""
    return f"{etag}-{coding}" if coding else etag


def plain_tag(tag: str) -> str:
    """Return the tag of the file itself, whatever coding it was seen in: who has one has the file."""
    name, _, coding = tag.rpartition("-")
    return name if coding in CODINGS else tag


def tag_held(request: Request, etag: str, coding: str) -> str:
    """Return the tag for a 304: the one in the coding, or else the one that the client named, so that it finds its copy."""
    own = coded_tag(etag, coding)
    named = [match["tag"] for match in ETAG_PATTERN.finditer(request.headers.get("If-None-Match", ""))]
    held = [tag for tag in named if plain_tag(tag) == etag]
    return own if own in held or not held else held[0]


def digests(request: Request) -> dict[str, bytes]:
    """Return the digests that the client announced, by hash name. Unknown algorithms are ignored, as RFC 9530 says.

    Raises:
        BadRequest: a digest is not base64.
    """
    header = request.headers.get("Content-Digest", "").strip()
    if header and not DIGEST_PATTERN.search(header):
        raise BadRequest("Content-Digest is none of RFC 9530; write for example sha-256=:base64:.")
    pairs = [(name, value) for name, value in DIGEST_PATTERN.findall(request.headers.get("Content-Digest", "")) if name in DIGEST_NAMES]
    if md5 := request.headers.get("Content-MD5"):
        pairs.append(("md5", md5))
    try:
        return {DIGEST_NAMES[name]: base64.b64decode(value, validate=True) for name, value in pairs}
    except ValueError:
        raise BadRequest("The announced digest is not base64.") from None


def if_range_holds(header: str | None, etag: str, modified: Modified) -> bool:
    """Tell whether a range may be answered: there is no If-Range, or it names, strongly, the bytes as they are (RFC 9110, 13.1.5)."""
    if header is None:
        return True
    if match := ETAG_PATTERN.fullmatch(header.strip()):
        return match["weak"] is None and match["tag"] == etag
    return parse_date(header) == modified.since


def check_preconditions(request: Request, *, etag: str, modified: Modified) -> None:
    """Hold If-Match, or else If-Unmodified-Since, against what there is (RFC 9110, 13.2.2): before anything else.

    Raises:
        PreconditionFailed
    """
    tags = tags_named(request.headers.get("If-Match"), strong=True)
    if tags is not None:
        if "*" not in tags and etag not in tags:
            raise PreconditionFailed
        return
    since = parse_date(request.headers.get("If-Unmodified-Since"))
    if since is not None and modified.since > since:
        raise PreconditionFailed


def not_modified(request: Request, *, etag: str, modified: Modified) -> bool:
    """Tell whether the client's copy is still good: If-None-Match by weak comparison, else If-Modified-Since."""
    tags = tags_named(request.headers.get("If-None-Match"))
    if tags is not None:
        return "*" in tags or etag in tags
    since = parse_date(request.headers.get("If-Modified-Since"))
    return since is not None and modified.since <= since
