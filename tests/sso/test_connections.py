"""Connections as the tenant's administrators have them: versions, secrets, limits, the test of a provider."""

from __future__ import annotations

from typing import Any

import pytest
from strongroom.operating import providers
from strongroom.sso.cache import cache_of

from tenants import sso, tenant_secrets
from tests.factories import Account, Client, World, ok, problem, token_bytes
from tests.services.oidc import OidcProvider
from tests.sso.conftest import OIDC, SSO, Setup

SETTINGS = "/api/v1/tenant/settings"
SECRET = "the secret of a client"
BODY: dict[str, Any] = {"label": "Okta", "issuer": "https://id.example.com/", "client_id": "c1", "client_secret": SECRET}


def test_made_changed_and_removed(client: Client, world: World, owner: Account) -> None:
    made = ok(client.put(f"{SSO}/okta", json=BODY), 201)
    assert made == {
        "name": "okta", "label": "Okta", "issuer": BODY["issuer"], "client_id": "c1", "scopes": ["openid", "email", "profile"],
        "domains": [], "create_users": False, "role": "member", "enabled": True, "client_secret_set": True,
        "redirect_uri": f"http://{owner.tenant.slug}.localhost{OIDC}/okta/callback",
    }  # fmt: skip
    changed = ok(client.patch(f"{SSO}/okta", json={"domains": ["Example.COM", "b.example", "example.com"], "enabled": False}))
    assert (changed["domains"], changed["enabled"], changed["client_secret_set"]) == (["b.example", "example.com"], False, True)
    replaced = ok(client.put(f"{SSO}/okta", json={name: BODY[name] for name in ("label", "issuer", "client_id")}))
    assert (replaced["domains"], replaced["enabled"], replaced["client_secret_set"]) == ([], True, True)
    assert ok(client.get(SSO))["items"] == [replaced]
    newest = ok(client.get(f"{SETTINGS}/versions"))["items"][0]
    assert list(newest["changes"]) == ["sso.connections"]
    everything = [
        world.rows(owner.tenant, "events"),
        world.sql("SELECT * FROM strongroom.settings_versions"),
        world.rows(owner.tenant, "idempotency_keys"),
    ]
    assert SECRET not in repr(everything)
    (kept,) = world.sql("SELECT * FROM strongroom.tenant_secrets WHERE tenant_id = %(id)s", id=owner.tenant.id)
    assert SECRET.encode() not in bytes(kept["sealed"])
    ok(client.delete(f"{SSO}/okta"), 204)
    assert ok(client.get(SSO))["items"] == []
    assert world.sql("SELECT * FROM strongroom.tenant_secrets WHERE tenant_id = %(id)s", id=owner.tenant.id) == []
    for method, path in (("DELETE", "okta"), ("PATCH", "okta"), ("POST", "okta/test")):
        problem(client.open(method, f"{SSO}/{path}", **({"json": {}} if method == "PATCH" else {})), 404, "not_found")


def test_a_former_version_without_its_secret_waits_for_one(client: Client, world: World, owner: Account) -> None:
    ok(client.put(f"{SSO}/okta", json=BODY), 201)
    version = ok(client.get(SETTINGS))["version"]
    ok(client.delete(f"{SSO}/okta"), 204)
    ok(client.post(f"{SETTINGS}/versions/{version}/restore"))
    (back,) = ok(client.get(SSO))["items"]
    assert (back["issuer"], back["client_secret_set"]) == (BODY["issuer"], False)
    visitor = world.client(owner.tenant)
    problem(visitor.get(f"{OIDC}/okta/start"), 409, "sso_not_ready")
    assert ok(visitor.get(OIDC))["items"] == []
    problem(client.patch(SETTINGS, json={"sso": {"password_sign_in": "owners"}}), 422, "validation_failed")
    assert ok(client.patch(f"{SSO}/okta", json={"client_secret": SECRET}))["client_secret_set"] is True
    (offer,) = ok(visitor.get(OIDC))["items"]
    assert offer == {"name": "okta", "label": "Okta", "start_url": f"http://{owner.tenant.slug}.localhost{OIDC}/okta/start"}


@pytest.mark.parametrize("change", [{"issuer": "https://evil.example"}, {"client_id": "c2"}])
def test_a_secret_is_never_sent_elsewhere(client: Client, change: dict[str, str]) -> None:
    ok(client.put(f"{SSO}/okta", json=BODY), 201)
    assert ok(client.patch(f"{SSO}/okta", json=change))["client_secret_set"] is False
    assert ok(client.patch(f"{SSO}/okta", json={name: BODY[name] for name in change}))["client_secret_set"] is True


WRONG = [
    {"issuer": "http://id.example.com"}, {"issuer": "id.example.com"}, {"issuer": "https://id.example.com/?a"}, {"issuer": "https://a@b.example"},
    {"issuer": "https://" + "a" * 200}, {"issuer": "file:///etc/passwd"}, {"issuer": "https://"}, {"issuer": "https://[::1"},
    {"label": ""}, {"label": "a\nb"}, {"client_id": ""}, {"client_secret": ""}, {"client_secret": "a\r\nb"}, {"client_secret": None},
    {"scopes": ["email"]}, {"scopes": ["openid", "a b"]}, {"domains": ["localhost"]}, {"domains": ["*.example.com"]},
    {"domains": ["a@b.example"]},
    {"role": "admin"}, {"role": "owner"}, {"create_users": "perhaps"}, {"name": "x"},
]  # fmt: skip


def test_what_is_refused_says_where(client: Client) -> None:
    for each in WRONG:
        told = problem(client.put(f"{SSO}/okta", json={**BODY, **each}), 422, "validation_failed")
        assert set(told["errors"]) == set(each)
    for name in ("A", "a_b", "a" * 41, "a.b"):
        assert set(problem(client.put(f"{SSO}/{name}", json=BODY), 422, "validation_failed")["errors"]) == {"name"}
    assert ok(client.get(SETTINGS))["version"] == 1


def test_there_are_five_at_most(client: Client) -> None:
    for number in range(5):
        ok(client.put(f"{SSO}/c{number}", json=BODY), 201)
    problem(client.put(f"{SSO}/c5", json=BODY), 409, "too_many_connections")
    ok(client.put(f"{SSO}/c4", json={**BODY, "label": "Changed"}))
    whole = ok(client.get(SETTINGS))["sso"]["connections"]
    assert "client_secret" not in whole["c0"]
    sixth = {**whole, "c5": whole["c0"]}
    problem(client.patch(SETTINGS, json={"sso": {"connections": sixth}}), 422, "validation_failed")


def test_another_master_key(client: Client, world: World, owner: Account) -> None:
    ok(client.put(f"{SSO}/okta", json=BODY), 201)
    old, new = world.settings.master_key.get_secret_value(), token_bytes("yet another master key").decode()
    changed, lost = world.again(master_key=new, master_keys_old=[old]), world.again(master_key=new)
    connection = sso.connection_of("okta", {**BODY, "scopes": [], "domains": []})

    def secrets(of: World) -> dict[str, str]:
        with of.runtime.databases.control() as database:
            return sso.secrets_of(database, of.runtime.keys, owner.tenant.id, [connection])

    assert (secrets(changed), secrets(lost)) == ({"okta": SECRET}, {}), "one that cannot be opened is not set"
    done = tenant_secrets.reseal(changed.runtime.databases, changed.runtime.keys)
    assert done[0] >= 1
    assert secrets(lost) == {"okta": SECRET}
    back = world.again(master_keys_old=[new])
    assert tenant_secrets.reseal(back.runtime.databases, back.runtime.keys)[0] == done[0]
    assert "tenant_secrets" in providers.Resealed.__dataclass_fields__


def test_a_tenant_that_is_gone_leaves_no_secret(client: Client, world: World, owner: Account, operator: Client) -> None:
    ok(client.put(f"{SSO}/okta", json=BODY), 201)
    ok(operator.delete(f"/operator/api/v1/tenants/{owner.tenant.slug}"), 202)
    world.run_jobs()
    assert world.sql("SELECT * FROM strongroom.tenant_secrets WHERE tenant_id = %(id)s", id=owner.tenant.id) == []


def test_a_provider_is_tried_out(setup: Setup, provider: OidcProvider, world: World) -> None:
    tried = ok(setup.client.post(f"{SSO}/corp/test"))
    assert (tried["ok"], [step["ok"] for step in tried["steps"]]) == (True, [True, True, True])
    assert provider.issuer in tried["steps"][0]["detail"]
    ok(setup.client.patch(f"{SSO}/corp", json={"issuer": f"{provider.issuer}/"}))
    tried = ok(setup.client.post(f"{SSO}/corp/test"))
    assert (tried["ok"], tried["steps"][0]["ok"], tried["steps"][-1]["ok"]) == (False, False, False)
    assert "calls itself" in tried["steps"][0]["detail"]
    assert tried["steps"][0]["advice"]
    far = world.client(setup.owner).post(f"{SSO}/corp/test")
    assert "not one that may be asked" in ok(far)["steps"][0]["detail"], "without the operator's leave it is not reached at all"


def test_what_is_remembered_is_bounded_and_of_one_tenant(setup: Setup, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.sso.cache.MAX_ENTRIES", 3)
    cache = cache_of(setup.world.runtime)
    tenants = [world.create_tenant() for _ in range(4)]
    connection = sso.connection_of("corp", {**BODY, "scopes": [], "domains": []} | {"client_secret": ""})
    entries = [cache.of(each, connection) for each in tenants]
    assert len({id(each) for each in entries}) == 4
    assert len(cache) == 3
    assert cache.of(tenants[3], connection) is entries[3]


def test_the_table_needs_no_other_for_long_values(world: World, owner: Account) -> None:
    (row,) = world.sql("SELECT reltoastrelid FROM pg_class WHERE oid = %(name)s::regclass", name=f"{owner.tenant.ref.role}.identities")
    assert row["reltoastrelid"] == 0
