"""Zips that hide behind another file's bytes: self-extracting programs, pictures that are archives too."""

from __future__ import annotations

import re
from collections.abc import Callable

from strongroom.scanning.archives.walk import CannotUnpack, Sink, Spool, Walk
from strongroom.scanning.archives.zips import END_BYTES, LOCAL_BYTES, LOCAL_HEADER, unpack

_END_MAGIC = b"PK\x05\x06"
_END_RECORD = re.compile(rb"PK\x05\x06\0{4}([^\0].|.[^\0])\1", re.DOTALL)
"""An end record for certain: one disk, the same number of members twice, and not none."""


class EmbeddedZip:
    """Watches bytes that are no archive by their beginning.

    Spools from the first local header on and unpacks if the bytes end in a zip's end record, where every zip tool would
    look. With a `refusal` nothing is unpacked: a zip is only noted, for that reason.
    """

    def __init__(self, walk: Walk, new_child: Callable[[], Sink], refusal: str = "") -> None:
        self._walk = walk
        self._new_child = new_child
        self._refusal = refusal
        self._tail = b""
        self._header_seen = False
        self._spool: Spool | None = None

    def feed(self, data: bytes) -> None:
        if self._spool:
            self._keep(self._spool, data)
        elif not self._header_seen:
            self._search(data)
        self._tail = data[-END_BYTES:] if len(data) >= END_BYTES else (self._tail + data)[-END_BYTES:]

    def _search(self, data: bytes) -> None:
        joined = self._tail[-(LOCAL_BYTES - 1) :] + data
        found = LOCAL_HEADER.search(joined)
        self._header_seen = found is not None
        if found and not self._refusal:
            self._spool = self._walk.spool()
            self._keep(self._spool, joined[found.start() :])

    def _keep(self, spool: Spool, data: bytes) -> None:
        try:
            spool.write(data)
        except CannotUnpack as refused:
            self._refusal = refused.reason
            self.abort()

    def finish(self) -> None:
        try:
            self._finish()
        finally:
            self.abort()

    def _finish(self) -> None:
        if not self._header_seen:
            if _END_RECORD.search(self._tail):
                self._walk.note("archive_broken")  # a directory of members that are not there
        elif _END_MAGIC in self._tail:
            if self._spool:
                unpack(self._walk, self._spool, self._new_child, whole=False)
            else:
                self._walk.note(self._refusal)

    def abort(self) -> None:
        if self._spool:
            self._spool.close()
            self._spool = None
