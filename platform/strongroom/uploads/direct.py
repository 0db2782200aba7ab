"""Direct uploads: parts go where the bytes will lie, and what is there counts, not what a client says. Knows no HTTP.

`begin_direct` hands out signed requests for parts, or makes the file at once of blocks that the tenant has; `assembly`
makes a file of what arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from strongroom.access import Principal, Role
from strongroom.errors import (
    BadRequest,
    Conflict,
    NotFound,
    NotSupported,
    PartInvalid,
    PartUrlExpired,
    TokenExpired,
    TokenInvalid,
    UploadGone,
    ValidationFailed,
)
from strongroom.files import repository as files
from strongroom.files.models import File
from strongroom.runtime import Runtime
from strongroom.security.tokens import verify
from strongroom.storage.base import CannotCompose, Multipart, PartLimits, Regions, SignedRequest
from strongroom.uploads import repository
from strongroom.uploads import service as uploads
from strongroom.uploads.assembly import copies_of, make_file, put_nothing
from strongroom.uploads.counting import counted
from strongroom.uploads.known import NOTHING, Known, find_known
from strongroom.uploads.layout import Layout, block_count, choose_layout
from strongroom.uploads.models import Body, Kind, State, Upload, UploadPart, UploadRequest
from strongroom.uploads.part_stores import PURPOSE, OwnUrl, PartStore, PresignedParts, layout_of, part_store
from strongroom.usage.recorder import Caller
from tenants.models import Tenant

URLS_AT_ONCE = 100


@dataclass(frozen=True)
class PartUrl:
    """A request that puts one part of exactly `size_bytes`."""

    number: int
    size_bytes: int
    request: SignedRequest


@dataclass(frozen=True)
class Begun:
    """A direct upload that waits for parts, or a file that needed none.

    `needed`: numbers of the parts that have to be sent; `have`: blocks that need not travel, since they are copied.
    """

    upload: Upload
    file: File | None = None
    urls: Sequence[PartUrl] = ()
    needed: Sequence[int] = ()
    have: Sequence[int] = ()


@dataclass(frozen=True)
class Progress:
    """How far an upload is. `received`: parts that have arrived; `file`: what became of it."""

    upload: Upload
    received: Sequence[UploadPart] = ()
    file: File | None = None


# Begin


def begin_direct(runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, request: UploadRequest, own_url: OwnUrl) -> Begun:
    """Begin an upload in parts, or make the file at once where all of its blocks are known.

    Raises:
        NotFound, InvalidPath, PreconditionFailed, FileTooLarge, QuotaExceeded, TooManyUploads, TypeNotAllowed, TypeMismatch
        ValidationFailed: there are not as many block hashes as blocks.
        NotSupported: the provider takes no parts.
        StorageFull, StorageUnavailable, DatabaseUnavailable
    """
    size_bytes = request.size_bytes or 0
    _check_claims(request, size_bytes)
    layout = choose_layout(size_bytes, _part_limits(runtime, tenant))
    upload = uploads.begin(
        runtime, tenant, principal, request, kind=Kind.DIRECT, lifetime_s=runtime.settings.upload_lifetime_s,
        part_size_bytes=layout.part_size_bytes,
    )  # fmt: skip
    try:
        known = find_known(runtime, tenant, principal, upload)
        file, known = _make_at_once(runtime, tenant, principal, caller, upload, known)
        return Begun(upload, file) if file else _open_session(runtime, tenant, upload, known, own_url)
    except BaseException:
        uploads.abandon(runtime, tenant, upload)
        raise


def _check_claims(request: UploadRequest, size_bytes: int) -> None:
    hashes = request.claims.get("block_hashes")
    if hashes is not None and len(hashes) != block_count(size_bytes):
        text = f"A file of {size_bytes} bytes has {block_count(size_bytes)} blocks; these are {len(hashes)} hashes."
        raise ValidationFailed(text, errors={"block_hashes": [text]})


def _part_limits(runtime: Runtime, tenant: Tenant) -> PartLimits | None:
    storage = runtime.storage(tenant)
    if not (storage.can(Regions) or storage.can(Multipart)):
        raise NotSupported("The storage provider takes no parts; send the file whole with PUT /api/v1/objects/{bucket}/{path}.")
    return storage.part_limits


def _make_at_once(
    runtime: Runtime, tenant: Tenant, principal: Principal, caller: Caller, upload: Upload, known: Known
) -> tuple[File | None, Known]:
    """Return the file, or what is left to be copied later: nothing, where a source has just gone away."""
    claimed = upload.request.claims.get("block_hashes")
    pieces = known.pieces(range(len(claimed))) if claimed is not None else None
    if pieces is None:
        return None, known
    try:
        if upload.size_bytes:
            runtime.storage(tenant, upload.provider_id).compose(upload.bucket.id, upload.version_id, pieces)
        else:
            put_nothing(runtime, tenant, upload)
    except CannotCompose:
        return None, known
    except NotFound:
        return None, NOTHING
    return make_file(runtime, tenant, principal, caller, upload, None), known


def _open_session(runtime: Runtime, tenant: Tenant, upload: Upload, known: Known, own_url: OwnUrl) -> Begun:
    if not upload.size_bytes:
        return Begun(upload)
    session = part_store(runtime, tenant, upload).begin()
    if session:
        with runtime.tenant(tenant) as connection:
            repository.update_upload(connection, upload.id, session=session)
    upload = replace(upload, session=session)
    store, layout = part_store(runtime, tenant, upload), layout_of(upload)
    copies = copies_of(store, layout, known, layout.numbers)
    needed = [number for number in layout.numbers if number not in copies]
    have = [block for number in copies for block in layout.blocks_of(number)]
    return Begun(upload, None, _urls(store, layout, needed[:URLS_AT_ONCE], own_url), needed, have)


def _urls(store: PartStore, layout: Layout, numbers: Sequence[int], own_url: OwnUrl) -> list[PartUrl]:
    signed = store.sign(numbers, own_url)
    return [PartUrl(number, layout.size_of(number), request) for number, request in zip(numbers, signed, strict=True)]


# While parts travel


def sign_parts(
    runtime: Runtime, tenant: Tenant, principal: Principal, upload_id: UUID, numbers: Sequence[int], own_url: OwnUrl
) -> list[PartUrl]:
    """Return new requests for parts, whether they have been sent already or not.

    Raises:
        NotFound: there is no such upload of this principal's.
        UploadGone: it has ended.
        PartInvalid: it has no such part.
    """
    upload = _open_one(runtime, tenant, principal, upload_id)
    layout = layout_of(upload)
    return _urls(part_store(runtime, tenant, upload), layout, [layout.check(number) for number in numbers], own_url)


def receive_part(
    runtime: Runtime, tenant: Tenant, upload_id: UUID, number: int, token: str, length: int | None, body: Body
) -> str:  # fmt: skip
    """Store a part that comes through our own API, durably; return its tag. A former part of that number is replaced.

    Whoever holds the token may do that, until it expires or the upload ends.

    Raises:
        NotFound: the token is none, or for something else.
        PartUrlExpired
        PartInvalid: the body is not as long as the part.
        UploadGone: the upload has ended, or all parts are being put together.
        UploadLocked: the same part is being received right now.
        TooManyUploads: as many bodies as the tenant may have at once are being received.
        IncompleteBody, RequestTimeout, StorageFull, StorageUnavailable, DatabaseUnavailable
    """
    size = _size_in_token(runtime, tenant, upload_id, number, token)
    if length != size:
        raise PartInvalid(f"Part {number} has {size} bytes; the body has {length}.", wrong_size=[number])
    with runtime.tenant(tenant) as connection:
        upload = repository.get_upload(connection, upload_id)
    if upload.state != State.OPEN:
        raise UploadGone
    store = part_store(runtime, tenant, upload)
    if isinstance(store, PresignedParts):
        raise NotFound
    try:
        with counted(runtime, tenant, upload, body) as counted_body:
            return store.receive(number, counted_body)
    except NotFound:
        raise UploadGone from None


def _size_in_token(runtime: Runtime, tenant: Tenant, upload_id: UUID, number: int, token: str) -> int:
    try:
        claims = verify(runtime.keys.tenant_key(tenant.id, PURPOSE), PURPOSE, token)
    except TokenExpired:
        raise PartUrlExpired from None
    except TokenInvalid:
        raise NotFound("There is no such part.") from None
    if (claims["sub"], claims.get("number")) != (str(upload_id), number):
        raise NotFound("There is no such part.")
    return int(claims["size"])


def get_upload(runtime: Runtime, tenant: Tenant, principal: Principal, upload_id: UUID) -> Progress:
    """Return how far an upload is, of whatever kind, and what became of it.

    Raises:
        NotFound: there is none of this principal's.
    """
    upload = _mine(runtime, tenant, principal, upload_id)
    if upload.state == State.COMPLETE:
        with runtime.tenant(tenant) as connection:
            return Progress(upload, file=files.get_any_version(connection, upload.version_id))
    if upload.state == State.FAILED or upload.kind != Kind.DIRECT or not upload.size_bytes:
        return Progress(upload)
    try:
        return Progress(upload, part_store(runtime, tenant, upload).found())
    except NotFound:
        return Progress(upload)


def list_uploads(runtime: Runtime, tenant: Tenant, principal: Principal, *, after: UUID | None, limit: int) -> list[Upload]:
    """Return the principal's own uploads of several requests, newest first; an administrator's: everybody's."""
    created_by = None if principal.role.includes(Role.ADMIN) else principal.user_id
    with runtime.tenant(tenant) as connection:
        return repository.list_uploads(connection, created_by=created_by, after=after, limit=limit)


def end_upload(runtime: Runtime, tenant: Tenant, principal: Principal, upload_id: UUID) -> None:
    """Throw an upload away, of whatever kind, with all that has arrived. Idempotent.

    Raises:
        NotFound: there is none of this principal's.
        Conflict: it is complete.
    """
    upload = _mine(runtime, tenant, principal, upload_id)
    if upload.state == State.OPEN and uploads.cancel(runtime, tenant, upload, "ended"):
        return
    if _mine(runtime, tenant, principal, upload_id).state == State.COMPLETE:
        raise Conflict("This upload is complete. Delete the file instead.")


def _mine(runtime: Runtime, tenant: Tenant, principal: Principal, upload_id: UUID) -> Upload:
    with runtime.tenant(tenant) as connection:
        upload = repository.get_upload(connection, upload_id)
    own = upload.created_by == principal.user_id or principal.role.includes(Role.ADMIN)
    if not own or upload.kind == Kind.STREAM:
        raise NotFound("There is no such upload.")
    return upload


def direct_upload(runtime: Runtime, tenant: Tenant, principal: Principal, upload_id: UUID) -> Upload:
    """Return a direct upload of this principal's.

    Raises:
        NotFound
        BadRequest: it is of another kind.
    """
    upload = _mine(runtime, tenant, principal, upload_id)
    if upload.kind != Kind.DIRECT:
        raise BadRequest(f"This is no direct upload, but one of kind {upload.kind}.")
    return upload


def _open_one(runtime: Runtime, tenant: Tenant, principal: Principal, upload_id: UUID) -> Upload:
    upload = direct_upload(runtime, tenant, principal, upload_id)
    if upload.state != State.OPEN:
        raise UploadGone
    return upload
