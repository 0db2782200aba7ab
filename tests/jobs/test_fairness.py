"""Ten thousand jobs of one tenant do not stand before the single one of another: on a real worker, with a real broker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from strongroom.jobs import queue
from strongroom.jobs.broker import JOB_QUEUE
from strongroom.usage.recorder import ROLL_UP

from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import World
from tests.services.processes import running
from tests.services.redis import redis_server
from workers import runner

MANY = 10_000
STRONGROOM = Path(sys.executable).with_name("strongroom")
FEW = 5
"""So many jobs of the other tenant may be done before the single one: what was claimed already, and turns taken."""


@pytest.fixture
def broker() -> Iterator[Redis]:
    with redis_server() as (url, _), Redis.from_url(url) as client:
        yield client


@pytest.fixture
def busy(world: World, broker: Redis) -> Iterator[World]:
    """An instance whose jobs are announced by the broker."""
    port = broker.connection_pool.connection_kwargs["port"]
    made = world.again(broker_url=f"redis://127.0.0.1:{port}/0")
    yield made
    made.runtime.announcer.flush(20)
    made.runtime.celery.close()


@pytest.fixture
def start_worker(busy: World, tmp_path: Path) -> Iterator[Any]:
    """Start `strongroom worker`; it is killed at the end."""
    settings = busy.settings
    named = {
        "DATABASE_URL": settings.database_url, "BROKER_URL": settings.broker_url, "MASTER_KEY": settings.master_key.get_secret_value(),
        "CLAMD_ADDRESS": "off",
    }  # fmt: skip
    environment = [f"STRONGROOM_{name}={value}" for name, value in named.items()]
    with ExitStack() as stack:
        yield lambda: stack.enter_context(running(["env", *environment, str(STRONGROOM), "worker"], tmp_path / "worker.log"))


def flood(world: World, tenant: Tenant) -> None:
    """Queue many jobs of one tenant that have been due for an hour, by one statement."""
    world.sql(
        "INSERT INTO strongroom.jobs (tenant_id, realm, kind, run_at) "
        "SELECT %(id)s, 'tenant', %(kind)s, now() - interval '1 hour' FROM generate_series(1, %(count)s)",
        id=tenant.id, kind=ROLL_UP, count=MANY,
    )  # fmt: skip


def done(world: World, tenant: Tenant, since: Any = None) -> list[Any]:
    """The tenant's jobs that were done, from a moment on."""
    query = "SELECT * FROM strongroom.jobs WHERE tenant_id = %(id)s AND state = 'done'"
    later = " AND finished_at >= coalesce(%(since)s::timestamptz, '-infinity') ORDER BY finished_at"
    return world.sql(query + later, id=tenant.id, since=since)


def check_that_it_was_soon(world: World, many: Tenant, single: Tenant, since: Any) -> None:
    """Wait for the single job; see how many of the other tenant were done before it, from the moment on when it was there."""
    (job,) = wait_until(lambda: done(world, single), 60, "the single job")
    before = [each for each in done(world, many, since) if each["finished_at"] <= job["finished_at"]]
    assert len(before) <= FEW
    assert len(done(world, many)) < MANY


def test_behind_ten_thousand_jobs_and_their_messages(world: World, busy: World, broker: Redis, tenant: Tenant, start_worker: Any) -> None:
    single = world.create_tenant()
    flood(world, tenant)
    busy.runtime.announcer.send("default", "one of many")
    (message,) = broker.lrange(JOB_QUEUE, 0, -1)
    broker.lpush(JOB_QUEUE, *[message] * (MANY - 1))
    start_worker()
    wait_until(lambda: done(world, tenant), 60, "the flood to be worked on")
    with busy.runtime.tenant(single) as connection:
        queue.enqueue(connection, ROLL_UP, {"of": "the other"})
    (now,) = world.sql("SELECT clock_timestamp() AS now")
    check_that_it_was_soon(world, tenant, single, now["now"])
    assert broker.llen(JOB_QUEUE) > MANY / 2, "nobody waited for the messages"


def test_behind_ten_thousand_jobs_whose_messages_were_lost(
    world: World, busy: World, broker: Redis, tenant: Tenant, start_worker: Any
) -> None:
    """The dispatcher finds the oldest due jobs only, which are the other tenant's: whoever is woken takes the fairest."""
    single = world.create_tenant()
    flood(world, tenant)
    with world.runtime.tenant(single) as connection:
        queue.enqueue(connection, ROLL_UP, {"of": "the other"})
    assert broker.llen(JOB_QUEUE) == 0
    start_worker()
    runner.dispatch(busy.runtime, "default")
    busy.runtime.announcer.flush(20)
    check_that_it_was_soon(world, tenant, single, None)


@pytest.mark.parametrize(("workers", "limit", "at_once"), [(1, 2, 1), (2, 2, 1), (3, 2, 2), (8, 5, 5)])
def test_a_tenants_long_jobs_never_hold_all_workers(world: World, workers: int, limit: int, at_once: int) -> None:
    assert runner._tenant_limit(world.again(worker_processes=workers, job_tenant_limit=limit).settings) == at_once


def test_a_claim_among_ten_thousand_jobs_reads_few_rows(world: World, tenant: Tenant) -> None:
    """Whatever waits, a worker that is free is not busy with choosing."""
    other = world.create_tenant()
    flood(world, tenant)
    with world.runtime.tenant(other) as connection:
        queue.enqueue(connection, ROLL_UP, {"of": "the other"})
    world.sql("ANALYZE strongroom.jobs")
    explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {queue.CLAIM.text}"
    for name, value in {":lease_id": "gen_random_uuid()", ":lease_s": "60", ":tenant_limit": "2"}.items():
        explained = explained.replace(name, value)
    (row,) = world.sql(explained)

    def rows(node: Any) -> int:
        return max([int(node["Actual Rows"] * node["Actual Loops"]), *(rows(each) for each in node.get("Plans", []))])

    assert rows(row["QUERY PLAN"][0]["Plan"]) < 100
    assert world.sql("SELECT tenant_id FROM strongroom.jobs WHERE state = 'running'")[0]["tenant_id"] in {tenant.id, other.id}
