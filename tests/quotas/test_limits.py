"""Hard limits: exact under any number of parallel callers, each refused in its own words."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from strongroom.buckets import room

from tenants.models import Tenant
from tests.factories import Account, Client, World, object_url, ok, problem, put_object
from tests.slow import Hanging, all_at_once

QUOTA = "/api/v1/tenant/quota"


def owner_of(world: World, **limits: int) -> Account:
    account = world.create_user(world.create_tenant(**limits))
    world.create_bucket(account.tenant)
    return account


def transferred(world: World, tenant: Tenant) -> int:
    return int(world.tenant_sql(tenant, "SELECT coalesce(sum(bytes), 0) AS sum FROM {t}.transfer")[0]["sum"])


@pytest.mark.parametrize(("parallel", "has_come"), [(200, True), (60, False)], ids=["known sizes", "unknown sizes"])
def test_parallel_uploads_at_the_edge_of_the_quota_never_pass_it(world: World, parallel: int, has_come: bool) -> None:
    """Uploads of 10 bytes where 55 bytes are left: five fit, whoever they are."""
    wide = world.again(threads=2 * parallel, tenant_thread_share=1.0, pool_size=8, pool_timeout_s=60.0)
    account = owner_of(world, quota_bytes=155, parallel_uploads=parallel, requests_per_s=10_000)
    client = wide.client(account)
    wide.upload(client, "there before.txt", b"x" * 100)

    def send(name: str) -> int:
        if has_come:
            return put_object(client, "media", name, b"0123456789").status_code
        chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        return client.put(object_url("media", name), input_stream=io.BytesIO(b"0123456789"), environ_overrides=chunked).status_code

    statuses = Counter(all_at_once([partial(send, f"{number}.txt") for number in range(parallel)]))
    assert statuses == {201: 5, 507: parallel - 5}
    totals = world.totals(account.tenant)
    assert totals == {"used_bytes": 150, "used_files": 6, "reserved_bytes": 0, "reserved_files": 0}
    assert len(world.stored(account.tenant)) == 6
    assert world.rows(account.tenant, "uploads") == []


def test_what_open_uploads_reserve_counts(world: World) -> None:
    account = owner_of(world, quota_bytes=100, quota_files=3)
    client = world.client(account)
    acts = [lambda options, n=n: client.put(object_url("media", f"{n}.txt"), **options) for n in range(2)]
    hanging = Hanging(acts, b"x" * 40)
    assert hanging.answered() == []
    found = problem(put_object(client, "media", "more.txt", b"x" * 21), 507, "quota_exceeded")
    assert {name: found[name] for name in ("resource", "limit", "used", "reserved")} == {
        "resource": "bytes", "limit": 100, "used": 0, "reserved": 80,
    }  # fmt: skip
    assert ok(client.get(QUOTA))["reserved_bytes"] == 80
    assert [each.status_code for each in hanging.go_on()] == [201, 201]
    world.upload(client, "third.txt", b"x")
    found = problem(put_object(client, "media", "fourth.txt", b"x"), 507, "quota_exceeded")
    assert (found["resource"], found["limit"], found["used"]) == ("files", 3, 3)
    world.upload(client, "third.txt", b"y")
    assert world.totals(account.tenant)["reserved_bytes"] == 0


def test_parallel_buckets_and_users_never_pass_their_limits(world: World) -> None:
    account = owner_of(world, quota_buckets=3, quota_users=4)
    client = world.client(account)

    def bucket(number: int) -> int:
        return client.post("/api/v1/buckets", json={"name": f"bucket-{number}"}).status_code

    def user(number: int) -> int:
        password = {"password": "correct horse battery"} if number % 2 else {}
        return client.post("/api/v1/users", json={"email": f"{number}@example.com", **password}).status_code

    acts = [partial(act, number) for number in range(10) for act in (bucket, user)]
    statuses = all_at_once(acts)
    assert Counter(statuses[::2]) == {201: 2, 507: 8}
    assert Counter(statuses[1::2]) == {201: 3, 507: 7}
    found = problem(client.post("/api/v1/buckets", json={"name": "one-more"}), 507, "quota_exceeded")
    assert (found["resource"], found["limit"], found["used"]) == ("buckets", 3, 3)
    found = problem(client.post("/api/v1/users", json={"email": "one@more.example"}), 507, "quota_exceeded")
    assert (found["resource"], found["limit"], found["used"]) == ("users", 4, 4)
    ok(client.delete(f"/api/v1/buckets/{ok(client.get('/api/v1/buckets'))['items'][0]['name']}"), 204)
    ok(client.post("/api/v1/buckets", json={"name": "one-more"}), 201)


def test_transfer_counts_both_ways_and_ends_at_its_limit(world: World) -> None:
    account = owner_of(world, quota_transfer_bytes=30)
    client = world.client(account)
    file = world.upload(client, "a.txt", b"0123456789")
    world.run_jobs()
    assert client.get(object_url("media", "a.txt"), headers={"Range": "bytes=0-3"}).data == b"0123"
    assert transferred(world, account.tenant) == 14 == ok(client.get(QUOTA))["used_transfer_bytes"]
    assert client.get(object_url("media", "a.txt")).status_code == 200
    assert client.get(f"/api/v1/files/{file['id']}/content").status_code == 200, "24 bytes of 30: it may begin, and comes to its end"
    assert transferred(world, account.tenant) == 34
    refused = [
        client.get(object_url("media", "a.txt")), client.get(f"/api/v1/files/{file['id']}/content"),
        client.get("/api/v1/buckets/media/archive"), put_object(client, "media", "b.txt"),
    ]  # fmt: skip
    for response in refused:
        found = problem(response, 429, "transfer_exceeded")
        assert (found["resource"], found["limit"], found["used"]) == ("transfer", 30, 34)
        assert 0 < int(response.headers["Retry-After"]) <= 32 * 86400
    assert client.head(object_url("media", "a.txt")).status_code == 200
    assert client.get(object_url("media", "a.txt"), headers={"If-None-Match": f'"{file["etag"]}"'}).status_code == 304
    ok(client.get(f"/api/v1/files/{file['id']}"))
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)


def test_a_new_month_begins_with_all_of_its_transfer(world: World) -> None:
    account = owner_of(world, quota_transfer_bytes=10)
    client = world.client(account)
    world.upload(client, "a.txt", b"0123456789")
    problem(put_object(client, "media", "b.txt"), 429, "transfer_exceeded")
    world.tenant_sql(account.tenant, "UPDATE {t}.transfer SET month = month - interval '1 month'")
    world.upload(client, "b.txt")
    assert ok(client.get(QUOTA))["used_transfer_bytes"] == len(b"some text")


def test_parallel_transfer_is_counted_to_the_byte(world: World) -> None:
    account = owner_of(world, requests_per_s=10_000)
    client = world.client(account)
    world.upload(client, "a.txt", b"0123456789")
    world.run_jobs()
    all_at_once([lambda: client.get(object_url("media", "a.txt"))] * 20)
    assert transferred(world, account.tenant) == 210


@pytest.mark.parametrize(
    ("now", "left"),
    [
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), timedelta(seconds=1)),
        (datetime(2028, 2, 1, tzinfo=UTC), timedelta(days=29)),
        (datetime(2026, 1, 31, tzinfo=UTC), timedelta(days=1)),
    ],
)
def test_what_is_left_of_a_month(now: datetime, left: timedelta) -> None:
    assert room._left_of_month_s(now) == left.total_seconds() + 1


def test_a_viewer_sees_plan_and_use(world: World) -> None:
    account = owner_of(world)
    seen = ok(world.client(world.create_user(account.tenant, "viewer")).get(QUOTA))
    assert seen["plan"] == "standard"
    assert {each["resource"]: each["used"] for each in seen["uses"]} == {"bytes": 0, "files": 0, "users": 2, "buckets": 1, "transfer": 0}
    assert (seen["used_users"], seen["used_buckets"], seen["quota_users"]) == (2, 1, 10_000)


def test_limits_lowered_below_what_is_there_take_nothing_away(world: World, operator: Client) -> None:
    account = owner_of(world)
    client = world.client(account)
    file = world.upload(client, "a.txt", b"x" * 100)
    limits = {"quota_bytes": 10, "quota_files": 0, "quota_buckets": 0, "quota_users": 1}
    ok(operator.patch(f"/operator/api/v1/tenants/{account.tenant.slug}", json={"limits": limits}))
    ok(client.get(f"/api/v1/files/{file['id']}"))
    assert problem(put_object(client, "media", "b.txt", b"x"), 507, "quota_exceeded")["resource"] == "bytes"
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
