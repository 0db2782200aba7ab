"""Servers that the storage tests share: one of each for a process, started by the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.gcs import GCSService, gcs
from tests.services.webdav import RcloneService, rclone_serve


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSService]:
    with gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneService]:
    with rclone_serve("webdav", tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneService]:
    with rclone_serve("ftp", tmp_path_factory.mktemp("ftp")) as server:
        yield server
