"""Clients that are slow on purpose: heads and bodies have time limits, and a slow one costs nobody else anything."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from tests.acceptance import wire
from tests.acceptance.client import assert_problem
from tests.acceptance.content import MIB, noise
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.waiting import wait_until

pytestmark = pytest.mark.xdist_group("slow clients")
LIMIT_S = 2
HEAD_LIMIT_S = 20


@pytest.fixture(scope="module")
def impatient(own_deployment: Callable[..., Deployment]) -> Deployment:
    """A deployment that waits for two seconds only, and whose access tokens live for four."""
    made = own_deployment(body_timeout_s=str(LIMIT_S), access_token_lifetime_s="4")
    made.start("--json")
    return made


@pytest.fixture
def tenant(impatient: Deployment) -> Tenant:
    """A fresh tenant there."""
    made = impatient.tenant()
    made.owner.bucket("media")
    return made


def lines(tenant: Tenant, *more: str) -> list[str]:
    return [f"Host: {tenant.owner.host_header}", f"Authorization: Bearer {tenant.owner.token}", *more]


def renew(tenant: Tenant) -> None:
    """Sign in again: tokens are short-lived here."""
    tenant.owner.login(tenant.owner.email, "correct horse battery staple")


def test_an_expired_token(tenant: Tenant) -> None:
    owner = tenant.owner
    assert owner.get("/api/v1/buckets").status_code == 200
    wait_until(lambda: owner.get("/api/v1/buckets").status_code == 401, 10, "the token to expire")
    assert_problem(owner.get("/api/v1/buckets"), 401, "token_expired", resolve=owner.get)
    renewed = owner.post("/api/v1/auth/refresh", token=owner.refresh_token)
    assert renewed.status_code == 200
    assert owner.get("/api/v1/buckets", token=renewed.json()["access_token"]).status_code == 200


def test_a_body_that_stands_still(tenant: Tenant) -> None:
    with wire.connect(tenant.owner.port, 20) as sock:
        sock.sendall(wire.head("PUT", "/api/v1/objects/media/slow", lines(tenant, "Content-Length: 1000")) + noise(500))
        started = time.monotonic()
        answer = wire.read_reply(sock)
        assert LIMIT_S - 0.5 < time.monotonic() - started < LIMIT_S + 5
        assert_problem(answer, 408, "request_timeout")
    renew(tenant)

    def clean() -> bool:
        return tenant.owner.quota()["reserved_bytes"] == 0 and not tenant.stored()

    wait_until(clean, 20, "nothing to be left")
    assert tenant.owner.files("media") == []


def test_a_slow_but_steady_body_is_taken(tenant: Tenant) -> None:
    data = noise(20)
    with wire.connect(tenant.owner.port, 20) as sock:
        sock.sendall(wire.head("PUT", "/api/v1/objects/media/steady", lines(tenant, f"Content-Length: {len(data)}", "Connection: close")))
        for position in range(len(data)):
            sock.sendall(data[position : position + 1])
            drip(sock, 0.2)
        assert wire.read_reply(sock).status_code == 201
    renew(tenant)
    assert [each["size_bytes"] for each in tenant.owner.files("media")] == [len(data)]


def drip(sock: socket.socket, pause_s: float) -> None:
    """Wait a moment, unless the server says something: what a slow client does."""
    sock.settimeout(pause_s)
    try:
        answer = sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return
    finally:
        sock.settimeout(20)
    if not answer:
        raise ConnectionError("the server closed the connection")


def test_a_reader_that_stands_still(tenant: Tenant) -> None:
    owner, size = tenant.owner, 64 * MIB
    owner.upload("media", "big", noise(MIB) * 64)
    with wire.connect(owner.port, 20) as sock:
        sock.sendall(wire.head("GET", "/api/v1/objects/media/big", lines(tenant)))
        assert sock.recv(1000)

        def counted() -> int:
            renew(tenant)
            return int(owner.usage()["totals"]["downloads"])

        wait_until(counted, 30, "the download to be given up and counted")
        assert 0 < owner.usage()["totals"]["bytes_out"] < size


def drip_headers(sock: socket.socket, seconds: float) -> None:
    """Send one header after the other, until the server has enough."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        sock.sendall(b"X-A: b\r\n")
        drip(sock, 0.5)


@pytest.mark.slow
def test_a_head_that_never_ends(tenant: Tenant) -> None:
    with wire.connect(tenant.owner.port, HEAD_LIMIT_S + 20) as sock:
        started = time.monotonic()
        sock.sendall(b"GET /api/v1/buckets HTTP/1.1\r\nHost: " + tenant.owner.host.encode() + b"\r\n")
        with pytest.raises(OSError, match=r"closed|reset|pipe"):
            drip_headers(sock, HEAD_LIMIT_S + 15)
        assert HEAD_LIMIT_S - 3 < time.monotonic() - started < HEAD_LIMIT_S + 10


@pytest.mark.slow
def test_many_heads_that_never_end_hold_up_nobody(impatient: Deployment, tenant: Tenant) -> None:
    socks = [wire.connect(impatient.port) for _ in range(300)]
    try:
        for sock in socks:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\nX-A: ")
        wait_until(impatient.is_ready, HEAD_LIMIT_S + 10, "the server to answer others")
        renew(tenant)
        assert tenant.owner.get("/api/v1/buckets").status_code == 200
    finally:
        for sock in socks:
            sock.close()
    impatient.wait_ready(HEAD_LIMIT_S + 30)
