"""Certificates for tenants' domains: who may ask, what is answered, and a real Caddy that goes by it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import Client, World, number, ok, problem
from tests.services.caddy import CaddyService, caddy, trusting

ASK = "/internal/tls/ask"


def give(world: World, tenant: Tenant, *, is_verified: bool = True) -> str:
    """A domain of a tenant, proven or not."""
    domain = f"files{number()}.example"
    proven = "now()" if is_verified else "NULL"
    insert = f"INSERT INTO strongroom.domains (domain, tenant_id, verified_at) VALUES (%(d)s, %(t)s, {proven})"  # noqa: S608 - constants
    world.sql(insert, d=domain, t=tenant.id)
    world.runtime.registry.forget()
    return domain


def asked(world: World, name: str, host: str = "127.0.0.1:8000", **headers: str) -> int:
    return Client(world.app, host).get(ASK, query_string={"domain": name}, headers=headers).status_code


def test_what_leads_to_a_tenant(world: World, tenant: Tenant) -> None:
    domain = give(world, tenant)
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000"):
        assert asked(world, domain, host) == 200
    assert asked(world, f"{tenant.slug}.localhost") == 200
    answer = Client(world.app, "localhost").get(ASK, query_string={"domain": domain})
    assert (answer.data, answer.headers["Cache-Control"]) == (b"", "no-store")


def test_what_leads_nowhere(world: World, tenant: Tenant) -> None:
    domain, unproven = give(world, tenant), give(world, tenant, is_verified=False)
    wrong = (
        "", unproven, f"x.{domain}", f"{domain}:443", f"{domain}.", domain.upper(), f"{domain},{domain}", "localhost", "127.0.0.1",
        "nobody.localhost", "www.localhost", f"x.{tenant.slug}.localhost", "*.localhost", f"%{domain}", "a" * 5000,
    )  # fmt: skip
    for name in wrong:
        assert asked(world, name) == 404, name
    problem(Client(world.app, "localhost").get(ASK), 404, "not_found")


def test_nobody_outside_is_answered(world: World, tenant: Tenant) -> None:
    domain = give(world, tenant)
    for host in (domain, f"{tenant.slug}.localhost", "unknown.example", "10.0.0.1"):
        assert asked(world, domain, host) == 404
    for header in ({"X-Forwarded-For": "203.0.113.7"}, {"Forwarded": "for=203.0.113.7"}):
        assert asked(world, domain, **header) == 404
        assert asked(world.again(trusted_proxies=1), domain, **header) == 404


def test_the_platforms_host_may_be_asked(world: World, tenant: Tenant) -> None:
    domain = give(world, tenant)
    elsewhere = world.again(platform_hosts=["console.example.net"], base_domain="tenants.example.net")
    assert asked(elsewhere, domain, "console.example.net") == 200
    assert asked(elsewhere, f"{tenant.slug}.tenants.example.net", "127.0.0.1") == 200
    assert asked(elsewhere, "console.example.net", "127.0.0.1") == 404


def test_tenants_that_are_closed(world: World, tenant: Tenant, operator: Client) -> None:
    domain = give(world, tenant)
    ok(operator.post(f"/operator/api/v1/tenants/{tenant.slug}/suspend"))
    assert (asked(world, domain), asked(world, f"{tenant.slug}.localhost")) == (404, 200)
    ok(operator.delete(f"/operator/api/v1/tenants/{tenant.slug}"), 202)
    assert (asked(world, domain), asked(world, f"{tenant.slug}.localhost")) == (404, 404)


def test_the_proxy_may_ask_as_often_as_it_must(world: World) -> None:
    statuses = {asked(world, "nobody.example") for _ in range(250)}
    assert statuses == {404}


# A real Caddy


@pytest.fixture(scope="module")
def front(shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaddyService]:
    """Caddy as in the guide, before the deployment behind a real server."""
    world = World(shared_world.database, shared_world.files_dir, trusted_proxies=1, public_scheme="https", platform_hosts=["platform.test"])
    server = make_server("127.0.0.1", 0, world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="upstream")
    thread.start()
    try:
        with caddy(tmp_path_factory.mktemp("caddy"), server.server_port, "platform.test") as running:
            yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        world.close()


def https(front: CaddyService, name: str, path: str) -> tuple[int, bytes]:
    """Get a page by a name that leads to Caddy, as a browser does that believes its authority."""
    context = trusting(front.authority)
    request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
        tls.sendall(request)
        answer = b"".join(iter(lambda: tls.recv(65536), b""))
    return int(answer.split(b" ", 2)[1]), answer


def test_a_proven_domain_has_a_certificate(world: World, tenant: Tenant, front: CaddyService) -> None:
    domain = give(world, tenant)
    wait_until(front.authority.exists, 20, "Caddy's authority")
    status, page = https(front, domain, "/console/login")
    assert (status, tenant.name.encode() in page) == (200, True)
    status, page = https(front, f"{tenant.slug}.localhost", "/console/login")
    assert (status, tenant.name.encode() in page) == (200, True)
    assert https(front, "platform.test", "/operator/login")[0] == 200
    assert https(front, "platform.test", f"{ASK}?domain={domain}")[0] == 404, "the guide's file closes it"


def test_no_other_name_has_one(world: World, tenant: Tenant, front: CaddyService) -> None:
    wait_until(front.authority.exists, 20, "Caddy's authority")
    for name in (give(world, tenant, is_verified=False), "nobody.localhost", f"x{number()}.example"):
        with pytest.raises(ssl.SSLError, match="ALERT"):
            https(front, name, "/")
    folder: Path = front.authority.parents[3] / "certificates"
    assert not [each for each in folder.rglob("*.crt") if "nobody" in each.name]
