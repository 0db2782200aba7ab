"""Idempotency-Key: the first answer is given again; another request under the same key is refused."""

from __future__ import annotations

from typing import Any

import pytest
from strongroom.buckets import service as buckets
from strongroom.http import idempotency

from tenants.models import Tenant
from tests.factories import Client, World, ok, problem
from tests.slow import all_at_once, slow_upload

KEY = {"Idempotency-Key": "a key"}
BUCKETS = "/api/v1/buckets"


def test_a_repeated_request_is_done_once(world: World, client: Client, tenant: Tenant) -> None:
    first = client.post(BUCKETS, json={"name": "media"}, headers=KEY)
    again = client.post(BUCKETS, json={"name": "media"}, headers=KEY)
    assert ok(first, 201) == ok(again, 201)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.content_type == first.content_type
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert len(world.rows(tenant, "buckets")) == 1


def test_refusals_are_not_kept(world: World, client: Client, tenant: Tenant) -> None:
    """The same request may be tried again when its reason is gone."""
    world.create_bucket(tenant, "media")
    problem(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 409, "already_exists")
    world.tenant_sql(tenant, "DELETE FROM {t}.buckets")
    ok(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 201)


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", BUCKETS, {"name": "other"}), ("POST", "/api/v1/users", {"name": "media"}), ("PATCH", f"{BUCKETS}/media", {"name": "media"}),
    ("POST", f"{BUCKETS}?x=1", {"name": "media"}), ("DELETE", f"{BUCKETS}/media", None),
], ids=str)  # fmt: skip
def test_another_request_under_the_same_key(client: Client, method: str, path: str, body: Any) -> None:
    ok(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 201)
    problem(client.open(method, path, json=body, headers=KEY), 409, "idempotency_conflict")
    assert ok(client.get(f"{BUCKETS}/media"))


def test_while_the_first_is_still_running(world: World, client: Client, tenant: Tenant) -> None:
    world.create_bucket(tenant)
    with slow_upload(client.with_headers(KEY), "a.txt", b"slow") as finish:
        response = client.put("/api/v1/objects/media/a.txt", data=b"slow", headers=KEY)
        problem(response, 409, "idempotency_in_progress")
        assert int(response.headers["Retry-After"]) > 0
        first = ok(finish(), 201)
    assert ok(client.put("/api/v1/objects/media/a.txt", data=b"slow", headers=KEY), 201) == first
    assert len(world.rows(tenant, "versions")) == 1


def test_of_many_at_once_one_is_done(world: World, client: Client, tenant: Tenant) -> None:
    answers = all_at_once([lambda: client.post(BUCKETS, json={"name": "media"}, headers=KEY)] * 6)
    assert {each.status_code for each in answers} <= {201, 409}
    assert len({each.get_json().get("id") for each in answers if each.status_code == 201}) == 1
    assert {each.get_json()["code"] for each in answers if each.status_code == 409} <= {"idempotency_in_progress"}
    assert len(world.rows(tenant, "buckets")) == 1


def test_a_failure_of_ours_is_not_kept(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("planned")

    with monkeypatch.context() as patch:
        patch.setattr(buckets, "create_bucket", fail)
        problem(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 500, "internal_error")
    ok(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 201)


def test_a_process_that_died_leaves_the_key_usable(world: World, client: Client, tenant: Tenant) -> None:
    ok(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 201)
    world.tenant_sql(tenant, "UPDATE {t}.idempotency_keys SET status = NULL, body = NULL; DELETE FROM {t}.buckets")
    problem(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 409, "idempotency_in_progress")
    world.tenant_sql(tenant, "UPDATE {t}.idempotency_keys SET created_at = now() - interval '11 minutes'")
    ok(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 201)


def test_kept_for_a_day(world: World, client: Client, tenant: Tenant) -> None:
    ok(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 201)
    assert idempotency.forget_old(world.runtime, tenant) == 0
    world.tenant_sql(tenant, "UPDATE {t}.idempotency_keys SET created_at = now() - interval '25 hours'")
    assert idempotency.forget_old(world.runtime, tenant) == 1
    problem(client.post(BUCKETS, json={"name": "media"}, headers=KEY), 409, "already_exists")


@pytest.mark.parametrize("key", ["x" * 256, "a\tb", "\x7f", "\x85"], ids=ascii)
def test_keys_that_are_none(client: Client, key: str) -> None:
    problem(client.post(BUCKETS, json={"name": "media"}, headers={"Idempotency-Key": key}), 400, "bad_request")


@pytest.mark.parametrize("key", ["x" * 255, "é", "'; DROP TABLE", " ", "%"])
def test_keys_of_all_kinds(client: Client, key: str) -> None:
    ok(client.post(BUCKETS, json={"name": "media"}, headers={"Idempotency-Key": key}), 201)


def test_reading_needs_no_key(world: World, client: Client, tenant: Tenant) -> None:
    ok(client.get(BUCKETS, headers=KEY))
    assert world.rows(tenant, "idempotency_keys") == []


def test_who_is_refused_at_the_door_uses_no_key_up(world: World, tenant: Tenant) -> None:
    viewer = world.client(world.create_user(tenant, "viewer"))
    problem(viewer.post(BUCKETS, json={"name": "media"}, headers=KEY), 403, "forbidden")
    problem(world.client(tenant).post(BUCKETS, json={"name": "media"}, headers=KEY), 401, "unauthenticated")
    assert world.rows(tenant, "idempotency_keys") == []


def test_a_replay_needs_the_same_rights_as_the_first(world: World, tenant: Tenant, client: Client) -> None:
    admin = world.create_user(tenant, "admin")
    theirs = world.client(admin)
    ok(theirs.post(BUCKETS, json={"name": "media"}, headers=KEY), 201)
    ok(client.patch(f"/api/v1/users/{admin.id}", json={"role": "viewer"}))
    problem(theirs.post(BUCKETS, json={"name": "media"}, headers=KEY), 403, "forbidden")


def test_no_content_again(world: World, client: Client, tenant: Tenant) -> None:
    world.create_bucket(tenant, "media")
    for _ in range(2):
        response = client.delete(f"{BUCKETS}/media", headers=KEY)
        assert (response.status_code, response.data) == (204, b"")


def test_operators_keys_do_no_harm(operator: Client) -> None:
    """They have no store of their own yet; the header must at least be taken."""
    response = operator.post("/operator/api/v1/tenants/nobody-here/suspend", headers=KEY)
    problem(response, 404, "not_found")
