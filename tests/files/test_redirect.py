"""Sending a download on to the provider: only where it can sign addresses, only for what may be had, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from strongroom.operating import providers

from tenants import service as tenants
from tenants.models import Tenant
from tests.factories import Client, World, number, object_url, ok, problem
from tests.files.presigning import PresigningFiles, presigning_files
from tests.services.s3server import S3Server
from tests.services.shared import s3_server

DATA = bytes(range(256)) * 8
NAME = 'a "quoted" Ünï; name.bin'
URL = object_url("media", NAME)


@pytest.fixture
def provider(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Iterator[PresigningFiles]:
    """The tenant's provider, which can sign addresses now."""
    with presigning_files(world.files_dir) as made:
        monkeypatch.setattr(world.runtime, "_provider", lambda *_: (made, None))
        assert tenant
        yield made


@pytest.fixture
def file(world: World, client: Client, bucket: Any) -> Any:  # noqa: ARG001 - the file lies in it
    made = world.upload(client, NAME, DATA, Content_Type="application/octet-stream")
    world.run_jobs()
    return made


@pytest.mark.usefixtures("provider")
def test_to_the_provider(world: World, client: Client, file: Any, tenant: Tenant) -> None:
    plain = client.get(URL)
    for url in (f"{URL}?redirect=1", f"/api/v1/files/{file['id']}/content?redirect=1"):
        response = client.get(url)
        assert (response.status_code, response.data) == (302, b"")
        assert response.headers["Cache-Control"] == "no-store"
        assert "ETag" not in response.headers
        sent = requests.get(response.headers["Location"], timeout=10)
        assert (sent.status_code, sent.content) == (200, DATA)
        for name in ("Content-Type", "Content-Disposition"):
            assert sent.headers[name] == plain.headers[name]
        assert int(response.headers["Location"].split("ends=")[1].split("&")[0]) > 0
    found = world.rows(tenant, "access_log", "operation = 'download'")
    assert [row["bytes_out"] for row in found] == [len(DATA)] * 3


@pytest.mark.usefixtures("provider")
def test_part_of_it_is_counted_as_a_part(world: World, client: Client, tenant: Tenant, file: Any) -> None:
    assert file
    assert client.get(f"{URL}?redirect=1", headers={"Range": "bytes=0-9"}).status_code == 302
    assert [row["bytes_out"] for row in world.rows(tenant, "access_log", "operation = 'download'")] == [10]


@pytest.mark.usefixtures("provider", "file")
def test_by_the_buckets_policy(client: Client) -> None:
    assert client.get(URL).status_code == 200
    ok(client.patch("/api/v1/buckets/media", json={"redirect_downloads": True}))
    assert client.get(URL).status_code == 302
    assert client.head(URL).status_code == 200


@pytest.mark.usefixtures("provider")
def test_what_we_answer_ourselves(client: Client, file: Any) -> None:
    """The provider knows other tags than we do, so conditions about them are answered here; and HEAD, whose address would be another."""
    etag = f'"{file["etag"]}"'
    redirect = f"{URL}?redirect=1"
    assert client.get(redirect, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(redirect, headers={"If-Match": etag}).data == DATA
    assert client.get(redirect, headers={"If-Range": etag, "Range": "bytes=0-1"}).data == DATA[:2]
    problem(client.get(redirect, headers={"If-Match": '"other"'}), 412, "precondition_failed")
    problem(client.get(redirect, headers={"Range": "bytes=9999-"}), 416, "range_not_satisfiable")
    assert client.head(redirect).headers["Content-Length"] == str(len(DATA))


@pytest.mark.usefixtures("provider")
def test_what_is_good_once_stays_here(world: World, client: Client, file: Any, tenant: Tenant) -> None:
    ok(client.patch("/api/v1/buckets/media", json={"redirect_downloads": True}))
    for body, status in (({}, 302), ({"single_use": True}, 200)):
        url = ok(client.post(f"/api/v1/files/{file['id']}/presign", json=body))["url"]
        assert world.client(tenant).get(urlsplit(url).path).status_code == status


@pytest.mark.usefixtures("file")
def test_a_provider_that_cannot_sign(client: Client) -> None:
    assert client.get(f"{URL}?redirect=1").data == DATA
    problem(client.get(f"{URL}?redirect=perhaps"), 422, "validation_failed")


@pytest.mark.usefixtures("provider", "bucket")
def test_what_may_not_be_had_goes_nowhere(world: World, client: Client, tenant: Tenant) -> None:
    world.upload(client, "pending.bin", DATA)
    problem(world.client(world.create_user(tenant, "viewer")).get(f"{object_url('media', 'pending.bin')}?redirect=1"), 409, "file_pending")


# At real servers


@pytest.fixture(params=["ceph", "rclone", "ceph with a role"])
def s3(request: pytest.FixtureRequest) -> tuple[S3Server, dict[str, Any]]:
    """A server, and what more is to be said of a provider there."""
    server = s3_server(request.param.partition(" ")[0])
    return server, {"sts": {"role_arn": server.role_arn}} if "role" in request.param else {}


def test_to_an_s3_server(world: World, s3: tuple[S3Server, dict[str, Any]]) -> None:
    server, more = s3
    name = f"redirect-{number()}"
    providers.add_provider(world.runtime, "test", name=name, kind="s3", config=server.config(**more), secrets=server.secrets())
    tenant = tenants.create_tenant(world.runtime.databases, slug=name, provider=name)
    world.create_bucket(tenant, redirect_downloads=True)
    client = world.client(world.create_user(tenant))
    world.upload(client, NAME, DATA, Content_Type="application/octet-stream")
    world.run_jobs()
    answer = client.get(URL)
    assert (answer.status_code, answer.data) == (302, b"")
    location = answer.headers["Location"]
    assert location.startswith(f"{server.endpoint_url}/{server.bucket}/{tenant.prefix}")
    assert ("X-Amz-Security-Token" in location) is bool(more)
    sent = requests.get(location, timeout=10)
    assert (sent.status_code, sent.content) == (200, DATA)
    ours = client.get(URL, headers={"If-Match": "*"})
    for header in ("Content-Type", "Content-Disposition"):
        assert sent.headers[header] == ours.headers[header]
    part = requests.get(location, headers={"Range": "bytes=5-9"}, timeout=10)
    assert part.content == DATA[5:10]
    assert part.headers["Content-Range"] == f"bytes 5-9/{len(DATA)}", "rclone answers that with 200"
    another, bare = location.replace("attachment", "inline"), location.split("?")[0]
    assert another != location
    assert {requests.get(url, timeout=10).status_code for url in (another, bare)} <= {400, 403}
    assert requests.put(location, data=b"other bytes", timeout=10).status_code in {400, 403}
    assert [row["bytes_out"] for row in world.rows(tenant, "access_log", "operation = 'download'")] == [len(DATA)] * 2
