"""Bodies of downloads: they end by themselves, count what was sent, and tell when it is over."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from secrets import token_hex

from strongroom.errors import StorageUnavailable
from strongroom.http.ranges import ByteRange
from strongroom.storage.base import Reader

PIECE_BYTES = 256 * 1024
OnClose = Callable[[int], None]


class DownloadStream(io.RawIOBase):
    """A part of an open file, which stands at its start; sent by the kernel where it is a real one."""

    def __init__(self, reader: Reader, part: ByteRange, on_close: OnClose) -> None:
        self._reader, self._start, self._left, self._on_close = reader, part.start, part.length, on_close
        self._length = part.length
        self._sent_by_kernel: int | None = None

    def fileno(self) -> int:
        """Return the real file's descriptor, for the kernel to send from; the server asks for it first."""
        descriptor: int = self._reader.fileno()  # type: ignore[attr-defined]  # absent: AttributeError tells the server to read instead
        self._sent_by_kernel = self._sent_by_kernel or 0
        return descriptor

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, up to the end of the part.

        Raises:
            StorageUnavailable: the file is shorter than it was.
        """
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._reader.read(wanted) if wanted else b""
        if wanted and not data:
            raise StorageUnavailable("The bytes at the provider ended early.")
        self._left -= len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Note how far the kernel has sent (`socket.sendfile` ends with this call)."""
        if whence == io.SEEK_SET:
            self._sent_by_kernel = offset - self._start
        return offset

    def close(self) -> None:
        """Close the file and tell how many bytes went out. Idempotent."""
        if not self.closed:
            super().close()
            self._reader.close()
            read = self._length - self._left
            self._on_close(max(read, self._sent_by_kernel or 0))


class CountedReader:
    """An open file that knows how many of its bytes were read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.read_bytes = 0
        self.seek, self.close = reader.seek, reader.close

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; empty at the end."""
        data = self._reader.read(size)
        self.read_bytes += len(data)
        return data


class PieceStream:
    """Pieces that are made of a file while they are sent.

    What counts is the file's own bytes, whatever became of them on the way, once the next piece is asked for.
    """

    def __init__(self, make: Callable[[Reader], Iterator[bytes]], reader: Reader, on_close: OnClose) -> None:
        self._reader, self._on_close = CountedReader(reader), on_close
        self._pieces = make(self._reader)
        self._sent = 0
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        """The stream is its own iterator."""
        return self

    def __next__(self) -> bytes:
        """Return the next piece."""
        self._sent = self._reader.read_bytes
        return next(self._pieces)

    def close(self) -> None:
        """Close the file and tell how many of its bytes went out. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._reader.close()
            self._on_close(self._sent)


class MultipartRanges:
    """Several parts of a file as `multipart/byteranges` (RFC 9110, 14.6); its length is known before a byte is read."""

    def __init__(self, parts: Sequence[ByteRange], size_bytes: int, content_type: str) -> None:
        boundary = token_hex(16)
        self.content_type = f"multipart/byteranges; boundary={boundary}"
        self._parts = [(part, self._head(boundary, part, size_bytes, content_type)) for part in parts]
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    @staticmethod
    def _head(boundary: str, part: ByteRange, size_bytes: int, content_type: str) -> bytes:
        lines = (f"--{boundary}", f"Content-Type: {content_type}", f"Content-Range: {part.content_range(size_bytes)}", "", "")
        return ("\r\n" + "\r\n".join(lines)).encode("latin-1")

    @property
    def length(self) -> int:
        """The size of the whole body in bytes."""
        return sum(len(head) + part.length for part, head in self._parts) + len(self._tail)

    def pieces(self, reader: Reader) -> Iterator[bytes]:
        """Yield the body, in fixed memory.

        Raises:
            StorageUnavailable: the file is shorter than it was.
        """
        for part, head in self._parts:
            yield head
            reader.seek(part.start)
            left = part.length
            while left:
                data = reader.read(min(PIECE_BYTES, left))
                if not data:
                    raise StorageUnavailable("The bytes at the provider ended early.")
                left -= len(data)
                yield data
        yield self._tail
