"""PUT of a file: what is stored, what is refused and when, and that a refusal leaves nothing behind."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from blake3 import blake3
from strongroom.access import Scope
from strongroom.errors import TooManyUploads
from strongroom.uploads import service as uploads
from strongroom.uploads.models import UploadRequest

from tenants.models import Tenant
from tests.factories import PNG, Account, Client, World, object_url, ok, problem, put_object
from tests.slow import all_at_once, slow_upload

pytestmark = pytest.mark.usefixtures("bucket")
MIB = 1024 * 1024
BLOCK = 4 * MIB


@pytest.fixture
def nothing_left(world: World, tenant: Tenant) -> Callable[[], None]:
    """Sees that an upload which failed has left no row, no reservation and, after the jobs, no bytes."""

    def check() -> None:
        assert world.rows(tenant, "files") == []
        assert world.rows(tenant, "versions") == []
        assert world.rows(tenant, "uploads") == []
        assert set(world.totals(tenant).values()) == {0}
        assert world.rows(tenant, "events", "kind LIKE 'file%%'") == []
        assert world.rows(tenant, "access_log") == []
        world.run_jobs()
        assert world.stored(tenant) == []

    return check


def test_the_answer_describes_the_file(world: World, client: Client, owner: Account) -> None:
    data = b"hello, world\n"
    response = put_object(client, "media", "2026/hello.txt", data, Content_Type="text/plain; charset=utf-8")
    file = ok(response, 201)
    assert response.headers["ETag"] == f'"{file["etag"]}"'
    fingerprint = blake3(blake3(data).digest()).hexdigest()
    wanted = {
        "bucket": "media", "path": "2026/hello.txt", "size_bytes": 13, "content_type": "text/plain", "detected_type": "text/plain",
        "fingerprint": fingerprint, "etag": fingerprint, "blake3": blake3(data).hexdigest(), "sha256": None, "status": "pending",
        "metadata": {}, "created_by": str(owner.id),
        "scan": {"verdict": "pending", "engine": None, "signatures_at": None, "scanned_bytes": None, "reason": None},
    }  # fmt: skip
    assert {name: file[name] for name in wanted} == wanted
    assert set(file) == {*wanted, "id", "version_id", "created_at", "updated_at"}
    world.run_jobs()
    checked = ok(client.get(f"/api/v1/files/{file['id']}"))
    assert checked["sha256"] == hashlib.sha256(data).hexdigest()
    assert checked["status"] == "available"


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 256 * 1024 + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 17])
def test_sizes_around_pieces_and_blocks(world: World, client: Client, tenant: Tenant, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    file = world.upload(client, "file.bin", data)
    blocks = [blake3(data[start : start + BLOCK]).digest() for start in range(0, size, BLOCK)]
    assert file["fingerprint"] == blake3(b"".join(blocks)).hexdigest()
    assert file["blake3"] == blake3(data).hexdigest()
    assert file["size_bytes"] == size
    (path,) = world.stored(tenant)
    assert path.read_bytes() == data
    assert client.get(object_url("media", "file.bin")).data == data
    assert world.totals(tenant) == {"used_bytes": size, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}


def test_content_is_read_as_a_stream(client: Client) -> None:
    """Never more than a piece at a time is asked of the body."""

    class Body(io.BytesIO):
        largest = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert size > 0
            Body.largest = max(Body.largest, size)
            return super().read(size)

    data = b"x" * (2 * MIB)
    overrides = {"wsgi.input": Body(data), "CONTENT_LENGTH": str(len(data))}
    ok(client.put(object_url("media", "a.txt"), environ_overrides=overrides), 201)
    assert 0 < Body.largest <= 256 * 1024
    assert client.get(object_url("media", "a.txt")).data == data


def test_no_connection_is_held_while_bytes_travel(world: World, owner: Account) -> None:
    one = world.again(pool_size=1, pool_timeout_s=0.2)
    client = one.client(owner)
    with slow_upload(client, "a.txt") as first, slow_upload(client, "b.txt") as second:
        ok(client.get("/api/v1/account"))
        assert (first().status_code, second().status_code) == (201, 201)


# Refused before a byte of the body is read


class Untouchable(io.RawIOBase):
    """A body that must not be read."""

    def read(self, _size: int = -1, /) -> bytes:
        raise AssertionError("the body was read")


REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], str, str, int, str]] = {
    # policy, headers, path, content length, status, code
    "unknown bucket": ({}, {}, "elsewhere:a.txt", "3", 404, "not_found"),
    "too large for the bucket": ({"max_size_bytes": 10}, {}, "media:a.txt", "11", 413, "file_too_large"),
    "too large for the plan": ({}, {}, "media:a.txt", str(2**60), 413, "file_too_large"),
    "larger than any number": ({}, {}, "media:a.txt", "9" * 400, 413, "file_too_large"),
    "a type that is not taken": ({"allowed_types": ["image/*"]}, {"Content-Type": "text/plain"}, "media:a", "3", 415, "type_not_allowed"),
    "a type told by the name": ({"allowed_types": ["image/*"]}, {}, "media:a.txt", "3", 415, "type_not_allowed"),
    "if-match of nothing": ({}, {"If-Match": '"x"'}, "media:a.txt", "3", 412, "precondition_failed"),
    "if-match of anything": ({}, {"If-Match": "*"}, "media:a.txt", "3", 412, "precondition_failed"),
    "an etag without quotes": ({}, {"If-Match": "x"}, "media:a.txt", "3", 400, "bad_request"),
    "no length": ({}, {}, "media:a.txt", "", 411, "length_required"),
    "a length that is no number": ({}, {}, "media:a.txt", "three", 400, "bad_request"),
    "a negative length": ({}, {}, "media:a.txt", "-3", 400, "bad_request"),
    "a length with a sign": ({}, {}, "media:a.txt", "+3", 400, "bad_request"),
    "a digest that is no base64": ({}, {"Content-Digest": "sha-256=:====:"}, "media:a.txt", "3", 400, "bad_request"),
    "an md5 that is no base64": ({}, {"Content-MD5": "!"}, "media:a.txt", "3", 400, "bad_request"),
    "over the quota": ({}, {}, "media:a.txt", str(5 * MIB), 507, "quota_exceeded"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_the_body_is_read(world: World, client: Client, tenant: Tenant, name: str, nothing_left: Callable[[], None]) -> None:
    policy, headers, where, length, status, code = REFUSED[name]
    if policy:
        ok(client.patch("/api/v1/buckets/media", json=policy))
    if code == "quota_exceeded":
        world.sql("""UPDATE strongroom.tenants SET limits = '{"quota_bytes": 1048576}' WHERE id = %(id)s""", id=tenant.id)
        world.runtime.registry.forget()
    bucket, path = where.split(":")
    overrides: dict[str, Any] = {"wsgi.input": Untouchable(), "CONTENT_LENGTH": length or None}
    response = client.put(object_url(bucket, path), headers=headers, environ_overrides=overrides)
    problem(response, status, code)
    nothing_left()


def test_a_length_of_many_digits(client: Client, nothing_left: Callable[[], None]) -> None:
    """More digits than Python turns into a number."""
    response = client.put(object_url("media", "a.txt"), environ_overrides={"CONTENT_LENGTH": "9" * 5000})
    assert response.status_code in {400, 413}, response.data
    nothing_left()


# Refused while the body comes


def test_short_body(client: Client, nothing_left: Callable[[], None]) -> None:
    for sent, told in ((0, 1), (10, 11), (64 * 1024, 64 * 1024 + 1), (MIB, 2 * MIB)):
        overrides = {"wsgi.input": io.BytesIO(b"x" * sent), "CONTENT_LENGTH": str(told)}
        problem(client.put(object_url("media", "a.txt"), environ_overrides=overrides), 400, "incomplete_body")
        nothing_left()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConnectionResetError(104, "reset"), 400, "incomplete_body"),
        (OSError("no number"), 400, "incomplete_body"),
        (TimeoutError("slow"), 408, "request_timeout"),
        (BlockingIOError(11, "again"), 408, "request_timeout"),
    ],
    ids=str,
)
def test_sender_goes_away_or_falls_asleep(client: Client, error: OSError, status: int, code: str, nothing_left: Callable[[], None]) -> None:
    class Broken(io.RawIOBase):
        left = 100_000

        def read(self, size: int = -1, /) -> bytes:
            if not self.left:
                raise error
            size = min(size, self.left)
            self.left -= size
            return b"x" * size

    overrides = {"wsgi.input": Broken(), "CONTENT_LENGTH": "200000"}
    problem(client.put(object_url("media", "a.txt"), environ_overrides=overrides), status, code)
    nothing_left()


def test_more_than_was_announced_is_not_taken(world: World, client: Client, tenant: Tenant) -> None:
    overrides = {"wsgi.input": io.BytesIO(b"abcdefgh"), "CONTENT_LENGTH": "3"}
    assert ok(client.put(object_url("media", "a.txt"), environ_overrides=overrides), 201)["size_bytes"] == 3
    assert world.stored(tenant)[0].read_bytes() == b"abc"


def digest(data: bytes, name: str) -> str:
    return base64.b64encode(hashlib.new(name, data).digest()).decode()


@pytest.mark.parametrize(("header", "form", "name"), [
    ("Content-Digest", "sha-256=:{}:", "sha256"), ("Content-Digest", "sha-512=:{}:", "sha512"), ("Content-Digest", "md5=:{}:", "md5"),
    ("Content-MD5", "{}", "md5"), ("Content-Digest", "unknown=:AAAA:, sha-256=:{}:", "sha256"),
])  # fmt: skip
def test_announced_digests(client: Client, header: str, form: str, name: str, nothing_left: Callable[[], None]) -> None:
    data = b"checked bytes" * 100_000
    wrong = {header: form.format(digest(b"other bytes", name))}
    problem(client.put(object_url("media", "a.txt"), data=data, headers=wrong), 400, "checksum_mismatch")
    truncated = {header: form.format(base64.b64encode(b"x").decode())}
    problem(client.put(object_url("media", "a.txt"), data=data, headers=truncated), 400, "checksum_mismatch")
    nothing_left()
    ok(client.put(object_url("media", "a.txt"), data=data, headers={header: form.format(digest(data, name))}), 201)


def test_every_announced_digest_counts(client: Client, nothing_left: Callable[[], None]) -> None:
    data = b"checked bytes"
    headers = {"Content-Digest": f"sha-256=:{digest(data, 'sha256')}:, sha-512=:{digest(b'x', 'sha512')}:"}
    problem(client.put(object_url("media", "a.txt"), data=data, headers=headers), 400, "checksum_mismatch")
    nothing_left()


ELF = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0>\0" + b"\1" * 200


@pytest.mark.parametrize(("path", "data", "declared", "code"), [
    ("picture.png", ELF, "image/png", "type_mismatch"),
    ("picture.png", ELF, None, "type_mismatch"),
    ("picture.png", ELF, "application/octet-stream", "type_mismatch"),
    ("picture.jpg", b"<html><script>alert(1)</script>", "image/jpeg", "type_mismatch"),
    ("notes.txt", PNG, "text/plain", "type_mismatch"),
])  # fmt: skip
def test_bytes_that_are_not_what_they_are_said_to_be(
    client: Client, path: str, data: bytes, declared: str | None, code: str, nothing_left: Callable[[], None]
) -> None:
    headers = {"Content-Type": declared} if declared else {}
    answer = problem(client.put(object_url("media", path), data=data, headers=headers), 415, code)
    assert answer["detected_type"]
    nothing_left()


def test_a_wrong_type_ends_the_upload_early(client: Client, nothing_left: Callable[[], None]) -> None:
    class Body(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            Body.taken += len(data)
            return data

    data = ELF + b"\1" * MIB
    overrides = {"wsgi.input": Body(data), "CONTENT_LENGTH": str(len(data)), "CONTENT_TYPE": "image/png"}
    problem(client.put(object_url("media", "a.png"), environ_overrides=overrides), 415, "type_mismatch")
    assert Body.taken <= 64 * 1024
    nothing_left()


def test_detected_type_is_held_against_the_policy(world: World, client: Client) -> None:
    ok(client.patch("/api/v1/buckets/media", json={"allowed_types": ["image/png"]}))
    answer = problem(put_object(client, "media", "noname", b"plain text, really"), 415, "type_not_allowed")
    assert answer["detected_type"] == "text/plain"
    assert world.upload(client, "a.png", PNG)["detected_type"] == "image/png"


def test_a_nameless_file_is_judged_by_its_bytes(world: World, client: Client) -> None:
    """What `curl -T` sends: no type, and here no extension either."""
    ok(client.patch("/api/v1/buckets/media", json={"allowed_types": ["image/png"]}))
    assert world.upload(client, "noname", PNG)["detected_type"] == "image/png"


def test_a_form_type_of_a_careless_client_is_no_claim(world: World, client: Client) -> None:
    file = world.upload(client, "a.txt", b"text", Content_Type="application/x-www-form-urlencoded")
    assert file["content_type"] == "text/plain"


# Conditions


def test_if_none_match_star_makes_only_new_files(client: Client) -> None:
    ok(put_object(client, "media", "a.txt", b"1", If_None_Match="*"), 201)
    problem(put_object(client, "media", "a.txt", b"2", If_None_Match="*"), 412, "precondition_failed")
    assert client.get(object_url("media", "a.txt")).data == b"1"


def test_if_match_replaces_only_what_one_knows(world: World, client: Client) -> None:
    first = world.upload(client, "a.txt", b"1")
    second = ok(put_object(client, "media", "a.txt", b"2", If_Match=f'"{first["etag"]}"'), 201)
    assert second["id"] == first["id"]
    assert second["version_id"] != first["version_id"]
    problem(put_object(client, "media", "a.txt", b"3", If_Match=f'"{first["etag"]}"'), 412, "precondition_failed")
    ok(put_object(client, "media", "a.txt", b"3", If_Match=f'"other", "{second["etag"]}"'), 201)
    ok(put_object(client, "media", "a.txt", b"4", If_Match="*"), 201)


def test_if_none_match_of_a_tag(world: World, client: Client) -> None:
    first = world.upload(client, "a.txt", b"1")
    problem(put_object(client, "media", "a.txt", b"1", If_None_Match=f'"{first["etag"]}"'), 412, "precondition_failed")
    ok(put_object(client, "media", "a.txt", b"2", If_None_Match='"another"'), 201)


def test_if_match_compares_strongly(world: World, client: Client) -> None:
    """RFC 9110, 13.1.1: a weak tag matches nothing."""
    first = world.upload(client, "a.txt", b"1")
    problem(put_object(client, "media", "a.txt", b"2", If_Match=f'W/"{first["etag"]}"'), 412, "precondition_failed")
    problem(client.delete(object_url("media", "a.txt"), headers={"If-Match": f'W/"{first["etag"]}"'}), 412, "precondition_failed")


def test_conditions_are_held_again_when_the_bytes_are_there(world: World, client: Client, tenant: Tenant) -> None:
    """Two uploads that both found nothing when they began: the second to end is refused, and leaves nothing."""
    headers = {"If-None-Match": "*"}
    with slow_upload(client.with_headers(headers), "a.txt", b"slow") as finish:
        ok(put_object(client, "media", "a.txt", b"quick"), 201)
        problem(finish(), 412, "precondition_failed")
    world.run_jobs()
    assert client.get(object_url("media", "a.txt")).data == b"quick"
    assert len(world.stored(tenant)) == 1
    assert world.totals(tenant) == {"used_bytes": 5, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}


def test_of_two_that_replace_the_same_version_one_wins(world: World, client: Client, tenant: Tenant) -> None:
    for turn in range(5):
        etag = world.upload(client, "a.txt", b"start %d" % turn)["etag"]
        acts = [lambda text=text: put_object(client, "media", "a.txt", text, If_Match=f'"{etag}"') for text in (b"one", b"two")]  # noqa: B023 - called before the loop goes on
        answers = all_at_once(acts)
        assert sorted(each.status_code for each in answers) == [201, 412]
        winner = next(each.get_json() for each in answers if each.status_code == 201)
        assert ok(client.get(f"/api/v1/files/{winner['id']}"))["version_id"] == winner["version_id"]
    world.run_jobs()
    assert len(world.stored(tenant)) == len(world.rows(tenant, "versions")) == 10


def test_of_many_that_make_the_same_file_one_wins(world: World, client: Client, tenant: Tenant) -> None:
    acts = [lambda each=each: put_object(client, "media", "a.txt", b"%d" % each, If_None_Match="*") for each in range(8)]
    answers = all_at_once(acts)
    assert sorted(each.status_code for each in answers) == [201] + [412] * 7
    world.run_jobs()
    assert len(world.stored(tenant)) == len(world.rows(tenant, "files")) == 1
    assert world.totals(tenant) == {"used_bytes": 1, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}


def test_unconditional_writers_all_win_in_turn(world: World, client: Client, tenant: Tenant) -> None:
    answers = all_at_once([lambda each=each: put_object(client, "media", "a.txt", b"%d" % each) for each in range(8)])
    assert {each.status_code for each in answers} == {201}
    assert len({each.get_json()["id"] for each in answers}) == 1
    assert len(world.rows(tenant, "versions")) == 8
    assert world.totals(tenant)["used_files"] == 1


# Quota


def test_quota_is_exact_at_its_edge(world: World) -> None:
    account = world.create_user(world.create_tenant(quota_bytes=100, quota_files=3))
    world.create_bucket(account.tenant)
    client = world.client(account)
    world.upload(client, "1", b"x" * 60)
    problem(put_object(client, "media", "2", b"x" * 41), 507, "quota_exceeded")
    world.upload(client, "2", b"x" * 40)
    problem(put_object(client, "media", "3", b"x"), 507, "quota_exceeded")
    world.upload(client, "3", b"")
    problem(put_object(client, "media", "4", b""), 507, "quota_exceeded")
    quota = ok(client.get("/api/v1/tenant/quota"))
    assert (quota["used_bytes"], quota["used_files"], quota["reserved_bytes"], quota["reserved_files"]) == (100, 3, 0, 0)


def test_no_race_passes_the_quota(world: World) -> None:
    account = world.create_user(world.create_tenant(quota_bytes=70))
    world.create_bucket(account.tenant)
    client = world.client(account)
    answers = all_at_once([lambda each=each: put_object(client, "media", f"{each}", b"x" * 10) for each in range(20)])
    codes = [each.status_code for each in answers]
    assert (codes.count(201), codes.count(507)) == (7, 13)
    assert world.totals(account.tenant) == {"used_bytes": 70, "used_files": 7, "reserved_bytes": 0, "reserved_files": 0}
    world.run_jobs()
    assert len(world.stored(account.tenant)) == 7


def test_open_uploads_count_against_the_quota(world: World) -> None:
    account = world.create_user(world.create_tenant(quota_bytes=100))
    world.create_bucket(account.tenant)
    client = world.client(account)
    with slow_upload(client, "slow", b"x" * 60) as finish:
        assert world.totals(account.tenant)["reserved_bytes"] == 60
        problem(put_object(client, "media", "quick", b"x" * 50), 507, "quota_exceeded")
        ok(finish(), 201)
    world.upload(client, "rest", b"x" * 40)


def test_replacing_a_file_needs_no_room_for_another_file(world: World) -> None:
    account = world.create_user(world.create_tenant(quota_files=1))
    world.create_bucket(account.tenant)
    client = world.client(account)
    world.upload(client, "a.txt", b"1")
    world.upload(client, "a.txt", b"2")
    problem(put_object(client, "media", "b.txt", b"1"), 507, "quota_exceeded")


# Idempotency of uploads


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/octet-stream"])
def test_a_repeated_upload_is_done_once(world: World, client: Client, tenant: Tenant, content_type: str) -> None:
    headers = {"Idempotency-Key": "upload 1", "Content-Type": content_type}
    data = b'{"a": 1}'
    first = ok(client.put(object_url("media", "a.json"), data=data, headers=headers), 201)
    again = client.put(object_url("media", "a.json"), data=data, headers=headers)
    assert ok(again, 201) == first
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["ETag"] == f'"{first["etag"]}"'
    assert len(world.rows(tenant, "versions")) == 1


def test_a_large_json_file_with_an_idempotency_key(client: Client) -> None:
    """It is a file's bytes, not a JSON body: no limit of JSON bodies holds for it."""
    data = b'["' + b"x" * (2 * MIB) + b'"]'
    headers = {"Idempotency-Key": "large", "Content-Type": "application/json"}
    assert ok(client.put(object_url("media", "a.json"), data=data, headers=headers), 201)["size_bytes"] == len(data)


def test_api_keys_upload_as_their_user(world: World, owner: Account) -> None:
    key = world.create_api_key(owner, Scope.FILES_WRITE)
    file = world.upload(world.client(owner.tenant, key), "a.txt")
    assert file["created_by"] == str(owner.id)
    (event,) = world.rows(owner.tenant, "events", "kind = 'file.created'")
    assert event["actor"] == {"user_id": str(owner.id), "api_key_id": str(key.id)}


# Requests that would store something else than their sender means


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 0-4/10"},
        {"Transfer-Encoding": "gzip, chunked"},
        {"Transfer-Encoding": "gzip"},
        {"Content-Digest": "sha-256=nonsense"},
        {"Content-Digest": "garbage"},
    ],
    ids=str,
)
def test_headers_that_mean_another_body(world: World, client: Client, tenant: Tenant, headers: dict[str, str]) -> None:
    problem(client.put(object_url("media", "a.bin"), data=b"bytes", headers=headers), 400, "bad_request")
    assert world.stored(tenant) == []
    assert set(world.totals(tenant).values()) == {0}


def test_parallel_uploads_are_exact(world: World) -> None:
    account = world.create_user(world.create_tenant(parallel_uploads=3))
    world.create_bucket(account.tenant)

    def begin(number: int) -> str:
        request = UploadRequest("media", f"{number}.bin", 100)
        try:
            uploads.begin(world.runtime, account.tenant, account.principal, request)
        except TooManyUploads:
            return "refused"
        return "begun"

    answers = all_at_once([partial(begin, number) for number in range(8)])
    assert answers.count("begun") == 3
    assert world.totals(account.tenant)["reserved_bytes"] == 300
