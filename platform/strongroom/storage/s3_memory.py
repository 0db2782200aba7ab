"""What this process keeps in memory for parts on their way: a budget in bytes, and part bodies that go to disk beyond it."""

from __future__ import annotations

import functools
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
PIECE_BYTES = 256 * 1024
"""Sent at once: the pool's time limit is for one of them."""
SMALL_BYTES = 64 * 1024
BLOCK_BYTES = MIB
SPARE_BLOCKS = 16
"""Blocks that are kept for the next part (16 MiB) while anything is on its way: fresh from the system, memory costs 0.15 ms a MiB."""
IDLE_BLOCKS = 2
"""Blocks that are kept while nothing is: enough for small objects, and little for a process that has other uses for memory."""
_spare: deque[bytearray] = deque(maxlen=2 * SPARE_BLOCKS)


def _block() -> bytearray:
    try:
        return _spare.pop()
    except IndexError:
        return bytearray(BLOCK_BYTES)


def _keep_few() -> None:
    with suppress(IndexError):  # others take from it, too
        while len(_spare) > IDLE_BLOCKS:
            _spare.pop()


class Budget:
    """How many bytes may be held; taken and given back, never waited for."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = self._free = limit_bytes
        self._lock = threading.Lock()

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

    @property
    def is_untouched(self) -> bool:
        """Whether nobody holds anything."""
        return self._free == self._limit_bytes


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

    They are the very objects that were written, not copies, unless their owner may write over them. Where the budget is used up
    and `make_room` (wait for what is being sent) does not help, the part moves to a temporary file without a name: slow clients
    can never block each other.
    """

    def __init__(self, room: Budget, make_room: Callable[[], None]) -> None:
        self._room, self._make_room = room, make_room
        self._pieces: list[bytes | memoryview] = []
        self._blocks: list[bytearray] = []
        self._left = 0
        self._file: IO[bytes] | None = None
        self.size_bytes = self._taken = 0

    def append(self, data: bytes | memoryview) -> None:
        """Keep more bytes.

        Raises:
            StorageFull, StorageUnavailable: memory is used up and the temporary folder is not to be written.
        """
        if not self._goes_to_file(data):
            if isinstance(data, bytes) and len(data) >= SMALL_BYTES:
                self._pieces.append(data)
            else:
                self._copy(memoryview(data))
        self.size_bytes += len(data)

    def room(self) -> memoryview:
        """Lend the free part of a block, for `fill`. What is put there and not filled counts nowhere."""
        if self._left == 0:
            self._blocks.append(_block())
            self._left = BLOCK_BYTES
        return memoryview(self._blocks[-1])[BLOCK_BYTES - self._left :]

    def fill(self, size: int) -> None:
        """Keep the first `size` bytes of what `room` returned; as `append`."""
        block, start = self._blocks[-1], BLOCK_BYTES - self._left
        if not self._goes_to_file(memoryview(block)[start : start + size]):
            self._keep(block, start, size)
        self.size_bytes += size

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Walk the bytes from the start; as often as need be."""
        if self._file is None:
            for each in self._pieces:
                view = memoryview(each)
                for start in range(0, len(view), PIECE_BYTES):
                    yield view[start : start + PIECE_BYTES]
            return
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def drop(self) -> None:
        """Let go of the bytes. Idempotent."""
        self._let_go()
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

    def _copy(self, rest: memoryview) -> None:
        """Gather what is small, and what its owner may write over, in blocks of our own."""
        while rest:
            room = self.room()
            count = min(len(rest), len(room))
            room[:count] = rest[:count]
            self._keep(self._blocks[-1], BLOCK_BYTES - self._left, count)
            rest = rest[count:]

    def _keep(self, block: bytearray, start: int, count: int) -> None:
        self._left -= count
        last = self._pieces[-1] if self._pieces else None
        if start and isinstance(last, memoryview) and last.obj is block:
            self._pieces[-1] = memoryview(block)[start - len(last) : start + count]
        else:
            self._pieces.append(memoryview(block)[start : start + count])

    def _goes_to_file(self, data: bytes | memoryview) -> bool:
        """Write bytes to the file where the part is in one, or has to go there because memory is used up."""
        if self._file is None and self._take(len(data)):
            return False
        if self._file is None:
            self._file = _temporary_file()
            for piece in self._pieces:
                _write(self._file, piece)
            _write(self._file, data)
            self._let_go()  # not before `data` is written, which may lie in one of the blocks
        else:
            _write(self._file, data)
        return True

    def _let_go(self) -> None:
        blocks, self._pieces, self._blocks, self._left = self._blocks, [], [], 0
        if len(_spare) < SPARE_BLOCKS:
            _spare.extend(blocks)
        self._room.give(self._taken)
        self._taken = 0
        if self._room.is_untouched:
            _keep_few()


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
