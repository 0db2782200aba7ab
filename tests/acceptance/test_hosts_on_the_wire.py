"""Host headers as nobody's client library sends them, to the real server: each leads to its own tenant, or to none."""

from __future__ import annotations

import json

import pytest

from tests.acceptance import wire
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.wire import Reply

PATH = b"/api/v1/tenant"


@pytest.fixture(scope="module")
def pair(deployment: Deployment) -> tuple[Tenant, Tenant]:
    return deployment.tenant(), deployment.tenant()


def ask(deployment: Deployment, tenant: Tenant, *lines: bytes, target: bytes = PATH, version: bytes = b"HTTP/1.1") -> Reply:
    """Send these lines, the tenant's own credential being among them."""
    token = f"Authorization: Bearer {tenant.owner.token}".encode()
    payload = b"\r\n".join([b"GET " + target + b" " + version, *lines, token, b"Connection: close", b"", b""])
    return wire.exchange(deployment.port, payload)


def host(tenant: Tenant, form: bytes = b"Host: %s.localhost") -> bytes:
    return form.replace(b"%s", tenant.slug.encode()).replace(b"%S", tenant.slug.upper().encode())


GOOD = [
    b"Host: %s.localhost", b"Host: %s.localhost:1", b"Host: %s.localhost.", b"Host: %s.localhost.:80", b"HOST:%S.LOCALHOST",
    b"host:   %S.localhost  ",
]  # fmt: skip


@pytest.mark.parametrize("form", GOOD)
def test_ways_to_write_ones_own_host(deployment: Deployment, pair: tuple[Tenant, Tenant], form: bytes) -> None:
    """A port, a trailing dot, capitals and blanks change nothing; nor does a proxy's header that nobody trusts."""
    mine, other = pair
    forwarded = (b"X-Forwarded-Host: " + host(other, b"%s.localhost"), b"Forwarded: host=" + host(other, b"%s.localhost"))
    for extra in ((), forwarded):
        reply = ask(deployment, mine, host(mine, form), *extra)
        assert reply.status_code == 200, reply.content
        assert json.loads(reply.content)["id"] == mine.id
        refused = ask(deployment, other, host(mine, form), *extra)
        assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")


BAD = [
    b"Host: %s.localhost.evil.example", b"Host: x.%s.localhost", b"Host: %slocalhost", b"Host: %s", b"Host: .%s.localhost",
    b"Host: %s..localhost", b"Host: %s.localhost..", b"Host: %s_.localhost", b"Host: %25%s.localhost", b"Host: *.localhost",
    b"Host: %s.localhost, evil.example", b"Host: %s.localhost@evil.example", b"Host: evil.example#%s.localhost",
    b"Host: %s.localhost/x", b"Host: xn--%s-9cd.localhost", b"Host: xn--.localhost", b"Host: %s\xd0\xb0.localhost",
    b"Host: %s.localhost\x0b", b"Host: %s.localhost\x00.x", b"Host: %s\xe3\x80\x82localhost", b"Host:", b"Host: ",
    b"Host : %s.localhost", b" Host: %s.localhost", b"Host: %s.localhost\r\n .x", b"X-Forwarded-Host: %s.localhost",
    b"Host: evil.example\r\nX-Forwarded-Host: %s.localhost", b"Host: ../%s.localhost", b"Host: %s.localhost:x",
]  # fmt: skip


@pytest.mark.parametrize("form", BAD)
def test_what_only_looks_like_it(deployment: Deployment, pair: tuple[Tenant, Tenant], form: bytes) -> None:
    mine, _ = pair
    reply = ask(deployment, mine, host(mine, form))
    assert reply.status_code in {400, 404}, reply.content
    assert mine.id.encode() not in reply.content
    assert reply.status_code == 400 or reply.json()["code"] == "unknown_host"


def test_two_hosts_are_none(deployment: Deployment, pair: tuple[Tenant, Tenant]) -> None:
    mine, other = pair
    for lines in ((host(mine), host(other)), (host(other), host(mine)), (host(mine), host(mine)), (host(mine), b"Host: evil.example")):
        reply = ask(deployment, mine, *lines)
        assert reply.status_code in {400, 404}
        assert mine.id.encode() not in reply.content


def test_no_host(deployment: Deployment, pair: tuple[Tenant, Tenant]) -> None:
    for version in (b"HTTP/1.0", b"HTTP/1.1"):
        assert ask(deployment, pair[0], version=version).status_code in {400, 404}


def test_a_whole_address_as_target(deployment: Deployment, pair: tuple[Tenant, Tenant]) -> None:
    """Whichever of the two a server goes by: nobody comes in at another tenant."""
    mine, other = pair
    for tenant in pair:
        reply = ask(deployment, tenant, host(mine), target=b"http://" + host(other, b"%s.localhost") + PATH)
        theirs = pair[1 - pair.index(tenant)]
        assert theirs.id.encode() not in reply.content
        assert reply.status_code in {200, 400, 401, 404}


def test_the_platforms_own_hosts(deployment: Deployment, pair: tuple[Tenant, Tenant]) -> None:
    """There the credential names the tenant, and nothing else does."""
    mine, other = pair
    for name in (b"Host: localhost", b"Host: LOCALHOST.:80", b"Host: [::1]", b"Host: 127.0.0.1"):
        reply = ask(deployment, mine, name, b"X-Forwarded-Host: " + host(other, b"%s.localhost"))
        assert json.loads(reply.content)["id"] == mine.id
        refused = ask(deployment, mine, name, b"X-Tenant: " + other.slug.encode())
        assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
    for name in (b"Host: localhost.evil.example", b"Host: 127.1", b"Host: 2130706433", b"Host: [::ffff:127.0.0.1]", b"Host: 0x7f.1"):
        assert ask(deployment, mine, name).status_code == 404
