"""One stretch of bytes at one depth: the file itself, what a stream expands to, or a member of an archive."""

from __future__ import annotations

from collections.abc import Callable

from strongroom.scanning.archives.ar import ArUnpacker
from strongroom.scanning.archives.embedded import EmbeddedZip
from strongroom.scanning.archives.formats import HEAD_BYTES, archive_kind
from strongroom.scanning.archives.streams import StreamUnpacker
from strongroom.scanning.archives.tar import TarUnpacker
from strongroom.scanning.archives.walk import CannotUnpack, Sink, Walk
from strongroom.scanning.archives.zips import ZipUnpacker


class Content:
    """Searches its bytes for signatures and, once the first of them show a container, unpacks it into contents of the
    next depth.

    `windowed` is false where the same bytes pass the windows of the content around it (members of a tar or ar lie in it
    as they are).
    """

    def __init__(self, walk: Walk, depth: int = 0, *, windowed: bool = True) -> None:
        self._walk = walk
        self._depth = depth
        self._windows: Sink | None = walk.new_windows() if windowed else None
        self._head: bytes | None = b""
        self._unpacker: Sink | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes; what cannot be unpacked is noted in the walk, never raised."""
        if self._windows:
            self._windows.feed(data)
        if self._head is None:
            self._unpack(data)
            return
        self._head += data
        if len(self._head) >= HEAD_BYTES:
            self._decide()

    def finish(self) -> None:
        """The end: decide if nothing was decided yet, and unpack what needed the end."""
        if self._windows:
            self._windows.finish()
        if self._head:
            self._decide()
        if self._unpacker:
            self._guarded(self._unpacker.finish)

    def abort(self) -> None:
        """Release all levels below."""
        if self._windows:
            self._windows.abort()
        if self._unpacker:
            self._unpacker.abort()
            self._unpacker = None

    def _decide(self) -> None:
        head, self._head = self._head or b"", None
        kind = archive_kind(head)
        if kind == "closed":
            self._walk.note("archive_unsupported")
        elif kind and self._depth >= self._walk.limits.max_depth:
            self._walk.note("archive_too_deep")
        else:
            self._unpacker = self._new_unpacker(kind)
            self._unpack(head)

    def _new_unpacker(self, kind: str | None) -> Sink:
        if kind is None:
            too_deep = self._depth >= self._walk.limits.max_depth
            return EmbeddedZip(self._walk, self._child, "archive_too_deep" if too_deep else "")
        if kind == "zip":
            return ZipUnpacker(self._walk, self._child)
        if kind == "tar":
            return TarUnpacker(self._walk, self._uncompressed_child)
        if kind == "ar":
            return ArUnpacker(self._walk, self._uncompressed_child)
        return StreamUnpacker(self._walk, kind, self._child())

    def _child(self) -> Content:
        return Content(self._walk, self._depth + 1)

    def _uncompressed_child(self) -> Content:
        return Content(self._walk, self._depth + 1, windowed=False)

    def _unpack(self, data: bytes) -> None:
        if self._unpacker:
            unpacker = self._unpacker
            self._guarded(lambda: unpacker.feed(data))

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except CannotUnpack as refused:
            self._walk.note(refused.reason)
            if self._unpacker:
                self._unpacker.abort()
                self._unpacker = None
