"""Writing one object to S3: parts of 8 MiB, one being sent while the next is filled, each kept until it is stored.

Objects of one part are a single PUT and leave nothing behind when they fail; larger ones are multipart uploads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from strongroom.errors import Conflict, DomainError, NotFound, StorageUnavailable
from strongroom.storage.base import ObjectMeta, Part, PartLimits
from strongroom.storage.s3_errors import error_code, from_exception, translated
from strongroom.storage.s3_memory import MIB, PartBody, budget, senders
from strongroom.storage.s3_wire import S3Wire, Stored, moment

LIMITS = PartLimits(min_bytes=5 * MIB, max_bytes=5 * 1024 * MIB, max_count=10_000)
"""docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""
PART_BYTES = 8 * MIB
DOUBLED_EVERY = 2000
"""Parts after which those of an object of unknown size double: together they may reach 496 GiB."""
SURELY_NOT_DONE = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML", "AccessDenied", "InvalidRequest"})


def part_bytes(size_bytes: int | None, number: int) -> int:
    """Return how large part `number` of an object is: 8 MiB, or what brings the object into 10,000 parts."""
    if size_bytes is None:
        return int(PART_BYTES * 2 ** ((number - 1) // DOUBLED_EVERY))
    smallest = -(-size_bytes // LIMITS.max_count)
    return max(PART_BYTES, -(-smallest // MIB) * MIB)


class S3Writer:
    """An object being written; see `Lending`. For one thread at a time."""

    def __init__(self, wire: S3Wire, key: str, size_bytes: int | None) -> None:
        self._wire, self._key, self._announced_bytes = wire, key, size_bytes
        self._session = ""
        self._parts: list[Part] = []
        self._sending: Future[Part] | None = None
        self._cancelled = threading.Event()
        self._maybe_there = self._over = False
        self._size_bytes = 0
        self._begin_part()

    def _begin_part(self) -> None:
        number = len(self._parts) + (self._sending is not None) + 1
        self._full_bytes = part_bytes(self._announced_bytes, number)
        self._body = PartBody(budget(), self._drain)

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; waits when a part is full before the one ahead of it is stored."""
        self._size_bytes += len(data)
        rest: bytes | memoryview = data
        while rest:
            if self._body.size_bytes == self._full_bytes:
                self._send()
            room = self._full_bytes - self._body.size_bytes
            if len(rest) <= room:
                self._body.append(rest)
                return
            self._body.append(memoryview(rest)[:room])
            rest = memoryview(rest)[room:]

    def room(self) -> memoryview:
        """Lend memory of the part that is being filled; waits as `write` does."""
        if self._body.size_bytes == self._full_bytes:
            self._send()
        return self._body.room()[: self._full_bytes - self._body.size_bytes]

    def fill(self, size: int) -> None:
        """Append what was put into that memory."""
        self._size_bytes += size
        self._body.fill(size)

    def complete(self) -> ObjectMeta:
        """Make the object visible: by one PUT, or by completing the multipart upload."""
        if not self._session:
            meta = self._put_whole()
        else:
            self._send()
            self._drain()
            self._maybe_there = True
            meta = complete_once(self._wire, self._key, self._session, self._parts)
        self._over = True
        return meta

    def _put_whole(self) -> ObjectMeta:
        self._maybe_there = True
        stored = self._wire.put("put_object", {"Key": self._key}, self._body)
        self._body.drop()
        return ObjectMeta(self._key, self._size_bytes, stored.at, stored.etag)

    def abort(self) -> None:
        """End what is being sent and throw it all away; also an object whose completion had an uncertain end."""
        if self._over:
            return
        self._over = True
        self._cancelled.set()
        self._body.drop()
        if self._sending is not None:
            self._sending.add_done_callback(lambda _: self._discard())  # a part that arrives later must not stay
        self._discard()

    def _discard(self) -> None:
        with suppress(DomainError):
            if self._session:
                discard(self._wire, self._key, self._session)
        with suppress(DomainError), translated():
            if self._maybe_there:
                self._wire.client.delete_object(Bucket=self._wire.bucket, Key=self._key)

    def _send(self) -> None:
        """Hand the full part to the senders, as soon as the one before it is stored."""
        self._drain()
        if len(self._parts) >= LIMITS.max_count:
            raise StorageUnavailable("The object is larger than S3 takes in 10,000 parts.")
        if not self._session:
            self._session = begin(self._wire, self._key)
        number, body = len(self._parts) + 1, self._body
        self._sending = senders().submit(self._send_part, number, body)
        self._begin_part()

    def _send_part(self, number: int, body: PartBody) -> Part:
        try:
            stored = self._wire.put("upload_part", part_params(self._key, self._session, number), body, self._cancelled)
            return Part(number, body.size_bytes, stored.etag)
        finally:
            body.drop()

    def _drain(self) -> None:
        """Wait for the part that is being sent."""
        sending, self._sending = self._sending, None
        if sending is None:
            return
        try:
            self._parts.append(sending.result())
        except NotFound:
            raise StorageUnavailable("The unfinished object was removed while it was being written.") from None


def part_params(key: str, session: str, number: int) -> dict[str, Any]:
    """Return what names a part."""
    return {"Key": key, "UploadId": session, "PartNumber": number}


def begin(wire: S3Wire, key: str) -> str:
    """Begin a multipart upload."""
    with translated():
        return wire.client.create_multipart_upload(Bucket=wire.bucket, Key=key, ContentType="application/octet-stream")["UploadId"]


def discard(wire: S3Wire, key: str, session: str) -> None:
    """Abort a multipart upload. Idempotent."""
    with suppress(NotFound), translated():
        wire.client.abort_multipart_upload(Bucket=wire.bucket, Key=key, UploadId=session)


def finish(wire: S3Wire, key: str, session: str, parts: Sequence[Part]) -> ObjectMeta:
    """Complete a multipart upload; botocore's errors come out as they are."""
    wanted = [{"PartNumber": part.number, "ETag": f'"{part.tag}"'} for part in sorted(parts, key=lambda part: part.number)]
    answer = wire.client.complete_multipart_upload(Bucket=wire.bucket, Key=key, UploadId=session, MultipartUpload={"Parts": wanted})  # type: ignore[typeddict-item]  # ours has no checksums
    if not answer.get("ETag", "").strip('"'):
        return head(wire, key)  # Ceph 16 answers without one
    stored = Stored(answer["ETag"].strip('"'), moment(answer["ResponseMetadata"]["HTTPHeaders"].get("date")))
    return ObjectMeta(key, sum(part.size_bytes for part in parts), stored.at, stored.etag)


def complete_once(wire: S3Wire, key: str, session: str, parts: Sequence[Part]) -> ObjectMeta:
    """Complete an upload that only we write to. When the answer was lost, look whether the object is there.

    Raises:
        StorageFull, StorageUnavailable
    """
    try:
        return finish(wire, key, session, parts)
    except (BotoCoreError, ClientError) as error:
        wrong = from_exception(error)
        if error_code(error) not in SURELY_NOT_DONE:
            with suppress(DomainError):
                found = head(wire, key)
                if found.size_bytes == sum(part.size_bytes for part in parts):
                    return found
    if isinstance(wrong, NotFound | Conflict):
        raise StorageUnavailable("The unfinished object was removed while it was being written.")
    raise wrong


def head(wire: S3Wire, key: str) -> ObjectMeta:
    """Describe an object."""
    with translated():
        found = wire.client.head_object(Bucket=wire.bucket, Key=key)
    return ObjectMeta(key, found["ContentLength"], found["LastModified"], found["ETag"].strip('"'))
