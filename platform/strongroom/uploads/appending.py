"""Going on with an upload: the bytes of one request taken in at the offset, every one of them kept, in fixed memory.

Checkpoints write down, every now and then and at the end of the request however it ends, what is durable at the provider.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from blake3 import blake3

from strongroom.errors import DatabaseUnavailable, FileTooLarge, TenantBusy, UploadGone, UploadLocked
from strongroom.runtime import Runtime
from strongroom.uploads import progress, repository
from strongroom.uploads.fingerprint import fingerprint_of
from strongroom.uploads.ingest import SNIFF_BYTES, Room, content_type_of
from strongroom.uploads.models import PARTIAL, Received, State, Upload
from strongroom.uploads.progress import Held, Progress
from strongroom.uploads.rules import check_type
from strongroom.uploads.targets import finish_target, first_bytes, open_target
from tenants.models import Tenant

CHECKPOINT_BYTES = 64 * 1024 * 1024
CHECKPOINT_S = 5.0
CHECKPOINTS_APART_S = 1.0  # a fast client would otherwise wait for the disk many times a second
PAUSES_S = (0.2, 1.0, 3.0)


class Appender:
    """Takes the bytes of one request. `settle` or `seal`, or neither where nothing is to be kept; then `close`.

    `is_whole_or_nothing`: nothing is kept before `settle` or `seal`, because the request's checksum is not known to hold yet.
    Not safe to share between threads.
    """

    def __init__(self, runtime: Runtime, tenant: Tenant, held: Held, *, is_whole_or_nothing: bool = False) -> None:
        self._runtime, self._tenant, self._held = runtime, tenant, held
        upload = held.upload
        storage = runtime.storage(tenant, upload.provider_id)
        self.offset_bytes = upload.offset_bytes
        self._room = Room(runtime, tenant, upload, held.reserved_bytes)
        self._detected = upload.detected_type
        self._head = bytearray() if self._is_looked_at else bytearray(first_bytes(storage, upload, SNIFF_BYTES))
        self._whole = None if upload.offset_bytes else blake3()
        self._is_quiet = is_whole_or_nothing
        self._pending: Progress | None = None
        self._noted_bytes, self._noted_at = upload.offset_bytes, time.monotonic()
        self._target = open_target(storage, upload)

    @property
    def _is_looked_at(self) -> bool:
        """A part of a file that is put together later has no type of its own."""
        return self._detected is not None or self._held.upload.concat == PARTIAL

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing any more."""
        return self.offset_bytes == self._held.upload.size_bytes

    @property
    def blake3(self) -> str | None:
        """The BLAKE3 (hex) of the whole file, where this request carried all of it."""
        return self._whole.hexdigest() if self._whole is not None and self.is_whole else None

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; the caller may use their buffer again afterwards.

        Raises:
            TypeMismatch, TypeNotAllowed: the upload is to be ended.
            FileTooLarge, QuotaExceeded, StorageFull, StorageUnavailable: what came before can be kept.
            UploadGone, UploadLocked: the lock was lost; nothing more can be kept.
        """
        size_bytes = self._held.upload.size_bytes
        if size_bytes is not None and self.offset_bytes + len(data) > size_bytes:
            raise FileTooLarge(f"The upload has {size_bytes} bytes, as was announced, and more came.")
        self._room.need(self.offset_bytes + len(data))
        if not self._is_looked_at:
            self._head += data
            if len(self._head) >= SNIFF_BYTES:
                self._look()
        self._target.write(data)
        if self._whole is not None:
            self._whole.update(data)
        self.offset_bytes += len(data)
        self._note_now_and_then()

    def settle(self) -> None:
        """Make durable what came, and write it down.

        Raises:
            UploadGone, UploadLocked: the lock was lost.
            StorageFull, StorageUnavailable, DatabaseUnavailable
        """
        self._note_patiently(self._target.settle())

    def seal(self) -> None:
        """The same at the end of the upload, whose type is now looked at if that has not happened.

        Raises:
            TypeMismatch, TypeNotAllowed, and what `settle` raises
        """
        if not self._is_looked_at:
            self._look()
        self._note_patiently(self._target.seal())

    def close(self) -> None:
        """Let go. Never raises."""
        self._target.close()

    def _look(self) -> None:
        self._detected = check_type(self._held.upload, bytes(self._head[:SNIFF_BYTES]))
        self._head.clear()

    def _note_now_and_then(self) -> None:
        """A database that is away for a moment does not end a request: the next checkpoint tells all of it."""
        passed_s = time.monotonic() - self._noted_at
        is_much = self.offset_bytes - self._noted_bytes >= CHECKPOINT_BYTES and passed_s >= CHECKPOINTS_APART_S
        if self._is_quiet or not (is_much or passed_s >= CHECKPOINT_S):
            return
        self._noted_bytes, self._noted_at = self.offset_bytes, time.monotonic()
        self._add(self._target.progress())
        try:
            self._note()
        except (DatabaseUnavailable, TenantBusy):
            return

    def _note_patiently(self, steps: Iterator[Progress]) -> None:
        for step in steps:
            self._add(step)
            for pause_s in PAUSES_S:
                try:
                    self._note()
                    break
                except (DatabaseUnavailable, TenantBusy):
                    time.sleep(pause_s)
            self._note()

    def _add(self, step: Progress | None) -> None:
        if step is not None:
            before = self._pending.parts if self._pending else ()
            self._pending = Progress(step.offset_bytes, step.tail_bytes, before + step.parts)

    def _note(self) -> None:
        if self._pending is None:
            return
        upload_id, more = self._held.upload.id, self._columns()
        with self._runtime.tenant(self._tenant) as connection:
            if not progress.checkpoint(connection, upload_id, self._held.lock_id, self._pending, more):
                raise _lost(repository.get_upload(connection, upload_id))
        self._pending = None

    def _columns(self) -> Mapping[str, Any]:
        return {} if self._detected is None else {"detected_type": self._detected}


def _lost(upload: Upload) -> UploadGone | UploadLocked:
    return UploadLocked(retry_after_s=1) if upload.state == State.OPEN else UploadGone()


def finish(runtime: Runtime, tenant: Tenant, upload: Upload, whole_blake3: str | None = None) -> Received:
    """Make a sealed upload's object at the provider, of what was written down. Idempotent.

    Raises:
        NotFound, StorageUnavailable, Conflict
    """
    with runtime.tenant(tenant) as connection:
        parts = repository.list_parts(connection, upload.id)
    meta = finish_target(runtime.storage(tenant, upload.provider_id), upload, parts)
    blocks = b"".join(part.blocks for part in parts)
    detected = upload.detected_type or ""
    return Received(
        meta.size_bytes, content_type_of(upload, detected), detected, fingerprint_of(blocks), whole_blake3, blocks, meta.tag
    )  # fmt: skip
