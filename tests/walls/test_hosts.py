"""Hosts: exact names, no default, no pattern that ends too soon."""

from __future__ import annotations

import pytest
from strongroom.db.ids import new_id

from tenants.models import Tenant
from tests.factories import Account, Client, World, host_of, ok, problem

ACCOUNT = "/api/v1/account"


@pytest.fixture
def acme(world: World) -> Tenant:
    return world.create_tenant(f"acme{new_id().hex[-10:]}")


def at(world: World, host: str, **headers: str) -> Client:
    """A client that sends exactly this Host header."""
    return Client(world.app, "localhost", headers={"Host": host, **headers})


@pytest.mark.parametrize("form", ["{0}.localhost", "{0}.localhost:8000", "{0}.localhost.", "{0}.localhost.:80", "{0}.LOCALHOST"])
def test_ways_to_write_a_host(world: World, acme: Tenant, form: str) -> None:
    problem(at(world, form.format(acme.slug)).get(ACCOUNT), 401, "unauthenticated")
    problem(at(world, form.format(acme.slug).upper()).get(ACCOUNT), 401, "unauthenticated")


@pytest.mark.parametrize(
    "form",
    [
        "nobody-{0}.localhost", "evil{0}.localhost", "{0}evil.localhost", "{0}.localhost.evil.com", "{0}.localhostevil", "{0}localhost",
        "{0}", "{0}.example.com", "www.{0}.localhost", "x.{0}.localhost", "-{0}.localhost", "{0}-.localhost", "{0}_.localhost",
        ".{0}.localhost",
        "{0}..localhost", "{0}.localhost..", "{0}.localhost,{0}.localhost", "{0}.localhost, evil.com", "{0}.localhost {0}.localhost",
        "{0}.localhost:80:80", "{0}.localhost:port", "{0}.localhost/x", "{0}.localhost?x", "{0}.localhost#x", "{0}@{0}.localhost",
        "user@{0}.localhost", "%{0}.localhost", "{0}%.localhost", "{0}.localhost%00", "[{0}.localhost]", "[::2]", "127.0.0.2", "10.0.0.1",
        "evil.com", "localhost.evil.com", "evillocalhost", "x" * 300, ":80", "*.localhost", "{0}.local_host",
    ],
)  # fmt: skip
def test_hosts_of_nobody(world: World, acme: Tenant, form: str) -> None:
    response = at(world, form.format(acme.slug)).get(ACCOUNT)
    problem(response, 404, "unknown_host")
    problem(at(world, form.format(acme.slug)).get("/no/such/route"), 404, "unknown_host")


def test_missing_host(world: World) -> None:
    client = Client(world.app, "localhost")
    for value in (None, ""):
        problem(client.get(ACCOUNT, environ_overrides={"HTTP_HOST": value}), 404, "unknown_host")


def test_forwarded_hosts_are_not_believed(world: World, acme: Tenant) -> None:
    for name in ("X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server", "Forwarded", "X-HTTP-Host-Override"):
        value = f"host={host_of(acme)}" if name == "Forwarded" else host_of(acme)
        problem(at(world, "evil.com", **{name: value}).get(ACCOUNT), 404, "unknown_host")
        other = world.create_tenant()
        name_of_other = ok(at(world, host_of(other), **{name: value}).get("/problems/not_found"), 200)
        assert name_of_other is None


def test_forwarded_hosts_count_behind_a_trusted_proxy(world: World, acme: Tenant) -> None:
    behind = world.again(trusted_proxies=1)
    problem(at(behind, "internal", **{"X-Forwarded-Host": host_of(acme)}).get(ACCOUNT), 401, "unauthenticated")
    problem(at(behind, "internal", **{"X-Forwarded-Host": "evil.com"}).get(ACCOUNT), 404, "unknown_host")
    problem(at(behind, "internal", **{"X-Forwarded-Host": f"{host_of(acme)}, evil.com"}).get(ACCOUNT), 404, "unknown_host")


def test_slugs_that_look_alike_are_other_tenants(world: World) -> None:
    """`a`, `a-b`, `ab`: no prefix of a name leads anywhere else."""
    tag = new_id().hex[-8:]
    slugs = [f"a{tag}", f"a{tag}-b", f"a{tag}b", f"b-a{tag}"]
    owners: dict[str, Account] = {slug: world.create_user(world.create_tenant(slug)) for slug in slugs}
    for slug, account in owners.items():
        token = world.client(account).token
        for other in slugs:
            response = Client(world.app, f"{other}.localhost", token).get(ACCOUNT)
            assert response.status_code == (200 if other == slug else 401), (slug, other)
    for wrong in (f"a{tag}_b", f"a{tag}.", f"a{tag}-", f"a{tag}.b", f"a{tag}%"):
        problem(at(world, f"{wrong}.localhost").get(ACCOUNT), 404, "unknown_host")


def test_custom_domains_are_exact_and_proven(world: World, acme: Tenant) -> None:
    tag = new_id().hex[-8:]
    insert = "INSERT INTO strongroom.domains (domain, tenant_id, verified_at) VALUES (%(domain)s, %(id)s, {})"
    world.sql(insert.format("now()"), domain=f"files{tag}.example", id=acme.id)
    world.sql(insert.format("NULL"), domain=f"unproven{tag}.example", id=acme.id)
    problem(at(world, f"files{tag}.example").get(ACCOUNT), 401, "unauthenticated")
    problem(at(world, f"Files{tag}.EXAMPLE.:443").get(ACCOUNT), 401, "unauthenticated")
    for host in (
        f"unproven{tag}.example",
        f"x.files{tag}.example",
        f"files{tag}.example.com",
        f"%iles{tag}.example",
        f"xfiles{tag}.example",
    ):
        problem(at(world, host).get(ACCOUNT), 404, "unknown_host")


def test_a_domain_goes_with_its_tenant(world: World, acme: Tenant, operator: Client) -> None:
    domain = f"gone{new_id().hex[-8:]}.example"
    world.sql("INSERT INTO strongroom.domains (domain, tenant_id, verified_at) VALUES (%(d)s, %(id)s, now())", d=domain, id=acme.id)
    ok(operator.delete(f"/operator/api/v1/tenants/{acme.slug}"), 202)
    problem(at(world, domain).get(ACCOUNT), 404, "unknown_host")
    problem(at(world, host_of(acme)).get(ACCOUNT), 404, "unknown_host")
    world.run_jobs()
    assert world.sql("SELECT domain FROM strongroom.domains WHERE domain = %(d)s", d=domain) == []


def test_probes_answer_anywhere(world: World) -> None:
    assert ok(at(world, "evil.com").get("/healthz")) == {"status": "ok"}
    assert ok(at(world, "evil.com").get("/readyz"))["status"] == "ready"


def test_operators_side_is_on_the_platforms_hosts_only(world: World, acme: Tenant) -> None:
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST", "localhost."):
        problem(at(world, host).get("/operator/api/v1/tenants"), 401, "unauthenticated")
    problem(at(world, host_of(acme)).get("/operator/api/v1/tenants"), 404, "not_found")
    problem(at(world, host_of(acme)).get("/metrics"), 404, "not_found")
    problem(at(world, "evil.com").get("/operator/api/v1/tenants"), 404, "unknown_host")


def test_a_role_that_is_gone_is_an_unknown_host(world: World, acme: Tenant, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process still remembers a tenant that was deleted a moment ago."""
    monkeypatch.setattr("tenants.registry.UNHEARD_LIFETIME_S", 600.0)
    late = world.again(registry_listen=False)
    account = world.create_user(acme)
    client = Client(late.app, host_of(acme), world.client(account).token)
    ok(client.get(ACCOUNT))
    ok(operator.delete(f"/operator/api/v1/tenants/{acme.slug}"), 202)
    world.run_jobs()
    problem(client.get(ACCOUNT), 404, "unknown_host")
