"""Usage: the figures are exactly what was done, whoever rolls them up, how often, and whatever is killed in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from strongroom.access import Scope
from strongroom.checks import service as checks
from strongroom.usage import service as usage
from strongroom.usage.recorder import Caller, record

from tenants.models import Tenant
from tests.factories import PNG, Account, Client, World, object_url, ok, problem
from tests.slow import all_at_once

pytestmark = pytest.mark.usefixtures("bucket")
STATS = "/api/v1/stats/usage"
SUMS = ("uploads", "downloads", "deletes", "bytes_in", "bytes_out")


@pytest.fixture
def activity(world: World, tenant: Tenant, owner: Account, client: Client, bucket: Any) -> dict[str, Any]:
    """Things done by two users and a key, in two buckets; what they come to is in `test_totals`."""
    assert bucket.name == "media"
    world.create_bucket(tenant, "other")
    member = world.create_user(tenant, "member")
    key = world.create_api_key(owner, Scope.FILES_READ, Scope.FILES_WRITE)
    by_key, by_member = world.client(tenant, key), world.client(member)
    world.upload(client, "a.txt", b"0123456789")
    world.upload(client, "a.txt", b"01234")
    world.upload(by_member, "b.txt", b"012", bucket="other")
    world.upload(by_key, "c.png", PNG)
    world.run_jobs()
    client.get(object_url("media", "a.txt"))
    client.get(object_url("media", "a.txt"), headers={"Range": "bytes=0-1"})
    by_member.get(object_url("media", "a.txt"))
    client.head(object_url("media", "a.txt"))
    client.get(object_url("media", "a.txt"), headers={"If-None-Match": "*"})
    client.get(object_url("media", "a.txt"), headers={"Range": "bytes=99-"})
    client.get(object_url("media", "none.txt"))
    client.put(object_url("media", "bad.png"), data=b"no picture at all", headers={"Content-Type": "image/png"})
    ok(by_member.delete(object_url("other", "b.txt")), 204)
    world.run_jobs()
    return {"owner": owner, "member": member, "key": key}


def figures(client: Client, **query: str) -> Any:
    return ok(client.get(STATS, query_string=query))


def by_group(client: Client, group_by: str) -> dict[str | None, tuple[int, ...]]:
    return {each["group"]: tuple(each[name] for name in SUMS) for each in figures(client, group_by=group_by)["items"]}


@pytest.mark.usefixtures("activity")
def test_totals(world: World, client: Client, tenant: Tenant) -> None:
    found = figures(client)
    assert found["totals"] == {
        "uploads": 4, "downloads": 3, "deletes": 1, "bytes_in": 18 + len(PNG), "bytes_out": 12,
        "stored_bytes": 18 + len(PNG), "stored_files": 3,
    }  # fmt: skip
    (day,) = found["items"]
    assert {name: day[name] for name in SUMS} == {name: found["totals"][name] for name in SUMS}
    assert day["start"].startswith(datetime.now(UTC).date().isoformat())
    assert found["stored"][-1]["stored_bytes"] == 18 + len(PNG)
    assert usage.verify(world.runtime, tenant) == {}


def test_by_every_dimension(client: Client, tenant: Tenant, activity: dict[str, Any]) -> None:
    size = len(PNG)
    assert by_group(client, "bucket") == {"media": (3, 3, 0, 15 + size, 12), "other": (1, 0, 1, 3, 0)}
    assert by_group(client, "user") == {
        str(activity["owner"].id): (3, 2, 0, 15 + size, 7),
        str(activity["member"].id): (1, 1, 1, 3, 5),
    }
    assert by_group(client, "api_key") == {None: (3, 3, 1, 18, 12), str(activity["key"].id): (1, 0, 0, size, 0)}
    assert by_group(client, "content_type") == {"text/plain": (3, 3, 1, 18, 12), "image/png": (1, 0, 0, size, 0)}
    assert by_group(client, "operation") == {
        "upload": (4, 0, 0, 18 + size, 0), "download": (0, 3, 0, 0, 12), "delete": (0, 0, 1, 0, 0),
    }  # fmt: skip
    for interval in ("hour", "day"):
        found = figures(client, interval=interval)
        assert sum(each["bytes_in"] for each in found["items"]) == 18 + size
    assert tenant.slug not in str(figures(client))


@pytest.mark.usefixtures("activity")
def test_operators_see_the_same(operator: Client, tenant: Tenant) -> None:
    found = ok(operator.get("/operator/api/v1/stats"))
    (mine,) = [each for each in found["items"] if each["slug"] == tenant.slug]
    wanted = {"uploads": 4, "downloads": 3, "bytes_in": 18 + len(PNG), "bytes_out": 12, "stored_bytes": 18 + len(PNG), "stored_files": 3}
    assert {name: mine[name] for name in wanted} == wanted
    (listed,) = ok(operator.get(f"/operator/api/v1/tenants?q={tenant.slug}"))["items"]
    assert {name: listed[name] for name in wanted} == wanted
    assert found["totals"]["uploads"] == sum(each["uploads"] for each in found["items"])
    assert found["days"][-1]["day"] == datetime.now(UTC).date().isoformat()


def accesses(world: World, tenant: Tenant, count: int, at: datetime | None = None, *, size: int = 1) -> None:
    """Accesses as if they had been recorded then, not rolled up yet."""
    query = """
    INSERT INTO {t}.access_log (at, operation, bucket_id, content_type, bytes_in)
    SELECT coalesce(%(at)s, now()), 'upload', (SELECT id FROM {t}.buckets LIMIT 1), 'text/plain',
    %(size)s FROM generate_series(1, %(count)s)
    """
    world.tenant_sql(tenant, query, at=at, count=count, size=size)


def published(world: World, tenant: Tenant) -> dict[str, int]:
    rows = world.sql("SELECT day, uploads FROM strongroom.usage_daily WHERE tenant_id = %(id)s ORDER BY day", id=tenant.id)
    return {row["day"].isoformat(): row["uploads"] for row in rows}


def rolled(world: World, tenant: Tenant) -> int:
    return sum(row["requests"] for row in world.rows(tenant, "usage_hourly"))


def test_rolling_up_twice_changes_nothing(world: World, tenant: Tenant) -> None:
    accesses(world, tenant, 3)
    assert usage.roll_up(world.runtime, tenant) == 3
    before = world.rows(tenant, "usage_hourly"), published(world, tenant)
    assert usage.roll_up(world.runtime, tenant) == 0
    assert (world.rows(tenant, "usage_hourly"), published(world, tenant)) == before


def test_many_that_roll_up_at_once_count_everything_once(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "BATCH", 7)
    accesses(world, tenant, 100, size=3)
    counts = all_at_once([lambda: usage.roll_up(world.runtime, tenant)] * 3)
    counts.append(usage.roll_up(world.runtime, tenant))
    assert sum(counts) == rolled(world, tenant) == 100
    assert list(published(world, tenant).values())[-1] == 100
    assert usage.verify(world.runtime, tenant) == {}


def test_roll_ups_while_things_happen(world: World, tenant: Tenant, client: Client) -> None:
    def busy() -> None:
        for number in range(10):
            world.upload(client, f"{number}.txt", b"12345")

    def roll() -> None:
        for _ in range(10):
            usage.roll_up(world.runtime, tenant)

    all_at_once([busy, roll, roll])
    usage.roll_up(world.runtime, tenant)
    assert figures(client)["totals"]["bytes_in"] == 50
    assert list(published(world, tenant).values())[-1] == 10


def test_killed_between_counting_and_publishing(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was counted but not published is published by the next try, also when it was done yesterday."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    accesses(world, tenant, 5, yesterday)

    def die(*_: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(usage, "_publish", die)
        with pytest.raises(RuntimeError):
            usage.roll_up(world.runtime, tenant)
    usage.roll_up(world.runtime, tenant)
    assert rolled(world, tenant) == 5
    assert published(world, tenant)[yesterday.date().isoformat()] == 5


@pytest.mark.parametrize("hour", [0, 14, 15, 23])
def test_days_are_utc_whatever_the_databases_zone(world: World, tenant: Tenant, client: Client, hour: int) -> None:
    """The tests' database lives in Tokyo: there 15:00 UTC is the next day."""
    moment = (datetime.now(UTC) - timedelta(days=3)).replace(hour=hour, minute=30, second=0, microsecond=0)
    accesses(world, tenant, 2, moment)
    usage.roll_up(world.runtime, tenant)
    assert published(world, tenant)[moment.date().isoformat()] == 2
    assert sum(published(world, tenant).values()) == 2
    (day,) = figures(client)["items"]
    assert datetime.fromisoformat(day["start"]) == moment.replace(hour=0, minute=0)
    (point,) = figures(client, interval="hour")["items"]
    assert datetime.fromisoformat(point["start"]) == moment.replace(minute=0)


def test_ranges_of_time(world: World, tenant: Tenant, client: Client) -> None:
    start = (datetime.now(UTC) - timedelta(days=5)).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in range(3):
        accesses(world, tenant, day + 1, start + timedelta(days=day, hours=1))
    usage.roll_up(world.runtime, tenant)

    def between(first: datetime, last: datetime) -> list[int]:
        return [each["uploads"] for each in figures(client, **{"from": first.isoformat(), "to": last.isoformat()})["items"]]

    assert between(start, start + timedelta(days=3)) == [1, 2, 3]
    assert between(start + timedelta(days=1), start + timedelta(days=2)) == [2]
    assert between(start, start) == []
    assert [each["uploads"] for each in figures(client, **{"from": start.date().isoformat() + "T00:00:00"})["items"]] == [1, 2, 3]


@pytest.mark.parametrize("query", [
    {"interval": "minute"}, {"group_by": "tenant"}, {"group_by": "hour; DROP TABLE"}, {"from": "yesterday"}, {"to": "x"},
    {"from": "2020-01-01T00:00:00Z", "interval": "hour"}, {"from": "1000-01-01T00:00:00Z"},
], ids=str)  # fmt: skip
def test_wrong_queries(client: Client, query: dict[str, str]) -> None:
    problem(client.get(STATS, query_string=query), 422, "validation_failed")


@pytest.mark.parametrize(
    "query", [{"from": "9999-12-31T23:59:59Z"}, {"to": "0001-01-01T00:00:00Z"}, {"from": "0001-01-01T00:00:00+14:00"}], ids=str
)
def test_the_ends_of_time(client: Client, query: dict[str, str]) -> None:
    assert client.get(STATS, query_string=query).status_code in {200, 422}


def test_a_planted_difference_is_found(world: World, tenant: Tenant) -> None:
    accesses(world, tenant, 3, size=5)
    usage.roll_up(world.runtime, tenant)
    assert usage.verify(world.runtime, tenant) == {}
    world.tenant_sql(tenant, "UPDATE {t}.usage_hourly SET bytes_in = bytes_in + 1")
    assert usage.verify(world.runtime, tenant) == {"bytes_in": (16, 15)}
    world.tenant_sql(tenant, "UPDATE {t}.usage_hourly SET requests = 2")
    assert usage.verify(world.runtime, tenant) == {"uploads": (2, 3), "bytes_in": (16, 15)}


def test_verify_still_agrees_when_old_accesses_are_forgotten(world: World, tenant: Tenant) -> None:
    """Single accesses go after their retention, rolled-up usage stays: that is no difference."""
    accesses(world, tenant, 3, datetime.now(UTC) - timedelta(days=200))
    accesses(world, tenant, 2)
    usage.roll_up(world.runtime, tenant)
    assert usage.forget_old_accesses(world.runtime, tenant) == 3
    assert rolled(world, tenant) == 5
    assert usage.verify(world.runtime, tenant) == {}
    world.tenant_sql(tenant, "UPDATE {t}.usage_hourly SET requests = requests + 1 WHERE hour > now() - interval '1 day'")
    assert list(usage.verify(world.runtime, tenant)) == ["uploads"]


def test_accesses_that_are_not_counted_yet_are_not_forgotten(world: World, tenant: Tenant) -> None:
    accesses(world, tenant, 3, datetime.now(UTC) - timedelta(days=200))
    assert usage.forget_old_accesses(world.runtime, tenant) == 0


def test_stored_figures_follow_what_is_purged(world: World, tenant: Tenant, client: Client, operator: Client) -> None:
    """Emptying the trash is no access, yet the operator's figure of what is stored has to follow within the jobs."""
    file = world.upload(client, "a.txt", b"12345")
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    world.run_jobs()
    world.tenant_sql(tenant, "UPDATE {t}.files SET purge_at = now()")
    checks.empty_trash(world.runtime, tenant)
    world.run_jobs()
    assert figures(client)["totals"]["stored_bytes"] == 0
    (mine,) = ok(operator.get(f"/operator/api/v1/tenants?q={tenant.slug}"))["items"]
    assert (mine["stored_bytes"], mine["stored_files"]) == (0, 0)


def test_a_removed_bucket_stores_nothing(world: World, tenant: Tenant, client: Client) -> None:
    world.create_bucket(tenant, "brief")
    file = world.upload(client, "a.txt", b"12345", bucket="brief")
    world.run_jobs()
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    world.tenant_sql(tenant, "UPDATE {t}.files SET purge_at = now()")
    world.run_jobs()
    ok(client.delete("/api/v1/buckets/brief"), 204)
    usage.roll_up(world.runtime, tenant)
    for interval in ("hour", "day"):
        assert figures(client, interval=interval)["stored"][-1]["stored_bytes"] == 0
    assert by_group(client, "bucket") == {file_bucket(world, tenant): (1, 0, 1, 5, 0)}, "told by its id, now that it has no name"


def file_bucket(world: World, tenant: Tenant) -> str:
    return str(world.rows(tenant, "usage_hourly")[0]["bucket_id"])


def test_an_aborted_download_counts_what_went_out(world: World, tenant: Tenant, client: Client) -> None:
    world.upload(client, "a.txt", b"x" * 1_000_000)
    raw = world.app.test_client(use_cookies=False)
    response = raw.get(object_url("media", "a.txt"), base_url=f"http://{client.host}", headers=client.headers, buffered=False)
    chunk = next(iter(response.response))
    response.close()
    (row,) = world.rows(tenant, "access_log", "operation = 'download'")
    assert row["bytes_out"] == len(chunk) < 1_000_000


# Nothing that was committed is forgotten


def start_access(world: World, owner: Account, connection: Any) -> None:
    bucket = world.rows(owner.tenant, "buckets")[0]["id"]
    record(
        connection, owner.principal, Caller(), operation="upload", bucket_id=bucket, file_id=bucket, content_type="text/plain", delay_s=0
    )


def test_a_late_commit_behind_a_roll_up(world: World, tenant: Tenant, owner: Account) -> None:
    """It relied on a roll-up that was waiting and that ran before the commit."""
    with world.runtime.tenant(tenant) as connection:
        start_access(world, owner, connection)
    with world.runtime.tenant(tenant) as connection:
        start_access(world, owner, connection)
        world.run_due_jobs()
        assert rolled(world, tenant) == 1
    world.run_jobs()
    assert rolled(world, tenant) == 2


def pass_time(world: World, seconds: int) -> None:
    world.sql("UPDATE strongroom.jobs SET run_at = run_at - make_interval(secs => %(s)s) WHERE state = 'queued'", s=seconds)


def test_a_late_commit_behind_two_roll_ups(world: World, tenant: Tenant, owner: Account) -> None:
    """What the first roll-up has left for later comes too early for what relied on the second."""
    with world.runtime.tenant(tenant) as connection:
        start_access(world, owner, connection)
    world.run_due_jobs()
    pass_time(world, world.settings.statement_timeout_s - 1)
    with world.runtime.tenant(tenant) as connection:
        start_access(world, owner, connection)
    with world.runtime.tenant(tenant) as connection:
        start_access(world, owner, connection)
        world.run_due_jobs()
        pass_time(world, 3)
        world.run_due_jobs()
    world.run_jobs()
    assert rolled(world, tenant) == 3
