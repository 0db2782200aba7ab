"""Every provider on every server that it is held against, and what each kind must be able to do.

A new kind gets rows in `BACKENDS` and `CAPABILITIES`; tests of one capability then run on whatever has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from strongroom.storage.base import LocalFiles, Multipart, Narrowing, Presigning, Provider, Regions, ServerSideCopy
from strongroom.storage.providers import make_provider

from tests.services.proxy import FaultProxy
from tests.services.s3server import S3Server
from tests.services.shared import s3_server
from tests.storage.clouds import gcs_provider, opendal_provider

if TYPE_CHECKING:
    from strongroom.storage.s3 import S3Provider

ALL = (Regions, Multipart, Presigning, ServerSideCopy, LocalFiles, Narrowing)


@dataclass(frozen=True)
class Backend:
    """A provider's kind on one server. `shows_unfinished`: what is unfinished can be listed, and ended by deleting its key."""

    kind: str
    make: Callable[[pytest.FixtureRequest], Provider]
    shows_unfinished: bool = True
    lacks: frozenset[type] = frozenset()

    @property
    def capabilities(self) -> set[type]:
        """What its kind can do, less what this server cannot."""
        return CAPABILITIES[self.kind] - self.lacks


def s3_provider(server: S3Server, **config: Any) -> S3Provider:
    """A provider at an S3 server, with more said of it."""
    return cast("S3Provider", make_provider("s3", server.config(**config), server.secrets()))


def through(proxy: FaultProxy, server: S3Server, **config: Any) -> S3Provider:
    """A provider that reaches the server by a proxy."""
    return s3_provider(server, **{"endpoint_url": proxy.url, "timeout_s": 3, **config})


def s3(name: str) -> Callable[[pytest.FixtureRequest], Provider]:
    return lambda _: s3_provider(s3_server(name))


BACKENDS: dict[str, Backend] = {
    "filesystem": Backend("filesystem", lambda run: make_provider("filesystem", {"root": str(run.getfixturevalue("tmp_path"))})),
    "gcs": Backend("gcs", lambda run: gcs_provider(run.getfixturevalue("gcs_server")), shows_unfinished=False),
    "opendal-ftp": Backend("opendal", lambda run: opendal_provider(run.getfixturevalue("ftp_server")), lacks=frozenset({ServerSideCopy})),
    "opendal-webdav": Backend("opendal", lambda run: opendal_provider(run.getfixturevalue("webdav_server"))),
    "s3-ceph": Backend("s3", s3("ceph")),
    "s3-rclone": Backend("s3", s3("rclone")),
}
CAPABILITIES: dict[str, set[type]] = {
    "filesystem": {Regions, ServerSideCopy, LocalFiles},
    "gcs": {Multipart, ServerSideCopy},  # and Presigning, with a private key
    "opendal": {Multipart, ServerSideCopy},
    "s3": {Multipart, Presigning, ServerSideCopy},  # and Narrowing, where a role is configured
}


def having(capability: type) -> list[str]:
    """The backends whose kind must have a capability."""
    return sorted(name for name, backend in BACKENDS.items() if capability in backend.capabilities)
