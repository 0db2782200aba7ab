"""Operators: accounts outside every tenant, and the trail of what they did."""

from __future__ import annotations

import re

import pytest
from argon2 import PasswordHasher
from strongroom.auth import operators
from strongroom.errors import AlreadyExists, ValidationFailed

from tests.factories import PASSWORD, PLATFORM, Client, World, ok, problem

API = "/operator/api/v1"


def test_refresh_turns_and_reuse_ends(world: World) -> None:
    someone = world.create_operator()
    door = Client(world.app, PLATFORM)
    first = ok(door.post(f"{API}/auth/login", json={"email": someone.email.upper(), "password": PASSWORD}))
    second = ok(door.post(f"{API}/auth/refresh", json={"refresh_token": first["refresh_token"]}))
    ok(door.as_(second["access_token"]).get(f"{API}/jobs"))
    problem(door.post(f"{API}/auth/refresh", json={"refresh_token": first["refresh_token"]}), 401, "refresh_reused")
    problem(door.as_(second["access_token"]).get(f"{API}/jobs"), 401, "token_invalid")
    problem(door.as_(second["refresh_token"]).post(f"{API}/auth/refresh"), 401, "token_invalid")


def test_logout(world: World) -> None:
    client = world.client(world.create_operator())
    ok(client.post(f"{API}/auth/logout"), 204)
    problem(client.get(f"{API}/jobs"), 401, "token_invalid")


def test_wrong_credentials(world: World) -> None:
    someone = world.create_operator()
    door = Client(world.app, PLATFORM)
    for body in ({"email": someone.email, "password": "wrong password"}, {"email": "nobody@example.com", "password": PASSWORD}):
        problem(door.post(f"{API}/auth/login", json=body), 401, "invalid_credentials")


def test_an_old_password_hash_is_renewed_at_sign_in(world: World) -> None:
    someone = world.create_operator()
    old = PasswordHasher(time_cost=2, memory_cost=64, parallelism=4).hash(PASSWORD)
    world.sql("UPDATE strongroom.operators SET password_hash = %(old)s WHERE id = %(id)s", old=old, id=someone.id)
    door = Client(world.app, PLATFORM)
    hashes = {old}
    for _ in range(2):
        ok(door.post(f"{API}/auth/login", json={"email": someone.email, "password": PASSWORD}))
        (row,) = world.sql("SELECT password_hash FROM strongroom.operators WHERE id = %(id)s", id=someone.id)
        hashes.add(row["password_hash"])
    assert len(hashes) == 2
    assert row["password_hash"] != old


def test_accounts_are_checked(world: World) -> None:
    someone = world.create_operator()
    databases = world.runtime.databases
    with pytest.raises(AlreadyExists):
        operators.create_operator(databases, email=someone.email.upper(), password=PASSWORD)
    for email, password, role in (("no address", PASSWORD, "admin"), ("a@b.c", PASSWORD, "root"), ("a@b.c", "short", "admin")):
        with pytest.raises(ValidationFailed):
            operators.create_operator(databases, email=email, password=password, role=role)


def test_what_they_did_is_written_down(world: World, operator: Client) -> None:
    tenant = world.create_tenant()
    for action in ("suspend", "resume"):
        ok(operator.post(f"{API}/tenants/{tenant.slug}/{action}"))
    entries = ok(operator.get(f"{API}/audit?limit=2"))["items"]
    assert [(each["action"], each["subject"]) for each in entries] == [("tenant.resume", tenant.slug), ("tenant.suspend", tenant.slug)]
    emails = {each["email"] for each in ok(operator.get(f"{API}/operators"))["items"]}
    assert {each["operator"] for each in entries} <= emails


def test_audit_page_by_page(world: World, operator: Client) -> None:
    for number in range(5):
        operators.record(world.runtime.databases, "test", f"act {number}", "subject")
    found, cursor = [], ""
    for _ in range(5):
        page = ok(operator.get(f"{API}/audit", query_string={"limit": 1, **({"cursor": cursor} if cursor else {})}))
        found += [each["action"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert found == [f"act {number}" for number in (4, 3, 2, 1, 0)]


def test_no_secret_is_listed(operator_viewer: Client) -> None:
    for path in ("operators", "providers", "tenants", "audit", "jobs"):
        data = operator_viewer.get(f"{API}/{path}").data
        assert b"argon2" not in data
        assert not re.search(rb'"password"\s*:', data)
        assert b'"secrets":' not in data, "their names at most"
