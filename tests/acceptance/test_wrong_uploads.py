"""Wrong input around uploads. Each has its own problem document, and leaves neither a row nor bytes nor a reservation."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance import wire
from tests.acceptance.client import Client, assert_problem
from tests.acceptance.content import MIB, TEXT, Noise, noise, png
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.waiting import wait_until

OBJECTS = "/api/v1/objects/media"
EMPTY_S = 20.0


def own_lines(client: Client, *more: str) -> list[str]:
    return [f"Host: {client.host_header}", f"Authorization: Bearer {client.token}", *more]


def nothing_is_left(tenant: Tenant, *, files: int = 0, root: Path | None = None) -> None:
    """See that the reservation is given back, no file is listed, and no byte lies on the disk."""

    def clean() -> bool:
        quota = tenant.owner.quota()
        assert (quota["reserved_bytes"], quota["reserved_files"]) == (0, 0)
        assert quota["used_files"] == files
        assert len(tenant.owner.files("media")) == files
        assert len(tenant.stored(root)) == files, tenant.stored(root)
        return True

    wait_until(clean, EMPTY_S, "nothing to be left")


# Paths

WRONG_PATHS: list[bytes] = [
    b"../x", b"a/../x", b"a/..", b"..", b"%2e%2e/x", b"a/%2e%2e/x", b"a%2f..%2fx", b"./x", b"a/./x", b"%2e", b"a//b", b"/a", b"a/", b"",
    b"a%00b", b"%00", b"a\\b", b"a%5cb", b"..%5cx", b"a%0ab", b"a%7fb", b"%ff", b"a%c3", b"%ed%a0%80", b"%f4%90%80%80", b"%c0%ae%c0%ae/x",
    b"x" * 1025, b"%c3%bc" * 513, b"a%c2%85b",
]  # fmt: skip


@pytest.mark.parametrize("path", WRONG_PATHS, ids=lambda path: repr(path[:20]))
def test_wrong_paths(owner: Client, path: bytes) -> None:
    target = OBJECTS.encode() + b"/" + path
    for method in ("PUT", "GET", "HEAD", "DELETE"):
        answer = owner.raw(method, target, ["Content-Length: 4"] if method == "PUT" else [], b"data" if method == "PUT" else b"")
        assert answer.status_code in ({400} if path else {400, 404, 405}), (method, answer.content)
        if method != "HEAD" and path:
            assert_problem(answer, 400, "invalid_path", resolve=owner.get)
    assert owner.files("media") == []
    assert owner.quota()["reserved_files"] == 0


def test_dots_leave_no_bucket_and_no_folder(owner: Client, deployment: Deployment) -> None:
    before = {path for path in deployment.state.rglob("*") if "pg" not in path.parts}
    for target in ("/../../../../tmp/evil", "/a/../../documents/evil", "/..%2f..%2f..%2fevil", "/%252e%252e/evil"):
        command = ["curl", "-sS", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", "-T", "-", "-H", f"Host: {owner.host_header}"]
        done = subprocess.run(
            [*command, "-H", f"Authorization: Bearer {owner.token}", "-H", "Content-Length: 4", "-H", "Transfer-Encoding:", f"http://127.0.0.1:{owner.port}{OBJECTS}{target}"],
            input=b"data", capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.stdout in {b"400", b"404", b"411"} or "%252e" in target, (target, done.stdout)
    assert {each["path"] for each in owner.files("media")} <= {"%2e%2e/evil"}
    fresh = {path for path in deployment.state.rglob("*") if "pg" not in path.parts} - before
    assert not [path for path in fresh if "evil" in path.name]


# Lengths


@pytest.mark.parametrize("sent", [b"", b"one", b"x" * 100_000])
def test_chunks_that_break_off(owner: Client, tenant: Tenant, sent: bytes) -> None:
    head = wire.head("PUT", f"{OBJECTS}/half", own_lines(owner, "Transfer-Encoding: chunked"))
    with wire.connect(owner.port) as sock:
        sock.sendall(head + b"%x\r\n" % (len(sent) + 10) + sent)
        wait_until(lambda: owner.quota()["reserved_files"] == 1, 10, "the upload to have begun")
        wire.hang_up(sock)
    nothing_is_left(tenant)
    assert owner.files("media") == []


def test_chunks_beyond_the_limit(owner: Client, tenant: Tenant) -> None:
    small = owner.post("/api/v1/buckets", json={"name": "small", "max_size_bytes": 100_000})
    assert small.status_code == 201
    answer = owner.request("PUT", "/api/v1/objects/small/a.bin", data=iter([b"x" * 60_000] * 3))
    assert_problem(answer, 413, "file_too_large")
    nothing_is_left(tenant)


def test_no_length(owner: Client, tenant: Tenant) -> None:
    neither = owner.raw("PUT", f"{OBJECTS}/a")
    assert_problem(neither, 411, "length_required")
    nothing_is_left(tenant)


@pytest.mark.parametrize("sent", [0, 10, MIB, 6 * MIB])
@pytest.mark.parametrize("how", ["reset", "closed"])
def test_client_gone_halfway(owner: Client, tenant: Tenant, sent: int, how: str) -> None:
    announced = 8 * MIB
    sock = wire.connect(owner.port)
    sock.sendall(wire.head("PUT", f"{OBJECTS}/half", own_lines(owner, f"Content-Length: {announced}")) + noise(sent))
    wait_until(lambda: owner.quota()["reserved_bytes"] == announced, 10, "the upload to have begun")
    if how == "reset":
        wire.hang_up(sock)
    else:
        sock.close()
    nothing_is_left(tenant)
    assert owner.files("media") == []


def test_a_body_that_ends_too_early_is_told(owner: Client, tenant: Tenant) -> None:
    with wire.connect(owner.port) as sock:
        sock.sendall(wire.head("PUT", f"{OBJECTS}/half", own_lines(owner, "Content-Length: 1000")) + noise(999))
        sock.shutdown(socket.SHUT_WR)
        assert_problem(wire.read_reply(sock), 400, "incomplete_body", resolve=owner.get)
    nothing_is_left(tenant)


def test_a_body_that_is_longer_than_announced_is_cut(owner: Client) -> None:
    with wire.connect(owner.port) as sock:
        sock.sendall(wire.head("PUT", f"{OBJECTS}/long", own_lines(owner, "Content-Length: 4")) + b"datamore\r\n\r\n")
        assert wire.read_reply(sock).json()["size_bytes"] == 4
    file = owner.checked(owner.files("media")[0])
    assert owner.download("media", file["path"]).content == b"data"


def refused_before_the_body(client: Client, announced: int, *lines: str, path: str = "big") -> wire.Reply:
    """Send a head alone; the answer has to come without a byte of the body."""
    with wire.connect(client.port, 5) as sock:
        sock.sendall(wire.head("PUT", f"{OBJECTS}/{path}", own_lines(client, f"Content-Length: {announced}", *lines)))
        return wire.read_reply(sock)


def test_over_the_buckets_limit(owner: Client, tenant: Tenant) -> None:
    owner.request("PATCH", "/api/v1/buckets/media", json={"max_size_bytes": 1000})
    for announced in (1001, 10**12, 10**18, 10**30):
        problem = assert_problem(refused_before_the_body(owner, announced), 413, "file_too_large", resolve=owner.get)
        assert problem["max_size_bytes"] == 1000
    expecting = refused_before_the_body(owner, 1001, "Expect: 100-continue")
    assert_problem(expecting, 413, "file_too_large")
    nothing_is_left(tenant)
    owner.upload("media", "just", noise(1000))


def test_over_the_plans_limit(deployment: Deployment) -> None:
    tenant = deployment.tenant(max_file_size_bytes=5000)
    tenant.owner.bucket("media", max_size_bytes=10**9)
    problem = assert_problem(refused_before_the_body(tenant.owner, 5001), 413, "file_too_large")
    assert problem["max_size_bytes"] == 5000
    nothing_is_left(tenant)


def test_a_client_that_sends_on_still_hears_why(owner: Client, tenant: Tenant, tmp_path: Path) -> None:
    owner.request("PATCH", "/api/v1/buckets/media", json={"max_size_bytes": 1000})
    source = tmp_path / "big"
    source.write_bytes(noise(MIB) * 64)
    url = f"http://127.0.0.1:{owner.port}{OBJECTS}/big"
    command = [
        "curl",
        "-sS",
        "-w",
        "\n%{http_code}",
        "-H",
        f"Host: {owner.host_header}",
        "-H",
        f"Authorization: Bearer {owner.token}",
        "-H",
        "Expect:",
    ]
    done = subprocess.run([*command, "-T", source, url], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.endswith("413"), (done.stdout, done.stderr)
    for _ in range(5):
        with owner.again() as client:
            assert_problem(client.put("media", "big", Noise(64 * MIB)), 413, "file_too_large")
    nothing_is_left(tenant)


def test_a_refusal_before_the_body_does_not_promise_to_keep_the_connection(owner: Client) -> None:
    owner.request("PATCH", "/api/v1/buckets/media", json={"max_size_bytes": 1000})
    answer = refused_before_the_body(owner, 10**9)
    assert answer.headers["Connection"].lower() == "close"


# Quota


def test_over_quota(deployment: Deployment) -> None:
    tenant = deployment.tenant(quota_bytes=10_000)
    owner = tenant.owner
    owner.bucket("media")
    owner.upload("media", "a", noise(6000))
    assert_problem(refused_before_the_body(owner, 4001), 507, "quota_exceeded", resolve=owner.get)
    assert_problem(owner.put("media", "a", noise(4001)), 507, "quota_exceeded")
    assert owner.quota()["reserved_bytes"] == 0
    last = owner.upload("media", "b", noise(4000))
    assert_problem(owner.put("media", "c", b"x"), 507, "quota_exceeded")
    owner.upload("media", "empty", b"")
    owner.request("DELETE", f"/api/v1/files/{last['id']}")
    assert_problem(owner.put("media", "c", b"x"), 507, "quota_exceeded")


def test_over_the_number_of_files(deployment: Deployment) -> None:
    tenant = deployment.tenant(quota_files=2)
    tenant.owner.bucket("media")
    for path in ("a", "b"):
        tenant.owner.upload("media", path, b"x")
    assert_problem(tenant.owner.put("media", "c", b"x"), 507, "quota_exceeded")
    nothing_is_left(tenant, files=2)


def test_many_at_once_cannot_pass_the_quota(deployment: Deployment) -> None:
    size, fits = 100_000, 5
    tenant = deployment.tenant(quota_bytes=fits * size)
    tenant.owner.bucket("media")

    def send(number: int) -> int:
        with tenant.owner.again() as client:
            return client.put("media", f"{number}", noise(size, number)).status_code

    with ThreadPoolExecutor(12) as pool:
        answers = sorted(pool.map(send, range(24)))
    assert answers.count(201) <= fits
    assert set(answers) == {201, 507}
    quota = tenant.owner.quota()
    assert quota["used_bytes"] == answers.count(201) * size
    nothing_is_left(tenant, files=answers.count(201))
    for number in range(fits - answers.count(201)):
        tenant.owner.upload("media", f"more-{number}", noise(size))
    assert_problem(tenant.owner.put("media", "last", noise(size)), 507, "quota_exceeded")


def test_uploads_under_way_count(deployment: Deployment) -> None:
    tenant = deployment.tenant(quota_bytes=10_000, parallel_uploads=2)
    owner = tenant.owner
    owner.bucket("media")
    with contextlib.ExitStack() as open_sockets:
        for path in ("one", "two"):
            sock = open_sockets.enter_context(wire.connect(owner.port))
            sock.sendall(wire.head("PUT", f"{OBJECTS}/{path}", own_lines(owner, "Content-Length: 4000")) + noise(10))
        wait_until(lambda: owner.quota()["reserved_bytes"] == 8000, 10, "both to have begun")
        assert_problem(owner.put("media", "three", noise(2001)), 507, "quota_exceeded")
        answer = owner.put("media", "three", noise(100))
        assert_problem(answer, 429, "too_many_uploads", resolve=owner.get)
        assert int(answer.headers["Retry-After"]) > 0
    nothing_is_left(tenant)
    owner.upload("media", "three", noise(10_000))


# Types


def test_types_that_a_bucket_does_not_take(owner: Client, tenant: Tenant) -> None:
    owner.request("PATCH", "/api/v1/buckets/media", json={"allowed_types": ["image/*"]})
    declared = refused_before_the_body(owner, 10**6, "Content-Type: application/pdf", path="a.pdf")
    assert_problem(declared, 415, "type_not_allowed", resolve=owner.get)
    assert_problem(owner.put("media", "a.png", TEXT, "image/png"), 415, "type_mismatch", resolve=owner.get)
    assert_problem(owner.put("media", "a", TEXT), 415, "type_not_allowed")
    for wrong in ("image/", "/png", "image", "image/png\tx", "a" * 300 + "/b", "image/png; charset=\xe9", "image/*", "*/*"):
        answer = owner.put("media", "a.png", png(), wrong)
        assert answer.status_code in {201, 400, 415}, (wrong, answer.text)
        if answer.status_code == 201:
            owner.request("DELETE", f"/api/v1/files/{answer.json()['id']}")
            assert answer.json()["content_type"] == "image/png", wrong
    wait_until(lambda: owner.quota()["reserved_files"] == 0, EMPTY_S, "no reservation to be left")
    assert owner.files("media") == []
    assert tenant.owner.listed("/api/v1/buckets")


def test_a_wrong_type_ends_an_upload_long_before_its_end(owner: Client, tenant: Tenant) -> None:
    with wire.connect(owner.port, 10) as sock:
        sock.sendall(wire.head("PUT", f"{OBJECTS}/a.png", own_lines(owner, f"Content-Length: {10**9}", "Content-Type: image/png")))
        sock.sendall(TEXT * (70_000 // len(TEXT)))
        assert_problem(wire.read_reply(sock), 415, "type_mismatch")
    nothing_is_left(tenant)


def test_an_idle_sender_holds_up_nobody_else(deployment: Deployment) -> None:
    greedy, other = deployment.tenant(), deployment.tenant()
    greedy.owner.bucket("media")
    answers = []
    with contextlib.ExitStack() as open_sockets:
        for number in range(150):
            sock = open_sockets.enter_context(wire.connect(greedy.owner.port, 2))
            sock.sendall(wire.head("PUT", f"{OBJECTS}/{number}", own_lines(greedy.owner, "Content-Length: 1000")) + b"x")
            answers.append(sock)
        for _ in range(20):
            started = time.monotonic()
            assert other.owner.get("/api/v1/buckets").status_code == 200
            assert time.monotonic() - started < 2
        refused = [reply for reply in (_reply_now(sock) for sock in answers) if reply is not None]
        assert refused, "150 connections of one tenant were all let in"
        assert {reply.status_code for reply in refused} == {429}
        assert {reply.json()["code"] for reply in refused} <= {"tenant_busy", "too_many_uploads"}
        assert all(int(reply.headers["Retry-After"]) > 0 for reply in refused)
    nothing_is_left(greedy)
    greedy.owner.upload("media", "after", b"x")


def _reply_now(sock: socket.socket) -> wire.Reply | None:
    sock.settimeout(0.02)
    try:
        return wire.read_reply(sock, "PUT")
    except TimeoutError:
        return None
