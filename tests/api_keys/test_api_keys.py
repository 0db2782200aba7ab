"""API keys: never stronger than who made them, told once, over at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from strongroom.access import Scope

from tenants.models import Tenant
from tests.factories import Account, Client, World, ok, problem

KEYS = "/api/v1/api-keys"


def make(client: Client, *scopes: str, **more: Any) -> Any:
    return client.post(KEYS, json={"name": "a key", "scopes": list(scopes), **more})


def test_a_key_is_told_once_and_kept_as_a_hash(world: World, tenant: Tenant, client: Client) -> None:
    made = ok(make(client, "files:read", "files:write"), 201)
    assert set(made) >= {"id", "name", "scopes", "key"}
    assert made["key"].startswith(f"sr_{tenant.slug}_")
    assert made["scopes"] == ["files:read", "files:write"]
    secret = made["key"].rsplit("_", 1)[1]
    assert len(secret) == 64
    (listed,) = ok(client.get(KEYS))["items"]
    assert "key" not in listed
    (row,) = world.rows(tenant, "api_keys")
    assert secret not in str(row)
    assert secret.encode() not in bytes(row["secret_hash"])


def test_no_secret_lies_in_the_database_in_clear(world: World, tenant: Tenant, client: Client) -> None:
    """Also not where answers are kept for repeated requests."""
    made = client.post(KEYS, json={"name": "k", "scopes": ["files:read"]}, headers={"Idempotency-Key": "once"})
    invited = client.post("/api/v1/users", json={"email": "g@example.com"}, headers={"Idempotency-Key": "twice"})
    secrets = [ok(made, 201)["key"].rsplit("_", 1)[1], ok(invited, 201)["invite_token"]]
    for table in [
        row["table_name"]
        for row in world.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = %(t)s", t=tenant.ref.role)
    ]:
        for row in world.rows(tenant, table):
            text = b"\n".join(bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in row.values())
            assert [secret for secret in secrets if secret.encode() in text] == [], table
    again = client.post(KEYS, json={"name": "k", "scopes": ["files:read"]}, headers={"Idempotency-Key": "once"})
    assert len(world.rows(tenant, "api_keys")) == 1
    assert again.status_code in {201, 409}


@pytest.mark.parametrize("body", [
    {}, {"name": "x"}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}, {"name": "x", "scopes": "admin"},
    {"name": "", "scopes": ["admin"]},
    {"name": "x" * 101, "scopes": ["admin"]}, {"name": "x", "scopes": ["files:read"], "expires_at": "tomorrow"},
    {"name": "x", "scopes": ["files:read"], "created_by": "x"}, {"name": "x", "scopes": [None]},
], ids=lambda each: str(each)[:50])  # fmt: skip
def test_keys_that_are_none(client: Client, body: Any) -> None:
    problem(client.post(KEYS, json=body), 422, "validation_failed")


def test_an_end_that_is_past(client: Client) -> None:
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    problem(make(client, "files:read", expires_at=past), 422, "validation_failed")


def test_a_key_ends_in_its_time(world: World, tenant: Tenant, client: Client) -> None:
    made = ok(make(client, "user:read", expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat()), 201)
    mine = world.client(tenant).as_(made["key"])
    ok(mine.get("/api/v1/account"))
    world.tenant_sql(tenant, "UPDATE {t}.api_keys SET expires_at = now()")
    problem(mine.get("/api/v1/account"), 401, "token_invalid")


def test_only_admins_give_the_scope_admin(world: World, tenant: Tenant, client: Client) -> None:
    member = world.client(world.create_user(tenant, "member"))
    problem(make(member, "admin"), 403, "forbidden")
    problem(make(member, "files:read", "admin"), 403, "forbidden")
    ok(make(client, "admin"), 201)


def test_keys_without_admin_make_no_keys(world: World, tenant: Tenant, owner: Account) -> None:
    weak = world.client(tenant, world.create_api_key(owner, *[scope for scope in Scope if scope != Scope.ADMIN]))
    problem(make(weak, "files:read"), 403, "forbidden")
    problem(weak.get(KEYS), 403, "forbidden")


def test_a_child_does_not_outlive_its_parent(world: World, tenant: Tenant, owner: Account) -> None:
    """A key that ends tomorrow must not make one that never does."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    parent = world.client(tenant, world.create_api_key(owner, Scope.ADMIN, expires_at=soon))
    for later in ({}, {"expires_at": (soon + timedelta(hours=1)).isoformat()}):
        response = make(parent, "files:read", **later)
        if response.status_code == 201:
            assert datetime.fromisoformat(response.get_json()["expires_at"] or "9999-01-01T00:00:00+00:00") <= soon
        else:
            assert response.status_code in {403, 422}


def test_a_key_is_as_weak_as_its_user_has_become(world: World, tenant: Tenant, client: Client) -> None:
    admin = world.create_user(tenant, "admin")
    key = world.client(tenant, world.create_api_key(admin, Scope.ADMIN))
    ok(key.get("/api/v1/users"))
    ok(client.patch(f"/api/v1/users/{admin.id}", json={"role": "viewer"}))
    problem(key.get("/api/v1/users"), 403, "forbidden")
    ok(key.get("/api/v1/buckets"))


def test_revoked_at_once(world: World, tenant: Tenant, client: Client) -> None:
    made = ok(make(client, "user:read"), 201)
    mine = world.client(tenant).as_(made["key"])
    ok(mine.get("/api/v1/account"))
    ok(client.delete(f"{KEYS}/{made['id']}"), 204)
    problem(mine.get("/api/v1/account"), 401, "token_invalid")
    assert ok(client.get(KEYS))["items"] == []
    problem(client.delete(f"{KEYS}/{made['id']}"), 404, "not_found")


def test_use_is_noted(world: World, tenant: Tenant, client: Client) -> None:
    made = ok(make(client, "user:read"), 201)
    assert ok(client.get(KEYS))["items"][0]["used_at"] is None
    ok(world.client(tenant).as_(made["key"]).get("/api/v1/account"))
    assert ok(client.get(KEYS))["items"][0]["used_at"] is not None


def test_keys_sign_nothing_in_or_out(world: World, tenant: Tenant, owner: Account) -> None:
    key = world.client(tenant, world.create_api_key(owner, Scope.ADMIN))
    problem(key.post("/api/v1/auth/logout"), 403, "forbidden")
    problem(key.patch("/api/v1/account", json={"current_password": owner.password, "new_password": "another password"}), 403, "forbidden")
