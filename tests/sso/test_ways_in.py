"""The whole way through a certified provider, by plain HTTP: who comes in, as whom, and who does not."""

from __future__ import annotations

import threading
from urllib.parse import urlsplit

import pytest
from strongroom.access import Role
from strongroom.users import service as users
from werkzeug.test import TestResponse

from tests.factories import host_of, ok, problem
from tests.services.oidc import OidcProvider
from tests.sso.conftest import COOKIE, OIDC, SSO, Setup, Window, query_of


def refused(answer: TestResponse, words: str, code: str = "sso_refused", status: int = 403) -> None:
    assert words in problem(answer, status, code)["detail"]


def test_an_account_is_joined_by_its_verified_email_and_stays_so(setup: Setup, provider: OidcProvider) -> None:
    ann = setup.world.create_user(setup.tenant, "member", email="Ann@example.com")
    window = setup.window()
    url = window.start(mode="token")
    asked = query_of(url)
    assert url.startswith(f"{provider.issuer}/auth?")
    assert (asked["response_type"], asked["code_challenge_method"], asked["scope"]) == ("code", "S256", "openid email profile")
    assert asked["redirect_uri"] == f"http://{host_of(setup.tenant)}{OIDC}/corp/callback"
    answer = window.come_back(provider.sign_in(url, "ann@example.com"))
    assert set(ok(answer)) == {"access_token", "refresh_token", "token_type", "expires_in_s"}
    assert answer.headers["Cache-Control"] == "no-store"
    assert setup.me(answer)["id"] == str(ann.id)
    assert COOKIE not in window.cookies
    (identity,) = setup.world.rows(setup.tenant, "identities")
    assert (identity["issuer"], identity["subject"], identity["user_id"]) == (provider.issuer, "ann@example.com", ann.id)
    (linked,) = setup.world.rows(setup.tenant, "events", "kind = 'user.linked'")
    assert (linked["subject"], linked["actor"]) == (ann.id, {"connection": "corp"})
    again = setup.window().sign_in(provider, "sub=ann@example.com&email=ann.new@example.com", mode="token")
    assert setup.me(again)["id"] == str(ann.id), "known by its subject, whatever its e-mail"
    ok(setup.client.delete(f"/api/v1/users/{ann.id}"), 204)
    assert setup.world.rows(setup.tenant, "identities") == []


def test_it_ends_at_the_console_with_a_session(setup: Setup, provider: OidcProvider) -> None:
    setup.world.create_user(setup.tenant, "member", email="bea@example.com")
    window = setup.window()
    answer = window.sign_in(provider, "bea@example.com", next="/console/account/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/account/")
    assert "sr_console" in window.cookies
    assert b"bea@example.com" in window.get("/console/account/").data
    (session,) = setup.world.rows(setup.tenant, "sessions", "kind = 'console'")
    assert session["ended_at"] is None


@pytest.mark.parametrize(
    "after", ["https://evil.example/", "//evil.example", "/%5Cevil.example", "/api/v1/users", "/consoleevil", "javascript:1"]
)
def test_it_leads_nowhere_else(setup: Setup, provider: OidcProvider, after: str) -> None:
    answer = setup.window().sign_in(provider, "bea@example.com", next=after)
    assert answer.status_code == 403, "nobody is known"
    setup.connect(create_users=True)
    answer = setup.window().sign_in(provider, "bea@example.com", next=after)
    assert answer.headers["Location"] == "/console/"


def test_an_invitation_is_accepted_by_coming(setup: Setup, provider: OidcProvider) -> None:
    invited = users.invite_user(setup.world.runtime, setup.tenant, setup.owner.principal, email="new@example.com", role=Role.ADMIN)
    me = setup.me(setup.window().sign_in(provider, "email=new@example.com&name=Nel", mode="token"))
    assert (me["id"], me["role"], me["status"], me["name"]) == (str(invited.user.id), "admin", "active", "Nel")
    used = setup.world.client(setup.tenant).post("/api/v1/auth/invite/accept", json={"token": invited.token, "password": "x" * 20})
    problem(used, 404, "not_found")


def test_whoever_is_unknown_gets_an_account_where_that_is_chosen(setup: Setup, provider: OidcProvider) -> None:
    refused(setup.window().sign_in(provider, "cy@example.com", mode="token"), "no account for cy@example.com")
    setup.connect(create_users=True, role="viewer")
    me = setup.me(setup.window().sign_in(provider, "sub=7&email=cy@example.com&name=Cy", mode="token"))
    assert (me["email"], me["role"], me["name"], me["status"]) == ("cy@example.com", "viewer", "Cy", "active")
    (made,) = setup.world.rows(setup.tenant, "events", "kind = 'user.created' AND data ->> 'email' = 'cy@example.com'")
    assert made["actor"] == {"connection": "corp"}
    path = f"/api/v1/users/{me['id']}"
    ok(setup.client.patch(path, json={"disabled": True}))
    refused(setup.window().sign_in(provider, "sub=7&email=cy@example.com", mode="token"), "disabled")
    assert ok(setup.client.patch(path, json={"disabled": False}))["status"] == "active", "it has no password, yet needs no invitation"
    assert setup.me(setup.window().sign_in(provider, "sub=7&email=cy@example.com", mode="token"))["id"] == me["id"]


def test_of_several_first_sign_ins_at_once_one_makes_the_account(setup: Setup, provider: OidcProvider) -> None:
    setup.connect(create_users=True)
    windows = [setup.window() for _ in range(3)]
    urls = [provider.sign_in(window.start(mode="token"), "kim@example.com") for window in windows]
    statuses: list[int] = []

    def act(window: Window, url: str) -> None:
        statuses.append(window.come_back(url).status_code)

    threads = [threading.Thread(target=act, args=pair) for pair in zip(windows, urls, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200, 200, 200]
    assert len(setup.world.rows(setup.tenant, "users", "email = 'kim@example.com'")) == 1
    assert len(setup.world.rows(setup.tenant, "identities")) == 1


def test_the_quota_holds(setup: Setup, provider: OidcProvider) -> None:
    setup.connect(create_users=True)
    setup.world.sql("UPDATE strongroom.tenants SET limits = '{\"quota_users\": 1}' WHERE id = %(id)s", id=setup.tenant.id)
    setup.world.runtime.registry.forget()
    problem(setup.window().sign_in(provider, "cy@example.com", mode="token"), 507, "quota_exceeded")
    assert setup.world.rows(setup.tenant, "identities") == []


NOT_JOINED = {
    "an unverified e-mail": ("member", "email=dee@example.com&verified=false", "not say that your e-mail"),
    "an e-mail of another domain": ("member", "email=dee@example.org", "of a domain"),
    "no e-mail at all": ("member", "sub=9", "not say that your e-mail"),
    "an owner": ("owner", "email=dee@example.com", "may not open"),
    "letters that only look like it": ("member", "email=d%EF%BD%85e@example.com", "not say that your e-mail"),
}


@pytest.mark.parametrize("case", NOT_JOINED)
def test_no_account_is_opened_to(setup: Setup, provider: OidcProvider, case: str) -> None:
    role, who, words = NOT_JOINED[case]
    setup.connect(create_users=True)
    setup.world.create_user(setup.tenant, role, email="dee@example.com" if "org" not in who else "dee@example.org")
    refused(setup.window().sign_in(provider, who, mode="token"), words)
    assert setup.world.rows(setup.tenant, "identities") == []


def test_a_connection_that_names_no_domain_opens_no_account_that_exists(setup: Setup, provider: OidcProvider) -> None:
    setup.connect(domains=[], create_users=True)
    setup.world.create_user(setup.tenant, "member", email="eve@example.com")
    refused(setup.window().sign_in(provider, "eve@example.com", mode="token"), "may not open")
    assert setup.me(setup.window().sign_in(provider, "new@elsewhere.example", mode="token"))["email"] == "new@elsewhere.example"


def test_an_address_that_went_to_somebody_else_opens_nothing(setup: Setup, provider: OidcProvider) -> None:
    setup.world.create_user(setup.tenant, "member", email="fay@example.com")
    assert setup.me(setup.window().sign_in(provider, "sub=first&email=fay@example.com", mode="token"))
    refused(setup.window().sign_in(provider, "sub=second&email=fay@example.com", mode="token"), "somebody else")


def test_a_boolean_in_quotes_counts(setup: Setup, provider: OidcProvider) -> None:
    """As Amazon Cognito writes it."""
    setup.connect(create_users=True)
    assert setup.me(setup.window().sign_in(provider, 'email=q@example.com&verified="true"', mode="token"))["email"] == "q@example.com"


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "EdDSA"])
def test_other_algorithms(setup: Setup, provider: OidcProvider, algorithm: str) -> None:
    setup.connect(client_metadata={"id_token_signed_response_alg": algorithm}, create_users=True)
    assert setup.me(setup.window().sign_in(provider, "gil@example.com", mode="token"))


def test_a_client_that_shows_its_secret_in_the_form(setup: Setup, provider: OidcProvider) -> None:
    setup.connect(client_metadata={"token_endpoint_auth_method": "client_secret_post"}, create_users=True)
    assert setup.me(setup.window().sign_in(provider, "hal@example.com", mode="token"))


def test_what_the_provider_refuses(setup: Setup, provider: OidcProvider) -> None:
    refused(setup.window().sign_in(provider, "cancel", mode="token"), "cancelled", "sso_failed")
    setup.connect(client_secret="not the secret")
    problem(setup.window().sign_in(provider, "ann@example.com", mode="token"), 502, "sso_unavailable")


def test_only_owners_sign_in_with_a_password_where_that_is_chosen(setup: Setup, provider: OidcProvider) -> None:
    world, tenant = setup.world, setup.tenant
    member = world.create_user(tenant, "member", email="ida@example.com")
    client, anybody = world.client(member), world.client(tenant)
    invited = users.invite_user(world.runtime, tenant, setup.owner.principal, email="jo@example.com", role=Role.MEMBER)
    ok(setup.client.patch("/api/v1/tenant/settings", json={"sign_up": {"mode": "open"}}))
    problem(anybody.post("/api/v1/auth/signup", json={"email": "new@example.com"}), 503, "mail_not_set_up")
    ok(setup.client.patch("/api/v1/tenant/settings", json={"sso": {"password_sign_in": "owners"}}))
    problem(anybody.post("/api/v1/auth/signup", json={"email": "new@example.com"}), 403, "sign_up_closed")
    login = {"email": member.email, "password": member.password}
    problem(anybody.post("/api/v1/auth/login", json=login), 403, "password_sign_in_off")
    problem(anybody.post("/api/v1/auth/login", json={**login, "password": "wrong"}), 401, "invalid_credentials")
    ok(anybody.post("/api/v1/auth/login", json={"email": setup.owner.email, "password": setup.owner.password}))
    accept = {"token": invited.token, "password": "a password of some length"}
    problem(anybody.post("/api/v1/auth/invite/accept", json=accept), 403, "password_sign_in_off")
    change = {"current_password": member.password, "new_password": "another password of some length"}
    problem(client.patch("/api/v1/account", json=change), 403, "password_sign_in_off")
    assert ok(anybody.get(OIDC))["password_sign_in"] == "owners"
    assert setup.me(setup.window().sign_in(provider, "jo@example.com", mode="token"))["id"] == str(invited.user.id)
    for refused_ in (
        setup.client.delete(f"{SSO}/corp"), setup.client.patch(f"{SSO}/corp", json={"enabled": False}),
        setup.client.patch(f"{SSO}/corp", json={"issuer": "https://elsewhere.example"}),
    ):  # fmt: skip
        assert "password_sign_in" in problem(refused_, 422, "validation_failed")["errors"]["sso"]


def test_at_a_domain_of_the_tenants_own(setup: Setup) -> None:
    world, name = setup.world, f"files-{setup.tenant.slug}.example"
    world.sql(
        "INSERT INTO strongroom.domains (domain, tenant_id, verified_at) VALUES (%(name)s, %(id)s, now())", name=name, id=setup.tenant.id
    )
    answer = world.client(name).get(f"{OIDC}/corp/start")
    assert query_of(answer.headers["Location"])["redirect_uri"] == f"http://{name}{OIDC}/corp/callback"
    for header in ("X-Forwarded-Host", "Forwarded", "X-Host", "X-Original-Host"):
        games = setup.window().get(f"{OIDC}/corp/start", **{header: "host=evil.example" if header == "Forwarded" else "evil.example"})
        assert urlsplit(query_of(games.headers["Location"])["redirect_uri"]).netloc == host_of(setup.tenant)
