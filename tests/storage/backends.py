"""Every provider on every server that it is held against, and what each kind must be able to do.

A new kind gets rows in `BACKENDS` and `CAPABILITIES`; tests of one capability then run on whatever has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from strongroom.db.ids import new_id
from strongroom.storage.base import LocalFiles, Multipart, Narrowing, ObjectMeta, Presigning, Provider, Regions, ServerSideCopy
from strongroom.storage.keys import object_key
from strongroom.storage.providers import make_provider

from tests.services import ceph, rclone, shared
from tests.services.s3server import S3Server
from tests.storage.clouds import gcs_provider, opendal_provider

MIB = 1024 * 1024
PART = 5 * MIB
ALL = (Regions, Multipart, Presigning, ServerSideCopy, LocalFiles, Narrowing)
MISSING: dict[str, Callable[[], str]] = {"ceph": ceph.missing, "rclone": rclone.missing}


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


def s3_server(name: str) -> S3Server:
    """The run's server; where its programs are not installed, the tests that need it are skipped, in CI they fail."""
    lacking = MISSING[name]()
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"{name} is not installed: {lacking}; see tests/services/install.sh")
    return shared.server(name)


def s3(name: str) -> Callable[[pytest.FixtureRequest], Provider]:
    def make(_: pytest.FixtureRequest) -> Provider:
        server = s3_server(name)
        return make_provider("s3", server.config(), server.secrets())

    return make


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


def key_in(prefix: str) -> str:
    return object_key(prefix, new_id(), new_id())


def put(provider: Provider, key: str, *pieces: bytes) -> ObjectMeta:
    writer = provider.writer(key, sum(map(len, pieces)))
    for piece in pieces:
        writer.write(piece)
    return writer.complete()


def read(provider: Provider, key: str) -> bytes:
    reader = provider.open(key)
    try:
        data = bytearray()
        while piece := reader.read(64 * 1024):
            data += piece
        return bytes(data)
    finally:
        reader.close()
