"""Point 4: putting files in and getting them out: streaming, ranges, conditions, HEAD."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3

from tests.acceptance.client import Client, assert_problem
from tests.acceptance.content import MIB, TEXT, Noise, digest_of_stream, noise, png, sha256
from tests.acceptance.deployment import Deployment, Tenant

FILE = {
    "id", "bucket", "path", "size_bytes", "content_type", "detected_type", "etag", "fingerprint", "blake3", "sha256", "status", "scan",
    "version_id", "metadata", "created_by", "created_at", "updated_at",
}  # fmt: skip
BIG = 200 * MIB
DATA = noise(1000, 7)


def test_curl_sends_a_big_file(owner: Client, tenant: Tenant, tmp_path: Path) -> None:
    body, source = Noise(BIG), tmp_path / "video.bin"
    with source.open("wb") as file:
        for piece in body:
            file.write(piece)
    url = f"http://{tenant.slug}.localhost:{owner.port}/api/v1/objects/media/2026/video.bin"
    options = ["--resolve", f"{tenant.slug}.localhost:{owner.port}:127.0.0.1", "-H", f"Authorization: Bearer {owner.token}"]
    command = ["curl", "-sS", "-w", "\n%{http_code}", *options, "-T", source, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    answer, _, status = done.stdout.rpartition("\n")
    assert status == "201"
    file_ = json.loads(answer)
    assert set(file_) == FILE
    assert (file_["path"], file_["size_bytes"], file_["status"]) == ("2026/video.bin", BIG, "pending")
    checked = owner.checked(file_, 90)
    assert checked["sha256"] == body.sha256.hexdigest()
    assert checked["scan"]["scanned_bytes"] == BIG
    with owner.download("media", "2026/video.bin", stream=True) as back:
        assert back.headers["Content-Length"] == str(BIG)
        assert digest_of_stream(back) == body.sha256.hexdigest()


def test_expect_100_continue_is_answered(owner: Client, tenant: Tenant, tmp_path: Path) -> None:
    source = tmp_path / "five"
    source.write_bytes(b"12345")
    url = f"http://{tenant.slug}.localhost:{owner.port}/api/v1/objects/media/expect.bin"
    options = ["--resolve", f"{tenant.slug}.localhost:{owner.port}:127.0.0.1", "-H", f"Authorization: Bearer {owner.token}"]
    command = ["curl", "-sSv", *options, "-H", "Expect: 100-continue", "--expect100-timeout", "10", "-T", source, url]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert "HTTP/1.1 100" in done.stderr
    assert json.loads(done.stdout)["size_bytes"] == 5
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB])
def test_every_size_comes_back_as_it_was_in_chunks(owner: Client, size: int) -> None:
    data = noise(size, 3)
    pieces = (data[start : start + 10_000] for start in range(0, size, 10_000))
    file = owner.upload("media", f"chunks/{size}", pieces)
    assert (file["size_bytes"], file["blake3"]) == (size, blake3(data).hexdigest())
    assert owner.download("media", f"chunks/{size}").content == data
    assert owner.quota()["reserved_bytes"] == 0


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB])
def test_every_size_comes_back_as_it_was(owner: Client, size: int) -> None:
    data = noise(size, size)
    file = owner.store("media", "file.bin", data)
    assert (file["size_bytes"], file["sha256"], file["status"]) == (size, sha256(data), "available")
    assert owner.download("media", "file.bin").content == data
    assert file["fingerprint"]
    assert file["blake3"]


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a b/ü/日本.txt",
        "%2e%2e/x",
        "100%",
        "a?b#c",
        "a;b=c&d",
        "...",
        "a" * 1024,
        "é",
        "-",
        "CON",
        "a:b",
        "{}|^`<>\"'",
        "a//b"[:1] + "+b",
    ],
)
def test_every_allowed_path_comes_back_as_it_was(owner: Client, path: str) -> None:
    file = owner.store("media", path, DATA)
    assert file["path"] == path
    assert owner.download("media", path).content == DATA
    assert [each["path"] for each in owner.files("media")] == [path]
    disposition = owner.download("media", path).headers["Content-Disposition"]
    assert "\n" not in disposition
    assert "filename*=UTF-8''" in disposition


def test_paths_that_look_the_same_are_the_same(owner: Client) -> None:
    first = owner.upload("media", "cafe\u0301.txt", TEXT)
    second = owner.upload("media", "caf\u00e9.txt", TEXT)
    assert first["id"] == second["id"]
    assert len(owner.files("media")) == 1


def test_the_declared_type_is_kept_and_checked(owner: Client) -> None:
    assert owner.upload("media", "a.json", b'{"a": 1}', "application/json")["content_type"] == "application/json"
    assert owner.upload("media", "by-name.png", png())["content_type"] == "image/png"
    assert_problem(owner.put("media", "b.png", TEXT, "image/png"), 415, "type_mismatch")
    assert [each["path"] for each in owner.files("media")] == ["a.json", "by-name.png"]


def test_announced_digests(owner: Client) -> None:
    good = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    bad = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    md5 = base64.b64encode(hashlib.md5(DATA, usedforsecurity=False).digest()).decode()
    owner.upload("media", "a", DATA, headers={"Content-Digest": f"sha-256=:{good}:"})
    owner.upload("media", "b", DATA, headers={"Content-MD5": md5})
    assert_problem(owner.put("media", "c", DATA, headers={"Content-Digest": f"sha-256=:{bad}:"}), 400, "checksum_mismatch")
    assert_problem(owner.put("media", "c", DATA, headers={"Content-MD5": "!"}), 400, "bad_request")
    assert [each["path"] for each in owner.files("media")] == ["a", "b"]
    assert owner.quota()["reserved_bytes"] == 0


# Getting


@pytest.fixture
def stored(owner: Client) -> dict[str, object]:
    """A checked file of 1000 bytes."""
    return owner.store("media", "file.bin", DATA)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("0-0", 0, 0),
        ("0-99", 0, 99),
        ("500-", 500, 999),
        ("-1", 999, 999),
        ("-100", 900, 999),
        ("-5000", 0, 999),
        ("990-5000", 990, 999),
        ("0-", 0, 999),
    ],
)
def test_range(owner: Client, stored: dict[str, object], asked: str, start: int, end: int) -> None:
    answer = owner.download("media", "file.bin", headers={"Range": f"bytes={asked}"})
    assert answer.status_code == 206
    assert answer.content == DATA[start : end + 1]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end}/1000"
    assert answer.headers["Content-Length"] == str(end - start + 1)
    assert answer.headers["ETag"] == f'"{stored["etag"]}"'


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
@pytest.mark.usefixtures("stored")
def test_range_beyond_the_file(owner: Client, asked: str) -> None:
    answer = owner.download("media", "file.bin", headers={"Range": asked})
    problem = assert_problem(answer, 416, "range_not_satisfiable")
    assert problem["size_bytes"] == 1000
    assert answer.headers["Content-Range"] == "bytes */1000"


@pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=", "bytes=a-b", "lines=0-1", "0-1", "bytes=0-1,x"])
@pytest.mark.usefixtures("stored")
def test_what_is_no_range_gets_the_whole(owner: Client, asked: str) -> None:
    answer = owner.download("media", "file.bin", headers={"Range": asked})
    assert answer.status_code == 200
    assert answer.content == DATA


def test_conditions_of_getting(owner: Client, stored: dict[str, object]) -> None:
    etag = f'"{stored["etag"]}"'
    modified = owner.download("media", "file.bin").headers["Last-Modified"]
    for headers in (
        {"If-None-Match": etag},
        {"If-None-Match": f"W/{etag}"},
        {"If-None-Match": f'"x", {etag}'},
        {"If-Modified-Since": modified},
    ):
        answer = owner.download("media", "file.bin", headers=headers)
        assert (answer.status_code, answer.content) == (304, b""), headers
        assert answer.headers["ETag"] == etag
    for headers in ({"If-None-Match": '"other"'}, {"If-Modified-Since": "Thu, 01 Jan 1998 00:00:00 GMT"}):
        assert owner.download("media", "file.bin", headers=headers).status_code == 200, headers
    both = owner.download("media", "file.bin", headers={"If-None-Match": '"other"', "If-Modified-Since": modified})
    assert both.status_code == 200, "If-None-Match goes before If-Modified-Since"


def test_if_range(owner: Client, stored: dict[str, object]) -> None:
    etag = f'"{stored["etag"]}"'
    modified = owner.download("media", "file.bin").headers["Last-Modified"]
    for validator, status in ((etag, 206), (f"W/{etag}", 200), ('"other"', 200), (modified, 206), ("Thu, 01 Jan 1998 00:00:00 GMT", 200)):
        answer = owner.download("media", "file.bin", headers={"Range": "bytes=0-9", "If-Range": validator})
        assert answer.status_code == status, validator
        assert answer.content == (DATA[:10] if status == 206 else DATA)


def test_if_match_of_getting(owner: Client, stored: dict[str, object]) -> None:
    etag = f'"{stored["etag"]}"'
    assert owner.download("media", "file.bin", headers={"If-Match": etag}).status_code == 200
    assert_problem(owner.download("media", "file.bin", headers={"If-Match": '"other"'}), 412, "precondition_failed")


def test_head_is_get_without_the_body(owner: Client, stored: dict[str, object]) -> None:
    path = owner.object_path("media", "file.bin")
    got, head = owner.get(path), owner.request("HEAD", path)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges", "Content-Disposition"):
        assert head.headers[name] == got.headers[name], name
    assert owner.request("HEAD", path, headers={"If-None-Match": f'"{stored["etag"]}"'}).status_code == 304
    assert owner.request("HEAD", owner.object_path("media", "missing")).status_code == 404


def test_content_cannot_run_on_our_origin(owner: Client) -> None:
    owner.store("media", "page.html", b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>", "text/html")
    owner.store("media", "drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "image/svg+xml")
    owner.store("media", 'x"; filename="evil.exe', png(), "image/png")
    for path in ("page.html", "drawing.svg", 'x"; filename="evil.exe'):
        headers = owner.download("media", path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in headers["Content-Security-Policy"]
        assert headers["Content-Disposition"].count('"') == 2
        if not path.startswith("x"):
            assert headers["Content-Disposition"].startswith("attachment")


# Conditions of putting


def test_conditions_of_putting(owner: Client) -> None:
    first = owner.upload("media", "a", b"one", headers={"If-None-Match": "*"})
    assert_problem(owner.put("media", "a", b"two", headers={"If-None-Match": "*"}), 412, "precondition_failed")
    assert_problem(owner.put("media", "a", b"two", headers={"If-Match": '"other"'}), 412, "precondition_failed")
    assert_problem(owner.put("media", "b", b"two", headers={"If-Match": "*"}), 412, "precondition_failed")
    second = owner.upload("media", "a", b"two", headers={"If-Match": f'"{first["etag"]}"'})
    assert second["id"] == first["id"]
    assert second["etag"] != first["etag"]
    assert_problem(owner.put("media", "a", b"three", headers={"If-Match": f'"{first["etag"]}"'}), 412, "precondition_failed")
    assert owner.download("media", "a").content == b"two"
    assert owner.quota()["reserved_files"] == 0


def test_of_many_who_create_the_same_file_one_wins(owner: Client) -> None:
    def create(number: int) -> int:
        with owner.again() as client:
            return client.put("media", "once", noise(200_000, number), headers={"If-None-Match": "*"}).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(create, range(8)))
    assert answers == [201] + [412] * 7
    quota = owner.quota()
    assert (quota["used_files"], quota["used_bytes"], quota["reserved_files"]) == (1, 200_000, 0)


def test_idempotency_key(owner: Client) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = owner.put("media", "a", b"one", headers=headers)
    again = owner.put("media", "a", b"one", headers=headers)
    assert first.status_code == 201, first.text
    assert again.status_code == 201, again.text
    assert again.json()["version_id"] == first.json()["version_id"]
    assert_problem(owner.put("media", "b", b"one", headers=headers), 409, "idempotency_conflict")
    assert len(owner.get(f"/api/v1/files/{first.json()['id']}/versions").json()["items"]) == 1


def test_many_parallel_uploads(owner: Client) -> None:
    def send(number: int) -> str:
        with owner.again() as client:
            return str(client.upload("media", f"many/{number:02}", noise(300_000, number))["version_id"])

    with ThreadPoolExecutor(16) as pool:
        versions = list(pool.map(send, range(48)))
    listed = owner.files("media", prefix="many/", limit=7)
    assert [each["version_id"] for each in listed] == versions
    quota = owner.quota()
    assert (quota["used_files"], quota["used_bytes"], quota["reserved_bytes"]) == (48, 48 * 300_000, 0)


def test_bytes_are_on_the_disk_under_the_tenants_prefix_and_under_no_users_name(
    owner: Client, tenant: Tenant, deployment: Deployment
) -> None:
    file = owner.upload("media", "secret-plans/merger.txt", TEXT)
    assert set(tenant.stored()) == {file["version_id"].replace("-", "")}
    assert next(iter(tenant.stored().values())).read_bytes() == TEXT
    assert not [path for path in (deployment.state / "files").rglob("*") if "merger" in path.name or "secret-plans" in path.name]
