"""Sign-in, refresh with rotation, sign-out, and the list of one's sessions."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Connection
from strongroom.auth import repository

from tenants.models import Tenant
from tests.factories import PASSWORD, Account, Client, World, ok, problem
from tests.slow import all_at_once

LOGIN, REFRESH, LOGOUT = "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout"
ACCOUNT, SESSIONS = "/api/v1/account", "/api/v1/account/sessions"


def login(client: Client, email: str, password: str = PASSWORD) -> Any:
    return client.post(LOGIN, json={"email": email, "password": password})


def refresh(client: Client, token: str) -> Any:
    return client.post(REFRESH, json={"refresh_token": token})


@pytest.fixture
def door(world: World, tenant: Tenant) -> Client:
    """A client of nobody."""
    return world.client(tenant)


def test_login_answers_a_pair_of_tokens(door: Client, owner: Account) -> None:
    tokens = ok(login(door, owner.email))
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in_s"}
    assert (tokens["token_type"], tokens["expires_in_s"]) == ("Bearer", 7200)
    assert ok(door.as_(tokens["access_token"]).get(ACCOUNT))["id"] == str(owner.id)


def test_an_old_password_hash_is_renewed_when_its_user_signs_in(world: World, tenant: Tenant, door: Client, owner: Account) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=64, parallelism=4).hash(PASSWORD)
    world.tenant_sql(tenant, "UPDATE {t}.users SET password_hash = %(old)s", old=old)

    def stored() -> Any:
        return world.rows(tenant, "users")[0]["password_hash"]

    problem(login(door, owner.email, "wrong password"), 401, "invalid_credentials")
    assert stored() == old
    ok(login(door, owner.email))
    renewed = stored()
    assert renewed != old
    ok(login(door, owner.email))
    assert stored() == renewed


def test_emails_are_compared_whatever_their_case_and_form(world: World, tenant: Tenant, door: Client) -> None:
    world.create_user(tenant, email="Jürgen.ẞ@Example.com")
    for email in (
        "jürgen.ss@example.com",
        "JÜRGEN.SS@EXAMPLE.COM",
        unicodedata.normalize("NFD", "Jürgen.ß@example.com"),
        " jürgen.ß@example.com ",
    ):
        ok(login(door, email))


def test_wrong_credentials_are_told_alike(world: World, tenant: Tenant, door: Client, owner: Account) -> None:
    disabled = world.create_user(tenant, "member")
    world.tenant_sql(tenant, "UPDATE {t}.users SET status = 'disabled' WHERE id = %(id)s", id=disabled.id)
    invited = ok(world.client(owner).post("/api/v1/users", json={"email": "invited@example.com"}), 201)
    answers = [
        login(door, owner.email, "wrong password"),
        login(door, "nobody@example.com"),
        login(door, disabled.email),
        login(door, invited["email"]),
        login(door, owner.email, PASSWORD + " "),
        login(door, owner.email, PASSWORD.upper()),
    ]
    bodies = {tuple(sorted((name, value) for name, value in each.get_json().items() if name != "request_id")) for each in answers}
    assert len(bodies) == 1
    problem(answers[0], 401, "invalid_credentials")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "a@b.c"},
        {"password": "x"},
        {"email": "", "password": "x"},
        {"email": 1, "password": 2},
        [],
        "x",
        {"email": "a@b.c", "password": "x" * 1025},
        {"email": "a@b.c", "password": "x", "tenant": "y"},
    ],
    ids=lambda each: str(each)[:40],
)
def test_login_without_what_it_needs(door: Client, body: Any) -> None:
    problem(door.post(LOGIN, json=body), 422, "validation_failed")


@pytest.mark.parametrize("text", ["a\0b@c.d", "\0", "\ud800@x.y"], ids=ascii)
def test_login_with_what_no_text_has(door: Client, text: str) -> None:
    for body in ({"email": text, "password": PASSWORD}, {"email": "a@b.c", "password": text}):
        assert door.post(LOGIN, json=body).status_code in {400, 401, 422}


def test_a_body_that_is_no_json(door: Client) -> None:
    for data, kind in (
        (b"{", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"a=b", "application/x-www-form-urlencoded"),
        (b"{}", "text/plain"),
    ):
        response = door.post(LOGIN, data=data, headers={"Content-Type": kind})
        assert response.status_code in {400, 415, 422}
        assert response.content_type == "application/problem+json"


def test_refresh_turns_the_pair(door: Client, owner: Account) -> None:
    first = ok(login(door, owner.email))
    second = ok(refresh(door, first["refresh_token"]))
    third = ok(door.as_(second["refresh_token"]).post(REFRESH))
    assert len({each["refresh_token"] for each in (first, second, third)}) == 3
    ok(door.as_(third["access_token"]).get(ACCOUNT))


def test_a_used_refresh_token_ends_the_whole_family(door: Client, owner: Account) -> None:
    first = ok(login(door, owner.email))
    elsewhere = ok(login(door, owner.email))
    second = ok(refresh(door, first["refresh_token"]))
    third = ok(refresh(door, second["refresh_token"]))
    problem(refresh(door, first["refresh_token"]), 401, "refresh_reused")
    for tokens in (first, second, third):
        problem(door.as_(tokens["access_token"]).get(ACCOUNT), 401, "token_invalid")
        problem(refresh(door, tokens["refresh_token"]), 401, "token_invalid")
    ok(door.as_(elsewhere["access_token"]).get(ACCOUNT))
    ok(refresh(door, elsewhere["refresh_token"]))


def test_two_that_refresh_at_once_do_not_both_win(door: Client, owner: Account) -> None:
    tokens = ok(login(door, owner.email))
    answers = all_at_once([lambda: refresh(door, tokens["refresh_token"])] * 2)
    assert sorted(each.status_code for each in answers) == [200, 401]
    problem(door.as_(tokens["access_token"]).get(ACCOUNT), 401, "token_invalid")


def test_refreshing_does_not_prolong_the_session(world: World, tenant: Tenant, door: Client, owner: Account) -> None:
    tokens = ok(login(door, owner.email))
    (before,) = world.rows(tenant, "sessions")
    ok(refresh(door, tokens["refresh_token"]))
    (after,) = world.rows(tenant, "sessions")
    assert after["expires_at"] == before["expires_at"]
    assert after["refresh_id"] != before["refresh_id"]


@pytest.mark.parametrize("token", ["", "x", "a.b.c", None, 1])
def test_refresh_of_nothing(door: Client, token: Any) -> None:
    response = door.post(REFRESH, json={"refresh_token": token})
    assert response.status_code == (422 if token == 1 else 401)
    problem(door.post(REFRESH), 401, "unauthenticated")


def test_logout_ends_one_session_at_once(door: Client, owner: Account) -> None:
    one, other = ok(login(door, owner.email)), ok(login(door, owner.email))
    ok(door.as_(one["access_token"]).post(LOGOUT), 204)
    problem(door.as_(one["access_token"]).get(ACCOUNT), 401, "token_invalid")
    problem(refresh(door, one["refresh_token"]), 401, "token_invalid")
    problem(door.as_(one["access_token"]).post(LOGOUT), 401, "token_invalid")
    ok(door.as_(other["access_token"]).get(ACCOUNT))


def test_a_disabled_user_is_out_at_once_and_stays_out(world: World, tenant: Tenant, client: Client) -> None:
    member = world.create_user(tenant, "member")
    theirs = world.client(member)
    ok(theirs.get(ACCOUNT))
    ok(client.patch(f"/api/v1/users/{member.id}", json={"disabled": True}))
    problem(theirs.get(ACCOUNT), 401, "token_invalid")
    problem(refresh(theirs, member.tokens["refresh_token"]), 401, "token_invalid")
    problem(login(theirs, member.email), 401, "invalid_credentials")
    ok(client.patch(f"/api/v1/users/{member.id}", json={"disabled": False}))
    problem(theirs.get(ACCOUNT), 401, "token_invalid")
    ok(login(theirs.as_(None), member.email))


def test_a_deleted_user_is_out_at_once(world: World, tenant: Tenant, client: Client) -> None:
    member = world.create_user(tenant, "member")
    theirs = world.client(member)
    ok(client.delete(f"/api/v1/users/{member.id}"), 204)
    problem(theirs.get(ACCOUNT), 401, "token_invalid")
    problem(refresh(theirs, member.tokens["refresh_token"]), 401, "token_invalid")


def test_a_change_of_role_counts_at_once(world: World, tenant: Tenant, client: Client) -> None:
    member = world.create_user(tenant, "admin")
    theirs = world.client(member)
    ok(theirs.get("/api/v1/users"))
    ok(client.patch(f"/api/v1/users/{member.id}", json={"role": "viewer"}))
    problem(theirs.get("/api/v1/users"), 403, "forbidden")


def test_list_and_end_of_sessions(door: Client, owner: Account) -> None:
    one = ok(door.post(LOGIN, json={"email": owner.email, "password": PASSWORD}, headers={"User-Agent": "Phone " + "x" * 500}))
    other = ok(login(door, owner.email))
    client = door.as_(other["access_token"])
    listed = ok(client.get(SESSIONS))["items"]
    assert len(listed) == 2
    (phone,) = [each for each in listed if each["user_agent"].startswith("Phone")]
    assert len(phone["user_agent"]) == 200
    assert phone["remote_addr"] == "127.0.0.1"
    ok(client.delete(f"{SESSIONS}/{phone['id']}"), 204)
    problem(door.as_(one["access_token"]).get(ACCOUNT), 401, "token_invalid")
    problem(client.delete(f"{SESSIONS}/{phone['id']}"), 404, "not_found")
    assert len(ok(client.get(SESSIONS))["items"]) == 1


# One's own account


def test_change_of_password_ends_the_other_sessions(door: Client, owner: Account) -> None:
    one, other = ok(login(door, owner.email)), ok(login(door, owner.email))
    client = door.as_(one["access_token"])
    body = {"current_password": PASSWORD, "new_password": "another password"}
    ok(client.patch(ACCOUNT, json=body))
    ok(client.get(ACCOUNT))
    problem(door.as_(other["access_token"]).get(ACCOUNT), 401, "token_invalid")
    problem(login(door, owner.email), 401, "invalid_credentials")
    ok(login(door, owner.email, "another password"))


@pytest.mark.parametrize(
    "body", [{"new_password": "another password"}, {"new_password": "another password", "current_password": "wrong"}], ids=str
)
def test_change_of_password_needs_the_present_one(client: Client, body: dict[str, str]) -> None:
    problem(client.patch(ACCOUNT, json=body), 401, "invalid_credentials")


@pytest.mark.parametrize("password", ["", "short", "x" * 9, "x" * 1025])
def test_passwords_that_are_none(client: Client, password: str) -> None:
    response = client.patch(ACCOUNT, json={"current_password": PASSWORD, "new_password": password})
    assert problem(response, 422, "validation_failed")["errors"]


def test_change_of_name(client: Client) -> None:
    assert ok(client.patch(ACCOUNT, json={"name": "Grace Ḧ"}))["name"] == "Grace Ḧ"
    problem(client.patch(ACCOUNT, json={"role": "owner"}), 422, "validation_failed")
    problem(client.patch(ACCOUNT, json={"name": "x" * 201}), 422, "validation_failed")
    for name in ("a\0b", "\ud800"):
        assert client.patch(ACCOUNT, json={"name": name}).status_code in {400, 422}


def test_no_password_and_no_hash_is_ever_answered(world: World, tenant: Tenant, client: Client) -> None:
    (row,) = world.rows(tenant, "users")
    assert row["password_hash"].startswith("$argon2id$")
    for response in (client.get(ACCOUNT), client.get("/api/v1/users"), client.patch(ACCOUNT, json={"name": "x"})):
        assert b"argon2" not in response.data
        assert b"password" not in response.data


def test_the_database_goes_while_the_caller_is_looked_up(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    real = repository.session_user

    def session_user(connection: Connection, *of: Any) -> Any:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert world.sql("SELECT pg_terminate_backend(%(pid)s, 10000) AS gone", pid=driver.info.backend_pid)[0]["gone"]
        return real(connection, *of)

    with monkeypatch.context() as patch:
        patch.setattr(repository, "session_user", session_user)
        problem(client.get("/api/v1/buckets"), 503, "database_unavailable")
    ok(client.get("/api/v1/buckets"))
