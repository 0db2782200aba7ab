"""What the storage tests share: keys, and the S3 servers that all of them run on."""

from __future__ import annotations

import pytest
from strongroom.db.ids import new_id
from strongroom.storage.keys import tenant_prefix

from tests.services.s3server import S3Server
from tests.services.shared import s3_server
from tests.storage.objects import new_key


@pytest.fixture
def prefix() -> str:
    """A tenant's prefix that no other test has."""
    return tenant_prefix(new_id())


@pytest.fixture
def key() -> str:
    """A key in a prefix that no other test has."""
    return new_key()


@pytest.fixture(params=["ceph", "rclone"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """Each of the S3 servers."""
    return s3_server(request.param)


@pytest.fixture
def ceph() -> S3Server:
    return s3_server("ceph")
