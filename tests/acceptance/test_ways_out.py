"""The ways out of a real server: what arrives on the wire is whole, or is seen not to be."""

from __future__ import annotations

import gzip
import http.client
import io
import os
import threading
import zipfile
from typing import Any

import psutil
import pytest
import requests

from tests.acceptance import wire
from tests.acceptance.client import Client, assert_problem
from tests.acceptance.deployment import Deployment, Tenant

TEXT = b"".join(b"line %d of a text that is worth compressing\n" % number for number in range(50_000))


def place(tenant: Tenant, file: dict[str, Any]) -> Any:
    """Where a file's bytes lie."""
    return tenant.stored()[file["version_id"].replace("-", "")]


def link_of(client: Client, file: dict[str, Any], **body: Any) -> str:
    made = client.post(f"/api/v1/files/{file['id']}/presign", json=body)
    assert made.status_code == 200, made.text
    assert set(made.json()) == {"url", "expires_at"}
    assert made.json()["url"].startswith(f"http://{client.host_header}/")
    return "/" + made.json()["url"].split("/", 3)[3]


def test_compressed_on_the_wire(owner: Client) -> None:
    owner.store("media", "a.txt", TEXT)
    path = owner.object_path("media", "a.txt")
    reply = owner.raw("GET", path, ["Accept-Encoding: gzip"])
    assert (reply.status_code, reply.headers["Transfer-Encoding"], reply.headers["Content-Encoding"]) == (200, "chunked", "gzip")
    assert gzip.decompress(reply.content) == TEXT
    head = owner.raw("HEAD", path, ["Accept-Encoding: gzip"])
    assert head.content == b""
    for name in ("ETag", "Content-Encoding", "Content-Length", "Vary"):
        assert head.headers[name] == reply.headers[name], name
    with wire.connect(owner.port) as sock:  # an old client gets no chunks, and the end of the connection as the end
        lines = [f"Host: {owner.host_header}", f"Authorization: Bearer {owner.token}", "Accept-Encoding: gzip"]
        sock.sendall(wire.head("GET", path, lines).replace(b"HTTP/1.1", b"HTTP/1.0"))
        old = wire.read_reply(sock)
    assert "Transfer-Encoding" not in old.headers
    assert gzip.decompress(old.content) == TEXT


def test_ranges_on_the_wire(owner: Client) -> None:
    owner.store("media", "a.txt", TEXT)
    path = owner.object_path("media", "a.txt")
    for _ in range(2):  # on one connection: what is announced is what comes
        answer = owner.get(path, headers={"Range": "bytes=0-9,100-109,-5"})
        assert answer.status_code == 206
        assert len(answer.content) == int(answer.headers["Content-Length"])
        assert answer.content.count(b"Content-Range: bytes ") == 3
    many = "bytes=" + ",".join(f"{number}-" for number in range(500))
    assert len(owner.get(path, headers={"Range": many, "Accept-Encoding": "identity"}).content) == len(TEXT)


def test_an_archive_on_the_wire(owner: Client) -> None:
    owner.store("media", "folder/a.txt", TEXT)
    owner.store("media", "folder/Ünï/b.bin", os.urandom(100_000), "application/octet-stream")
    answer = owner.get("/api/v1/buckets/media/archive?prefix=folder/")
    found = zipfile.ZipFile(io.BytesIO(answer.content))
    assert found.testzip() is None
    assert sorted(found.namelist()) == ["a.txt", "Ünï/b.bin"]
    head = owner.request("HEAD", "/api/v1/buckets/media/archive?prefix=folder/")
    assert (head.status_code, head.headers["Content-Type"]) == (200, "application/zip")


def test_a_broken_archive_is_seen_to_be_broken(tenant: Tenant, owner: Client) -> None:
    """The first file is whole, the second one lost its end on the disk: the connection is cut without a proper end."""
    owner.store("media", "a.bin", os.urandom(400_000), "application/octet-stream")
    broken = owner.store("media", "b.bin", os.urandom(400_000), "application/octet-stream")
    os.truncate(place(tenant, broken), 300_000)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        owner.get("/api/v1/buckets/media/archive")
    with pytest.raises(http.client.IncompleteRead) as cut:
        owner.raw("GET", "/api/v1/buckets/media/archive")
    assert not zipfile.is_zipfile(io.BytesIO(cut.value.partial))
    assert_problem(owner.download("media", "b.bin"), 503, "storage_unavailable")
    assert owner.download("media", "a.bin").status_code == 200


def test_of_many_who_use_a_link_once_one_has_it(tenant: Tenant, owner: Client) -> None:
    file = owner.store("media", "a.bin", os.urandom(200_000), "application/octet-stream")
    path = link_of(owner, file, single_use=True)
    found: list[tuple[int, int]] = []
    begin = threading.Barrier(12)

    def ask() -> None:
        with tenant.deployment.tenant_client(tenant.slug) as stranger:
            begin.wait(30)
            answer = stranger.get(path)
            found.append((answer.status_code, len(answer.content) if answer.status_code == 200 else 0))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [(200, 200_000)] + [(410, 0)] * 11
    stranger = tenant.deployment.tenant_client(tenant.slug)
    assert_problem(stranger.get(path), 410, "link_used", resolve=stranger.get)


def test_links_stay_at_their_tenant(deployment: Deployment, tenant: Tenant, owner: Client) -> None:
    file = owner.store("media", "a.txt", TEXT)
    path = link_of(owner, file, expires_in_s=60)
    stranger = deployment.tenant_client(tenant.slug)
    assert stranger.get(path).content == TEXT
    assert stranger.get(path, headers={"Range": "bytes=5-9"}).content == TEXT[5:10]
    assert_problem(deployment.tenant().owner.request("GET", path, token=""), 404, "not_found")
    assert_problem(deployment.client().get(path), 404, "unknown_host")


def test_a_public_site(deployment: Deployment, tenant: Tenant, owner: Client) -> None:
    owner.bucket("site", public=True)
    file = owner.store("site", "a.txt", TEXT)
    owner.store("media", "a.txt", TEXT)
    stranger = deployment.tenant_client(tenant.slug)
    answer = stranger.download("site", "a.txt")
    assert (answer.status_code, answer.content) == (200, TEXT)
    assert "public" in answer.headers["Cache-Control"]
    assert stranger.download("site", "a.txt", headers={"If-None-Match": f'"{file["etag"]}"'}).status_code == 304
    for name in ("a.txt", "none.txt"):
        assert_problem(stranger.download("media", name), 401, "unauthenticated")
    assert_problem(stranger.download("site", "none.txt"), 404, "not_found")
    assert_problem(stranger.get("/api/v1/buckets/site/files"), 401, "unauthenticated")


@pytest.mark.slow
def test_large_answers_take_no_memory(deployment: Deployment, owner: Client) -> None:
    """Half a gigabyte as an archive, and text as much as is compressed, by several at once: the processes hardly grow."""
    line = os.urandom(1 << 20)
    for number in range(8):
        owner.store("media", f"big/{number}.bin", line * 64, "application/octet-stream")
    owner.store("media", "text.txt", (TEXT * 30)[: (64 << 20) - 1])

    def memory() -> dict[int, int]:
        return {pid: psutil.Process(pid).memory_info().rss for pid in deployment.children("serve")}

    before, growth = memory(), 0

    def drain(path: str, accepts: str) -> None:
        with owner.again() as mine, mine.get(path, headers={"Accept-Encoding": accepts}, stream=True) as answer:
            assert answer.status_code == 200
            for _ in answer.raw.stream(1 << 20, decode_content=False):
                pass

    asked = [("/api/v1/buckets/media/archive?prefix=big/", "identity")] * 3
    asked += [(owner.object_path("media", "text.txt"), coding) for coding in ("zstd", "br", "gzip")]
    threads = [threading.Thread(target=drain, args=each) for each in asked]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        growth = max(growth, *(now - before[pid] for pid, now in memory().items()))
        threads[0].join(0.1)
    assert growth < 32 << 20
