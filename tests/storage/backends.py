"""Every provider on every server that it is held against, and what each kind must be able to do.

A new kind gets rows in `BACKENDS` and `CAPABILITIES`; tests of one capability then run on whatever has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from strongroom.db.ids import new_id
from strongroom.storage.base import LocalFiles, Multipart, Narrowing, ObjectMeta, Presigning, Provider, Regions, ServerSideCopy
from strongroom.storage.keys import object_key
from strongroom.storage.providers import make_provider

from tests.services import ceph, rclone, shared
from tests.services.s3server import S3Server

MIB = 1024 * 1024
PART = 5 * MIB
ALL = (Regions, Multipart, Presigning, ServerSideCopy, LocalFiles, Narrowing)
MISSING: dict[str, Callable[[], str]] = {"ceph": ceph.missing, "rclone": rclone.missing}


@dataclass(frozen=True)
class Backend:
    """A provider's kind on one server."""

    kind: str
    make: Callable[[Path], Provider]


def s3_server(name: str) -> S3Server:
    """The run's server; where its programs are not installed, the tests that need it are skipped, in CI they fail."""
    lacking = MISSING[name]()
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"{name} is not installed: {lacking}; see tests/services/install.sh")
    return shared.server(name)


def s3(name: str) -> Callable[[Path], Provider]:
    def make(_: Path) -> Provider:
        server = s3_server(name)
        return make_provider("s3", server.config(), server.secrets())

    return make


BACKENDS: dict[str, Backend] = {
    "filesystem": Backend("filesystem", lambda folder: make_provider("filesystem", {"root": str(folder)})),
    "s3-ceph": Backend("s3", s3("ceph")),
    "s3-rclone": Backend("s3", s3("rclone")),
}
CAPABILITIES: dict[str, set[type]] = {
    "filesystem": {Regions, ServerSideCopy, LocalFiles},
    "s3": {Multipart, Presigning, ServerSideCopy},  # and Narrowing, where a role is configured
}


def having(capability: type) -> list[str]:
    """The backends whose kind must have a capability."""
    return sorted(name for name, backend in BACKENDS.items() if capability in CAPABILITIES[backend.kind])


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
