"""What this process keeps in memory for parts on their way: a budget in bytes, and part bodies that go to disk beyond it."""

from __future__ import annotations

import functools
import mmap
import tempfile
import threading
from collections import deque
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
PIECE_BYTES = MIB
"""Sent at once: the pool's time limit is for one of them. Smaller ones cost up to twice as much."""
STAGING_BYTES = 256 * 1024
SPARE_AREAS = 2
_spare: deque[memoryview] = deque(maxlen=2 * SPARE_AREAS)


class Budget:
    """How many bytes may be held; taken and given back, never waited for."""

    def __init__(self, limit_bytes: int) -> None:
        self._free, self._limit, self._lock = limit_bytes, limit_bytes, threading.Lock()

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
    def is_unused(self) -> bool:
        """Whether nobody holds anything."""
        return self._free == self._limit

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
    return ThreadPoolExecutor(SENDERS, thread_name_prefix="part")


class Memory:
    """Room for one part, straight from the system and back to it: the allocator would keep some of it.

    As much as is used of it is taken from the budget until `drop`. What was dropped serves the next part, of whatever object,
    because memory fresh from the system costs more than the copy into it; when nobody uses any, the system gets all of it back.
    """

    def __init__(self, room: Budget, size_bytes: int) -> None:
        self._room, self._taken = room, 0
        self.view = _spare_area() if size_bytes == MEMORY_BYTES else memoryview(mmap.mmap(-1, max(1, size_bytes)))

    def reach(self, end: int) -> bool:
        """See that the first `end` bytes may be used; False where the budget is used up."""
        more = end - self._taken
        if more > 0:
            if not self._room.take(more):
                return False
            self._taken = end
        return True

    def drop(self) -> None:
        """Let go of it; nobody may use a view of it any more. Idempotent."""
        area, self.view = self.view, memoryview(b"")
        if self._taken and len(area) == MEMORY_BYTES and len(_spare) < SPARE_AREAS:
            _spare.append(area)
        self.__del__()
        if self._room.is_unused:
            _spare.clear()

    def __del__(self) -> None:
        taken, self._taken = self._taken, 0  # of a writer that was forgotten, too: the budget is the whole process's
        self._room.give(taken)


def _spare_area() -> memoryview:
    try:
        return _spare.pop()
    except IndexError:
        return memoryview(mmap.mmap(-1, MEMORY_BYTES))


class PartBody:
    """The bytes of one part, kept until they are stored so that they can be sent again.

    Where the budget is used up and `make_room` (wait for what is being sent) does not help, the part moves to a temporary file
    without a name: slow clients can never block each other.
    """

    def __init__(self, memory: Memory, make_room: Callable[[], None]) -> None:
        self._memory, self._make_room = memory, make_room
        self._file: IO[bytes] | None = None
        self._staging = memoryview(b"")
        self.size_bytes = 0

    def append(self, data: bytes | memoryview) -> None:
        """Keep more bytes.

        Raises:
            StorageFull, StorageUnavailable: memory is used up and the temporary folder is not to be written.
        """
        start, end = self.size_bytes, self.size_bytes + len(data)
        if self._is_in_memory(end):
            self._memory.view[start:end] = data
        else:
            _write(self._to_file(start), data)
        self.size_bytes = end

    def room(self) -> memoryview:
        """Lend memory for `fill`. What is put there and not filled counts nowhere."""
        if self._file is None and self.size_bytes < len(self._memory.view):
            return self._memory.view[self.size_bytes :]
        self._to_file(self.size_bytes)
        return self._staging

    def fill(self, size: int) -> None:
        """Keep the first `size` bytes of what `room` returned; as `append`."""
        end = self.size_bytes + size
        if self._file is not None:
            _write(self._file, self._staging[:size])
        elif not self._is_in_memory(end):
            self._to_file(end)
        self.size_bytes = end

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Walk the bytes from the start; as often as need be."""
        if self._file is None:
            for start in range(0, self.size_bytes, PIECE_BYTES):
                yield self._memory.view[start : min(start + PIECE_BYTES, self.size_bytes)]
            return
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def drop(self) -> None:
        """Let go of the bytes, and of the memory. Idempotent."""
        self._memory.drop()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _is_in_memory(self, end: int) -> bool:
        if self._file is not None or end > len(self._memory.view):
            return False
        if not self._memory.reach(end):
            self._make_room()
            return self._memory.reach(end)
        return True

    def _to_file(self, end: int) -> IO[bytes]:
        """Have the part in a file, with the first `end` bytes that are in memory now."""
        if self._file is None:
            self._file, self._staging = _temporary_file(), memoryview(bytearray(STAGING_BYTES))
            _write(self._file, self._memory.view[:end])
            self._memory.drop()
        return self._file


def _temporary_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise StorageUnavailable("The temporary folder of this machine cannot be written.", retry_after_s=5) from error


def _write(file: IO[bytes], data: bytes | memoryview) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise StorageFull("The temporary folder of this machine is full.") from error
