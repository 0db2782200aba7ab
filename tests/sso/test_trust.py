"""What an administrator cannot gain by a provider of its own, and what nobody loses by it."""

from __future__ import annotations

from typing import Any

import pytest
from strongroom.access import Role, Scope
from strongroom.users import service as users

from tests.factories import ok, problem
from tests.services.oidc import OidcProvider
from tests.sso.conftest import SSO, Setup
from tests.sso.test_ways_in import refused

SETTINGS = "/api/v1/tenant/settings"
WHO = "sub=backdoor&email=boss@example.com"


def identities(setup: Setup) -> list[dict[str, Any]]:
    return setup.world.rows(setup.tenant, "identities")


def test_a_link_made_before_opens_no_owners_account(setup: Setup, provider: OidcProvider) -> None:
    world, tenant = setup.world, setup.tenant
    boss = world.create_user(tenant, "admin", email="boss@example.com")
    hidden = ok(setup.window().sign_in(provider, WHO, mode="token"))["access_token"]
    keys = {scope: world.client(tenant, world.create_api_key(boss, scope)) for scope in (Scope.ADMIN, Scope.USER_READ)}
    assert len(identities(setup)) == 1
    ok(setup.client.patch(f"/api/v1/users/{boss.id}", json={"role": "owner"}))
    assert identities(setup) == []
    assert world.client(tenant).as_(hidden).get("/api/v1/account").status_code == 401
    assert keys[Scope.ADMIN].get("/api/v1/users").status_code == 401
    ok(keys[Scope.USER_READ].get("/api/v1/users"))
    refused(setup.window().sign_in(provider, WHO, mode="token"), "may not open")
    world.tenant_sql(tenant, "INSERT INTO {t}.identities VALUES (%(i)s, 'backdoor', %(u)s)", i=provider.issuer, u=boss.id)
    refused(setup.window().sign_in(provider, WHO, mode="token"), "Owners do not come in")


@pytest.mark.parametrize("way", ["removed", "another issuer", "restored"])
def test_what_an_issuer_knows_is_forgotten_with_its_last_connection(setup: Setup, provider: OidcProvider, way: str) -> None:
    setup.world.create_user(setup.tenant, "member", email="boss@example.com")
    ok(setup.window().sign_in(provider, WHO, mode="token"))
    ok(setup.client.patch(f"{SSO}/corp", json={"enabled": False}))
    assert len(identities(setup)) == 1, "the issuer is still named"
    if way == "removed":
        setup.connect("second")
        ok(setup.client.delete(f"{SSO}/corp"), 204)
        assert len(identities(setup)) == 1, "by another connection"
        ok(setup.client.delete(f"{SSO}/second"), 204)
    elif way == "another issuer":
        ok(setup.client.patch(f"{SSO}/corp", json={"issuer": f"{provider.issuer}/"}))
    else:
        ok(setup.client.post(f"{SETTINGS}/versions/1/restore"))
    assert identities(setup) == []


def test_nobody_without_a_password_becomes_an_owner(setup: Setup, provider: OidcProvider) -> None:
    setup.connect(create_users=True)
    me = setup.me(setup.window().sign_in(provider, WHO, mode="token"))
    path = f"/api/v1/users/{me['id']}"
    told = problem(setup.client.patch(path, json={"role": "owner"}), 422, "validation_failed")
    assert "has none" in told["errors"]["role"][0]
    assert len(identities(setup)) == 1, "nothing was changed"
    for change in ({"disabled": True}, {"role": "owner"}):
        ok(setup.client.patch(path, json=change))
    assert ok(setup.client.patch(path, json={"disabled": False}))["status"] == "invited"


def test_passwords_go_only_where_a_provider_opens_accounts(setup: Setup) -> None:
    owners = {"sso": {"password_sign_in": "owners"}}
    setup.connect(domains=[])
    told = problem(setup.client.patch(SETTINGS, json=owners), 422, "validation_failed")
    assert "names domains" in told["errors"]["sso"]["password_sign_in"][0]
    assert b"names domains" in setup.world.browser(setup.owner).post("/console/sso/passwords", data=owners["sso"]).data
    setup.connect(domains=["example.com"])
    ok(setup.client.patch(SETTINGS, json=owners))
    problem(setup.client.patch(f"{SSO}/corp", json={"domains": []}), 422, "validation_failed")


def test_whoever_is_refused_is_told_a_way_that_there_is(setup: Setup, provider: OidcProvider) -> None:
    world, tenant = setup.world, setup.tenant
    world.create_user(tenant, "member", email="mem@example.com")
    users.invite_user(world.runtime, tenant, setup.owner.principal, email="inv@example.com", role=Role.MEMBER)
    setup.connect("open", domains=[])

    def told(who: str) -> str:
        answer = setup.window().sign_in(provider, f"{who}@example.com", "open", mode="token")
        return str(problem(answer, 403, "sso_refused")["detail"])

    assert "Sign in with its password" in told("mem")
    assert "Open the link in the invitation" in told("inv")
    ok(setup.client.patch(SETTINGS, json={"sso": {"password_sign_in": "owners"}}))
    for who in ("mem", "inv"):
        assert told(who).endswith("may not open. Ask an administrator.")
    assert "Sign in with its password" in told(setup.owner.email.partition("@")[0]), "owners keep theirs"


@pytest.mark.parametrize("kept", ["ada@b\u00fccher.example", "Ada@xn--bcher-kva.example"])
def test_an_international_mailbox_has_one_account(setup: Setup, provider: OidcProvider, kept: str) -> None:
    setup.connect(domains=["xn--bcher-kva.example"], create_users=True)
    ada = setup.world.create_user(setup.tenant, "member", email=kept)
    answer = setup.window().sign_in(provider, "ada@XN--bcher-kva.example", mode="token")
    assert setup.me(answer)["id"] == str(ada.id)


def test_what_only_folds_to_the_same_is_another_mailbox(setup: Setup, provider: OidcProvider) -> None:
    setup.connect(domains=["strasse.example"], create_users=True)
    setup.world.create_user(setup.tenant, "member", email="ada@stra\u00dfe.example")
    refused(setup.window().sign_in(provider, "ada@strasse.example", mode="token"), "may not open")
    made = setup.me(setup.window().sign_in(provider, "bob@strasse.example", mode="token"))
    assert made["email"] == "bob@strasse.example"
