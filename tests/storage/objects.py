"""Objects as tests write and read them, at any provider."""

from __future__ import annotations

from strongroom.db.ids import new_id
from strongroom.storage.base import Multipart, ObjectMeta, Part, Provider
from strongroom.storage.keys import object_key, tenant_prefix

MIB = 1024 * 1024
PART = 5 * MIB
DATA = bytes(range(256)) * 4096 * 20
"""20 MiB: three parts at S3."""


def key_in(prefix: str) -> str:
    """Return the key of a new object of a tenant."""
    return object_key(prefix, new_id(), new_id())


def new_key() -> str:
    """Return the key of an object of a tenant of its own."""
    return key_in(tenant_prefix(new_id()))


def prefix_of(key: str) -> str:
    """Return the prefix of the tenant whose key it is."""
    return key.partition("/")[0] + "/"


def put(provider: Provider, key: str, *pieces: bytes) -> ObjectMeta:
    """Write an object of pieces."""
    writer = provider.writer(key, sum(map(len, pieces)))
    for piece in pieces:
        writer.write(piece)
    return writer.complete()


def put_parts(provider: Multipart, key: str, session: str, *contents: bytes) -> list[Part]:
    """Put parts, numbered from 1."""
    return [provider.put_part(key, session, number, data) for number, data in enumerate(contents, start=1)]


def read(provider: Provider, key: str) -> bytes:
    """Read an object to its end, and close it."""
    reader = provider.open(key)
    try:
        return b"".join(iter(lambda: reader.read(256 * 1024), b""))
    finally:
        reader.close()
