"""Ten thousand jobs of one tenant do not stand before the single one of another: on a real worker, with a real broker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis
from strongroom.jobs import queue
from strongroom.jobs.broker import JOB_QUEUE, make_queues
from strongroom.usage.recorder import ROLL_UP

from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import Database, World
from tests.jobs.conftest import NOLOAD, broker_url, forget_engines
from tests.services.processes import running
from tests.services.redis import redis_server
from workers import runner

MANY, MESSAGES = 10_000, 2_000
STRONGROOM = Path(sys.executable).with_name("strongroom")
FEW = 5
"""So many jobs of the other tenant may be done before the single one: what was claimed already, and turns taken."""


@pytest.fixture
def broker() -> Iterator[Redis]:
    with redis_server() as (url, _), Redis.from_url(url) as client:
        yield client


@contextmanager
def told_by(world: World, broker_url: str, folder: Path) -> Iterator[tuple[World, Callable[[], object]]]:
    """An instance whose jobs are announced by a broker, and what starts a `strongroom worker` there; that is killed at the end."""
    made = world.again(broker_url=broker_url)
    settings = made.settings
    named = {
        "DATABASE_URL": settings.database_url, "BROKER_URL": settings.broker_url, "MASTER_KEY": settings.master_key.get_secret_value(),
        "CLAMD_ADDRESS": "off",
    }  # fmt: skip
    command = ["env", *(f"STRONGROOM_{name}={value}" for name, value in named.items()), str(STRONGROOM), "worker"]
    with ExitStack() as stack:
        yield made, lambda: stack.enter_context(running(command, folder / "worker.log"))
    made.runtime.announcer.flush(20)
    made.runtime.announcer.close()
    made.runtime.celery.close()


@pytest.fixture
def by_redis(world: World, broker: Redis, tmp_path: Path) -> Iterator[tuple[World, Callable[[], object]]]:
    port = broker.connection_pool.connection_kwargs["port"]
    with told_by(world, f"redis://127.0.0.1:{port}/0", tmp_path) as made:
        yield made


@pytest.fixture
def by_postgres(world: World, messages: Database, tmp_path: Path) -> Iterator[tuple[World, Callable[[], object]]]:
    with told_by(world, broker_url(messages), tmp_path) as made:
        make_queues(made[0].settings)
        try:
            yield made
        finally:
            made[0].runtime.announcer.flush(20)
            made[0].runtime.announcer.close()
            forget_engines()


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


def check_that_another_is_soon(world: World, busy: World, many: Tenant) -> None:
    """When the flood is being worked on, add another tenant's single job; see how many of the flood were done from then on before it."""
    wait_until(lambda: done(world, many), 60, "the flood to be worked on")
    single = world.create_tenant()
    with busy.runtime.tenant(single) as connection:
        queue.enqueue(connection, ROLL_UP, {"of": "the other"})
    check_that_it_was_soon(world, many, single, world.sql("SELECT clock_timestamp() AS now")[0]["now"])


def check_that_it_was_soon(world: World, many: Tenant, single: Tenant, since: Any) -> None:
    """Wait for the single job; see how many of the other tenant were done before it, from the moment on when it was there."""
    (job,) = wait_until(lambda: done(world, single), 60, "the single job")
    before = [each for each in done(world, many, since) if each["finished_at"] <= job["finished_at"]]
    assert len(before) <= FEW
    assert len(done(world, many)) < MANY


def test_behind_ten_thousand_jobs_and_their_messages(world: World, by_redis: Any, broker: Redis, tenant: Tenant) -> None:
    busy, start_worker = by_redis
    flood(world, tenant)
    busy.runtime.announcer.send("default", "one of many")
    (message,) = broker.lrange(JOB_QUEUE, 0, -1)
    broker.lpush(JOB_QUEUE, *[message] * (MANY - 1))
    start_worker()
    check_that_another_is_soon(world, busy, tenant)
    assert broker.llen(JOB_QUEUE) > MANY / 2, "nobody waited for the messages"


@pytest.mark.filterwarnings(NOLOAD)
def test_behind_messages_in_the_embedded_broker(world: World, by_postgres: Any, messages: Database, tenant: Tenant) -> None:
    """PostgreSQL by way of kombu, as `strongroom up` has it."""
    busy, start_worker = by_postgres
    flood(world, tenant)
    busy.runtime.announcer.send("default", "one of many")
    copies = "INSERT INTO kombu_message (id, visible, timestamp, payload, version, queue_id) " \
             "SELECT id + n, visible, timestamp, payload, version, queue_id FROM kombu_message, generate_series(1, %s) n"  # fmt: skip
    with psycopg.connect(messages.superuser_url, autocommit=True) as connection:
        connection.execute(copies, [MESSAGES - 1])
        start_worker()
        check_that_another_is_soon(world, busy, tenant)
        left = connection.execute("SELECT count(*) FROM kombu_message WHERE visible").fetchone()
    assert left is not None
    assert left[0] > MESSAGES / 2, "nobody waited for the messages"


def test_behind_ten_thousand_jobs_whose_messages_were_lost(world: World, by_redis: Any, broker: Redis, tenant: Tenant) -> None:
    """The dispatcher finds the oldest due jobs only, which are the other tenant's: whoever is woken takes the fairest."""
    (busy, start_worker), single = by_redis, world.create_tenant()
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
