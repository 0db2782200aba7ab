"""Imports by URL, from real servers on this machine: what becomes a file, what does not and why, and what is never told."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from strongroom.access import Scope
from strongroom.imports import fetching
from strongroom.uploads import service as uploads
from strongroom.uploads.repository import get_upload

from tenants.models import Tenant
from tests.factories import PNG, Account, Client, World, object_url, ok, problem, put_object
from tests.services import source as sources
from tests.services.source import Source, raw, reply
from tests.slow import BOUND_S, InBackground

pytestmark = pytest.mark.usefixtures("bucket")
SECRET = "token=very-secret"
MIB = 1024 * 1024


@pytest.fixture
def source() -> Iterator[Source]:
    with sources.start() as made:
        made.pages["/report.txt"] = reply("200 OK", b"quarterly report", "Content-Type: text/plain; charset=utf-8")
        yield made


@pytest.fixture
def worker(world: World, source: Source) -> World:
    """The deployment, allowed to reach the tests' server."""
    return world.again(outbound_allow=["127.0.0.0/8"], outbound_ports=[source.port])


@pytest.fixture
def importer(worker: World, owner: Account) -> Client:
    return worker.client(owner)


def begin(client: Client, url: str, **body: Any) -> Any:
    return ok(client.post("/api/v1/uploads/from-url", json={"url": url, "bucket": "media", **body}), 202)


def row(world: World, tenant: Tenant, begun: dict[str, Any]) -> Any:
    (found,) = world.rows(tenant, "uploads", "id = %(id)s", id=UUID(begun["id"]))
    return found


def nothing_left(world: World, tenant: Tenant, files: int = 0) -> None:
    totals = world.totals(tenant)
    assert (totals["used_files"], totals["reserved_bytes"], totals["reserved_files"]) == (files, 0, 0)
    world.run_jobs()
    assert len(world.stored(tenant)) == files


def paths(client: Client) -> list[str]:
    return [each["path"] for each in ok(client.get("/api/v1/buckets/media/files"))["items"]]


def test_an_import(world: World, worker: World, importer: Client, tenant: Tenant, owner: Account, source: Source) -> None:
    response = importer.post(
        "/api/v1/uploads/from-url", json={"url": source.url(f"/report.txt?{SECRET}#top"), "bucket": "media", "metadata": {"a": "b"}}
    )
    begun = ok(response, 202)
    assert response.headers["Location"] == f"/api/v1/uploads/{begun['id']}"
    assert (begun["mode"], begun["state"], begun["path"], begun["bucket"]) == ("import", "open", "report.txt", "media")
    assert source.requests == []
    (job,) = world.jobs(tenant, kind="uploads.import")
    assert job["ids"] == {"upload_id": begun["id"]}
    worker.run_jobs()
    ended = row(world, tenant, begun)
    assert (ended["state"], ended["reason"], ended["source_url"]) == ("complete", None, None)
    file = ok(importer.get(f"/api/v1/files/{ended['file_id']}"))
    assert (file["path"], file["content_type"], file["size_bytes"], file["metadata"]) == ("report.txt", "text/plain", 16, {"a": "b"})
    assert (file["created_by"], file["status"]) == (str(owner.id), "available")
    assert importer.get(object_url("media", "report.txt")).data == b"quarterly report"
    assert source.paths == [f"/report.txt?{SECRET}"]
    nothing_left(world, tenant, 1)


def test_the_url_is_nowhere_in_the_clear(
    world: World, worker: World, importer: Client, tenant: Tenant, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    source.pages["/gone"] = raw(b"")
    begun = begin(importer.with_headers({"Idempotency-Key": "k"}), source.url(f"/gone?{SECRET}"))
    assert b"secret" not in row(world, tenant, begun)["source_url"]
    worker.run_jobs()
    everything = [world.rows(tenant, table) for table in ("uploads", "events", "access_log", "idempotency_keys")] + [world.jobs(tenant)]
    assert "very-secret" not in repr(everything)
    assert "very-secret" not in caplog.text
    assert len(source.requests) == 1


def test_a_url_is_sealed_for_its_upload_alone(world: World, worker: World, importer: Client, tenant: Tenant, source: Source) -> None:
    first, second = (begin(importer, source.url("/report.txt"), path=f"{number}.txt") for number in range(2))
    world.tenant_sql(
        tenant, "UPDATE {t}.uploads SET source_url = (SELECT source_url FROM {t}.uploads WHERE id = %(a)s) WHERE id = %(b)s",
        a=UUID(first["id"]), b=UUID(second["id"]),
    )  # fmt: skip
    worker.run_jobs()
    assert (row(world, tenant, first)["state"], row(world, tenant, second)["state"]) == ("complete", "failed")
    assert source.paths == ["/report.txt"]


NAMES = {
    ("/report.txt", None): "report.txt",
    ("/a/b/%C3%BCber%20uns.txt?x=y.png", None): "über uns.txt",
    ("/", None): "download",
    ("/x/..%2F..%2Fetc%2Fpasswd", None): "passwd",
    ("/x/%00", None): "download",
    ("/get.txt", 'attachment; filename="real.txt"'): "real.txt",
    ("/get.txt", "attachment; filename*=UTF-8''%e2%82%ac.txt"): "€.txt",
    ("/get.txt", 'attachment; filename="../../evil.txt"'): "evil.txt",
    ("/get.txt", 'attachment; filename="C:\\\\x\\\\y.txt"'): "y.txt",
    ("/get.txt", 'attachment; filename=".."'): "get.txt",
    ("/get.txt", 'attachment; filename=""'): "get.txt",
    ("/get.txt", "inline"): "get.txt",
    ("/get.txt", 'attachment; filename="\u00fcn\u00ef.txt"'): "ünï.txt",
}


@pytest.mark.parametrize(("target", "disposition"), NAMES)
def test_how_a_file_is_named(worker: World, importer: Client, source: Source, target: str, disposition: str | None) -> None:
    path = target.partition("?")[0]
    source.pages[path] = reply("200 OK", b"text", *([f"Content-Disposition: {disposition}"] if disposition else []))
    begin(importer, source.url(target))
    worker.run_jobs()
    assert paths(importer) == [NAMES[target, disposition]]


def test_a_path_that_is_given_stays(worker: World, importer: Client, source: Source) -> None:
    source.pages["/x"] = reply("200 OK", b"text", 'Content-Disposition: attachment; filename="other.txt"', "Content-Type: application/json")
    begin(importer, source.url("/x"), path="own/name.txt", content_type="text/plain")
    worker.run_jobs()
    (file,) = ok(importer.get("/api/v1/buckets/media/files"))["items"]
    assert (file["path"], file["content_type"]) == ("own/name.txt", "text/plain")


def test_sizes_known_and_unknown(world: World, worker: World, importer: Client, tenant: Tenant, source: Source) -> None:
    data = b"0123456789abcdef" * (5 * MIB // 16)
    source.pages["/known.bin"] = reply("200 OK", data)
    source.pages["/chunks.bin"] = raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%s\r\n" % (MIB, data[:MIB]) for _ in range(5))
        + b"0\r\n\r\n"
    )
    source.pages["/closing.bin"] = raw(b"HTTP/1.0 200 OK\r\n\r\n" + data)
    source.pages["/empty.bin"] = reply("200 OK", b"")
    for name in ("known", "chunks", "closing", "empty"):
        begin(importer, source.url(f"/{name}.bin"))
    worker.run_jobs()
    for name in ("known", "chunks", "closing"):
        assert importer.get(object_url("media", f"{name}.bin")).data == data
    assert importer.get(object_url("media", "empty.bin")).data == b""
    nothing_left(world, tenant, 4)


def test_redirects(worker: World, importer: Client, source: Source) -> None:
    source.pages["/old"] = reply("302 Found", b"", "Location: /report.txt")
    begin(importer, source.url("/old"))
    worker.run_jobs()
    assert paths(importer) == ["old"]


# What is refused at once


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "file:///etc/passwd", "http://u:p@example.com/", "http://[::ffff:7f00:1]/", "x"]
)
def test_urls_that_may_not_be_asked(world: World, client: Client, tenant: Tenant, url: str) -> None:
    problem(client.post("/api/v1/uploads/from-url", json={"url": url, "bucket": "media"}), 422, "outbound_refused")
    assert world.rows(tenant, "uploads") == []


def test_requests_that_are_wrong(world: World, importer: Client, tenant: Tenant, source: Source) -> None:
    url = source.url("/report.txt")
    wrong: list[tuple[dict[str, Any], int, str]] = [
        ({}, 422, "validation_failed"),
        ({"url": url}, 422, "validation_failed"),
        ({"url": "http://example.com/" + "x" * 9000, "bucket": "media"}, 422, "validation_failed"),
        ({"url": url, "bucket": "elsewhere"}, 404, "not_found"),
        ({"url": url, "bucket": "media", "path": "../x"}, 400, "invalid_path"),
        ({"url": url, "bucket": "media", "content_type": "nothing"}, 400, "bad_request"),
        ({"url": url, "bucket": "media", "if_none_match": "x"}, 400, "bad_request"),
        ({"url": url, "bucket": "media", "metadata": {str(number): "x" for number in range(51)}}, 422, "validation_failed"),
    ]
    for body, status, code in wrong:
        problem(importer.post("/api/v1/uploads/from-url", json=body), status, code)
    put_object(importer, "media", "report.txt")
    problem(
        importer.post("/api/v1/uploads/from-url", json={"url": url, "bucket": "media", "if_none_match": "*"}), 412, "precondition_failed"
    )
    assert world.rows(tenant, "uploads") == []
    assert source.requests == []


def test_a_condition_is_held_to_at_the_end_too(world: World, worker: World, importer: Client, tenant: Tenant, source: Source) -> None:
    begun = begin(importer, source.url("/report.txt"), if_none_match="*")
    put_object(importer, "media", "report.txt", b"first")
    worker.run_jobs()
    assert row(world, tenant, begun)["reason"].startswith("precondition_failed")
    assert importer.get(object_url("media", "report.txt")).data == b"first"


# What ends an import


FINAL: dict[str, tuple[Any, str]] = {
    "not found": (reply("404 Not Found", b"gone"), "source_refused"),
    "forbidden": (reply("403 Forbidden", b"no"), "source_refused"),
    "half of it": (reply("206 Partial Content", b"half"), "source_refused"),
    "nothing": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), "source_refused"),
    "a redirect to where nobody may go": (reply("302 Found", b"", "Location: http://169.254.169.254/latest/"), "outbound_refused"),
    "a redirect in a circle": (reply("302 Found", b"", "Location: /x.png"), "source_refused"),
    "a page instead of a picture": (reply("200 OK", b"<!doctype html><html><body>sign in</body></html>" * 50), "type_"),
    "too large, as it says": (reply("200 OK", b"", length=2 * MIB), "file_too_large"),
    "too large, as it turns out": (raw(b"HTTP/1.0 200 OK\r\n\r\n" + PNG + b"\0" * 2 * MIB), "file_too_large"),
}


@pytest.mark.parametrize("kind", FINAL)
def test_what_is_not_tried_again(world: World, worker: World, owner: Account, source: Source, kind: str) -> None:
    client, tenant = worker.client(owner), owner.tenant
    world.create_bucket(tenant, "pictures", allowed_types=["image/*"], max_size_bytes=MIB)
    source.pages["/x.png"], code = FINAL[kind]
    begun = begin(client, source.url("/x.png"), bucket="pictures")
    worker.run_jobs()
    ended = row(world, tenant, begun)
    assert ended["state"] == "failed"
    assert ended["reason"].startswith(code)
    assert ended["source_url"] is None
    assert [job["state"] for job in world.jobs(tenant, kind="uploads.import")] == ["done"]
    nothing_left(world, tenant)


TEMPORARY: dict[str, Any] = {
    "busy": reply("503 Service Unavailable", b""),
    "too many requests": reply("429 Too Many", b""),
    "closed at once": raw(b""),
    "less than was announced": reply("200 OK", b"x" * 300_000, length=400_000),
    "chunks without the last": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
}


@pytest.mark.parametrize("kind", TEMPORARY)
def test_what_is_tried_again_until_it_works(
    world: World, worker: World, importer: Client, tenant: Tenant, source: Source, kind: str
) -> None:
    source.pages["/x.txt"] = TEMPORARY[kind]
    begun = begin(importer, source.url("/x.txt"))
    worker.run_jobs()
    (job,) = world.jobs(tenant, kind="uploads.import")
    assert (job["state"], job["attempts"]) == ("queued", 1)
    waiting = row(world, tenant, begun)
    assert waiting["state"] == "open"
    assert waiting["reason"].startswith("source_unavailable")
    assert paths(importer) == []
    worker.run_jobs()
    source.pages["/x.txt"] = reply("200 OK", b"at last")
    worker.run_jobs()
    assert importer.get(object_url("media", "x.txt")).data == b"at last"
    assert row(world, tenant, begun)["state"] == "complete"
    nothing_left(world, tenant, 1)


def test_the_last_try_ends_it(world: World, worker: World, importer: Client, tenant: Tenant, source: Source) -> None:
    source.pages["/x.txt"] = reply("500 Broken", b"")
    begun = begin(importer, source.url("/x.txt"))
    for _ in range(fetching.TRIES):
        assert row(world, tenant, begun)["state"] == "open"
        worker.run_jobs()
    ended = row(world, tenant, begun)
    assert (ended["state"], ended["source_url"]) == ("failed", None)
    assert ended["reason"].startswith("source_unavailable")
    assert len(source.requests) == fetching.TRIES
    assert [job["state"] for job in world.jobs(tenant, kind="uploads.import")] == ["done"]
    nothing_left(world, tenant)


def test_quota_known_and_unknown(world: World, source: Source) -> None:
    tenant = world.create_tenant(quota_bytes=MIB)
    owner = world.create_user(tenant)
    worker = world.again(outbound_allow=["127.0.0.0/8"], outbound_ports=[source.port])
    world.create_bucket(tenant)
    source.pages["/known"] = reply("200 OK", b"x" * (MIB + 1))
    source.pages["/unknown"] = raw(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * (MIB + 1))
    for name in ("known", "unknown"):
        begun = begin(worker.client(owner), source.url(f"/{name}"))
        worker.run_jobs()
        assert row(world, tenant, begun)["reason"].startswith("quota_exceeded")
    nothing_left(world, tenant)


def test_who_may_not_store_any_more(world: World, worker: World, tenant: Tenant, owner: Account, source: Source) -> None:
    member = world.create_user(tenant, "member")
    key = world.create_api_key(owner, Scope.FILES_WRITE)
    by_member = begin(worker.client(member), source.url("/report.txt"), path="1.txt")
    by_key = begin(worker.client(tenant, key), source.url("/report.txt"), path="2.txt")
    ok(worker.client(owner).delete(f"/api/v1/users/{member.id}"), 204)
    ok(worker.client(owner).delete(f"/api/v1/api-keys/{key.id}"), 204)
    worker.run_jobs()
    for begun in (by_member, by_key):
        assert row(world, tenant, begun)["reason"].startswith("forbidden")
    assert source.requests == []


# While it runs


class Paused:
    """An answer that stops in the middle until it is told to go on."""

    def __init__(self, before: bytes, behind: bytes) -> None:
        self._before, self._behind = before, behind
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self, connection: socket.socket, _source: Source) -> None:
        size = len(self._before) + len(self._behind)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + self._before)
        self.reached.set()
        assert self.go.wait(BOUND_S)
        connection.sendall(self._behind)


@pytest.fixture
def paused(source: Source, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paused]:
    monkeypatch.setattr(fetching, "PROGRESS_EVERY_S", 0.0)
    page = Paused(b"x" * MIB, b"y" * MIB)
    source.pages["/x.bin"] = page
    yield page
    page.go.set()


def test_progress_and_the_room_it_takes_are_seen(
    world: World, worker: World, importer: Client, tenant: Tenant, source: Source, paused: Paused
) -> None:
    begun = begin(importer, source.url("/x.bin"))
    running = InBackground(worker.run_jobs)
    assert paused.reached.wait(BOUND_S)
    for _ in range(1000):
        now = row(world, tenant, begun)
        if now["offset_bytes"] == MIB:
            break
        threading.Event().wait(0.01)
    assert (now["offset_bytes"], now["size_bytes"], now["reserved_bytes"]) == (MIB, 2 * MIB, 2 * MIB)
    assert world.totals(tenant)["reserved_bytes"] == 2 * MIB
    paused.go.set()
    running.result()
    assert importer.get(object_url("media", "x.bin")).data == b"x" * MIB + b"y" * MIB
    nothing_left(world, tenant, 1)


def test_one_that_is_ended_stops(world: World, worker: World, importer: Client, tenant: Tenant, source: Source, paused: Paused) -> None:
    begun = begin(importer, source.url("/x.bin"))
    running = InBackground(worker.run_jobs)
    assert paused.reached.wait(BOUND_S)
    with world.runtime.tenant(tenant) as connection:
        upload = get_upload(connection, UUID(begun["id"]))
    uploads.abandon(world.runtime, tenant, upload, "ended by its owner")
    paused.go.set()
    running.result()
    assert row(world, tenant, begun)["reason"] == "ended by its owner"
    assert row(world, tenant, begun)["source_url"] is None
    assert paths(importer) == []
    nothing_left(world, tenant)


def test_one_that_is_ended_before_it_began(world: World, worker: World, importer: Client, tenant: Tenant, source: Source) -> None:
    begun = begin(importer, source.url("/report.txt"))
    with world.runtime.tenant(tenant) as connection:
        upload = get_upload(connection, UUID(begun["id"]))
    uploads.abandon(world.runtime, tenant, upload, "ended by its owner")
    worker.run_jobs()
    assert source.requests == []
    nothing_left(world, tenant)


def test_a_job_that_is_done_twice_at_once(
    world: World, worker: World, importer: Client, tenant: Tenant, source: Source, paused: Paused
) -> None:
    """Its lease was lost, another took it, and both go on: one file, and the bytes are those of the row."""
    begun = begin(importer, source.url("/x.bin"))
    first = InBackground(worker.run_jobs)
    assert paused.reached.wait(BOUND_S)
    source.pages["/x.bin"] = reply("200 OK", b"other bytes by now")
    world.sql("UPDATE strongroom.jobs SET state = 'queued', lease_until = NULL, attempts = 0 WHERE kind = 'uploads.import'")
    worker.run_jobs()
    assert row(world, tenant, begun)["state"] == "complete"
    paused.go.set()
    first.result()
    (file,) = ok(importer.get("/api/v1/buckets/media/files"))["items"]
    assert file["size_bytes"] == 18
    assert importer.get(object_url("media", "x.bin")).data == b"other bytes by now"
    nothing_left(world, tenant, 1)


def test_imports_leave_workers_to_others(
    world: World, worker: World, importer: Client, tenant: Tenant, source: Source, paused: Paused
) -> None:
    """One import of a tenant at a time, of the two jobs that it may run; those that wait have not been tried."""
    begin(importer, source.url("/x.bin"))
    running = InBackground(worker.run_jobs)
    assert paused.reached.wait(BOUND_S)
    begin(importer, source.url("/report.txt"))
    put_object(importer, "media", "checked.txt")
    other = world.again(outbound_allow=["127.0.0.0/8"], outbound_ports=[source.port])
    world.run_due_jobs(other)
    assert ok(importer.get("/api/v1/buckets/media/files"))["items"][0]["status"] == "available"
    (waiting,) = world.jobs(tenant, kind="uploads.import", state="queued")
    assert waiting["attempts"] == 0
    assert source.paths == ["/x.bin"]
    paused.go.set()
    running.result()
    worker.run_jobs()
    assert paths(importer) == ["checked.txt", "report.txt", "x.bin"]


def test_a_repeated_request_begins_one_import(world: World, importer: Client, tenant: Tenant, source: Source) -> None:
    again = importer.with_headers({"Idempotency-Key": "one"})
    assert begin(again, source.url("/report.txt")) == begin(again, source.url("/report.txt"))
    assert len(world.rows(tenant, "uploads")) == 1


def test_what_is_sent_of_an_import(importer: Client, source: Source) -> None:
    assert set(begin(importer, source.url("/report.txt"))) == {"id", "mode", "state", "bucket", "path", "expires_at"}
    assert json.dumps(source.requests) == "[]"
