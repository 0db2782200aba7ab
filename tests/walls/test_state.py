"""Shared state: whatever is kept for one tenant or caller is nothing to another."""

from __future__ import annotations

from typing import Any

import pytest
from strongroom.access import Scope
from strongroom.jobs import queue
from strongroom.jobs.queue import Job

from tenants.models import Tenant
from tests.factories import Account, Client, World, ok, problem, put_object


@pytest.fixture
def neighbour(world: World) -> Account:
    made = world.create_user(world.create_tenant())
    world.create_bucket(made.tenant)
    return made


# Cursors


def three_buckets(client: Client, _world: World) -> None:
    for each in range(3):
        ok(client.post("/api/v1/buckets", json={"name": f"b{each}"}), 201)


def three_users(client: Client, _world: World) -> None:
    for each in range(3):
        ok(client.post("/api/v1/users", json={"email": f"{each}@example.com"}), 201)


def three_files(client: Client, world: World) -> None:
    for each in range(3):
        world.upload(client, f"{each}.txt")


def three_deleted(client: Client, world: World) -> None:
    for each in range(3):
        ok(client.delete(f"/api/v1/files/{world.upload(client, f'{each}.txt')['id']}"), 204)


LISTINGS = {
    "/api/v1/buckets": three_buckets,
    "/api/v1/users": three_users,
    "/api/v1/buckets/media/files": three_files,
    "/api/v1/trash": three_deleted,
}


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("path", LISTINGS)
def test_a_cursor_is_good_at_its_own_tenant_and_listing(world: World, owner: Account, neighbour: Account, path: str) -> None:
    mine, other = world.client(owner), world.client(neighbour)
    for client in (mine, other):
        LISTINGS[path](client, world)
    cursor = ok(mine.get(f"{path}?limit=1"))["next_cursor"]
    assert cursor
    ok(mine.get(path, query_string={"cursor": cursor}))
    problem(other.get(path, query_string={"cursor": cursor}), 400, "invalid_cursor")
    for elsewhere in set(LISTINGS) - {path}:
        problem(mine.get(elsewhere, query_string={"cursor": cursor}), 400, "invalid_cursor")


@pytest.mark.parametrize("path", ["/api/v1/buckets", "/api/v1/users", "/api/v1/trash"])
def test_forged_cursors(client: Client, path: str) -> None:
    for cursor in ("x", "äöü", "AAAA", "A" * 5000, "....", "AAAAAAAAAAAAAAAAAAAAAFtd", "W10=", "%41"):
        problem(client.get(path, query_string={"cursor": cursor}), 400, "invalid_cursor")


@pytest.mark.usefixtures("bucket")
def test_an_altered_cursor(world: World, client: Client) -> None:
    for name in ("a", "b", "c"):
        world.upload(client, name)
    cursor = ok(client.get("/api/v1/buckets/media/files?limit=1"))["next_cursor"]
    for place in range(0, len(cursor), 5):
        altered = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        problem(client.get("/api/v1/buckets/media/files", query_string={"cursor": altered}), 400, "invalid_cursor")


# Idempotency keys


def make_bucket(client: Client, name: str) -> Any:
    return client.post("/api/v1/buckets", json={"name": name}, headers={"Idempotency-Key": "the same key"})


def test_idempotency_keys_are_per_tenant_and_caller(world: World, owner: Account, neighbour: Account) -> None:
    first = make_bucket(world.client(owner), "first")
    assert first.status_code == 201
    elsewhere = make_bucket(world.client(neighbour), "first")
    assert elsewhere.status_code == 201
    assert elsewhere.get_json()["id"] != first.get_json()["id"]
    colleague = make_bucket(world.client(world.create_user(owner.tenant, "admin")), "second")
    assert ok(colleague, 201)["name"] == "second"
    by_key = make_bucket(world.client(owner.tenant, world.create_api_key(owner, Scope.ADMIN)), "third")
    assert ok(by_key, 201)["name"] == "third"
    again = make_bucket(world.client(owner), "first")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json() == first.get_json()


# The registry's cache


def test_a_change_is_seen_by_its_process_at_once(world: World, owner: Account) -> None:
    client = world.client(owner)
    ok(client.get("/api/v1/tenant"))
    ok(client.patch("/api/v1/tenant/branding", json={"name": "Renamed"}))
    assert ok(client.get("/api/v1/tenant/branding"))["name"] == "Renamed"


def test_caches_tell_tenants_apart(world: World, owner: Account, neighbour: Account) -> None:
    ok(world.client(owner).patch("/api/v1/tenant/branding", json={"name": "Only mine"}))
    for _ in range(2):
        assert ok(world.client(owner).get("/api/v1/tenant/branding"))["name"] == "Only mine"
        assert ok(world.client(neighbour).get("/api/v1/tenant/branding"))["name"] != "Only mine"


# Jobs are shared out fairly


def enqueue_many(world: World, tenant: Tenant, count: int) -> None:
    world.sql(
        "INSERT INTO strongroom.jobs (tenant_id, realm, kind, run_at) "
        "SELECT %(id)s, 'tenant', 'files.check', now() - interval '1 hour' FROM generate_series(1, %(count)s)",
        id=tenant.id, count=count,
    )  # fmt: skip


def claim(world: World, limit: int = 2) -> Job | None:
    with world.runtime.databases.cell("default") as connection:
        return queue.claim(connection, lease_s=60, tenant_limit=limit)


def test_one_job_is_not_behind_five_hundred(world: World, tenant: Tenant) -> None:
    other = world.create_tenant()
    enqueue_many(world, tenant, 500)
    claimed = claim(world)
    assert claimed is not None
    assert claimed.tenant_id == tenant.id
    enqueue_many(world, other, 1)
    turns = [job.tenant_id for job in (claim(world), claim(world)) if job]
    assert other.id in turns


def test_tenants_take_turns(world: World) -> None:
    tenants = [world.create_tenant() for _ in range(3)]
    for tenant, count in zip(tenants, (100, 10, 3), strict=True):
        enqueue_many(world, tenant, count)
    order = []
    for _ in range(9):
        job = claim(world)
        assert job is not None
        order.append(job.tenant_id)
        with world.runtime.databases.cell("default") as connection:
            queue.finish(connection, job)
    assert [order.count(tenant.id) for tenant in tenants] == [3, 3, 3]
    assert len(set(order[:3])) == 3


def test_no_tenant_has_more_than_its_share_of_workers(world: World, tenant: Tenant) -> None:
    enqueue_many(world, tenant, 10)
    assert [bool(claim(world)) for _ in range(4)] == [True, True, False, False]
    other = world.create_tenant()
    enqueue_many(world, other, 1)
    job = claim(world)
    assert job is not None
    assert job.tenant_id == other.id


def test_quotas_are_each_tenants_own(world: World, tenant: Tenant) -> None:
    full = world.create_tenant(quota_bytes=10)
    for each in (tenant, full):
        world.create_bucket(each)
    client = world.client(world.create_user(full))
    problem(put_object(client, "media", "a.txt", b"x" * 11), 507, "quota_exceeded")
    world.upload(world.client(world.create_user(tenant)), "a.txt", b"x" * 11)
