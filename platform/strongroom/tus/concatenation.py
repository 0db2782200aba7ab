"""Putting a file together of uploads that came side by side (tus: concatenation). Knows no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial as bind
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Principal
from strongroom.errors import BadRequest, NotFound, PartInvalid, PreconditionFailed, UploadGone
from strongroom.files.paths import check_path
from strongroom.files.service import enqueue_purge
from strongroom.runtime import Runtime
from strongroom.storage.base import CannotCompose
from strongroom.storage.bound import Piece, TenantStorage
from strongroom.tus.service import FINAL
from strongroom.uploads import progress, repository
from strongroom.uploads.fingerprint import BLOCK_BYTES, Fingerprinter, fingerprint_of
from strongroom.uploads.ingest import SNIFF_BYTES, content_type_of
from strongroom.uploads.models import PARTIAL, Kind, Received, State, Upload, UploadPart, UploadRequest
from strongroom.uploads.resuming import Outcome, check_living, get_own
from strongroom.uploads.rules import check_type
from strongroom.uploads.service import KEEP_ENDED_S, abandon, begin, complete_patiently
from strongroom.uploads.targets import finish_target
from strongroom.usage.recorder import Caller
from tenants.models import Tenant

PIECE_BYTES = 1024 * 1024
PARTIALS, INTO = "partials", "into"
"""What the file's upload remembers: its parts; and each part: the file's upload."""
TOLD = (PARTIALS, "metadata")
OVERTAKEN = (UploadGone, PreconditionFailed, NotFound)
"""How a request fails whose partial uploads have become a file already, or become one meanwhile."""


@dataclass(frozen=True)
class Partial:
    """A part of the file, whole, with what was written down of it."""

    upload: Upload
    parts: list[UploadPart]

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self.upload.offset_bytes

    @property
    def blocks(self) -> bytes:
        """The digests of its blocks, the last of which may be short."""
        return b"".join(part.blocks for part in self.parts)


def concatenate(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, request: UploadRequest, partial_ids: Sequence[UUID]
) -> Outcome:  # fmt: skip
    """Make a file of uploads, in this order, and end them. The provider copies where it can, else the bytes pass through us.

    The room that the partial uploads have reserved becomes the file's, in the transaction that completes it: no byte counts
    twice against the quota. When it fails they are as they were. Idempotent: the same request again, also at the same time,
    is given the upload that the first one made.

    Raises:
        NotFound: one of them is not there, or another's.
        BadRequest: one of them is not partial.
        PartInvalid: one of them is not whole yet.
        UploadGone: one of them is part of another file already.
        and what `uploads.service.begin` and `complete` raise, TypeMismatch, TypeNotAllowed
    """
    request = replace(request, remembered={**request.remembered, PARTIALS: [str(each) for each in partial_ids]})
    try:
        return _concatenate(runtime, tenant, principal, caller, request, partial_ids)
    except OVERTAKEN:
        if made := _made_before(runtime, tenant, principal, request, partial_ids):
            return Outcome(made, made.offset_bytes)
        raise


def _made_before(
    runtime: Runtime, tenant: Tenant, principal: Principal, request: UploadRequest, partial_ids: Sequence[UUID]
) -> Upload | None:  # fmt: skip
    """Return the complete upload that the same request has made of these; None where there is none.

    Raises:
        NotFound: it is another's.
    """
    with runtime.tenant(tenant) as connection:
        first = get_own(connection, principal, partial_ids[0], Kind.TUS)
        if first.state != State.COMPLETE or INTO not in first.request.remembered:
            return None
        made = get_own(connection, principal, UUID(first.request.remembered[INTO]), Kind.TUS)
    told = (made.bucket.name, made.path, *(made.request.remembered.get(name) for name in TOLD))
    wanted = (request.bucket, check_path(request.path), *(request.remembered.get(name) for name in TOLD))
    return made if told == wanted else None


def _concatenate(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, request: UploadRequest, partial_ids: Sequence[UUID]
) -> Outcome:  # fmt: skip
    partials = _find(runtime, tenant, principal, partial_ids)
    request = replace(request, size_bytes=sum(each.size_bytes for each in partials))
    lifetime_s = runtime.settings.upload_lifetime_s
    upload = begin(runtime, tenant, principal, request, kind=Kind.TUS, lifetime_s=lifetime_s, reserve_bytes=0, concat=FINAL)
    try:
        received = _put_together(runtime, tenant, upload, partials)
        take_over = bind(_take_over, upload=upload, partials=partials)
        file = complete_patiently(runtime, tenant, principal, caller, upload, received, first=take_over)
    except BaseException:
        abandon(runtime, tenant, upload, "it could not be put together")
        raise
    return Outcome(upload, received.size_bytes, file)


def _find(runtime: Runtime, tenant: Tenant, principal: Principal, partial_ids: Sequence[UUID]) -> list[Partial]:
    with runtime.tenant(tenant) as connection:
        found = [Partial(get_own(connection, principal, each, Kind.TUS), repository.list_parts(connection, each)) for each in partial_ids]
        for each in found:
            check_living(each.upload)
            if each.upload.concat != PARTIAL:
                raise BadRequest(f"The upload {each.upload.id} is not partial.")
            if each.upload.state != State.OPEN:
                raise UploadGone(f"The upload {each.upload.id} is part of a file already.")
            if each.upload.offset_bytes != each.upload.size_bytes:
                raise PartInvalid(f"The upload {each.upload.id} is at {each.upload.offset_bytes} of {each.upload.size_bytes} bytes.")
        progress.prolong(connection, partial_ids, runtime.settings.upload_lifetime_s)
    return found


def _put_together(runtime: Runtime, tenant: Tenant, upload: Upload, partials: list[Partial]) -> Received:
    for each in partials:
        finish_target(runtime.storage(tenant, each.upload.provider_id), each.upload, each.parts)
    detected = check_type(upload, _first_bytes(runtime, tenant, partials))
    received = _compose(runtime.storage(tenant, upload.provider_id), upload, partials) or _stream(runtime, tenant, upload, partials)
    return replace(received, content_type=content_type_of(upload, detected), detected_type=detected)


def _first_bytes(runtime: Runtime, tenant: Tenant, partials: list[Partial]) -> bytes:
    head = bytearray()
    for each in partials:
        if len(head) >= SNIFF_BYTES:
            break
        reader = runtime.storage(tenant, each.upload.provider_id).open(each.upload.bucket.id, each.upload.version_id)
        try:
            while len(head) < SNIFF_BYTES and (data := reader.read(SNIFF_BYTES - len(head))):
                head += data
        finally:
            reader.close()
    return bytes(head)


def _compose(storage: TenantStorage, upload: Upload, partials: list[Partial]) -> Received | None:
    """Have the provider copy; None where it cannot."""
    if any(each.upload.provider_id != upload.provider_id for each in partials) or not upload.size_bytes:
        return None
    pieces = [Piece(each.upload.bucket.id, each.upload.version_id, 0, each.size_bytes) for each in partials if each.size_bytes]
    try:
        meta = storage.compose(upload.bucket.id, upload.version_id, pieces)
    except CannotCompose:
        return None
    blocks = _blocks(partials)
    return Received(meta.size_bytes, "", "", fingerprint_of(blocks) if blocks is not None else None, None, blocks, meta.tag)


def _blocks(partials: list[Partial]) -> bytes | None:
    """The blocks of the whole are those of its parts where every part but the last ends where a block does."""
    if any(each.size_bytes % BLOCK_BYTES for each in partials[:-1]):
        return None
    return b"".join(each.blocks for each in partials)


def _stream(runtime: Runtime, tenant: Tenant, upload: Upload, partials: list[Partial]) -> Received:
    prints = Fingerprinter()
    writer = runtime.storage(tenant, upload.provider_id).writer(upload.bucket.id, upload.version_id, upload.size_bytes)
    try:
        for each in partials:
            reader = runtime.storage(tenant, each.upload.provider_id).open(each.upload.bucket.id, each.upload.version_id)
            try:
                while data := reader.read(PIECE_BYTES):
                    prints.update(data)
                    writer.write(data)
            finally:
                reader.close()
        meta = writer.complete()
    except BaseException:
        writer.abort()
        raise
    digests = prints.finish()
    return Received(meta.size_bytes, "", "", digests.fingerprint, digests.blake3, digests.blocks, meta.tag)


def _take_over(connection: Connection, upload: Upload, partials: list[Partial]) -> None:
    """End the partial uploads, and give their room to the file, in its transaction."""
    if repository.get_upload(connection, upload.id, lock=True).state != State.OPEN:
        return  # an earlier try did commit
    ids = [each.upload.id for each in partials]
    reserved = progress.reservations(connection, ids)
    if set(reserved) != set(ids):
        raise UploadGone("One of the partial uploads was ended meanwhile.")
    for each in partials:
        into = replace(each.upload.request, remembered={**each.upload.request.remembered, INTO: str(upload.id)})
        remembered = repository.request_to_json(into)
        repository.end(connection, each.upload.id, State.COMPLETE, lifetime_s=KEEP_ENDED_S, request=remembered)
        enqueue_purge(connection, each.upload.provider_id, each.upload.bucket.id, [each.upload.version_id])
    repository.update_upload(connection, upload.id, reserved_bytes=sum(reserved.values()), offset_bytes=upload.size_bytes)
