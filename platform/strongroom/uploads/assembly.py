"""The end of a direct upload: what arrived is put together, looked at, and only then made a version. Knows no HTTP.

Nothing that a client says is believed: the parts and their sizes are those that the provider tells, or that we wrote
ourselves. All of it may be done again and again, by several at once, and after a crash at any point: it goes on where the
last one stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from strongroom.access import Principal
from strongroom.errors import (
    Conflict,
    DomainError,
    NotFound,
    PartInvalid,
    PreconditionFailed,
    TypeMismatch,
    TypeNotAllowed,
    UploadGone,
    UploadLocked,
)
from strongroom.files import repository as files
from strongroom.files.models import File
from strongroom.runtime import Runtime
from strongroom.scanning.types import SNIFF_BYTES
from strongroom.storage.base import CannotCompose, ObjectMeta, Reader
from strongroom.storage.bound import Piece
from strongroom.uploads import repository
from strongroom.uploads import service as uploads
from strongroom.uploads.fingerprint import DIGEST_BYTES, Fingerprinter, fingerprint_of
from strongroom.uploads.ingest import content_type_of
from strongroom.uploads.known import Known, find_known
from strongroom.uploads.layout import Layout, block_count, check_parts, missing_parts
from strongroom.uploads.models import Received, State, Upload, UploadPart
from strongroom.uploads.part_stores import PartStore, layout_of, part_store
from strongroom.uploads.rules import check_type
from strongroom.usage.recorder import Caller
from tenants.models import Tenant

COPIES_AT_ONCE = 4
LOCKED_PAUSES_S = (0.05, 0.2, 0.5, 0.0)
HOPELESS = (TypeMismatch, TypeNotAllowed, PreconditionFailed)
HOPELESS_PARTS = frozenset({"unexpected", "wrong_total"})


def complete_direct(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, tags: Mapping[int, str]
) -> File:  # fmt: skip
    """Put together what arrived, and make it a file. Idempotent: the same file as often as it is asked.

    `tags`: what the client was told of its parts; each must be what is there. Parts that were not sent are copied from
    blocks that the tenant has, where the principal may read them.

    Raises:
        PartInvalid: parts are missing or wrong. Sent again they will do; only of a wrong total the upload has ended.
        TypeMismatch, TypeNotAllowed, PreconditionFailed: the upload has ended with it.
        UploadGone, UploadLocked, QuotaExceeded, StorageUnavailable, DatabaseUnavailable
    """
    if upload.state == State.COMPLETE:
        return _made_already(runtime, tenant, upload)
    if upload.state == State.FAILED:
        raise UploadGone(f"This upload has failed: {upload.reason}." if upload.reason else "")
    try:
        parts = _put_together(runtime, tenant, principal, upload, tags)
        return make_file(runtime, tenant, principal, caller, upload, parts)
    except DomainError as error:
        if file := _made_meanwhile(runtime, tenant, upload):
            return file
        if isinstance(error, HOPELESS) or HOPELESS_PARTS & set(error.extra):
            uploads.abandon(runtime, tenant, upload, error.code)
        raise


def _made_meanwhile(runtime: Runtime, tenant: Tenant, upload: Upload) -> File | None:
    """Return what another call made of the upload while this one stumbled over what was no longer there."""
    try:
        with runtime.tenant(tenant) as connection:
            is_complete = repository.get_upload(connection, upload.id).state == State.COMPLETE
            return files.get_any_version(connection, upload.version_id) if is_complete else None
    except DomainError:
        return None  # the first error tells more


def _made_already(runtime: Runtime, tenant: Tenant, upload: Upload) -> File:
    with runtime.tenant(tenant) as connection:
        file = files.get_any_version(connection, upload.version_id)
    if file is None:
        raise UploadGone("This upload was completed, but its version has been deleted since.")
    return file


def put_nothing(runtime: Runtime, tenant: Tenant, upload: Upload) -> None:
    """Make an empty file's object: it has no parts. Idempotent."""
    storage = runtime.storage(tenant, upload.provider_id)
    try:
        storage.head(upload.bucket.id, upload.version_id)
    except NotFound:
        storage.writer(upload.bucket.id, upload.version_id, 0).complete()


def _put_together(
    runtime: Runtime, tenant: Tenant, principal: Principal, upload: Upload, tags: Mapping[int, str]
) -> list[UploadPart] | None:
    """Make one object of the parts; return them, or None when an earlier call had made it and they are no longer known."""
    store, layout = part_store(runtime, tenant, upload), layout_of(upload)
    if not upload.size_bytes:
        check_parts(layout, (), tags)
        put_nothing(runtime, tenant, upload)
        return []
    for pause_s in LOCKED_PAUSES_S:
        try:
            parts = _arrived(runtime, tenant, principal, upload, store)
            check_parts(layout, parts, tags)
            store.finish(parts)
        except NotFound:
            return None
        except Conflict:
            raise PartInvalid("A part was sent again while the upload was being completed. Complete it again.") from None
        except UploadLocked:
            if not pause_s:
                raise
            time.sleep(pause_s)
        else:
            return parts
    return None


def _arrived(runtime: Runtime, tenant: Tenant, principal: Principal, upload: Upload, store: PartStore) -> list[UploadPart]:
    """Return the parts that are there, those included that could be copied just now."""
    layout, parts = layout_of(upload), store.found()
    missing = missing_parts(layout, parts)
    copies = copies_of(store, layout, find_known(runtime, tenant, principal, upload), missing) if missing else {}
    if not copies:
        return parts

    def copy(number: int) -> None:
        with suppress(NotFound, CannotCompose, UploadGone):  # it then counts as missing, and is asked of the client
            store.copy(number, copies[number])

    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        list(pool.map(copy, copies))
    return store.found()


def copies_of(store: PartStore, layout: Layout, known: Known, numbers: Sequence[int]) -> dict[int, list[Piece]]:
    """Return which of these parts the provider can make by itself, and of what."""
    pieces = {number: known.pieces(layout.blocks_of(number)) for number in numbers} if known.blocks else {}
    return {number: each for number, each in pieces.items() if each is not None and store.can_copy(each)}


def make_file(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, parts: Sequence[UploadPart] | None
) -> File:
    """Make a version of an object that stands, after having looked at its size and its first bytes.

    Raises:
        PartInvalid: it has another size than was announced.
        TypeMismatch, TypeNotAllowed, PreconditionFailed, QuotaExceeded, UploadGone, DatabaseUnavailable, StorageUnavailable
    """
    meta = _head(runtime, tenant, upload)
    if meta.size_bytes != upload.size_bytes:
        raise PartInvalid(f"{upload.size_bytes} bytes were announced and {meta.size_bytes} came.", wrong_total=meta.size_bytes)
    detected = check_type(upload, _first_bytes(runtime, tenant, upload))
    fingerprint, blake3, blocks = _digests(upload, parts)
    content_type = content_type_of(upload, detected)
    received = Received(meta.size_bytes, content_type, detected, fingerprint, blake3, blocks, meta.tag)
    return uploads.complete_patiently(runtime, tenant, principal, caller, upload, received)


def _head(runtime: Runtime, tenant: Tenant, upload: Upload) -> ObjectMeta:
    try:
        return runtime.storage(tenant, upload.provider_id).head(upload.bucket.id, upload.version_id)
    except NotFound:
        uploads.abandon(runtime, tenant, upload, UploadGone.code)
        raise UploadGone("The storage provider has nothing of this upload any more.") from None


def _first_bytes(runtime: Runtime, tenant: Tenant, upload: Upload) -> bytes:
    reader = runtime.storage(tenant, upload.provider_id).open(upload.bucket.id, upload.version_id)
    try:
        return _read(reader, SNIFF_BYTES)
    finally:
        reader.close()


def _read(reader: Reader, size: int) -> bytes:
    head = b""
    while len(head) < size and (data := reader.read(size - len(head))):
        head += data
    return head


def _digests(upload: Upload, parts: Sequence[UploadPart] | None) -> tuple[str | None, str | None, bytes | None]:
    """Return fingerprint, BLAKE3 and blocks as far as the bytes passed through us: the BLAKE3 of one block is that of the file."""
    if not upload.size_bytes and parts is not None:
        empty = Fingerprinter().finish()
        return empty.fingerprint, empty.blake3, empty.blocks
    blocks = b"".join(part.blocks for part in parts or ())
    if len(blocks) != DIGEST_BYTES * block_count(upload.size_bytes or 0) or not blocks:
        return None, None, None
    return fingerprint_of(blocks), blocks.hex() if len(blocks) == DIGEST_BYTES else None, blocks
