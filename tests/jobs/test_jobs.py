"""Jobs: taken under a lease, done once, tried again, parked, and lost to no crash."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from strongroom.errors import DatabaseUnavailable
from strongroom.files import service as files
from strongroom.jobs import queue
from strongroom.jobs.broker import MAX_DELAY_S, Announcer, make_broker
from strongroom.jobs.queue import Job, enqueue
from strongroom.life import service as lives
from strongroom.operating import life
from strongroom.uploads import service as uploads
from strongroom.usage import recorder

from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import Account, Client, World, ok, problem
from tests.slow import all_at_once
from workers import handlers, housekeeping, runner

KIND = "test.job"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What jobs of a kind of ours did: (tenant's slug, ids)."""
    calls: list[Any] = []
    monkeypatch.setitem(handlers.TENANT_JOBS, KIND, lambda _runtime, tenant, ids: calls.append((tenant.slug, dict(ids))))
    return calls


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Jobs of a kind of ours fail; how often, is counted."""
    calls: list[int] = []

    def fail(*_: Any) -> None:
        calls.append(1)
        raise RuntimeError("planned")

    monkeypatch.setitem(handlers.TENANT_JOBS, KIND, fail)
    return calls


def add(world: World, tenant: Tenant, **options: Any) -> None:
    with world.runtime.tenant(tenant) as connection:
        enqueue(connection, KIND, {"number": 1}, **options)


def add_and_roll_back(world: World, tenant: Tenant) -> None:
    with suppress(RuntimeError), world.runtime.tenant(tenant) as connection:
        enqueue(connection, KIND, {})
        raise RuntimeError("rolled back")


def claim(world: World, lease_s: int = 60) -> Job | None:
    with world.runtime.databases.cell("default") as connection:
        return queue.claim(connection, lease_s=lease_s, tenant_limit=10)


def due(world: World) -> None:
    world.sql("UPDATE strongroom.jobs SET run_at = now() - interval '1 second' WHERE state = 'queued'")


def only(world: World, tenant: Tenant) -> Any:
    (job,) = world.jobs(tenant, kind=KIND)
    return job


def test_a_job_commits_with_its_transaction(world: World, tenant: Tenant, done: list[Any]) -> None:
    add_and_roll_back(world, tenant)
    assert world.run_jobs() == 0
    add(world, tenant)
    assert world.run_jobs() == 1
    assert done == [(tenant.slug, {"number": 1})]
    assert only(world, tenant)["state"] == "done"


def test_a_job_is_done_once_however_many_workers_there_are(world: World, tenant: Tenant, done: list[Any]) -> None:
    for _ in range(10):
        add(world, tenant)
    all_at_once([lambda: runner.work(world.runtime, "default")] * 4)
    world.run_jobs()
    assert len(done) == 10
    assert {job["attempts"] for job in world.jobs(tenant)} == {1}


def test_a_worker_that_is_to_stop_takes_no_further_job(world: World, tenant: Tenant, done: list[Any]) -> None:
    for _ in range(5):
        add(world, tenant)
    assert runner.work(world.runtime, "default", lambda: len(done) == 2) == 2
    assert [job["state"] for job in world.jobs(tenant)].count("queued") == 3
    world.run_jobs()
    assert len(done) == 5


def test_a_worker_that_dies_gives_its_job_back_when_its_lease_ends(world: World, tenant: Tenant, done: list[Any]) -> None:
    """Killed between claim and finish: after the lease another worker does it, once."""
    add(world, tenant)
    job = claim(world)
    assert job is not None
    assert world.run_jobs() == 0, "it is taken"
    assert runner.dispatch(world.runtime, "default") == 0
    world.sql("UPDATE strongroom.jobs SET lease_until = now() - interval '1 second'")
    runner.dispatch(world.runtime, "default")
    assert world.run_jobs() == 1
    assert len(done) == 1
    assert (only(world, tenant)["state"], only(world, tenant)["attempts"]) == ("done", 2)


def test_a_worker_that_wakes_up_too_late_changes_nothing(world: World, tenant: Tenant) -> None:
    add(world, tenant)
    late = claim(world)
    assert late is not None
    world.sql("UPDATE strongroom.jobs SET lease_until = now() - interval '1 second'")
    runner.dispatch(world.runtime, "default")
    due(world)
    present = claim(world)
    assert present is not None
    assert present.id == late.id
    with world.runtime.databases.cell("default") as connection:
        assert queue.renew(connection, late, 60) is False
        queue.finish(connection, late)
        queue.fail(connection, late, "late", max_attempts=1)
        assert queue.renew(connection, present, 60) is True
    assert only(world, tenant)["state"] == "running"


def test_a_long_job_keeps_its_lease(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def look(*_: Any) -> None:
        before = only(world, tenant)["lease_until"]
        for _ in range(1000):
            if (now := only(world, tenant)["lease_until"]) > before:
                seen.append(now)
                return
            world.sql("SELECT pg_sleep(0.01)")

    short = world.again(job_lease_s=3)
    monkeypatch.setitem(handlers.TENANT_JOBS, KIND, look)
    add(world, tenant)
    assert runner.run_one(short.runtime, "default")
    assert seen


def test_failures_are_tried_again_with_a_growing_pause_and_then_parked(world: World, tenant: Tenant, failing: list[int]) -> None:
    add(world, tenant)
    pauses = []
    for attempt in range(1, world.settings.job_attempts + 1):
        world.run_jobs()
        job = only(world, tenant)
        assert job["attempts"] == attempt
        assert job["error"] == "RuntimeError: planned"
        (now,) = world.sql("SELECT now() AS now")
        pauses.append((job["run_at"] - now["now"]).total_seconds())
        assert job["state"] == ("parked" if attempt == world.settings.job_attempts else "queued")
    assert pauses[:-1] == sorted(pauses[:-1])
    assert pauses[2] > 10
    assert world.run_jobs() == 0
    assert len(failing) == world.settings.job_attempts
    assert only(world, tenant)["finished_at"] is not None


def test_a_failed_job_is_not_due_at_once(world: World, tenant: Tenant, failing: list[int]) -> None:
    add(world, tenant)
    assert runner.run_one(world.runtime, "default")
    assert not runner.run_one(world.runtime, "default")
    assert len(failing) == 1


def test_a_job_that_kills_its_worker_is_parked_too(world: World, tenant: Tenant) -> None:
    """A poisoned job: no worker ever comes to say that it failed."""
    add(world, tenant)
    for _ in range(world.settings.job_attempts):
        due(world)
        assert claim(world) is not None
        world.sql("UPDATE strongroom.jobs SET lease_until = now() - interval '1 second'")
        runner.dispatch(world.runtime, "default")
    assert only(world, tenant)["state"] == "parked"


def test_operators_retry_what_is_parked(world: World, tenant: Tenant, operator: Client, done: list[Any]) -> None:
    add(world, tenant)
    job = only(world, tenant)
    problem(operator.post(f"/operator/api/v1/jobs/{job['id']}/retry"), 404, "not_found")
    world.sql("UPDATE strongroom.jobs SET state = 'parked', attempts = 8, error = 'x', finished_at = now()")
    listed = ok(operator.get("/operator/api/v1/jobs?state=parked"))
    assert [each["id"] for each in listed["items"]] == [str(job["id"])]
    assert listed["counts"]["parked"] == 1
    retried = ok(operator.post(f"/operator/api/v1/jobs/{job['id']}/retry"))
    assert (retried["state"], retried["attempts"]) == ("queued", 0)
    world.run_jobs()
    assert len(done) == 1
    assert ok(operator.get("/operator/api/v1/jobs?state=done"))["items"][0]["id"] == str(job["id"])


def test_an_unknown_kind_is_kept_for_a_newer_worker(world: World, tenant: Tenant) -> None:
    add(world, tenant)
    world.run_jobs()
    job = only(world, tenant)
    assert job["state"] == "queued"
    assert "UnknownJob" in job["error"]


def test_a_long_error_is_cut(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("x" * 10_000 + "\0")

    monkeypatch.setitem(handlers.TENANT_JOBS, KIND, fail)
    add(world, tenant)
    world.run_jobs()
    assert only(world, tenant)["state"] == "queued"
    assert len(only(world, tenant)["error"]) <= 2000


def test_an_error_that_no_text_column_takes(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a\0b")

    monkeypatch.setitem(handlers.TENANT_JOBS, KIND, fail)
    add(world, tenant)
    world.run_jobs()
    assert only(world, tenant)["state"] == "queued"
    assert "RuntimeError" in only(world, tenant)["error"]


# One that is waiting is enough


def test_dedupe_while_waiting(world: World, tenant: Tenant, done: list[Any]) -> None:
    other = world.create_tenant()
    for _ in range(3):
        add(world, tenant, dedupe_key="all")
    add(world, tenant, dedupe_key="another")
    add(world, other, dedupe_key="all")
    assert len(world.jobs(tenant)) == 2
    assert len(world.jobs(other)) == 1
    assert claim(world) is not None
    assert claim(world) is not None
    assert claim(world) is not None
    add(world, tenant, dedupe_key="all")
    assert [job["state"] for job in world.jobs(tenant, dedupe_key="all")] == ["running", "queued"], "what runs may have begun too early"
    assert done == []


# Announcing


def test_lost_messages_are_sent_again(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(world.runtime.announcer, "announce", lambda _cell, job_id, _delay=0.0: sent.append(job_id))
    add(world, tenant)
    assert len(sent) == 1
    sent.clear()
    world.sql("UPDATE strongroom.jobs SET run_at = now() - interval '2 seconds'")
    assert runner.dispatch(world.runtime, "default") == 1
    assert sent == [str(only(world, tenant)["id"])]
    assert runner.dispatch(world.runtime, "default") == 0, "just sent"
    world.sql("UPDATE strongroom.jobs SET sent_at = now() - interval '1 minute'")
    assert runner.dispatch(world.runtime, "default") == 1


def test_nothing_is_announced_that_was_rolled_back(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(world.runtime.announcer, "announce", lambda _cell, job_id, _delay=0.0: sent.append(job_id))
    add_and_roll_back(world, tenant)
    with world.runtime.tenant(tenant) as connection:
        connection.exec_driver_sql("SELECT 1")
    assert sent == []


def test_a_broker_that_is_down_fails_no_request(world: World, owner: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise OSError("no broker")

    monkeypatch.setattr(Announcer, "send", down)
    world.create_bucket(owner.tenant)
    file = world.upload(world.client(owner), "a.txt")
    world.runtime.announcer.flush()
    world.run_jobs()
    assert ok(world.client(owner).get(f"/api/v1/files/{file['id']}"))["status"] == "available"


def test_a_flood_of_jobs_wakes_each_worker_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, float]] = []
    may_send = threading.Event()

    def send(cell: str, _job_id: str, delay_s: float = 0.0) -> None:
        sent.append((cell, delay_s))
        assert may_send.wait(20)

    announcer = Announcer(make_broker(world.settings, lambda: world.runtime.celery), workers=3)
    monkeypatch.setattr(announcer, "send", send)
    announcer.announce("one", "first")
    wait_until(lambda: len(sent) == 1, 10, "the first wake-up")
    for number in range(50):
        announcer.announce("one", str(number))
        announcer.announce("two", str(number), 5.0)
    announcer.announce("two", "much later", MAX_DELAY_S + 1)
    may_send.set()
    announcer.flush(20)
    assert Counter(sent[1:]) == {("one", 0.0): 3, ("two", 5.0): 3}
    announcer.announce("one", "the next")
    announcer.flush(20)
    assert sent[7:] == [("one", 0.0)], "what was told before holds back nothing that comes later"


# What tenants' life does to jobs


def test_jobs_of_a_suspended_tenant_wait(world: World, tenant: Tenant, done: list[Any]) -> None:
    life.suspend_tenant(world.runtime, "test", tenant.slug)
    add(world, tenant)
    world.run_jobs()
    assert done == []
    assert only(world, tenant)["state"] == "queued"
    with world.runtime.databases.cell("default") as connection:
        assert queue.oldest_due(connection) is None, "nobody is late"
        assert queue.overlooked(connection, 10) == []
    life.resume_tenant(world.runtime, "test", tenant.slug)
    world.run_jobs()
    assert len(done) == 1


def test_jobs_of_many_suspended_tenants_stand_before_nobody(world: World, tenant: Tenant, done: list[Any]) -> None:
    for _ in range(17):  # more than are looked at when the fairest is chosen
        other = world.create_tenant()
        life.suspend_tenant(world.runtime, "test", other.slug)
        add(world, other)
    add(world, tenant)
    world.run_jobs()
    assert len(done) == 1


def test_jobs_of_a_tenant_that_goes_away_wait_for_its_restoration(world: World, tenant: Tenant, done: list[Any]) -> None:
    """Also one that a worker had taken a moment before."""
    add(world, tenant)
    world.sql("UPDATE strongroom.tenants SET status = 'deleting' WHERE id = %(id)s", id=tenant.id)
    world.run_jobs()
    assert done == []
    assert only(world, tenant)["state"] == "queued"


def test_a_database_that_is_down_while_a_job_runs(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise DatabaseUnavailable

    monkeypatch.setitem(handlers.TENANT_JOBS, KIND, fail)
    add(world, tenant)
    world.run_jobs()
    assert only(world, tenant)["state"] == "queued"


# Housekeeping


def test_every_tenant_is_put_in_order_once_a_day(world: World, tenant: Tenant) -> None:
    gone = world.create_tenant()
    life.delete_tenant(world.runtime, "test", gone.slug)
    world.sql("DELETE FROM strongroom.jobs")
    for _ in range(2):
        housekeeping.enqueue_due(world.runtime)
    assert len(world.jobs(tenant, kind=handlers.HOUSEKEEPING)) == 1
    assert [job["kind"] for job in world.jobs(gone)] == [lives.ADVANCE], "a deletion that got lost"
    world.sql("DELETE FROM strongroom.jobs WHERE tenant_id <> %(id)s", id=tenant.id)
    world.run_jobs()
    housekeeping.enqueue_due(world.runtime)
    assert [job["state"] for job in world.jobs(tenant, kind=handlers.HOUSEKEEPING)] == ["done"]
    world.sql("UPDATE strongroom.jobs SET finished_at = now() - interval '2 days' WHERE state = 'done'")
    housekeeping.enqueue_due(world.runtime)
    assert len(world.jobs(tenant, kind=handlers.HOUSEKEEPING)) == 2
    world.forget_daily_jobs()


def test_jobs_done_long_ago_are_forgotten(world: World, tenant: Tenant) -> None:
    for state in ("done", "parked"):
        add(world, tenant)
        world.sql("UPDATE strongroom.jobs SET state = %(s)s, finished_at = now() - interval '8 days' WHERE state = 'queued'", s=state)
    world.look_for_lost_work()
    assert [job["state"] for job in world.jobs(tenant, kind=KIND)] == ["parked"]


def test_every_kind_that_is_enqueued_has_a_handler() -> None:
    kinds = {files.PURGE, files.EMPTY_TRASH, uploads.CHECK, uploads.SWEEP, recorder.ROLL_UP, handlers.HOUSEKEEPING}
    assert kinds <= set(handlers.TENANT_JOBS)
    assert lives.ADVANCE in handlers.PLATFORM_JOBS


def test_jobs_page_by_page(world: World, tenant: Tenant, operator: Client) -> None:
    for _ in range(5):
        add(world, tenant)
    found, cursor = [], ""
    while True:
        page = ok(operator.get("/operator/api/v1/jobs", query_string={"limit": 2, **({"cursor": cursor} if cursor else {})}))
        found += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == len(set(found)) == 5
