"""Custom domains: claimed by anybody, had by whoever proves them first, lost with the proof."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from strongroom.cli.domains import domain as commands
from strongroom.domains import checking

from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import PLATFORM, Account, Client, World, number, ok, problem
from tests.services.dns import DnsServer, Trouble
from workers import housekeeping

DOMAINS = "/api/v1/tenant/domains"
OPERATED = "/operator/api/v1"


@pytest.fixture
def admin(looking: World, tenant: Tenant) -> Account:
    return looking.create_user(tenant, "admin")


@pytest.fixture
def browser(looking: World, admin: Account) -> Client:
    return looking.browser(admin)


@pytest.fixture
def rival(looking: World) -> Client:
    """An admin of another tenant."""
    return looking.client(looking.create_user(looking.create_tenant(), "admin"))


@pytest.fixture
def caller(looking: World, admin: Account) -> Client:
    return looking.client(admin)


def claimed(client: Client, domain: str) -> dict[str, Any]:
    made: dict[str, Any] = ok(client.post(DOMAINS, json={"domain": domain}), 201)
    return made


def publish(dns: DnsServer, *claims: dict[str, Any]) -> None:
    """Set the records that prove these claims on one domain."""
    dns.set_txt(claims[0]["proof"]["name"], *(each["proof"]["value"] for each in claims))


def proven(client: Client, dns: DnsServer, domain: str) -> dict[str, Any]:
    publish(dns, claimed(client, domain))
    return dict(ok(client.post(f"{DOMAINS}/{domain}/verify")))


def leads_to(world: World, domain: str) -> str | None:
    found = world.runtime.registry.by_host(domain)
    return found.slug if found else None


def kinds(world: World, tenant: Tenant, prefix: str = "domain.") -> list[str]:
    rows = world.tenant_sql(tenant, "SELECT kind FROM {t}.events ORDER BY xid, id")
    return [row["kind"] for row in rows if row["kind"].startswith(prefix)]


def look_again(world: World, domain: str) -> None:
    """Have the regular look happen now."""
    world.sql("UPDATE strongroom.domains SET check_at = now() WHERE domain = %(d)s", d=domain)
    checking.enqueue_due(world.runtime)
    world.run_jobs(world)


# Claiming and proving


def test_a_domains_way(looking: World, caller: Client, tenant: Tenant, dns: DnsServer, domain: str) -> None:
    made = claimed(caller, domain.upper() + ".")
    assert (made["domain"], made["status"], made["finding"]) == (domain, "pending", None)
    assert made["proof"]["type"] == "TXT"
    assert made["proof"]["name"] == f"_strongroom.{domain}"
    assert made["proof"]["value"].startswith("strongroom-verify=")
    refused = problem(caller.post(f"{DOMAINS}/{domain}/verify"), 422, "domain_not_proven")
    assert refused["expected"] == made["proof"]
    assert leads_to(looking, domain) is None
    publish(dns, made)
    found = ok(caller.post(f"{DOMAINS}/{domain}/verify"))
    assert (found["status"], found["finding"], found["url"]) == ("verified", "proven", f"http://{domain}")
    page = Client(looking.app, domain).get("/console/login")
    assert (page.status_code, tenant.name.encode() in page.data) == (200, True)
    assert ok(caller.get(f"{DOMAINS}/{domain}")) == found
    assert ok(caller.get(DOMAINS)) == {"items": [found], "next_cursor": None}
    ok(caller.delete(f"{DOMAINS}/{domain}"), 204)
    assert leads_to(looking, domain) is None
    problem(caller.get(f"{DOMAINS}/{domain}"), 404, "not_found")
    assert kinds(looking, tenant) == ["domain.claimed", "domain.verified", "domain.removed"]


def test_what_is_found_in_the_proofs_place_is_told(caller: Client, dns: DnsServer, domain: str) -> None:
    made = claimed(caller, domain)
    dns.set_txt(made["proof"]["name"], "something else", made["proof"]["value"].upper())
    told = problem(caller.post(f"{DOMAINS}/{domain}/verify"), 422, "domain_not_proven")
    assert "something else" in told["detail"]
    dns.clear(made["proof"]["name"])
    dns.set_txt(f"proof.{domain}", made["proof"]["value"])
    dns.set_cname(made["proof"]["name"], f"proof.{domain}")
    assert "CNAME" in problem(caller.post(f"{DOMAINS}/{domain}/verify"), 422, "domain_not_proven")["detail"]
    assert ok(caller.get(f"{DOMAINS}/{domain}"))["finding"] == "alias"


def test_name_servers_that_fail(hasty: World, caller: Client, dns: DnsServer, domain: str) -> None:
    made = claimed(caller, domain)
    publish(dns, made)
    for trouble in (Trouble.SERVFAIL, Trouble.SILENT):
        dns.trouble(made["proof"]["name"], trouble)
        answer = Client(hasty.app, caller.host, caller.token).post(f"{DOMAINS}/{domain}/verify")
        problem(answer, 503, "dns_unavailable")
        assert answer.headers["Retry-After"]
    assert ok(caller.get(f"{DOMAINS}/{domain}"))["finding"] == "unreachable"


@pytest.mark.parametrize(
    "name", ["*.shop.example", "10.0.0.1", "localhost", "co.uk", "localhost.", "acme.localhost", "https://shop.example"]
)
def test_names_that_are_refused(caller: Client, name: str) -> None:
    told = problem(caller.post(DOMAINS, json={"domain": name}), 422, "validation_failed")
    assert list(told["errors"]) == ["domain"]


def test_the_first_to_prove_it_has_it(looking: World, caller: Client, rival: Client, dns: DnsServer, domain: str) -> None:
    mine, theirs = claimed(caller, domain), claimed(rival, domain)
    assert mine["proof"]["value"] != theirs["proof"]["value"]
    publish(dns, mine)
    problem(rival.post(f"{DOMAINS}/{domain}/verify"), 422, "domain_not_proven")
    publish(dns, mine, theirs)
    ok(rival.post(f"{DOMAINS}/{domain}/verify"))
    problem(caller.post(f"{DOMAINS}/{domain}/verify"), 409, "domain_taken")
    assert leads_to(looking, domain) == rival.host.partition(".")[0]
    third = looking.client(looking.create_user(looking.create_tenant(), "admin"))
    problem(third.post(DOMAINS, json={"domain": domain}), 409, "domain_taken")
    ok(rival.delete(f"{DOMAINS}/{domain}"), 204)
    ok(caller.post(f"{DOMAINS}/{domain}/verify"))
    assert leads_to(looking, domain) == caller.host.partition(".")[0]


def test_a_claim_made_anew_needs_a_new_proof(caller: Client, dns: DnsServer, domain: str) -> None:
    publish(dns, claimed(caller, domain))
    problem(caller.post(DOMAINS, json={"domain": domain}), 409, "already_exists")
    ok(caller.delete(f"{DOMAINS}/{domain}"), 204)
    claimed(caller, domain)
    problem(caller.post(f"{DOMAINS}/{domain}/verify"), 422, "domain_not_proven")


def test_no_more_than_the_operator_allows(caller: Client) -> None:
    for _ in range(4):
        claimed(caller, f"x{number()}.example")
    problem(caller.post(DOMAINS, json={"domain": "one-more.example"}), 409, "too_many_domains")


def test_name_servers_are_not_flooded(caller: Client) -> None:
    answers = [caller.post(f"{DOMAINS}/nobody.example/verify").status_code for _ in range(31)]
    assert (answers[0], answers[-1]) == (404, 429)


def test_other_tenants_domains_are_not_there(looking: World, caller: Client, rival: Client, dns: DnsServer, domain: str) -> None:
    proven(caller, dns, domain)
    assert ok(rival.get(DOMAINS))["items"] == []
    for answer in (rival.get(f"{DOMAINS}/{domain}"), rival.delete(f"{DOMAINS}/{domain}"), rival.post(f"{DOMAINS}/{domain}/verify")):
        problem(answer, 404, "not_found")
    assert leads_to(looking, domain)


def test_every_process_hears_of_it(world: World, caller: Client, dns: DnsServer, domain: str) -> None:
    listening = world.again(registry_lifetime_s=600).runtime.registry
    assert listening.by_host(domain) is None
    wait_until(lambda: listening.listener.is_listening, 10)
    proven(caller, dns, domain)
    wait_until(lambda: listening.by_host(domain), 10)
    ok(caller.delete(f"{DOMAINS}/{domain}"), 204)
    wait_until(lambda: listening.by_host(domain) is None, 10)


# Looked at again


def row(world: World, domain: str) -> dict[str, Any]:
    (found,) = world.sql("SELECT * FROM strongroom.domains WHERE domain = %(d)s", d=domain)
    return dict(found)


def test_a_domain_whose_proof_is_gone_is_let_go(looking: World, caller: Client, tenant: Tenant, dns: DnsServer, domain: str) -> None:
    made = proven(caller, dns, domain)
    look_again(looking, domain)
    assert row(looking, domain)["misses"] == 0
    dns.clear(made["proof"]["name"])
    look_again(looking, domain)
    warned = ok(caller.get(f"{DOMAINS}/{domain}"))
    assert (warned["status"], warned["finding"]) == ("verified", "missing")
    assert warned["lapses_at"] > warned["missing_since"]
    assert leads_to(looking, domain) == tenant.slug
    looking.sql("UPDATE strongroom.domains SET missing_since = now() - interval '4 days' WHERE domain = %(d)s", d=domain)
    look_again(looking, domain)
    assert leads_to(looking, domain) == tenant.slug, "so long, but seen only twice"
    look_again(looking, domain)
    lapsed = ok(caller.get(f"{DOMAINS}/{domain}"))
    assert (lapsed["status"], lapsed["missing_since"], lapsed["lapses_at"]) == ("lapsed", None, None)
    assert leads_to(looking, domain) is None
    assert kinds(looking, tenant) == ["domain.claimed", "domain.verified", "domain.missing", "domain.lapsed"]
    publish(dns, made)
    assert ok(caller.post(f"{DOMAINS}/{domain}/verify"))["status"] == "verified"


def test_a_zone_that_is_gone_counts_as_gone(looking: World, caller: Client, dns: DnsServer, domain: str) -> None:
    proven(caller, dns, domain)
    dns.add_zone("example")
    dns.drop_zone(domain.partition(".")[2])
    look_again(looking, domain)
    assert row(looking, domain)["misses"] == 1


def test_a_proof_that_is_back_is_as_before(looking: World, caller: Client, tenant: Tenant, dns: DnsServer, domain: str) -> None:
    made = proven(caller, dns, domain)
    dns.clear(made["proof"]["name"])
    look_again(looking, domain)
    publish(dns, made)
    look_again(looking, domain)
    found = row(looking, domain)
    assert (found["missing_since"], found["misses"]) == (None, 0)
    assert kinds(looking, tenant)[-2:] == ["domain.missing", "domain.recovered"]


@pytest.mark.parametrize("trouble", [Trouble.SERVFAIL, Trouble.SILENT])
def test_failures_never_count(looking: World, hasty: World, caller: Client, dns: DnsServer, domain: str, trouble: Trouble) -> None:
    made = proven(caller, dns, domain)
    dns.trouble(made["proof"]["name"], trouble)
    for _ in range(checking.MIN_MISSES + 1):
        look_again(hasty, domain)
    found = row(looking, domain)
    assert (found["finding"], found["misses"], found["missing_since"]) == ("unreachable", 0, None)
    assert leads_to(looking, domain)


def test_failures_let_nothing_go_even_after_misses(looking: World, hasty: World, caller: Client, dns: DnsServer, domain: str) -> None:
    made = proven(caller, dns, domain)
    dns.trouble(made["proof"]["name"], Trouble.SERVFAIL)
    looking.sql("UPDATE strongroom.domains SET misses = 9, missing_since = now() - interval '9 days' WHERE domain = %(d)s", d=domain)
    look_again(hasty, domain)
    assert leads_to(looking, domain)


def test_what_is_not_due_is_left_alone(looking: World, caller: Client, dns: DnsServer, domain: str) -> None:
    made = proven(caller, dns, domain)
    dns.clear(made["proof"]["name"])
    checking.enqueue_due(looking.runtime)
    looking.run_jobs(looking)
    assert row(looking, domain)["misses"] == 0


def test_a_look_that_changes_nothing_is_not_told(world: World, looking: World, caller: Client, dns: DnsServer, domain: str) -> None:
    """Else every look would have every process ask for the tenant again."""
    proven(caller, dns, domain)
    with psycopg.connect(world.database.superuser_url, autocommit=True) as connection:
        connection.execute("LISTEN strongroom_registry")
        look_again(looking, domain)
        connection.execute("NOTIFY strongroom_registry, 'end'")
        told = [each.payload for each in connection.notifies(timeout=10, stop_after=1)]
    assert told == ["end"]


def test_claims_that_come_to_nothing_are_forgotten(looking: World, caller: Client, dns: DnsServer, domain: str) -> None:
    claimed(caller, domain)
    kept = f"kept{number()}.example"
    dns.add_zone(kept)
    proven(caller, dns, kept)
    looking.sql("UPDATE strongroom.domains SET created_at = now() - interval '31 days'")
    housekeeping.enqueue_due(looking.runtime)
    assert [each["domain"] for each in ok(caller.get(DOMAINS))["items"]] == [kept]


# Tenants that are closed


def test_a_suspended_tenant(looking: World, caller: Client, tenant: Tenant, operator: Client, dns: DnsServer, domain: str) -> None:
    made = proven(caller, dns, domain)
    ok(operator.post(f"{OPERATED}/tenants/{tenant.slug}/suspend"))
    looking.runtime.registry.forget()
    problem(Client(looking.app, domain).get("/api/v1/account"), 403, "tenant_suspended")
    dns.clear(made["proof"]["name"])
    look_again(looking, domain)
    assert row(looking, domain)["misses"] == 1, "it is looked at all the same"
    assert kinds(looking, tenant)[-1] == "domain.missing"


def test_a_deleted_tenant(
    looking: World, caller: Client, rival: Client, tenant: Tenant, operator: Client, dns: DnsServer, domain: str
) -> None:
    made = proven(caller, dns, domain)
    ok(operator.delete(f"{OPERATED}/tenants/{tenant.slug}"), 202)
    looking.runtime.registry.forget()
    problem(Client(looking.app, domain).get("/api/v1/account"), 404, "unknown_host")
    problem(rival.post(DOMAINS, json={"domain": domain}), 409, "domain_taken")
    dns.clear(made["proof"]["name"])
    looking.sql("UPDATE strongroom.domains SET misses = 2, missing_since = now() - interval '9 days' WHERE domain = %(d)s", d=domain)
    checking.recheck(looking.runtime, tenant.id)
    assert row(looking, domain)["lapsed_at"] is None, "not due"
    looking.sql("UPDATE strongroom.domains SET check_at = now() WHERE domain = %(d)s", d=domain)
    checking.recheck(looking.runtime, tenant.id)
    assert row(looking, domain)["lapsed_at"] is not None
    proven(rival, dns, domain)
    looking.run_jobs()
    assert leads_to(looking, domain) == rival.host.partition(".")[0]


# The operator's side


def test_an_operators_way(looking: World, tenant: Tenant, dns: DnsServer, domain: str) -> None:
    caller = looking.client(looking.create_operator("admin"))
    base = f"{OPERATED}/tenants/{tenant.slug}/domains"
    made = ok(caller.post(base, json={"domain": domain}), 201)
    problem(caller.post(f"{base}/{domain}/verify"), 422, "domain_not_proven")
    publish(dns, made)
    ok(caller.post(f"{base}/{domain}/verify"))
    (listed,) = ok(caller.get(f"{OPERATED}/domains", query_string={"q": domain, "status": "verified"}))["items"]
    assert (listed["tenant"], listed["domain"]) == (tenant.slug, domain)
    assert [each["domain"] for each in ok(caller.get(base))["items"]] == [domain]
    ok(caller.delete(f"{base}/{domain}"), 204)
    assert ok(caller.get(base))["items"] == []
    actions = [each["action"] for each in ok(caller.get(f"{OPERATED}/audit"))["items"] if each["subject"] == tenant.slug]
    assert actions == ["domain.remove", "domain.verify", "domain.claim"]


def test_the_operators_list_has_pages(looking: World, caller: Client) -> None:
    tag = f"paged{number()}"
    for index in range(3):
        claimed(caller, f"{tag}-{index}.example")
    listing = looking.client(looking.create_operator("viewer"))
    names, cursor = [], None
    while cursor or not names:
        query = {"q": tag, "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = ok(listing.get(f"{OPERATED}/domains", query_string=query))
        names += [each["domain"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert names == [f"{tag}-{index}.example" for index in range(3)]
    problem(listing.get(f"{OPERATED}/domains", query_string={"cursor": "x"}), 400, "invalid_cursor")


def test_the_command_line(looking: World, tenant: Tenant, dns: DnsServer, domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.cli.context.load_settings", lambda: looking.settings)
    runner = CliRunner()

    def run(*arguments: str, code: int = 0) -> Any:
        done = runner.invoke(commands, [*arguments, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout or done.stderr)

    made = run("add", tenant.slug, domain)
    assert run("verify", tenant.slug, domain, code=1)["code"] == "domain_not_proven"
    publish(dns, made)
    assert run("verify", tenant.slug, domain)["status"] == "verified"
    assert [each["domain"] for each in run("list", tenant.slug)["items"]] == [domain]
    assert domain in [each["domain"] for each in run("list")["items"]]
    assert domain in runner.invoke(commands, ["list"]).output
    run("remove", tenant.slug, domain)
    assert run("list", tenant.slug)["items"] == []


# The consoles


def test_the_tenants_page(looking: World, browser: Client, dns: DnsServer, domain: str) -> None:
    base = "/console/domains/"
    refused = browser.post(base, data={"domain": "*.example"})
    assert (refused.status_code, b"domain-error" in refused.data) == (422, True)
    assert browser.post(base, data={"domain": domain}).status_code == 303
    found = row(looking, domain)
    value = f"strongroom-verify={found['token']}"
    assert value.encode() in browser.get(base).data
    assert browser.post(f"{base}{domain}/verify").status_code == 303
    assert row(looking, domain)["verified_at"] is None
    dns.set_txt(f"_strongroom.{domain}", value)
    assert browser.post(f"{base}{domain}/verify").status_code == 303
    assert leads_to(looking, domain)
    looking.sql("UPDATE strongroom.domains SET missing_since = now() WHERE domain = %(d)s", d=domain)
    assert b"The DNS record is gone" in browser.get(base).data
    assert domain.encode() in browser.get("/console/").data
    assert browser.post(f"{base}{domain}/remove").status_code == 303
    assert leads_to(looking, domain) is None


def test_the_operators_pages(looking: World, caller: Client, tenant: Tenant, dns: DnsServer, domain: str) -> None:
    publish(dns, claimed(caller, domain))
    browser = looking.browser(looking.create_operator("admin"))
    assert browser.host == PLATFORM
    listed = browser.get(f"/operator/domains/?q={domain}")
    assert (listed.status_code, domain.encode() in listed.data) == (200, True)
    assert domain.encode() in browser.get(f"/operator/tenants/{tenant.slug}").data
    assert browser.post(f"/operator/domains/{tenant.slug}/{domain}/verify").status_code == 303
    assert leads_to(looking, domain) == tenant.slug
    assert browser.post(f"/operator/domains/{tenant.slug}/{domain}/remove").status_code == 303
    assert leads_to(looking, domain) is None
