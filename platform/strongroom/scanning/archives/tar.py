"""Splits a tar into its members as it passes by. Headers are read by the standard library, data are only counted
off.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable

from strongroom.scanning.archives.walk import CannotUnpack, Sink, Walk

_MAX_PAX_BYTES = 1024 * 1024
_PAX_SIZE = re.compile(rb"(?:^|\n)\d+ size=(\d{1,20})\n")
_NO_DATA = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE})
_META = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_SIZED = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})


class _PaxHeader:
    """Collects an extended header, which may say the true size of the member after it."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > _MAX_PAX_BYTES:
            raise CannotUnpack("archive_broken")

    def size_bytes(self) -> int | None:
        found = _PAX_SIZE.findall(self._data)
        return int(found[-1]) if found else None

    def finish(self) -> None: ...

    def abort(self) -> None: ...


class TarUnpacker:
    """Unpacks one tar. `new_child` makes the content of a member.

    Zero blocks between members are passed over, so that what follows a first end mark is looked at too.
    """

    def __init__(self, walk: Walk, new_child: Callable[[], Sink]) -> None:
        self._walk = walk
        self._new_child = new_child
        self._buffer = b""
        self._left = 0
        self._padding = 0
        self._member: Sink | None = None
        self._pax_size: int | None = None
        self._ended = False
        self._done = False

    def feed(self, data: bytes) -> None:
        position = 0
        while position < len(data) and not self._done:
            step = self._skim if self._left or self._padding else self._header
            position = step(data, position)

    def _skim(self, data: bytes, position: int) -> int:
        if self._left:
            piece = data[position : position + self._left]
            self._left -= len(piece)
            if self._member:
                self._member.feed(piece)
            if not self._left:
                self._close_member()
            return position + len(piece)
        step = min(self._padding, len(data) - position)
        self._padding -= step
        return position + step

    def _header(self, data: bytes, position: int) -> int:
        wanted = tarfile.BLOCKSIZE - len(self._buffer)
        self._buffer += data[position : position + wanted]
        if len(self._buffer) == tarfile.BLOCKSIZE:
            block, self._buffer = self._buffer, b""
            self._begin(block)
        return position + wanted

    def _begin(self, block: bytes) -> None:
        if not block.strip(b"\0"):
            self._ended = True
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as failure:
            if not self._ended:
                raise CannotUnpack("archive_broken") from failure
            self._done = True
            return
        self._walk.entry()
        if info.type == tarfile.GNUTYPE_SPARSE:
            raise CannotUnpack("archive_unsupported")
        self._open(info)

    def _open(self, info: tarfile.TarInfo) -> None:
        size = info.size if info.type in _META or self._pax_size is None else self._pax_size
        if info.type not in _META:
            self._pax_size = None
        if info.type in _NO_DATA or not size:
            return
        if size < 0:
            raise CannotUnpack("archive_broken")
        self._left, self._padding = size, -size % tarfile.BLOCKSIZE
        if info.type in _SIZED:
            self._member = _PaxHeader()
        elif info.type not in _META:
            self._member = self._new_child()

    def _close_member(self) -> None:
        if isinstance(self._member, _PaxHeader):
            self._pax_size = self._member.size_bytes()
        elif self._member:
            self._member.finish()
        self._member = None

    def finish(self) -> None:
        if (self._left or self._buffer) and not (self._ended and not self._left):
            self._walk.note("archive_broken")
        if self._member:
            self._member.finish()

    def abort(self) -> None:
        if self._member:
            self._member.abort()
