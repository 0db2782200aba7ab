"""A deployment whose tenants' bytes are at an S3 provider (`rclone serve s3`): every way in, every way out, and away again."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping

import boto3
import pytest
import requests
from botocore.config import Config

from tests.acceptance.content import MIB, noise, sha256
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.test_direct import Sender
from tests.acceptance.test_tus import begin, offset, patch
from tests.acceptance.waiting import wait_until
from tests.services.s3server import S3Server

pytestmark = pytest.mark.slow
PURGED_S = 60.0


class AtS3(Deployment):
    """A deployment on a machine that has the server's credentials in its environment."""

    def __init__(self, server: S3Server) -> None:
        super().__init__()
        self.server = server

    @property
    def environment(self) -> dict[str, str]:
        """As every deployment's, with AWS's own names."""
        own: Mapping[str, str] = {
            "AWS_ACCESS_KEY_ID": self.server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return super().environment | own


@pytest.fixture(scope="module")
def server(rclone_server: S3Server) -> S3Server:
    return rclone_server


@pytest.fixture(scope="module")
def tenant(server: S3Server) -> Iterator[Tenant]:
    """A tenant at the provider, with a bucket `media`, whose deleted files are purged at once."""
    made = AtS3(server)
    try:
        made.start("--json")
        body = {"name": "s3", "kind": "s3", "config": server.config(credentials="environment")}
        answer = made.operator().post("/operator/api/v1/providers", json=body)
        assert answer.status_code == 201, answer.text
        tenant = made.tenant(provider="s3")
        tenant.owner.bucket("media", trash_days=0)
        yield tenant
    finally:
        made.end()


def lying(server: S3Server, tenant: Tenant) -> dict[str, int]:
    """What the server itself says that it keeps of the tenant: sizes by the last part of the key."""
    client = boto3.client(
        "s3", endpoint_url=server.endpoint_url, region_name="us-east-1", aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key, config=Config(s3={"addressing_style": "path"}, proxies={}),
    )  # fmt: skip
    found = client.list_objects_v2(Bucket=server.bucket).get("Contents", [])
    own = tenant.id.replace("-", "")
    return {each["Key"].rpartition("/")[2]: each["Size"] for each in found if own in each["Key"]}


def test_every_way_in_and_out(server: S3Server, tenant: Tenant) -> None:
    owner = tenant.owner
    data = {
        path: noise(size, seed)
        for seed, (path, size) in enumerate((("a/put.bin", 9 * MIB), ("a/tus.bin", 9 * MIB + 5), ("direct.bin", 17 * MIB)))
    }
    owner.upload("media", "a/put.bin", data["a/put.bin"])
    url = begin(owner, len(data["a/tus.bin"]), "a/tus.bin")
    assert patch(owner, url, 0, data["a/tus.bin"][: 8 * MIB + 1]).status_code == 204
    at = offset(owner, url)
    assert patch(owner, url, at, data["a/tus.bin"][at:]).status_code == 204
    sender = Sender(owner, data["direct.bin"], "direct.bin")
    assert sender.begun["mode"] == "direct"
    assert f":{server.endpoint_url.rpartition(':')[2]}/" in sender.begun["parts"][0]["url"], "the bytes go straight to the server"
    for part in sender.begun["parts"]:
        sender.put(part)
    assert sender.complete().status_code == 201
    files = {each["path"]: owner.checked(each) for each in owner.files("media")}
    assert {path: file["sha256"] for path, file in files.items()} == {path: sha256(body) for path, body in data.items()}
    versions = {file["version_id"].replace("-", ""): file["size_bytes"] for file in files.values()}
    assert wait_until(lambda: lying(server, tenant) == versions, PURGED_S, "only the files to be left")
    for path, body in data.items():
        assert owner.download("media", path).content == body
        sent_on = owner.download("media", path, params={"redirect": "1"})
        assert (sent_on.status_code, sent_on.content) == (302, b"")
        assert sent_on.headers["Location"].startswith(server.endpoint_url)
        there = requests.get(sent_on.headers["Location"], timeout=30)
        assert (there.status_code, there.content) == (200, body)
    part = owner.download("media", "direct.bin", headers={"Range": f"bytes={MIB - 1}-{9 * MIB}"})
    assert (part.status_code, part.content) == (206, data["direct.bin"][MIB - 1 : 9 * MIB + 1])
    archive = zipfile.ZipFile(io.BytesIO(owner.get("/api/v1/buckets/media/archive?prefix=a/").content))
    assert {name: archive.read(name) for name in archive.namelist()} == {"put.bin": data["a/put.bin"], "tus.bin": data["a/tus.bin"]}
    for file in files.values():
        assert owner.request("DELETE", f"/api/v1/files/{file['id']}").status_code == 204
    wait_until(lambda: not lying(server, tenant), PURGED_S, "the server to have nothing any more")
    assert owner.quota()["used_bytes"] == 0
