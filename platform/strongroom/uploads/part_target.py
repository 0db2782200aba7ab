"""The parts of an upload that comes in several requests: gathered in memory, each stored while the next one gathers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace

from strongroom.errors import StorageUnavailable
from strongroom.storage.base import Part
from strongroom.storage.bound import StoredObject
from strongroom.storage.part_memory import Memory, budget, senders
from strongroom.uploads.fingerprint import BLOCK_BYTES, BlockDigests
from strongroom.uploads.models import Upload, UploadPart
from strongroom.uploads.progress import Progress

PART_BYTES = 8 * 1024 * 1024


class Storing:
    """One part on its way to the provider: on another thread once `begin` was called, else in `wait`."""

    def __init__(self, stored: StoredObject, session: str, part: UploadPart, memory: Memory) -> None:
        self.memory = memory
        self._stored, self._session, self._part = stored, session, part
        self._future: Future[Part] | None = None

    def begin(self) -> None:
        """Have another thread store it."""
        self._future = senders().submit(self._put)

    def wait(self) -> UploadPart:
        """Return the part when it is stored. What the other thread could not store is tried once more; asked again, too.

        Raises:
            NotFound, StorageFull, StorageUnavailable
        """
        future, self._future = self._future, None
        if future is not None:
            with suppress(StorageUnavailable):
                return replace(self._part, tag=future.result().tag)
        return replace(self._part, tag=self._put().tag)

    @property
    def is_over(self) -> bool:
        """Whether `wait` would not wait."""
        return self._future is not None and self._future.done()

    def end(self) -> None:
        """See that nobody stores it any more. Never raises."""
        if self._future is not None:
            with suppress(Exception):
                self._future.result()
        self.memory.drop()

    def _put(self) -> Part:
        return self._stored.put_part(self._session, self._part.number, self.memory.view[: self._part.size_bytes])


class PartTarget:
    """Numbered parts of a fixed size, a multiple of the block; see `Target`.

    Memory: one part, and a second one while one is being stored, where the process's budget has room for it.
    """

    def __init__(self, stored: StoredObject, upload: Upload) -> None:
        self._stored, self._session = stored, upload.session
        self._part_bytes = upload.part_size_bytes or PART_BYTES
        self._start = upload.offset_bytes - upload.tail_bytes
        self._had_bytes = upload.tail_bytes
        self._memory, self._filled, self._blocks = Memory(budget(), self._part_bytes), 0, BlockDigests()
        self._storing: Storing | None = None
        if upload.tail_bytes:
            self._gather(self._tail(upload.tail_bytes))
        self._parts: list[UploadPart] = []

    def _tail(self, size_bytes: int) -> memoryview:
        """Put what was kept of the last request where it was."""
        tail, view = self._stored.read_tail(), self._memory.view[:size_bytes]
        if len(tail) < size_bytes:
            raise StorageUnavailable("What was kept of the last request is not there.")
        view[:] = tail[:size_bytes]
        return view

    def room(self) -> memoryview:
        """Lend memory of the part that gathers, up to the end of a block."""
        if self._filled == self._part_bytes:  # as many bytes were kept of the last request, or the part ahead could not be stored
            self._put()
        return self._memory.view[self._filled : (self._filled // BLOCK_BYTES + 1) * BLOCK_BYTES]

    def take(self, data: memoryview) -> None:
        """Keep them there; put the part when it is full."""
        self._gather(data)
        if self._filled == self._part_bytes:
            self._put()

    def _gather(self, data: memoryview) -> None:
        self._memory.reach(self._filled + len(data))  # whatever the budget says: there is no other place for them
        self._blocks.update(data)
        self._filled += len(data)

    def progress(self) -> Progress | None:
        """Tell of the parts that are stored; what has gathered since has to wait."""
        if self._storing is not None and self._storing.is_over:
            self._drain()
        if not self._parts:
            return None
        parts, self._parts = tuple(self._parts), []
        self._had_bytes = 0
        return Progress(parts[-1].offset_bytes + parts[-1].size_bytes, 0, parts)

    def settle(self) -> Iterator[Progress]:
        """Keep what has gathered beside, after the parts were written down: the row never names a tail that was replaced."""
        self._drain()
        if (progress := self.progress()) is not None:
            yield progress
        if self._filled != self._had_bytes:
            self._stored.write_tail(self._memory.view[: self._filled])
            self._had_bytes = self._filled
            yield Progress(self._start + self._filled, self._filled)

    def seal(self) -> Iterator[Progress]:
        """Put what has gathered as the last part; an empty upload has one empty part."""
        self._drain()
        if self._filled or not self._start:
            self._storing = self._cut()
            self._drain()
        if (progress := self.progress()) is not None:
            yield progress

    def close(self) -> None:
        """Let go of the memory, once nothing is on its way any more."""
        if self._storing is not None:
            self._storing.end()
        self._memory.drop()

    def _put(self) -> None:
        """Have a full part stored; meanwhile the next one gathers, if there is memory for it."""
        self._drain()
        self._storing = self._cut()
        memory = Memory(budget(), self._part_bytes)
        if memory.reach(self._part_bytes):
            self._memory = memory
            self._storing.begin()
        else:
            self._drain()

    def _cut(self) -> Storing:
        number, size = self._start // self._part_bytes + 1, self._filled
        part = UploadPart(number, self._start, size, "", self._blocks.finish())
        self._start, self._filled = self._start + size, 0
        return Storing(self._stored, self._session, part, self._memory)

    def _drain(self) -> None:
        """Wait for the part that is on its way."""
        if self._storing is None:
            return
        self._parts.append(self._storing.wait())
        if self._storing.memory is not self._memory:
            self._storing.memory.drop()
        self._storing = None
