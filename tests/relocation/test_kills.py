"""A move whose worker is killed (`kill -9`) in the copy, in the pause and around the switch, while clients write: the next one goes on.

Each moment is held fast by a lock that the worker's next statement needs, so that the kill comes just there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from strongroom.errors import UnknownHost
from strongroom.events import feed
from strongroom.life.models import OperationState
from strongroom.relocation import copies

from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import Account, Client, host_of, object_url, put_object
from tests.relocation.cells import NEW, OLD, TwoCells
from tests.relocation.traffic import Traffic
from tests.services.processes import Process, running
from tests.services.redis import redis_server

pytestmark = pytest.mark.slow
STRONGROOM = Path(sys.executable).with_name("strongroom")
LEASE_S, BOUND_S, GAP_S = 3, 90.0, 0.05
BLOCKED = "SELECT pid FROM pg_stat_activity WHERE %(holder)s = ANY(pg_blocking_pids(pid))"


class Workers:
    """Real `strongroom worker` processes, one at a time, and the clock that wakes them."""

    def __init__(self, two: TwoCells, broker_url: str, folder: Path) -> None:
        settings = two.settings
        named = {
            "DATABASE_URL": settings.database_url, "MASTER_KEY": settings.master_key.get_secret_value(), "BROKER_URL": broker_url,
            "CELLS": json.dumps(settings.cells), "CLAMD_ADDRESS": "off",
            "JOB_LEASE_S": LEASE_S, "JOB_ATTEMPTS": 50, "DISPATCH_INTERVAL_S": 0.5, "WORKER_PROCESSES": 1,
            "ISOLATION_PROBES_PER_HOUR": 0,
        }  # fmt: skip
        self._command = ["env", *(f"STRONGROOM_{name}={value}" for name, value in named.items()), str(STRONGROOM)]
        self._folder, self._stack, self._started = folder, ExitStack(), 0
        self._worker: Process | None = None

    def __enter__(self) -> Workers:
        self._run("beat")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _run(self, name: str) -> Process:
        self._started += 1
        return self._stack.enter_context(running([*self._command, name], self._folder / f"{name}-{self._started}.log"))

    def start(self) -> None:
        self._worker = self._run("worker")

    def kill(self) -> None:
        """`kill -9`: nothing is caught, nothing cleaned up."""
        assert self._worker is not None
        assert self._worker.poll() is None, "it ended by itself"
        self._worker.kill()
        self._worker.wait()


class Lock:
    """A transaction of the superuser's in a cell that has run a statement and waits to be ended."""

    def __init__(self, two: TwoCells, cell: str, statement: str, **values: Any) -> None:
        self._two, self._cell = two, cell
        self._connection = psycopg.connect(two.cells[cell].superuser_url)
        self._connection.execute(statement, values or None)

    def holds_up_somebody(self) -> bool:
        """Whether a statement waits for this lock."""
        return bool(self._two.at(self._cell, BLOCKED, holder=self._connection.info.backend_pid))

    def release(self) -> None:
        """End it, what it changed stays."""
        self._connection.commit()
        self._connection.close()


@pytest.fixture
def workers(two: TwoCells, tmp_path: Path) -> Iterator[Workers]:
    with redis_server() as (url, _), Workers(two, url, tmp_path) as made:
        yield made


def hurry(two: TwoCells) -> None:
    """The pause before a further try, which grows, is over."""
    for cell in two.cells:
        two.at(
            cell, "UPDATE strongroom.jobs SET run_at = now() - interval '2 s' WHERE state = 'queued' AND attempts > 0 AND run_at > now()"
        )


@contextmanager
def killed_at(two: TwoCells, workers: Workers, lock: Lock) -> Iterator[None]:
    """Let a worker run until it waits for a lock, do the block, kill it, release the lock."""
    workers.start()

    def is_there() -> bool:
        hurry(two)
        return lock.holds_up_somebody()

    try:
        wait_until(is_there, BOUND_S, "the worker to come there")
        yield
        workers.kill()
    finally:
        lock.release()


def created(two: TwoCells, tenant: Tenant, place: feed.Place) -> tuple[list[str], feed.Place]:
    """The paths of files of which the feed tells after a place, in its order, and where it ends."""
    paths: list[str] = []
    while True:
        with two.runtime.tenant(two.present(tenant)) as connection:
            events = feed.read(connection, place, 100)
        paths += [event.data["path"] for event in events if event.kind == "file.created"]
        if not events:
            return paths, place
        place = events[-1].place


def kill_in_the_copy(two: TwoCells, workers: Workers, tenant: Tenant) -> None:
    """Tables before `files` are copied, that one is not: its rows cannot be written."""
    two.at(NEW, "SELECT strongroom.open_arrival(%(id)s)", id=tenant.id)  # as it would itself, if it need not wait for the lock
    lock = Lock(two, NEW, f"LOCK TABLE {tenant.ref.role}.files IN SHARE MODE")
    with killed_at(two, workers, lock):
        assert two.inside(NEW, tenant, "SELECT 1 FROM {t}.buckets")
        assert not two.inside(NEW, tenant, "SELECT 1 FROM {t}.files")


def kill_in_the_pause(two: TwoCells, workers: Workers, tenant: Tenant) -> None:
    """First while it waits for whoever writes yet; then while it brings what that one wrote."""
    writer = Lock(two, OLD, f"UPDATE {tenant.ref.role}.users SET name = 'changed at the last moment'")  # noqa: S608 - a role's name

    def waits_for_writers() -> bool:
        hurry(two)
        return bool(two.at(OLD, "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%ShareRowExclusiveLock%' AND pid <> pg_backend_pid()"))

    try:
        workers.start()
        wait_until(waits_for_writers, BOUND_S, "the worker to wait for whoever writes")
        assert two.present(tenant).writes_paused
        workers.kill()
        rest = Lock(two, NEW, f"LOCK TABLE {tenant.ref.role}.users IN SHARE MODE")
    finally:
        writer.release()
    with killed_at(two, workers, rest):
        assert two.where(tenant) == OLD


def kill_around_the_switch(two: TwoCells, workers: Workers, tenant: Tenant) -> None:
    """Before it is written down; after that, before the old cell takes the role away; and while jobs go over."""
    with killed_at(two, workers, Lock(two, OLD, "SELECT FROM strongroom.tenants WHERE id = %(id)s FOR UPDATE", id=tenant.id)):
        assert two.operation(tenant).is_past("compare")
        assert two.where(tenant) == OLD
    with killed_at(two, workers, Lock(two, OLD, "LOCK TABLE strongroom.departures IN ACCESS EXCLUSIVE MODE")):
        assert two.where(tenant) == NEW
    parked = "SELECT id FROM strongroom.jobs WHERE tenant_id = %(id)s AND kind = 'test.parked'"
    with killed_at(two, workers, Lock(two, OLD, f"{parked} FOR UPDATE", id=tenant.id)):
        assert two.at(NEW, parked, id=tenant.id) == two.at(OLD, parked, id=tenant.id) != []


def test_killed_again_and_again_while_clients_write(two: TwoCells, full: Account, workers: Workers) -> None:
    tenant, heard = full.tenant, two.client(full)
    deaf = two.deaf_process().client(host_of(tenant)).as_(heard.token)
    _, cursor = created(two, tenant, feed.START)
    parked = (
        "INSERT INTO strongroom.jobs (tenant_id, realm, kind, state, finished_at) VALUES (%(id)s, 'tenant', 'test.parked', 'parked', now())"
    )
    two.at(OLD, parked, id=tenant.id)
    with Traffic([heard, deaf], GAP_S) as traffic:
        wait_until(lambda: len(traffic.written) > 10 or traffic.wrong, BOUND_S)
        two.begin(tenant)
        kill_in_the_copy(two, workers, tenant)
        kill_in_the_pause(two, workers, tenant)
        wait_until(lambda: traffic.refused > 1 or traffic.wrong, BOUND_S)
        kill_around_the_switch(two, workers, tenant)
        workers.start()
        wait_until(lambda: hurry(two) or two.operation(tenant).state == OperationState.DONE, BOUND_S, "the move to end")
        before = len(traffic.written)
        wait_until(lambda: len(traffic.written) > before + 10 or traffic.wrong, BOUND_S)
    assert traffic.wrong == []
    check_what_is_there(two, full, heard, traffic.written)
    told, _ = created(two, tenant, cursor)
    assert sorted(told) == sorted(traffic.written)  # each once
    check_that_it_is_in_one_cell(two, tenant)
    assert put_object(deaf, "media", "last.txt").status_code == 201


def check_what_is_there(two: TwoCells, full: Account, client: Client, written: list[str]) -> None:
    """Every acknowledged file; and every row of the old copy that nothing changes, as it was there."""
    for path in written[:3] + written[-3:]:
        assert client.get(object_url("media", path)).data == path.encode()
    there = {row["path"] for row in two.inside(NEW, full.tenant, "SELECT path FROM {t}.files")}
    assert there == {"a.txt", *written}
    assert two.inside(NEW, full.tenant, "SELECT used_files FROM {t}.counters") == [{"used_files": len(there)}]
    for lasting in (
        "* FROM {t}.events",
        "* FROM {t}.users",
        "id, path, created_at FROM {t}.files",
        "id, file_id, blake3 FROM {t}.versions",
    ):
        old, new = ({str(row) for row in two.inside(cell, full.tenant, f"SELECT {lasting}")} for cell in (OLD, NEW))
        assert old, lasting
        assert old <= new, lasting
    assert two.inside(NEW, full.tenant, "SELECT name FROM {t}.users") == [{"name": "changed at the last moment"}]
    assert not two.inside(
        NEW, full.tenant, "SELECT conname FROM pg_constraint WHERE NOT convalidated AND connamespace = '{t}'::regnamespace"
    )


def check_that_it_is_in_one_cell(two: TwoCells, tenant: Tenant) -> None:
    """Nobody gets into the old copy; when that is swept away, the new one stays."""
    assert two.where(tenant) == NEW
    with pytest.raises(UnknownHost), two.runtime.databases.tenant(tenant.ref):  # as it was: in the old cell
        pass
    assert not two.at(
        OLD, "SELECT kind FROM strongroom.jobs WHERE tenant_id = %(id)s AND realm = 'tenant' AND state <> 'done'", id=tenant.id
    )
    assert not two.at(NEW, "SELECT FROM strongroom.arrivals WHERE tenant_id = %(id)s", id=tenant.id)
    two.at(OLD, "UPDATE strongroom.departures SET left_at = now() - interval '1 day' WHERE tenant_id = %(id)s", id=tenant.id)
    copies.sweep(two.runtime)
    assert (two.has_schema(OLD, tenant), two.has_schema(NEW, tenant)) == (False, True)
