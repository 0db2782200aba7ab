"""What this process keeps in memory for parts on their way: a budget in bytes, and part bodies that go to disk beyond it."""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO

from strongroom.errors import StorageFull, StorageUnavailable

MIB = 1024 * 1024
BUDGET_BYTES = 80 * MIB
MEMORY_BYTES = 8 * MIB
"""Of one part; only those of objects beyond 80 GiB are larger."""
SENDERS = 8
PIECE_BYTES = 256 * 1024
SMALL_BYTES = 64 * 1024


class Budget:
    """How many bytes may be held; taken and given back, never waited for."""

    def __init__(self, limit_bytes: int) -> None:
        self._free, self._lock = limit_bytes, threading.Lock()

    def take(self, size_bytes: int) -> bool:
        """Take so many bytes, if there are so many."""
        with self._lock:
            if size_bytes > self._free:
                return False
            self._free -= size_bytes
            return True

    def give(self, size_bytes: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._free += size_bytes

    @property
    def free_bytes(self) -> int:
        """What is left."""
        return self._free


@functools.cache
def budget() -> Budget:
    """The process's budget."""
    return Budget(BUDGET_BYTES)


@functools.cache
def senders() -> ThreadPoolExecutor:
    """The process's threads that send parts; each part is one short task."""
    return ThreadPoolExecutor(SENDERS, thread_name_prefix="s3-part")


class PartBody:
    """The bytes of one part, kept until they are stored so that they can be sent again.

    They are the very objects that were written, not copies, unless their owner may write over them. Where the budget is used up and `make_room` (wait for what is
    being sent) does not help, the part moves to a temporary file without a name: slow clients can never block each other.
    """

    def __init__(self, room: Budget, make_room: Callable[[], None]) -> None:
        self._room, self._make_room = room, make_room
        self._pieces: list[bytes | memoryview | bytearray] = []
        self._file: IO[bytes] | None = None
        self.size_bytes = self._taken = 0

    def append(self, data: bytes | memoryview) -> None:
        """Keep more bytes.

        Raises:
            StorageFull, StorageUnavailable: memory is used up and the temporary folder is not to be written.
        """
        size = len(data)
        if self._file is None and not self._take(size):
            self._to_file()
        if self._file is not None:
            _write(self._file, data)
        elif size >= SMALL_BYTES:
            self._pieces.append(_lasting(data))
        else:
            self._append_small(data)
        self.size_bytes += size

    def chunks(self) -> Iterator[bytes | memoryview | bytearray]:
        """Walk the bytes from the start; as often as need be."""
        if self._file is None:
            yield from self._pieces
            return
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def drop(self) -> None:
        """Let go of the bytes. Idempotent."""
        self._pieces = []
        self._room.give(self._taken)
        self._taken = 0
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.drop()  # of a writer that was forgotten: the budget is the whole process's

    def _take(self, size: int) -> bool:
        if self._taken + size > MEMORY_BYTES:
            return False
        if not self._room.take(size):
            self._make_room()
            if not self._room.take(size):
                return False
        self._taken += size
        return True

    def _append_small(self, data: bytes | memoryview) -> None:
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, bytearray) and len(last) < SMALL_BYTES:
            last += data
        else:
            self._pieces.append(bytearray(data))

    def _to_file(self) -> None:
        try:
            file = tempfile.TemporaryFile()  # noqa: SIM115  closed by drop()
        except OSError as error:
            raise StorageUnavailable("The temporary folder of this machine cannot be written.", retry_after_s=5) from error
        for piece in self._pieces:
            _write(file, piece)
        self._file, self._pieces = file, []
        self._room.give(self._taken)
        self._taken = 0


def _lasting(data: bytes | memoryview) -> bytes | memoryview:
    """Return what nobody can change any more: a view may be of a buffer that is about to be filled again."""
    return bytes(data) if isinstance(data, memoryview) and not isinstance(data.obj, bytes) else data


def _write(file: IO[bytes], data: bytes | memoryview | bytearray) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise StorageFull("The temporary folder of this machine is full.") from error
