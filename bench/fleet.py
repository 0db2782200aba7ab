"""Many tenants in one cell: making one, a request to any of them, migrating all of them, and what the backends keep. `--help`

The database is a durable embedded PostgreSQL; requests go over one kept connection to an API process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import math
import multiprocessing
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path

import psutil
from argon2 import PasswordHasher
from strongroom.fleet import service as fleet
from strongroom.operating import service as operating
from strongroom.security import passwords
from strongroom.serving import run_server

from bench.measuring import Goal, keep
from tenants import placement
from tenants import service as tenants
from tests.acceptance.waiting import wait_until
from tests.factories import PASSWORD, ApiKey, World, create_database
from tests.fleet.chains import release
from tests.services import postgres
from tests.services.processes import free_port, listens

FEW = 3
ROUNDS = 5
MAKERS = 3
SETTLE_S = 600
START_S = 30
MIB = 1 << 20


def timed(act: Callable[[], object]) -> float:
    """How long it takes, in seconds."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def provision(world: World, rounds: int = 11) -> tuple[float, float]:
    """Median seconds for a tenant with its owner, and of the tenant alone, which is the database's part."""
    names = iter(f"p{os.urandom(6).hex()}" for _ in range(2 * rounds))
    owner = {"owner_email": "owner@example.com", "owner_password": PASSWORD}
    whole = [timed(lambda: operating.create_tenant(world.runtime, "bench", slug=next(names), **owner)) for _ in range(rounds)]
    alone = [timed(lambda: tenants.create_tenant(world.runtime.databases, slug=next(names))) for _ in range(rounds)]
    return statistics.median(whole), statistics.median(alone)


class Served:
    """An API process of its own, as `strongroom serve` runs it, and one connection to it."""

    def __init__(self, port: int, master: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._worker = wait_until(lambda: psutil.Process(master).children(), START_S, "there is a worker")[0]

    def get(self, slug: str, key: ApiKey) -> None:
        """Ask for the buckets of a tenant.

        Raises:
            RuntimeError: they did not come.
        """
        self._connection.request("GET", "/api/v1/buckets", headers={"Host": f"{slug}.localhost", "Authorization": f"Bearer {key.text}"})
        response = self._connection.getresponse()
        body = response.read()
        if response.status != HTTPStatus.OK:
            raise RuntimeError(f"{response.status}: {body!r}")

    def resident_mib(self) -> float:
        """What the process has in memory."""
        return float(self._worker.memory_info().rss / MIB)

    def median_s(self, asked: Sequence[tuple[str, ApiKey]]) -> float:
        """Median seconds of a request to each of these tenants in turn."""
        return statistics.median(timed(partial(self.get, *each)) for each in asked)


@contextlib.contextmanager
def served(world: World, **changes: int) -> Iterator[Served]:
    """Run an API process on the world's database."""
    port = free_port()
    settings = replace(world.settings, **{"api_processes": 1, **changes})
    process = multiprocessing.get_context("spawn").Process(target=run_server, args=(settings, f"127.0.0.1:{port}"))
    process.start()
    try:
        wait_until(lambda: listens(port), START_S, "the server listens")
        yield Served(port, process.pid or 0)
    finally:
        process.terminate()
        process.join(START_S)


@dataclass(frozen=True)
class Requests:
    """Median seconds: the first request to each tenant, then requests to random ones of a few and of all; and growth in MiB."""

    first: float
    few: float
    all: float
    grown: float


def latency(door: Served, keys: list[tuple[str, ApiKey]], count: int) -> Requests:
    """Measure requests; few and all in turn, since whatever else the machine does makes both slower."""
    door.median_s(keys[:FEW])
    before = door.resident_mib()
    first = door.median_s(random.sample(keys, k=len(keys)))
    few, all_ = [], []
    for _ in range(ROUNDS):
        few.append(door.median_s(random.choices(keys[:FEW], k=count)))  # noqa: S311 - no secret
        all_.append(door.median_s(random.choices(keys, k=count)))  # noqa: S311 - no secret
    return Requests(first, statistics.median(few), statistics.median(all_), door.resident_mib() - before)


def private_bytes(pid: int) -> int:
    """What a process has to itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def backends(world: World) -> float:
    """Private MiB of the largest backend of ours."""
    rows = world.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'strongroom' AND datname = current_database()")
    return max(private_bytes(row["pid"]) for row in rows) / MIB


def settle(world: World) -> None:
    """Wait until the server has cleaned up after the making of many tenants: that is not what is measured."""
    world.sql("CHECKPOINT")
    cleaning = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
    wait_until(lambda: not world.sql(cleaning), SETTLE_S, "the server has cleaned up")


def print_with_room(world: World, keys: list[tuple[str, ApiKey]], requests: int) -> None:
    """Measure and print the same for a process whose connections may know all tenants among them."""
    most = math.ceil(1.1 * len(keys) / world.settings.pool_size)
    with served(world, connection_max_tenants=most) as door:
        asked = latency(door, keys, requests)
        print(
            f"with connections that may know {most} tenants each: {asked.few * 1000:.2f} ms among {FEW}, {asked.all * 1000:.2f} among "
            f"{len(keys)}, {asked.first * 1000:.2f} the first time; "
            f"largest backend {backends(world):.0f} MiB, growth {asked.grown:.0f} MiB", flush=True,
        )  # fmt: skip


def size(world: World) -> float:
    """MiB that the whole database takes on the disk."""
    (row,) = world.sql("SELECT pg_database_size(current_database()) AS bytes")
    return float(row["bytes"] / MIB)


def migrate(world: World, folder: Path) -> float:
    """Seconds to add a column everywhere with four workers, all of which are killed once in the middle.

    Raises:
        RuntimeError: it did not end well.
    """
    new = release(world, folder)
    killed = threading.Thread(target=lambda: kill_once(new))
    killed.start()
    taken = timed(lambda: fleet.migrate_tenants(new.settings, new.runtime.databases, workers=4))
    killed.join()
    counts = fleet.progress(new.runtime.databases, new.settings).counts
    if counts["current"] != sum(counts.values()):
        raise RuntimeError(str(counts))
    return taken


def kill_once(new: World) -> None:
    """Kill the workers when a third is done."""
    while True:
        counts = fleet.progress(new.runtime.databases, new.settings).counts
        if counts["current"] > sum(counts.values()) / 3:
            break
        time.sleep(0.1)
    for each in psutil.Process().children():
        if "strongroom.fleet.process" in each.cmdline():
            os.kill(each.pid, signal.SIGKILL)


def add_one(world: World) -> tuple[str, ApiKey]:
    """Make a tenant with an owner who has an API key; return its slug and the key."""
    account = world.create_user(world.create_tenant())
    return account.tenant.slug, world.create_api_key(account, "files:read")


def measure(world: World, folder: Path, count: int, requests: int) -> list[Goal]:
    """Measure with few tenants, then with many."""
    keys: list[tuple[str, ApiKey]] = []
    with world.runtime.databases.control() as connection:
        placement.change(connection, "default", max_tenants=2 * count + 1000)

    def add(number: int) -> None:
        real, passwords._hasher = passwords._hasher, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        with ThreadPoolExecutor(MAKERS) as makers:
            keys.extend(makers.map(lambda _: add_one(world), range(number)))
        passwords._hasher = real

    add(10)
    whole_few, alone_few = provision(world)
    add(count - len(keys))
    settle(world)
    whole, alone = provision(world)
    print(
        f"provision {whole_few * 1000:.0f} -> {whole * 1000:.0f} ms, of it database {alone_few * 1000:.0f} -> {alone * 1000:.0f} ms; "
        f"{size(world) / count:.2f} MiB a tenant", flush=True,
    )  # fmt: skip
    settle(world)
    with served(world) as door:
        asked = latency(door, keys, requests)
        few, many, largest = asked.few, asked.all, backends(world)
    print(
        f"request {few * 1000:.2f} ms among {FEW}, {many * 1000:.2f} among {count}, {asked.first * 1000:.2f} the first time",
        flush=True,
    )
    if count > world.settings.pool_size * world.settings.connection_max_tenants:
        print_with_room(world, keys, requests)
    migrated = migrate(world, folder)
    print(f"migration {migrated:.1f} s, {count / migrated:.0f} tenants/s")
    found = {
        "provision, ms": (whole * 1000, 100), "its database, ms": (alone * 1000, 50), "many / few, provision": (whole / whole_few, 1.5),
        "many / few, request": (many / few, 1.3), "largest backend, MiB": (largest, 128),
        "growth of the API process, MiB": (asked.grown, 32),
        "migration, s for 3,000": (migrated / count * 3000, 180),
    }  # fmt: skip
    return [Goal(name, figure, limit, at_least=False) for name, (figure, limit) in found.items()]


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=300)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    with postgres.embedded({}) as cluster, tempfile.TemporaryDirectory(prefix="sr-bench-") as name:
        world = World.create(create_database(cluster, "bench"), Path(name) / "files", statement_timeout_s=30, pool_size=16)
        try:
            goals = measure(world, Path(name), options.tenants, options.requests)
        finally:
            world.close()
    print("\n".join(goal.line() for goal in goals))
    keep("fleet", {}, goals)
    return 0 if all(goal.is_met for goal in goals) else 1


if __name__ == "__main__":
    raise SystemExit(main())
