"""Providers of the kinds `gcs` and `opendal` in front of real servers, and what their tests have in common."""

from __future__ import annotations

from strongroom.db.ids import new_id
from strongroom.storage.base import Multipart, ObjectMeta, Part, Presigning, Provider, ServerSideCopy
from strongroom.storage.keys import object_key, tenant_prefix
from strongroom.storage.providers import make_provider

from tests.services.gcs import GCSService
from tests.services.webdav import RcloneService

MIB = 1024 * 1024
PATIENCE_S = 2
"""How long a provider under test goes on trying; outages are met at once, so that nothing waits for the clock."""


class Pieced(Provider, Multipart, ServerSideCopy):
    """What both kinds can do."""


class Signing(Pieced, Presigning):
    """What a `gcs` provider with a private key can do."""


def new_key() -> str:
    """Return the key of an object of a tenant of its own."""
    return object_key(tenant_prefix(new_id()), new_id(), new_id())


def prefix_of(key: str) -> str:
    return key.partition("/")[0] + "/"


def put(provider: Provider, key: str, *pieces: bytes) -> ObjectMeta:
    writer = provider.writer(key, None)
    for piece in pieces:
        writer.write(piece)
    return writer.complete()


def read(provider: Provider, key: str) -> bytes:
    reader = provider.open(key)
    try:
        return b"".join(iter(lambda: reader.read(256 * 1024), b""))
    finally:
        reader.close()


def put_parts(provider: Multipart, key: str, session: str, *contents: bytes) -> list[Part]:
    return [provider.put_part(key, session, number, data) for number, data in enumerate(contents, start=1)]


def gcs_provider(server: GCSService, url: str = "", *, timeout_s: float = 30, signing: bool = False) -> Provider:
    config = {"bucket": server.bucket, "endpoint_url": url or server.url, "timeout_s": timeout_s}
    if signing:
        return make_provider("gcs", config, {"service_account": server.service_account()})
    return make_provider("gcs", {**config, "credentials": "anonymous"})


def opendal_provider(server: RcloneService, port: int | None = None, *, timeout_s: float = 30) -> Provider:
    return make_provider("opendal", {**server.config(port), "timeout_s": timeout_s}, {"password": server.password})
