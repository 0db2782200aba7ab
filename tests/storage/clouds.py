"""Providers of the kinds `gcs` and `opendal` in front of real servers, and what their tests have in common."""

from __future__ import annotations

from strongroom.storage.base import Multipart, Presigning, Provider, ServerSideCopy
from strongroom.storage.providers import make_provider

from tests.services.gcs import GCSService
from tests.services.webdav import RcloneService

PATIENCE_S = 2
"""How long a provider under test goes on trying; outages are met at once, so that nothing waits for the clock."""


class Pieced(Provider, Multipart, ServerSideCopy):
    """What both kinds can do."""


class Signing(Pieced, Presigning):
    """What a `gcs` provider with a private key can do."""


def gcs_provider(server: GCSService, url: str = "", *, timeout_s: float = 30, signing: bool = False) -> Provider:
    config = {"bucket": server.bucket, "endpoint_url": url or server.url, "timeout_s": timeout_s}
    if signing:
        return make_provider("gcs", config, {"service_account": server.service_account()})
    return make_provider("gcs", {**config, "credentials": "anonymous"})


def opendal_provider(server: RcloneService, port: int | None = None, *, timeout_s: float = 30) -> Provider:
    return make_provider("opendal", {**server.config(port), "timeout_s": timeout_s}, {"password": server.password})
