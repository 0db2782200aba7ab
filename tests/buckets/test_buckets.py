"""Buckets: names, policies, totals, and that none goes while something is in it."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.models import Tenant
from tests.factories import Client, Statements, World, object_url, ok, problem, put_object
from tests.slow import slow_upload

BUCKETS = "/api/v1/buckets"


def test_a_bucket_as_it_is_made(client: Client) -> None:
    made = ok(client.post(BUCKETS, json={"name": "media"}), 201)
    wanted = {
        "name": "media", "allowed_types": [], "max_size_bytes": None, "versioning": True, "trash_days": 30, "serve_unscanned": False,
        "public": False, "cache_max_age_s": 300, "redirect_downloads": False, "used_bytes": 0, "used_files": 0,
    }  # fmt: skip
    assert {name: made[name] for name in wanted} == wanted
    assert ok(client.get(f"{BUCKETS}/media")) == made


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a.b", "a" * 63, "0.0", "media-2026.archive"])
def test_names(client: Client, name: str) -> None:
    assert ok(client.post(BUCKETS, json={"name": name}), 201)["name"] == name
    problem(client.post(BUCKETS, json={"name": name}), 409, "already_exists")


@pytest.mark.parametrize(
    "name", ["", "A", "a_b", "-a", "a-", ".a", "a.", "a..b", "a/b", "a b", "ä", "a" * 64, "a\n", "%", "..", "a%00", 1, None, ["a"]]
)
def test_names_that_are_none(client: Client, name: Any) -> None:
    problem(client.post(BUCKETS, json={"name": name}), 422, "validation_failed")


@pytest.mark.parametrize("name", ["a\0b", "\0", "\ud800"], ids=ascii)
def test_names_of_no_text(client: Client, name: str) -> None:
    assert client.post(BUCKETS, json={"name": name}).status_code in {400, 422}


@pytest.mark.parametrize("name", ["a%00b", "%00", "%ff", "A", "nowhere", "%", "x" * 300])
def test_buckets_that_are_not_there(client: Client, name: str) -> None:
    for method, path in (
        ("GET", f"{BUCKETS}/{name}"),
        ("DELETE", f"{BUCKETS}/{name}"),
        ("GET", f"{BUCKETS}/{name}/files"),
        ("GET", f"/api/v1/objects/{name}/x"),
    ):
        response = client.open(method, path)
        assert response.status_code in {400, 404}, (method, path, response.data)


@pytest.mark.parametrize("policy", [
    {"allowed_types": ["image/png"]}, {"allowed_types": ["image/*", "application/pdf"]}, {"allowed_types": ["*/*"]}, {"allowed_types": []},
    {"max_size_bytes": 1}, {"max_size_bytes": 2**53}, {"max_size_bytes": None}, {"versioning": False}, {"trash_days": 0},
    {"trash_days": 3650},
    {"serve_unscanned": True}, {"public": True}, {"cache_max_age_s": 0}, {"cache_max_age_s": 31536000}, {"redirect_downloads": True},
], ids=str)  # fmt: skip
def test_policies(client: Client, policy: dict[str, Any]) -> None:
    made = ok(client.post(BUCKETS, json={"name": "made", **policy}), 201)
    ok(client.post(BUCKETS, json={"name": "changed"}), 201)
    changed = ok(client.patch(f"{BUCKETS}/changed", json=policy))
    for bucket in (made, changed):
        assert {name: bucket[name] for name in policy} == policy


@pytest.mark.parametrize("policy", [
    {"allowed_types": ["image"]}, {"allowed_types": ["*"]}, {"allowed_types": ["image/PNG"]}, {"allowed_types": "image/png"},
    {"allowed_types": [1]},
    {"allowed_types": ["a/b"] * 101}, {"allowed_types": ["*/png"]}, {"allowed_types": ["[a-z]/x"]}, {"allowed_types": None},
    {"max_size_bytes": 0},
    {"max_size_bytes": -1}, {"max_size_bytes": 2**53 + 1}, {"max_size_bytes": 1.5}, {"max_size_bytes": "1"}, {"versioning": None},
    {"versioning": "maybe"},
    {"trash_days": -1}, {"trash_days": 3651}, {"trash_days": None}, {"serve_unscanned": "x"}, {"used_bytes": 1}, {"id": "x"},
    {"unknown": 1}, {"public": None}, {"public": "x"}, {"cache_max_age_s": -1}, {"cache_max_age_s": 31536001}, {"cache_max_age_s": None},
    {"redirect_downloads": "x"},
], ids=lambda each: str(each)[:50])  # fmt: skip
def test_policies_that_are_none(client: Client, policy: dict[str, Any]) -> None:
    ok(client.post(BUCKETS, json={"name": "media"}), 201)
    before = ok(client.get(f"{BUCKETS}/media"))
    problem(client.post(BUCKETS, json={"name": "other", **policy}), 422, "validation_failed")
    problem(client.patch(f"{BUCKETS}/media", json=policy), 422, "validation_failed")
    assert ok(client.get(f"{BUCKETS}/media")) == before


def test_names_do_not_change(client: Client) -> None:
    ok(client.post(BUCKETS, json={"name": "media"}), 201)
    problem(client.patch(f"{BUCKETS}/media", json={"name": "other"}), 422, "validation_failed")


@pytest.mark.usefixtures("bucket")
def test_a_stricter_policy_leaves_what_is_there(world: World, client: Client) -> None:
    world.upload(client, "a.txt")
    ok(client.patch(f"{BUCKETS}/media", json={"allowed_types": ["image/*"], "max_size_bytes": 1}))
    assert client.get(object_url("media", "a.txt")).data == b"some text"
    problem(put_object(client, "media", "a.txt", b"x"), 415, "type_not_allowed")


@pytest.mark.usefixtures("bucket")
def test_a_bucket_goes_only_when_it_is_empty(world: World, client: Client, tenant: Tenant) -> None:
    file = world.upload(client, "a.txt")
    problem(client.delete(f"{BUCKETS}/media"), 409, "bucket_not_empty")
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    problem(client.delete(f"{BUCKETS}/media"), 409, "bucket_not_empty")
    world.tenant_sql(tenant, "UPDATE {t}.files SET purge_at = now()")
    world.run_jobs()
    ok(client.delete(f"{BUCKETS}/media"), 204)
    problem(client.get(f"{BUCKETS}/media"), 404, "not_found")
    problem(client.delete(f"{BUCKETS}/media"), 404, "not_found")
    again = ok(client.post(BUCKETS, json={"name": "media"}), 201)
    assert again["used_files"] == 0


@pytest.mark.usefixtures("bucket")
def test_a_bucket_does_not_go_under_an_upload(client: Client) -> None:
    with slow_upload(client, "a.txt") as finish:
        problem(client.delete(f"{BUCKETS}/media"), 409, "bucket_not_empty")
        ok(finish(), 201)


@pytest.mark.usefixtures("bucket")
def test_totals_are_exact(world: World, client: Client, tenant: Tenant) -> None:
    world.create_bucket(tenant, "other")
    world.upload(client, "a.txt", b"12345")
    world.upload(client, "a.txt", b"123")
    world.upload(client, "b.txt", b"1", bucket="other")
    found = {each["name"]: (each["used_bytes"], each["used_files"]) for each in ok(client.get(BUCKETS))["items"]}
    assert found == {"media": (8, 1), "other": (1, 1)}
    totals = world.totals(tenant)
    assert (totals["used_bytes"], totals["used_files"]) == (9, 2)


@pytest.mark.usefixtures("bucket")
def test_lists_cost_the_same_whatever_their_length(world: World, client: Client, tenant: Tenant) -> None:
    counts = []
    for number in range(0, 40, 20):
        with Statements(world.runtime) as statements:
            ok(client.get(BUCKETS))
        counts.append(len(statements.texts))
        for each in range(number, number + 20):
            world.create_bucket(tenant, f"b{each}")
    assert len(set(counts)) == 1
    assert counts[0] <= 4


@pytest.mark.usefixtures("bucket")
def test_changes_are_events(world: World, client: Client, tenant: Tenant, owner: Any) -> None:
    ok(client.patch(f"{BUCKETS}/media", json={"trash_days": 1}))
    ok(client.delete(f"{BUCKETS}/media"), 204)
    events = world.rows(tenant, "events", "kind LIKE 'bucket%%' ORDER BY xid, id")
    assert [row["kind"] for row in events] == ["bucket.created", "bucket.updated", "bucket.deleted"]
    assert events[1]["actor"] == {"user_id": str(owner.id)}
