"""The wall of identity: a credential is good at its own tenant, for its own purpose, and nowhere else."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from strongroom.access import Scope
from strongroom.auth import cookies, operators, service
from strongroom.auth.models import SessionGrant
from strongroom.db.ids import new_id
from strongroom.security.tokens import sign
from strongroom.signup.service import make_token
from strongroom.users import service as users
from strongroom.users.addresses import read

from tenants.models import Tenant
from tests.factories import PLATFORM, Account, Client, World, host_of, ok, problem

ACCOUNT = "/api/v1/account"


@pytest.fixture
def account(owner: Account) -> Account:
    return owner


@pytest.fixture
def stranger(world: World) -> Account:
    """The owner of another tenant, with the same e-mail and password as ours."""
    return world.create_user(world.create_tenant(), "owner", email="same@example.com")


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def access_of(world: World, account: Account) -> str:
    world.client(account)
    return str(account.tokens["access_token"])


def refresh_of(world: World, account: Account) -> str:
    world.client(account)
    return str(account.tokens["refresh_token"])


def key_of(world: World, tenant: Tenant, purpose: str = "session") -> bytes:
    return world.runtime.keys.tenant_key(tenant.id, purpose)


def unsigned(claims: dict[str, Any]) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def test_a_good_token_is_good(world: World, account: Account) -> None:
    assert ok(world.client(account).get(ACCOUNT))["email"] == account.email


Forge = Callable[[World, Account, Account], str]
FORGERIES: dict[str, Forge] = {
    "unsigned": lambda w, a, _: unsigned(claims_of(access_of(w, a))),
    "of a key of one's own": lambda w, a, _: jwt.encode(claims_of(access_of(w, a)), "k" * 32, "HS256"),
    "signed with nothing": lambda w, a, _: jwt.encode(claims_of(access_of(w, a)), "\0" * 32, "HS256"),
    "with another tenant's key and our claims": lambda w, a, s: jwt.encode(claims_of(access_of(w, a)), key_of(w, s.tenant), "HS256"),
    "with a foreign kid": lambda w, a, s: jwt.encode(
        claims_of(access_of(w, a)), key_of(w, s.tenant), "HS256", headers={"kid": str(a.tenant.id), "jku": "http://127.0.0.1/keys"}
    ),
    "with another algorithm": lambda w, a, _: jwt.encode(claims_of(access_of(w, a)), key_of(w, a.tenant) * 2, "HS512"),
    "of HS384 under the right key": lambda w, a, _: jwt.encode(claims_of(access_of(w, a)), key_of(w, a.tenant) + b"\0" * 16, "HS384"),
    "signed with the operators' key": lambda w, a, _: jwt.encode(
        claims_of(access_of(w, a)), w.runtime.keys.operator_key("session"), "HS256"
    ),
    "signed with the invitations' key": lambda w, a, _: jwt.encode(claims_of(access_of(w, a)), key_of(w, a.tenant, "invite"), "HS256"),
    "signed with the console's key": lambda w, a, _: jwt.encode(claims_of(access_of(w, a)), key_of(w, a.tenant, cookies.CONSOLE), "HS256"),
    "without a session": lambda w, a, _: jwt.encode(
        {name: value for name, value in claims_of(access_of(w, a)).items() if name != "sid"}, key_of(w, a.tenant), "HS256"
    ),
    "with a session that is no id": lambda w, a, _: jwt.encode({**claims_of(access_of(w, a)), "sid": "x"}, key_of(w, a.tenant), "HS256"),
    "with a session of nobody": lambda w, a, _: jwt.encode(
        {**claims_of(access_of(w, a)), "sid": str(new_id())}, key_of(w, a.tenant), "HS256"
    ),
    "without an end": lambda w, a, _: jwt.encode(
        {name: value for name, value in claims_of(access_of(w, a)).items() if name not in {"exp", "sid"}}, key_of(w, a.tenant), "HS256"
    ),
    "altered": lambda w, a, _: access_of(w, a)[:-6] + "AAAAAA",
    "another tenant's": lambda w, _, s: access_of(w, s),
    "a refresh token": lambda w, a, _: refresh_of(w, a),
    "an invitation": lambda w, a, _: sign(key_of(w, a.tenant, "invite"), "invite", str(a.id), 60, invite=str(new_id())),
    "a sign-up's link": lambda w, a, _: make_token(w.runtime, a.tenant, read(a.email), "", asked_at=time.time()),
    "a console's cookie": lambda w, a, _: console_cookie(w, a),
    "no token at all": lambda *_: "hello",
    "two parts": lambda *_: "a.b",
    "not ASCII": lambda *_: "ä.ö.ü",
}


def console_grant(world: World, account: Account) -> SessionGrant:
    return service.login(
        world.runtime, account.tenant, email=account.email, password=account.password, kind="console", user_agent="", remote_addr=""
    )


def console_cookie(world: World, account: Account) -> str:
    grant = console_grant(world, account)
    return sign(key_of(world, account.tenant, cookies.CONSOLE), cookies.CONSOLE, str(grant.session_id), 600)


@pytest.mark.parametrize("name", FORGERIES)
@pytest.mark.parametrize("on_platform", [False, True], ids=["on its host", "on the platform"])
def test_forged_tokens_are_refused(world: World, account: Account, stranger: Account, name: str, on_platform: bool) -> None:
    token = FORGERIES[name](world, account, stranger)
    host = PLATFORM if on_platform else host_of(account.tenant)
    headers = {"X-Tenant": account.tenant.slug} if on_platform else {}
    response = Client(world.app, host, headers={"Authorization": f"Bearer {token}", **headers}).get(ACCOUNT)
    assert response.status_code == 401, response.data
    assert response.get_json()["code"] in {"token_invalid", "unauthenticated"}
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_expired_token(world: World, account: Account) -> None:
    claims = {**claims_of(access_of(world, account)), "exp": int(time.time()) - 1}
    token = jwt.encode(claims, key_of(world, account.tenant), "HS256")
    problem(world.client(account.tenant).as_(token).get(ACCOUNT), 401, "token_expired")


def test_expired_session_ends_a_living_token(world: World, account: Account) -> None:
    client = world.client(account)
    world.tenant_sql(account.tenant, "UPDATE {t}.sessions SET expires_at = now() - interval '1 second'")
    problem(client.get(ACCOUNT), 401, "token_invalid")
    problem(client.post("/api/v1/auth/refresh", json={"refresh_token": account.tokens["refresh_token"]}), 401, "token_invalid")


def test_an_access_token_is_no_refresh_token(world: World, account: Account) -> None:
    client = world.client(account.tenant)
    access = access_of(world, account)
    problem(client.post("/api/v1/auth/refresh", json={"refresh_token": access}), 401, "token_invalid")
    problem(client.as_(access).post("/api/v1/auth/refresh"), 401, "token_invalid")


def test_another_tenants_refresh_token(world: World, account: Account, stranger: Account) -> None:
    token = refresh_of(world, stranger)
    client = world.client(account.tenant)
    problem(client.post("/api/v1/auth/refresh", json={"refresh_token": token}), 401, "token_invalid")
    problem(client.as_(token).post("/api/v1/auth/refresh"), 401, "token_invalid")
    ok(world.client(stranger.tenant).post("/api/v1/auth/refresh", json={"refresh_token": token}))


def test_same_password_elsewhere_is_another_user(world: World, account: Account, stranger: Account) -> None:
    body = {"email": stranger.email, "password": stranger.password}
    problem(world.client(account.tenant).post("/api/v1/auth/login", json=body), 401, "invalid_credentials")


# API keys


def test_api_key_works_at_home_only(world: World, account: Account, stranger: Account) -> None:
    key = world.create_api_key(account, Scope.ADMIN)
    assert ok(world.client(account.tenant, key).get(ACCOUNT))["email"] == account.email
    assert ok(Client(world.app, PLATFORM, key.text).get(ACCOUNT))["email"] == account.email
    problem(world.client(stranger.tenant, key).get(ACCOUNT), 401, "token_invalid")
    problem(Client(world.app, PLATFORM, key.text, {"X-Tenant": stranger.tenant.slug}).get(ACCOUNT), 401, "token_invalid")


def test_api_key_with_another_tenants_name_in_it(world: World, account: Account, stranger: Account) -> None:
    renamed = world.create_api_key(account, Scope.ADMIN).text.replace(f"sr_{account.tenant.slug}_", f"sr_{stranger.tenant.slug}_")
    for host in (host_of(stranger.tenant), host_of(account.tenant), PLATFORM):
        problem(Client(world.app, host, renamed).get(ACCOUNT), 401, "token_invalid")


def test_api_key_with_a_wrong_secret(world: World, account: Account) -> None:
    text = world.create_api_key(account, Scope.ADMIN).text
    for wrong in (text[:-1] + ("0" if text[-1] != "0" else "1"), text[:-64] + "0" * 64, text + "0", text.upper(), text[:-1]):
        assert world.client(account.tenant).as_(wrong).get(ACCOUNT).status_code == 401


@pytest.mark.parametrize(
    "change", ["UPDATE {t}.api_keys SET revoked_at = now()", "UPDATE {t}.api_keys SET expires_at = now() - interval '1 second'"]
)
def test_dead_api_key(world: World, account: Account, change: str) -> None:
    key = world.create_api_key(account, Scope.ADMIN)
    world.tenant_sql(account.tenant, change)
    problem(world.client(account.tenant, key).get(ACCOUNT), 401, "token_invalid")


def test_api_key_of_a_disabled_user(world: World, account: Account) -> None:
    member = world.create_user(account.tenant, "member")
    key = world.create_api_key(member, Scope.FILES_READ)
    ok(world.client(account).patch(f"/api/v1/users/{member.id}", json={"disabled": True}))
    problem(world.client(account.tenant, key).get("/api/v1/buckets"), 401, "token_invalid")


# Host, X-Tenant and credential agree, or nothing happens


def test_the_platforms_host_goes_by_the_credential(world: World, account: Account) -> None:
    token = access_of(world, account)
    assert ok(Client(world.app, PLATFORM, token).get(ACCOUNT))["id"] == str(account.id)
    same = Client(world.app, PLATFORM, token, {"X-Tenant": account.tenant.slug})
    assert ok(same.get(ACCOUNT))["id"] == str(account.id)


def test_x_tenant_against_the_credential(world: World, account: Account, stranger: Account) -> None:
    client = Client(world.app, PLATFORM, access_of(world, account), {"X-Tenant": stranger.tenant.slug})
    problem(client.get(ACCOUNT), 401, "token_invalid")


def test_x_tenant_counts_only_where_a_setting_allows_it(world: World, account: Account) -> None:
    strict = world.again(allow_tenant_header=False)
    body = {"email": account.email, "password": account.password}
    header = {"X-Tenant": account.tenant.slug}
    problem(Client(strict.app, PLATFORM, headers=header).post("/api/v1/auth/login", json=body), 404, "unknown_host")
    ok(Client(world.app, PLATFORM, headers=header).post("/api/v1/auth/login", json=body))


def test_x_tenant_does_not_move_a_tenants_host(world: World, account: Account, stranger: Account) -> None:
    client = Client(world.app, host_of(account.tenant), access_of(world, account), {"X-Tenant": stranger.tenant.slug})
    assert client.get(ACCOUNT).get_json().get("id") in {None, str(account.id)}
    sneaky = Client(world.app, host_of(stranger.tenant), access_of(world, account), {"X-Tenant": account.tenant.slug})
    problem(sneaky.get(ACCOUNT), 401, "token_invalid")


@pytest.mark.parametrize("slug", ["", "nobody-here", "..", "a/b", "%", "ACME", "x" * 300])
def test_x_tenant_that_names_nobody(world: World, slug: str) -> None:
    response = Client(world.app, PLATFORM, headers={"X-Tenant": slug}).post("/api/v1/auth/login", json={"email": "a@b.c", "password": "x"})
    problem(response, 404, "unknown_host")


# Operators are no tenant's users, and the reverse


def test_operators_token_opens_no_tenant(world: World, account: Account, operator: Client) -> None:
    for host in (host_of(account.tenant), PLATFORM):
        assert Client(world.app, host, operator.token).get(ACCOUNT).status_code == 401
    problem(Client(world.app, PLATFORM, operator.token, {"X-Tenant": account.tenant.slug}).get(ACCOUNT), 401, "token_invalid")


def test_tenants_credentials_open_nothing_of_the_operators(world: World, account: Account) -> None:
    key = world.create_api_key(account, Scope.ADMIN)
    for token in (access_of(world, account), key.text, refresh_of(world, account)):
        problem(Client(world.app, PLATFORM, token).get("/operator/api/v1/tenants"), 401, "token_invalid")


def test_operators_api_is_not_there_on_a_tenants_host(world: World, account: Account, operator: Client) -> None:
    problem(Client(world.app, host_of(account.tenant), operator.token).get("/operator/api/v1/tenants"), 404, "not_found")


def test_operators_refresh_token_is_no_access_token(world: World) -> None:
    someone = world.create_operator()
    client = world.client(someone)
    ok(client.get("/operator/api/v1/tenants"))
    problem(client.as_(someone.tokens["refresh_token"]).get("/operator/api/v1/tenants"), 401, "token_invalid")
    problem(client.post("/operator/api/v1/auth/refresh", json={"refresh_token": someone.tokens["access_token"]}), 401, "token_invalid")


def test_disabled_operator(world: World) -> None:
    someone = world.create_operator()
    client = world.client(someone)
    ok(client.get("/operator/api/v1/tenants"))
    world.sql("UPDATE strongroom.operators SET disabled_at = now() WHERE id = %(id)s", id=someone.id)
    problem(client.get("/operator/api/v1/tenants"), 401, "token_invalid")
    body = {"email": someone.email, "password": someone.password}
    problem(Client(world.app, PLATFORM).post("/operator/api/v1/auth/login", json=body), 401, "invalid_credentials")


# The consoles' cookies


def with_cookie(world: World, host: str, cookie: str, **headers: str) -> Client:
    return Client(world.app, host, headers={"Cookie": f"{cookies.CONSOLE}={cookie}", **headers})


def csrf_of(world: World, account: Account, session_id: UUID) -> str:
    with world.app.test_request_context(base_url=f"http://{host_of(account.tenant)}"):
        from flask import g  # noqa: PLC0415 - only inside a request

        g.tenant = account.tenant
        return cookies.csrf_token(session_id)


def test_console_cookie_opens_the_api_with_its_csrf_token_only(world: World, account: Account) -> None:
    grant = console_grant(world, account)
    cookie = sign(key_of(world, account.tenant, cookies.CONSOLE), cookies.CONSOLE, str(grant.session_id), 600)
    client = with_cookie(world, host_of(account.tenant), cookie)
    assert ok(client.get(ACCOUNT))["id"] == str(account.id)
    problem(client.post("/api/v1/buckets", json={"name": "media"}), 403, "csrf_failed")
    problem(client.post("/api/v1/buckets", json={"name": "media"}, headers={"X-CSRF-Token": "0" * 64}), 403, "csrf_failed")
    problem(client.post("/api/v1/buckets", data={"name": "media", "csrf_token": "x"}), 403, "csrf_failed")
    token = csrf_of(world, account, grant.session_id)
    ok(client.post("/api/v1/buckets", json={"name": "media"}, headers={"X-CSRF-Token": token}), 201)


def test_console_cookie_of_another_tenant(world: World, account: Account, stranger: Account) -> None:
    cookie = console_cookie(world, stranger)
    problem(with_cookie(world, host_of(account.tenant), cookie).get(ACCOUNT), 401, "unauthenticated")
    ok(with_cookie(world, host_of(stranger.tenant), cookie).get(ACCOUNT))


def test_access_token_is_no_console_cookie(world: World, account: Account) -> None:
    problem(with_cookie(world, host_of(account.tenant), access_of(world, account)).get(ACCOUNT), 401, "unauthenticated")


def test_cookie_with_an_api_session_in_it(world: World, account: Account) -> None:
    """The cookie of a session that was not begun by the console."""
    session = claims_of(access_of(world, account))["sid"]
    cookie = sign(key_of(world, account.tenant, cookies.CONSOLE), cookies.CONSOLE, session, 600)
    problem(with_cookie(world, host_of(account.tenant), cookie).get(ACCOUNT), 401, "token_invalid")


def test_operators_cookie_opens_no_tenant(world: World, account: Account) -> None:
    someone = world.create_operator()
    grant = operators.login(world.runtime, email=someone.email, password=someone.password, kind="console")
    cookie = sign(world.runtime.keys.operator_key(cookies.OPERATOR), cookies.OPERATOR, str(grant.session_id), 600)
    headers = {"Cookie": f"{cookies.OPERATOR}={cookie}; {cookies.CONSOLE}={cookie}"}
    problem(Client(world.app, host_of(account.tenant), headers=headers).get(ACCOUNT), 401, "unauthenticated")
    ok(Client(world.app, PLATFORM, headers=headers).get("/operator/api/v1/tenants"))
    problem(Client(world.app, PLATFORM, headers=headers).post("/operator/api/v1/tenants", json={}), 403, "csrf_failed")


# Life after death


def test_suspended_tenant_is_closed_for_all_its_credentials(world: World, account: Account, operator: Client) -> None:
    key = world.create_api_key(account, Scope.ADMIN)
    mine = world.client(account)
    ok(operator.post(f"/operator/api/v1/tenants/{account.tenant.slug}/suspend"))
    for client in (mine, world.client(account.tenant, key), Client(world.app, PLATFORM, key.text)):
        problem(client.get(ACCOUNT), 403, "tenant_suspended")
    body = {"email": account.email, "password": account.password}
    problem(world.client(account.tenant).post("/api/v1/auth/login", json=body), 403, "tenant_suspended")
    ok(operator.post(f"/operator/api/v1/tenants/{account.tenant.slug}/resume"))
    ok(mine.get(ACCOUNT))


def test_old_tokens_fail_at_the_next_owner_of_a_slug(world: World, operator: Client) -> None:
    slug = f"reused-{new_id().hex[-12:]}"
    former = world.create_user(world.create_tenant(slug), "owner", email="same@example.com")
    key, token = world.create_api_key(former, Scope.ADMIN), access_of(world, former)
    invitation = users.invite_user(world.runtime, former.tenant, former.principal, email="i@example.com", role=former.role)
    ok(operator.delete(f"/operator/api/v1/tenants/{slug}"), 202)
    world.run_jobs()
    present = world.create_user(world.create_tenant(slug), "owner", email="same@example.com")
    assert present.tenant.id != former.tenant.id
    assert present.tenant.prefix != former.tenant.prefix
    for credential in (token, key.text, refresh_of(world, former)):
        problem(world.client(present.tenant).as_(credential).get(ACCOUNT), 401, "token_invalid")
    body = {"token": invitation.token, "password": "another password"}
    problem(world.client(present.tenant).post("/api/v1/auth/invite/accept", json=body), 401, "token_invalid")


def test_tokens_do_not_outlive_their_time(world: World, account: Account) -> None:
    claims = claims_of(access_of(world, account))
    assert claims["exp"] - claims["iat"] == world.settings.access_token_lifetime_s
    refresh = claims_of(refresh_of(world, account))
    assert refresh["exp"] - refresh["iat"] <= world.settings.refresh_token_lifetime_s
    session = world.rows(account.tenant, "sessions")[0]
    assert session["expires_at"] - datetime.now(UTC) <= timedelta(seconds=world.settings.refresh_token_lifetime_s)
