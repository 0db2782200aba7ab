"""The only way in which the rest of the code reaches a provider: a view bound to one tenant's prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import UUID

from strongroom.errors import NotFound
from strongroom.storage.base import ObjectMeta, Provider, Reader, Writer
from strongroom.storage.keys import PREFIX_PATTERN, object_key


class TenantStorage:
    """A provider seen through one tenant's prefix: it takes ids, so no key outside the prefix can even be named."""

    def __init__(self, provider: Provider, prefix: str) -> None:
        if not PREFIX_PATTERN.fullmatch(prefix):
            raise ValueError("not a tenant's prefix")
        self._provider, self._prefix = provider, prefix

    def writer(self, bucket_id: UUID, version_id: UUID, size_bytes: int) -> Writer:
        """Begin the bytes of a version; see `Provider.writer`."""
        return self._provider.writer(self._key(bucket_id, version_id), size_bytes)

    def open(self, bucket_id: UUID, version_id: UUID) -> Reader:
        """Open the bytes of a version; see `Provider.open`."""
        return self._provider.open(self._key(bucket_id, version_id))

    def head(self, bucket_id: UUID, version_id: UUID) -> ObjectMeta:
        """Describe the bytes of a version; see `Provider.head`."""
        return self._provider.head(self._key(bucket_id, version_id))

    def delete(self, versions: Iterable[tuple[UUID, UUID]]) -> None:
        """Remove the bytes of (bucket id, version id) pairs. Idempotent."""
        self._provider.delete(self._key(bucket_id, version_id) for bucket_id, version_id in versions)

    def list(self) -> Iterator[tuple[UUID, UUID, ObjectMeta]]:
        """Walk everything of this tenant as (bucket id, version id, meta)."""
        for meta in self._provider.list(self._prefix):
            bucket, _, version = meta.key.removeprefix(self._prefix).partition("/")
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
