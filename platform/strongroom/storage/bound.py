"""The only way in which the rest of the code reaches a provider: a view bound to one tenant's prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from strongroom.errors import NotFound
from strongroom.storage.base import (
    CannotCompose,
    LocalFiles,
    Multipart,
    Narrowing,
    ObjectMeta,
    Part,
    PartCopy,
    PartLimits,
    Presigning,
    Provider,
    Reader,
    Regions,
    RegionWriter,
    ServerSideCopy,
    SignedRequest,
    Slice,
    Writer,
    has,
)
from strongroom.storage.keys import PREFIX_PATTERN, object_key

TAIL = ".tail"
TAIL_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Piece:
    """A part of a version's bytes: where it starts and how long it is."""

    bucket_id: UUID
    version_id: UUID
    start: int
    length: int


class StoredObject:
    """One object that is not complete yet, and cannot be exchanged for another: the key is inside.

    Each method wants the capability that it is named for (`TenantStorage.can`).
    """

    def __init__(self, provider: Provider, key: str) -> None:
        self._provider: Any = provider
        self._key = key

    @property
    def part_limits(self) -> PartLimits:
        """See `Multipart.part_limits`."""
        limits: PartLimits = self._provider.part_limits
        return limits

    def begin_regions(self, size_bytes: int | None) -> None:
        """See `Regions.begin_regions`."""
        self._provider.begin_regions(self._key, size_bytes)

    def region(self, offset: int, length: int | None = None) -> RegionWriter:
        """See `Regions.region`."""
        writer: RegionWriter = self._provider.region(self._key, offset, length)
        return writer

    def read_region(self, offset: int, length: int) -> bytes:
        """See `Regions.read_region`."""
        data: bytes = self._provider.read_region(self._key, offset, length)
        return data

    def finish_regions(self, size_bytes: int) -> ObjectMeta:
        """See `Regions.finish_regions`."""
        meta: ObjectMeta = self._provider.finish_regions(self._key, size_bytes)
        return meta

    def begin_multipart(self) -> str:
        """See `Multipart.begin_multipart`."""
        session: str = self._provider.begin_multipart(self._key)
        return session

    def put_part(self, session: str, number: int, data: bytes | bytearray | memoryview) -> Part:
        """See `Multipart.put_part`."""
        part: Part = self._provider.put_part(self._key, session, number, data)
        return part

    def assemble(self, session: str, parts: Sequence[Part]) -> ObjectMeta:
        """See `Multipart.assemble`."""
        meta: ObjectMeta = self._provider.assemble(self._key, session, parts)
        return meta

    def discard(self, session: str) -> None:
        """See `Multipart.discard`."""
        self._provider.discard(self._key, session)

    def presign_part(self, session: str, number: int, size_bytes: int, lifetime_s: int) -> SignedRequest:
        """See `Presigning.presign_part`."""
        signed: SignedRequest = self._provider.presign_part(self._key, session, number, size_bytes, lifetime_s)
        return signed

    def list_parts(self, session: str) -> list[Part]:
        """See `Presigning.list_parts`."""
        parts: list[Part] = self._provider.list_parts(self._key, session)
        return parts

    def write_tail(self, data: bytes | bytearray | memoryview) -> None:
        """Keep bytes that are too few for a part, durably, in an object beside; they replace what was kept before."""
        writer = self._provider.writer(self._key + TAIL, len(data))
        try:
            writer.write(data)
            writer.complete()
        except BaseException:
            writer.abort()
            raise

    def read_tail(self) -> bytes:
        """Return what `write_tail` kept.

        Raises:
            NotFound
        """
        reader = self._provider.open(self._key + TAIL)
        try:
            return b"".join(iter(lambda: reader.read(TAIL_PIECE_BYTES), b""))
        finally:
            reader.close()

    def drop_tail(self) -> None:
        """Remove what `write_tail` kept. Idempotent."""
        self._provider.delete([self._key + TAIL])


class TenantStorage:
    """A provider seen through one tenant's prefix: it takes ids, so no key outside the prefix can even be named."""

    def __init__(self, provider: Provider, prefix: str) -> None:
        if not PREFIX_PATTERN.fullmatch(prefix):
            raise ValueError("not a tenant's prefix")
        self._whole, self._prefix = provider, prefix

    @property
    def _provider(self) -> Provider:
        """The provider, its rights shrunk to this tenant's prefix where it can do that; asked late, since it may have to connect."""
        return cast(Narrowing, self._whole).narrowed(self._prefix) if has(self._whole, Narrowing) else self._whole

    def can(self, capability: type[object]) -> bool:
        """Tell whether the provider has a capability: `Regions`, `Multipart`, `Presigning`, `PartCopy` ….

        `ServerSideCopy` and `LocalFiles` are further ones.
        """
        return has(self._whole, capability)

    def object(self, bucket_id: UUID, version_id: UUID) -> StoredObject:
        """Return what can be done with the bytes of one version while they are not complete."""
        return StoredObject(self._provider, self._key(bucket_id, version_id))

    @property
    def part_limits(self) -> PartLimits | None:
        """What parts the provider takes; None where it takes none."""
        return self._whole.part_limits if isinstance(self._whole, Multipart) else None

    def copy_region(self, bucket_id: UUID, version_id: UUID, offset: int, pieces: Iterable[Piece]) -> None:
        """Copy slices of other versions of this tenant into an unfinished one; see `Regions.copy_region`.

        Raises:
            CannotCompose: the provider cannot.
        """
        provider = self._provider
        if not isinstance(provider, Regions):
            raise CannotCompose
        provider.copy_region(self._key(bucket_id, version_id), offset, self._slices(pieces))

    def copy_part(self, bucket_id: UUID, version_id: UUID, session: str, number: int, piece: Piece) -> Part:
        """Make a part of a slice of another version of this tenant; see `PartCopy.copy_part`.

        Raises:
            CannotCompose: the provider cannot.
        """
        provider = self._provider
        if not isinstance(provider, PartCopy):
            raise CannotCompose
        return provider.copy_part(self._key(bucket_id, version_id), session, number, *self._slices([piece]))

    def compose(self, bucket_id: UUID, version_id: UUID, pieces: Iterable[Piece]) -> ObjectMeta:
        """Make a version's bytes of slices of other versions of this tenant; see `ServerSideCopy.compose`.

        Raises:
            CannotCompose: the provider cannot, or not these slices.
        """
        provider = self._provider
        if not isinstance(provider, ServerSideCopy):
            raise CannotCompose
        return provider.compose(self._key(bucket_id, version_id), self._slices(pieces))

    def _slices(self, pieces: Iterable[Piece]) -> Sequence[Slice]:
        return [Slice(self._key(piece.bucket_id, piece.version_id), piece.start, piece.length) for piece in pieces]

    def writer(self, bucket_id: UUID, version_id: UUID, size_bytes: int | None) -> Writer:
        """Begin the bytes of a version; see `Provider.writer`."""
        return self._provider.writer(self._key(bucket_id, version_id), size_bytes)

    def open(self, bucket_id: UUID, version_id: UUID) -> Reader:
        """Open the bytes of a version; see `Provider.open`."""
        return self._provider.open(self._key(bucket_id, version_id))

    def presign_get(
        self, bucket_id: UUID, version_id: UUID, lifetime_s: int, *, content_type: str, disposition: str
    ) -> SignedRequest | None:
        """Return a request that gets a version from the provider itself; None where the provider cannot sign any."""
        if not isinstance(self._provider, Presigning):
            return None
        key = self._key(bucket_id, version_id)
        return self._provider.presign_get(key, lifetime_s, content_type=content_type, disposition=disposition)

    def local_path(self, bucket_id: UUID, version_id: UUID) -> str | None:
        """Return where a version lies below the provider's root; None where the provider has no files."""
        if not isinstance(self._provider, LocalFiles):
            return None
        return self._provider.local_path(self._key(bucket_id, version_id))

    def head(self, bucket_id: UUID, version_id: UUID) -> ObjectMeta:
        """Describe the bytes of a version; see `Provider.head`."""
        return self._provider.head(self._key(bucket_id, version_id))

    def delete(self, versions: Iterable[tuple[UUID, UUID]]) -> None:
        """Remove the bytes of (bucket id, version id) pairs. Idempotent."""
        keys = [self._key(bucket_id, version_id) for bucket_id, version_id in versions]
        tails = [key + TAIL for key in keys] if self.can(Multipart) else []
        self._provider.delete([*keys, *tails])

    def list(self) -> Iterator[tuple[UUID, UUID, ObjectMeta]]:
        """Walk everything of this tenant as (bucket id, version id, meta)."""
        for meta in self._provider.list(self._prefix):
            bucket, _, version = meta.key.removeprefix(self._prefix).removesuffix(TAIL).partition("/")
            try:
                yield UUID(hex=bucket), UUID(hex=version), meta
            except ValueError:
                continue  # not ours: whoever put it there may take it away

    def delete_all(self) -> None:
        """Remove everything of this tenant. Idempotent."""
        self._provider.delete_prefix(self._prefix)

    def _key(self, bucket_id: UUID, version_id: UUID) -> str:
        key = object_key(self._prefix, bucket_id, version_id)
        if not key.startswith(self._prefix):
            raise NotFound
        return key
