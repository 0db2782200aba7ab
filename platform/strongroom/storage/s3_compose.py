"""Objects made of others by the server alone: CopyObject for a whole one, else UploadPartCopy part by part.

All parts but the last have 5 MiB at least, none has more than 5 GiB:
docs.aws.amazon.com/AmazonS3/latest/userguide/CopyingObjectsMPUapi.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from botocore.exceptions import ClientError

from strongroom.errors import DomainError
from strongroom.storage.base import CannotCompose, ObjectMeta, Part, Slice
from strongroom.storage.s3_errors import error_code, translated
from strongroom.storage.s3_wire import Bytes, S3Wire
from strongroom.storage.s3_writer import LIMITS, begin, complete_once, discard, head, part_params

COPY_BYTES = 1024**3
"""Of one copied part where a slice is larger than S3 takes at once: small enough to be answered within the time limit."""
UNABLE = frozenset({"NotImplemented", "MethodNotAllowed", "501", "InvalidRequest", "InvalidArgument"})


def compose(wire: S3Wire, key: str, pieces: Sequence[Slice]) -> ObjectMeta:
    """Make an object of slices.

    Raises:
        NotFound, CannotCompose, StorageFull, StorageUnavailable
    """
    wanted = [piece for piece in pieces if piece.length]
    if not wanted:
        return _empty(wire, key, pieces)
    if len(wanted) == 1 and _is_whole(wire, wanted[0]):
        return _copy(wire, key, wanted[0])
    cuts = [cut for piece in wanted for cut in _cut(piece)]
    if len(cuts) > LIMITS.max_count or any(cut.length < LIMITS.min_bytes for cut in cuts[:-1]):
        raise CannotCompose("a slice but the last is below 5 MiB, or there are more than 10,000")
    return _copy_parts(wire, key, cuts)


def _empty(wire: S3Wire, key: str, pieces: Sequence[Slice]) -> ObjectMeta:
    for piece in pieces:
        head(wire, piece.key)
    stored = wire.put("put_object", {"Key": key}, Bytes(b""))
    return ObjectMeta(key, 0, stored.at, stored.etag)


def _is_whole(wire: S3Wire, piece: Slice) -> bool:
    return piece.start == 0 and piece.length == head(wire, piece.key).size_bytes <= LIMITS.max_bytes


def _copy(wire: S3Wire, key: str, piece: Slice) -> ObjectMeta:
    with translated():
        wire.client.copy_object(Bucket=wire.bucket, Key=key, CopySource={"Bucket": wire.bucket, "Key": piece.key})
    return head(wire, key)


def _cut(piece: Slice) -> Iterator[Slice]:
    """Cut what is too large into parts of 1 GiB; the last takes the rest, so that none is too small."""
    start, left = piece.start, piece.length
    while left > LIMITS.max_bytes:
        yield Slice(piece.key, start, COPY_BYTES)
        start, left = start + COPY_BYTES, left - COPY_BYTES
    yield Slice(piece.key, start, left)


def _copy_parts(wire: S3Wire, key: str, cuts: Sequence[Slice]) -> ObjectMeta:
    session = begin(wire, key)
    try:
        parts = [copy_part(wire, key, session, number, cut) for number, cut in enumerate(cuts, 1)]
        made = complete_once(wire, key, session, parts)
    except (DomainError, CannotCompose):
        with suppress(DomainError):
            discard(wire, key, session)
        raise
    return _verified(wire, made)


def copy_part(wire: S3Wire, key: str, session: str, number: int, cut: Slice) -> Part:
    """Make a part of a slice.

    Raises:
        NotFound, CannotCompose, StorageFull, StorageUnavailable
    """
    with translated(), _refused():
        answer = wire.client.upload_part_copy(
            Bucket=wire.bucket,
            CopySource={"Bucket": wire.bucket, "Key": cut.key},
            CopySourceRange=f"bytes={cut.start}-{cut.start + cut.length - 1}",
            **part_params(key, session, number),
        )
    etag = answer.get("CopyPartResult", {}).get("ETag", "").strip('"')
    if not etag:
        raise CannotCompose("the server takes a copied part for an empty one")
    return Part(number, cut.length, etag)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error_code(error) in UNABLE:
            raise CannotCompose("the server cannot copy a part like that") from None
        raise


def _verified(wire: S3Wire, made: ObjectMeta) -> ObjectMeta:
    """See that the server copied what it was asked for: one that ignores the range makes another size."""
    found = head(wire, made.key)
    if found.size_bytes != made.size_bytes:
        with translated():
            wire.client.delete_object(Bucket=wire.bucket, Key=made.key)
        raise CannotCompose("the server copied something else")
    return found
