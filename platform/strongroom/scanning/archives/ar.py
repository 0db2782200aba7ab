"""Splits an ar archive (a Debian package, a static library) into its members as it passes by."""

from __future__ import annotations

import re
from collections.abc import Callable

from strongroom.scanning.archives.walk import CannotUnpack, Sink, Walk

AR_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60
_HEADER = re.compile(rb"[^\n]{48}(\d{1,10}) *`\n")


class ArUnpacker:
    """Unpacks one ar archive. `new_child` makes the content of a member."""

    def __init__(self, walk: Walk, new_child: Callable[[], Sink]) -> None:
        self._walk = walk
        self._new_child = new_child
        self._skip = len(AR_MAGIC)
        self._buffer = b""
        self._left = 0
        self._member: Sink | None = None

    def feed(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
            elif self._member:
                position = self._pass_on(self._member, data, position)
            else:
                position = self._header(data, position)

    def _pass_on(self, member: Sink, data: bytes, position: int) -> int:
        piece = data[position : position + self._left]
        self._left -= len(piece)
        member.feed(piece)
        if not self._left:
            member.finish()
            self._member = None
        return position + len(piece)

    def _header(self, data: bytes, position: int) -> int:
        wanted = _HEADER_BYTES - len(self._buffer)
        self._buffer += data[position : position + wanted]
        if self._buffer.startswith(b"\n"):
            self._buffer = self._buffer[1:]  # members begin at even positions
        elif len(self._buffer) == _HEADER_BYTES:
            self._begin(self._buffer)
            self._buffer = b""
        return position + wanted

    def _begin(self, header: bytes) -> None:
        found = _HEADER.fullmatch(header)
        if not found:
            raise CannotUnpack("archive_broken")
        self._walk.entry()
        self._left = int(found[1])
        self._member = self._new_child() if self._left else None

    def finish(self) -> None:
        if self._left or len(self._buffer) > 1:
            self._walk.note("archive_broken")
        if self._member:
            self._member.finish()

    def abort(self) -> None:
        if self._member:
            self._member.abort()
