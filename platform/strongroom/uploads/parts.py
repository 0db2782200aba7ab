"""The parts of a multipart/form-data body (RFC 7578, RFC 2046) as they come, in fixed memory. Knows no Flask.

A reader of our own: werkzeug's adds a byte to a file whose closing boundary is cut at an unlucky place, and
streaming-form-data tells neither the names of unexpected fields nor bounds the size of a part's head.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from werkzeug.http import parse_options_header

from strongroom.errors import BadRequest, IncompleteBody, UnsupportedMediaType
from strongroom.uploads.ingest import PIECE_BYTES
from strongroom.uploads.models import Body

MAX_BOUNDARY = 200  # RFC 2046 says 70; some clients do not keep to it
MAX_PADDING = 32
MAX_HEAD_BYTES = 16 * 1024
AFTERWORD_BYTES = 1024
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Head:
    """Where a part begins. `file_name` None: a text field; empty: a file that nobody chose."""

    name: str
    file_name: str | None
    content_type: str | None


@dataclass(frozen=True)
class Content:
    """Bytes of the part whose head came last. `is_last`: the boundary behind the part has come."""

    data: bytes
    is_last: bool


def boundary_of(content_type: str | None) -> bytes:
    """Return the boundary that a Content-Type header names.

    Raises:
        UnsupportedMediaType: it is not multipart/form-data.
        BadRequest: it names no boundary that can be one.
    """
    kind, options = parse_options_header(content_type)
    if kind.lower() != "multipart/form-data":
        raise UnsupportedMediaType("Send Content-Type: multipart/form-data with a boundary.")
    boundary = options.get("boundary", "")
    if not boundary or len(boundary) > MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise BadRequest("The Content-Type names no boundary that can be one (RFC 2046, 5.1.1).")
    return boundary.encode()


def read_parts(body: Body, boundary: bytes, size_bytes: int | None) -> Iterator[Head | Content]:
    """Give the heads of the parts, and after each its content in pieces of about 256 KiB at most.

    A part ends at the boundary that follows it, never at the end of the body; the form ends at its closing boundary.

    Raises:
        IncompleteBody: the body ends before the closing boundary, or the sender went away.
        BadRequest: the body is no form, or a part's head is none or too large.
        RequestTimeout
    """
    form, left = _Form(boundary), size_bytes
    while not form.is_over:
        data = body.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
        if not data:
            raise IncompleteBody("The form ended before its closing boundary.")
        left = None if left is None else left - len(data)
        yield from form.feed(data)
    if left is None or left:
        body.read(AFTERWORD_BYTES if left is None else min(AFTERWORD_BYTES, left))  # so that the connection can go on


class _Form:
    """Finds the boundaries. Behind the last one found nothing is decided before a whole boundary line would fit."""

    def __init__(self, boundary: bytes) -> None:
        delimiter = b"\r\n--" + boundary
        self._line = re.compile(re.escape(delimiter) + rb"(--|[ \t]{0,%d}(?=\r\n))" % MAX_PADDING)
        self._delimiter = delimiter
        self._undecided = len(delimiter) + MAX_PADDING + len(b"\r\n")
        self._kept = bytearray(b"\r\n")  # the first boundary is found as the others are
        self._step = self._before
        self.is_over = False

    def feed(self, data: bytes) -> Iterator[Head | Content]:
        """Take the next bytes; give what they complete."""
        self._kept += data
        goes_on = True
        while goes_on and not self.is_over:
            event, goes_on = self._step()
            if event is not None:
                yield event

    def _before(self) -> tuple[Head | Content | None, bool]:
        """Before the first boundary: what RFC 2046 calls the preamble, of which a form has next to nothing."""
        begins = self._find()
        if begins is None:
            if len(self._kept) > MAX_HEAD_BYTES:
                raise BadRequest("The boundary that the Content-Type names is not in the body.")
            return None, False
        return None, True

    def _head(self) -> tuple[Head | Content | None, bool]:
        ends = self._kept.find(HEAD_END, 0, MAX_HEAD_BYTES)
        if ends < 0:
            if len(self._kept) >= MAX_HEAD_BYTES:
                raise BadRequest(f"The head of a part has more than {MAX_HEAD_BYTES} bytes.")
            return None, False
        head = _parse_head(bytes(self._kept[:ends]))
        del self._kept[: ends + len(HEAD_END)]
        self._step = self._content
        return head, True

    def _content(self) -> tuple[Head | Content | None, bool]:
        data = self._find()
        if data is not None:
            return Content(data, is_last=True), True
        decided = len(self._kept) - self._undecided
        if decided <= 0:
            return None, False
        data = bytes(self._kept[:decided])
        del self._kept[:decided]
        return Content(data, is_last=False), False

    def _find(self) -> bytes | None:
        """Look for the next boundary; return what stands before it, and go on behind it."""
        if self._kept.find(self._delimiter) < 0:
            return None  # much faster than the pattern, and nearly always so
        match = self._line.search(self._kept)
        if match is None:
            return None
        data = bytes(self._kept[: match.start()])
        self.is_over = match[1] == b"--"
        del self._kept[: match.end()]
        self._step = self._head
        return data


def _parse_head(head: bytes) -> Head:
    headers: dict[str, str] = {}
    try:
        for line in filter(None, head.decode().split("\r\n")):
            name, colon, value = line.partition(":")
            if not colon:
                raise BadRequest("The head of a part has a line that is no header.")
            headers[name.strip().lower()] = value.strip()
    except UnicodeDecodeError:
        raise BadRequest("The head of a part is not UTF-8.") from None
    kind, options = parse_options_header(headers.get("content-disposition"))
    if kind.lower() != "form-data":
        raise BadRequest("A part has no Content-Disposition: form-data.")
    return Head(options.get("name", ""), options.get("filename"), headers.get("content-type"))
