"""Point 3: signing in, refresh with rotation, re-use, signing out, and the tenant named by X-Tenant."""

from __future__ import annotations

import base64
import json
import time

from tests.acceptance.client import Client, assert_problem
from tests.acceptance.deployment import PASSWORD, Deployment, Tenant

LOGIN, REFRESH, LOGOUT, PROBE = "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout", "/api/v1/buckets"
HOURS_12 = 12 * 3600


def claims(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def test_login_answers_a_pair_of_tokens(tenant: Tenant, deployment: Deployment) -> None:
    client = deployment.tenant_client(tenant.slug)
    response = client.post(LOGIN, json={"email": tenant.owner.email, "password": PASSWORD})
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    tokens = response.json()
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in_s"}
    assert tokens["token_type"].lower() == "bearer"
    assert tokens["expires_in_s"] == 900
    now = time.time()
    assert abs(claims(tokens["refresh_token"])["exp"] - now - HOURS_12) < 60  # type: ignore[operator]  # claims are of any type
    assert client.get(PROBE, token=tokens["access_token"]).status_code == 200
    assert client.get(PROBE, token=tokens["access_token"], headers={"Authorization": f"bearer {tokens['access_token']}"}).status_code == 200


def test_login_ignores_the_case_of_the_address_and_tells_nothing_about_accounts(tenant: Tenant, deployment: Deployment) -> None:
    client = deployment.tenant_client(tenant.slug)
    assert client.post(LOGIN, json={"email": tenant.owner.email.upper(), "password": PASSWORD}).status_code == 200
    wrong = assert_problem(client.post(LOGIN, json={"email": tenant.owner.email, "password": "wrong"}), 401, "invalid_credentials")
    unknown = assert_problem(client.post(LOGIN, json={"email": "nobody@x.test", "password": "wrong"}), 401, "invalid_credentials")
    assert {wrong["title"], wrong["detail"]} == {unknown["title"], unknown["detail"]}


def test_guessing_passwords_is_slowed_down(tenant: Tenant, deployment: Deployment) -> None:
    client = deployment.tenant_client(tenant.slug)
    answers = [client.post(LOGIN, json={"email": tenant.owner.email, "password": f"wrong {number}"}) for number in range(25)]
    limited = [answer for answer in answers if answer.status_code == 429]
    assert limited, "25 wrong passwords in a row were all answered"
    assert_problem(limited[0], 429, "too_many_requests")
    assert int(limited[0].headers["Retry-After"]) > 0


def test_refresh_rotates(tenant: Tenant) -> None:
    owner = tenant.owner
    by_body = owner.post(REFRESH, json={"refresh_token": owner.refresh_token}, token="")
    assert by_body.status_code == 200
    assert by_body.json()["refresh_token"] != owner.refresh_token
    by_bearer = owner.post(REFRESH, token=by_body.json()["refresh_token"])
    assert by_bearer.status_code == 200
    assert set(by_bearer.json()) == {"access_token", "refresh_token", "token_type", "expires_in_s"}
    assert owner.get(PROBE, token=by_bearer.json()["access_token"]).status_code == 200
    first, last = claims(by_body.json()["refresh_token"]), claims(by_bearer.json()["refresh_token"])
    assert first["exp"] <= claims(str(owner.refresh_token))["exp"] + 5  # type: ignore[operator]  # claims are of any type
    assert last["sid"] == first["sid"]


def test_a_refresh_token_used_twice_ends_the_whole_family(tenant: Tenant) -> None:
    owner = tenant.owner
    renewed = owner.post(REFRESH, token=owner.refresh_token).json()
    assert_problem(owner.post(REFRESH, token=owner.refresh_token), 401, "refresh_reused")
    assert_problem(owner.post(REFRESH, token=renewed["refresh_token"]), 401, "token_invalid")
    for access in (owner.token, renewed["access_token"]):
        assert_problem(owner.get(PROBE, token=access), 401, "token_invalid")


def test_another_session_of_the_same_user_lives_on(tenant: Tenant, deployment: Deployment) -> None:
    other = deployment.tenant_client(tenant.slug).login(tenant.owner.email, PASSWORD)
    assert tenant.owner.post(LOGOUT).status_code == 204
    assert_problem(tenant.owner.get(PROBE), 401, "token_invalid")
    assert_problem(tenant.owner.post(REFRESH, token=tenant.owner.refresh_token), 401, "token_invalid")
    assert other.get(PROBE).status_code == 200
    assert len(other.listed("/api/v1/account/sessions")) == 1


def test_one_purpose_is_not_taken_for_another(tenant: Tenant) -> None:
    owner = tenant.owner
    assert_problem(owner.get(PROBE, token=owner.refresh_token), 401, "token_invalid")
    assert_problem(owner.post(REFRESH, token=owner.token), 401, "token_invalid")
    assert_problem(owner.post(REFRESH, token=""), 401, "unauthenticated")
    assert owner.get(PROBE).status_code == 200


def test_tenant_by_header_on_the_platform_host(tenant: Tenant, deployment: Deployment) -> None:
    client = deployment.client()
    client.session.headers["X-Tenant"] = tenant.slug
    client.login(tenant.owner.email, PASSWORD)
    client.bucket("by-header")
    assert [each["name"] for each in tenant.owner.listed(PROBE)] == ["by-header"]
    del client.session.headers["X-Tenant"]
    assert client.get(PROBE).status_code == 200, "the credential itself names the tenant"
    assert_problem(client.get(PROBE, headers={"X-Tenant": "acme"}), 401, "token_invalid")
    assert_problem(client.post(LOGIN, json={"email": "a", "password": "b"}, token=""), 404, "unknown_host")
    assert_problem(client.get(PROBE, token=""), 401, "unauthenticated")
    unknown = client.post(LOGIN, json={"email": "a", "password": "b"}, token="", headers={"X-Tenant": "not-there"})
    assert_problem(unknown, 404, "unknown_host")


def test_the_header_is_nothing_on_a_tenants_own_host(tenant: Tenant, deployment: Deployment) -> None:
    tenant.owner.bucket("mine")
    answer = tenant.owner.get(PROBE, headers={"X-Tenant": "acme"})
    if answer.status_code == 200:
        assert [each["name"] for each in answer.json()["items"]] == ["mine"]
    else:
        assert answer.status_code in {401, 404}
    at_acme = deployment.tenant_client("acme").get(PROBE, token=tenant.owner.token, headers={"X-Tenant": tenant.slug})
    assert_problem(at_acme, 401, "token_invalid")


def test_api_key_with_a_scope(tenant: Tenant, deployment: Deployment) -> None:
    tenant.owner.bucket("media")
    made = tenant.owner.post("/api/v1/api-keys", json={"name": "reader", "scopes": ["files:read"]})
    assert made.status_code == 201
    key = made.json()
    assert set(key) >= {"id", "name", "scopes", "key"}
    assert key["key"].startswith(f"sr_{tenant.slug}_")
    for client in (deployment.tenant_client(tenant.slug), deployment.client()):
        client.token = key["key"]
        assert client.get(PROBE).status_code == 200
        assert_problem(client.put("media", "a.txt", b"x"), 403, "forbidden")
    assert key["key"] not in json.dumps(tenant.owner.listed("/api/v1/api-keys"))
    assert tenant.owner.request("DELETE", f"/api/v1/api-keys/{key['id']}").status_code == 204
    assert_problem(tenant.owner.get(PROBE, token=key["key"]), 401, "token_invalid")


def test_roles(tenant: Tenant) -> None:
    tenant.owner.bucket("media")
    member, viewer = tenant.user("member"), tenant.user("viewer")
    file = member.store("media", "a.txt", b"by a member")
    assert file["created_by"] != tenant.owner.listed("/api/v1/users")[0]["id"] or len(tenant.owner.listed("/api/v1/users")) == 3
    assert viewer.download("media", "a.txt").content == b"by a member"
    assert_problem(viewer.put("media", "b.txt", b"x"), 403, "forbidden")
    assert_problem(viewer.request("DELETE", f"/api/v1/files/{file['id']}"), 403, "forbidden")
    assert_problem(member.post("/api/v1/buckets", json={"name": "x"}), 403, "forbidden")
    assert_problem(member.get("/api/v1/stats/usage"), 403, "forbidden")


def test_a_disabled_user_is_out_at_once(tenant: Tenant, deployment: Deployment) -> None:
    member: Client = tenant.user("member")
    users = {each["email"]: each["id"] for each in tenant.owner.listed("/api/v1/users")}
    assert tenant.owner.request("PATCH", f"/api/v1/users/{users[member.email]}", json={"disabled": True}).status_code == 200
    assert_problem(member.get(PROBE), 401, "token_invalid")
    assert_problem(member.post(REFRESH, token=member.refresh_token), 401, "token_invalid")
    again = deployment.tenant_client(tenant.slug).post(LOGIN, json={"email": member.email, "password": PASSWORD})
    assert_problem(again, 401, "invalid_credentials")
