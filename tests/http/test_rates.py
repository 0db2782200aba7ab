"""Request rates over several processes: in Redis, in a file of this machine, and when Redis is away."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strongroom.errors import ConfigurationError
from strongroom.http import rates, redis_windows, shared_windows
from strongroom.http.pace import METER
from strongroom.http.rates import Meter, Rate
from strongroom.http.shared_windows import SharedWindows

from tests.factories import Account, World, ok, problem
from tests.services.processes import free_port
from tests.services.redis import redis_server
from tests.slow import all_at_once

ACCOUNT = "/api/v1/account"
HOUR_S = 3600.0


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as (url, _):
        yield url


@pytest.fixture(params=["redis", "shared"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where several processes count together."""
    url: str = request.getfixturevalue("redis_url") if request.param == "redis" else f"shared://{tmp_path}/rates"
    return url


@pytest.fixture
def long_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """No window ends while a test runs."""
    monkeypatch.setattr(rates, "WINDOW_S", HOUR_S)


def counting(world: World, storage: str) -> World:
    """Another instance of the application."""
    return world.again(rate_limit_storage=storage)


def close(world: World, *instances: World) -> None:
    """Close what they count in; wrong passwords are counted where the last instance counts, which is this process again."""
    for each in instances:
        each.app.extensions[METER].close()
    world.again()


@pytest.fixture
def account(world: World) -> Account:
    return world.create_user(world.create_tenant(requests_per_s=6))


@pytest.mark.usefixtures("long_windows")
def test_two_instances_share_one_limit(world: World, account: Account, storage: str) -> None:
    one, other = counting(world, storage), counting(world, storage)
    account.tokens = world.sign_in(account)
    clients = [each.client(account) for each in (one, other)]
    answers = [clients[number % 2].get(ACCOUNT) for number in range(10)]
    assert [each.status_code for each in answers] == [200] * 6 + [429] * 4
    told = [each.headers["RateLimit"] for each in answers]
    assert told == [f'"requests";r={left};t=3600' for left in (5, 4, 3, 2, 1, 0, 0, 0, 0, 0)]
    assert {each.headers["RateLimit-Policy"] for each in answers} == {'"requests";q=6;w=3600'}
    found = problem(answers[-1], 429, "too_many_requests")
    assert found["limit"] == 6
    assert answers[-1].headers["Retry-After"] == "3600"
    neighbour = world.create_user(world.create_tenant(requests_per_s=6))
    ok(one.client(neighbour).get(ACCOUNT))
    close(world, one, other)


@pytest.mark.usefixtures("long_windows")
def test_the_limit_is_the_tenants_not_a_routes(world: World, account: Account, storage: str) -> None:
    one = counting(world, storage)
    account.tokens = world.sign_in(account)
    client = one.client(account)
    paths = [ACCOUNT, "/api/v1/buckets", "/api/v1/tenant", "/api/v1/users", "/api/v1/trash", "/api/v1/api-keys", "/api/v1/tenant/quota"]
    assert [client.get(path).status_code for path in paths] == [200] * 6 + [429]
    close(world, one)


def test_it_counts_exactly_under_many_threads(storage: str) -> None:
    meters = [Meter(storage), Meter(storage)]
    found = all_at_once([lambda n=n: meters[n % 2].count(f"key {storage}", 10) for n in range(40)])
    assert sorted(each.count for each in found) == list(range(1, 41))
    assert [each.is_over for each in found].count(False) == 10
    for each in meters:
        each.close()


def test_a_window_ends(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "WINDOW_S", 0.05)
    meter = Meter(storage)
    assert meter.count(f"short {storage}", 1).count == 1
    assert any(meter.count(f"short {storage}", 1).count == 1 for _ in range(100_000))
    meter.close()


def test_every_answer_tells_the_rate(world: World, account: Account) -> None:
    client = world.client(account)
    for answer in (client.get(ACCOUNT), client.get("/api/v1/files/none"), client.post("/api/v1/buckets", json={}), client.head(ACCOUNT)):
        assert answer.headers["RateLimit-Policy"] == '"requests";q=6;w=1'
        assert answer.headers["RateLimit"].startswith('"requests";r=')
    assert "RateLimit" not in client.as_("nonsense").get(ACCOUNT).headers, "who is refused at the door uses up nothing"


@pytest.mark.parametrize(("count", "left_s", "told"), [(1, 0.001, "r=4;t=1"), (5, 1.0, "r=0;t=1"), (9, 59.2, "r=0;t=60")])
def test_what_is_told(count: int, left_s: float, told: str) -> None:
    rate = Rate(5, count, left_s, 60)
    assert rate.headers() == {"RateLimit-Policy": '"requests";q=5;w=60', "RateLimit": f'"requests";{told}'}
    assert rate.is_over == (count > 5)


# Redis away


@pytest.mark.usefixtures("long_windows")
def test_without_redis_each_process_counts_for_itself_until_it_is_back(
    world: World, account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis_windows, "PAUSE_S", 0.0)
    monkeypatch.setattr(redis_windows, "LONGEST_PAUSE_S", 0.0)
    account.tokens = world.sign_in(account)
    port = free_port()
    with redis_server(port) as (url, _):
        one, other = counting(world, url), counting(world, url)
        clients = [each.client(account) for each in (one, other)]
        assert [each.get(ACCOUNT).status_code for each in clients * 2] == [200] * 4
    with caplog.at_level(logging.WARNING, logger=redis_windows.__name__):
        assert [each.get(ACCOUNT).status_code for each in clients * 7] == [200] * 12 + [429] * 2
    assert [record.message for record in caplog.records].count(
        "Redis does not answer: request rates are counted by each process for itself"
    ) == 2, "each process says so once"
    with redis_server(port):
        assert [each.get(ACCOUNT).status_code for each in clients * 4] == [200] * 6 + [429] * 2
        close(world, one, other)


def test_one_thread_at_a_time_asks_a_redis_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(f"redis://127.0.0.1:{free_port()}/0")
    counter: Any = meter._counter
    asked: list[int] = []
    real = counter._hit
    monkeypatch.setattr(counter, "_hit", lambda **values: (asked.append(1), real(**values))[1])
    for _ in range(50):
        meter.count("a", 10)
    assert len(asked) == 1
    assert not counter.check()
    meter.close()


# The file


SCRIPT = """
import json, sys
from strongroom.http.rates import Meter
meter = Meter(sys.argv[1])
sys.stdin.readline()
print(json.dumps([meter.count("all", 10).count for _ in range(200)]))
"""


@pytest.mark.usefixtures("long_windows")
def test_processes_count_together_in_a_file(tmp_path: Path) -> None:
    script = "from strongroom.http import rates\nrates.WINDOW_S = 3600.0\n" + SCRIPT
    command = [sys.executable, "-c", script, f"shared://{tmp_path}/rates"]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found: list[int] = []
    for each in started:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in started:
        output, _ = each.communicate(timeout=60)
        assert each.returncode == 0
        found += json.loads(output)
    assert sorted(found) == list(range(1, 601))


def test_more_keys_than_the_file_has_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_windows, "SLOTS", 64)
    monkeypatch.setattr(shared_windows, "SIZE_BYTES", 64 * shared_windows.SLOT.size)
    windows = SharedWindows(f"shared://{tmp_path}/rates")
    counts = Counter(windows.hit(f"key {number}", 3600)[0] for number in range(500))
    assert counts == {1: 500}
    assert windows.hit("key 499", 3600)[0] == 2
    windows.close()


def test_a_file_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        Meter(f"shared://{tmp_path}/no/such/folder/rates")


def test_the_file_as_a_storage_of_limits(tmp_path: Path) -> None:
    windows = SharedWindows(f"shared://{tmp_path}/rates")
    assert [windows.incr("a", 60), windows.incr("a", 60, 2), windows.get("a"), windows.get("b")] == [1, 3, 3, 0]
    assert windows.get_expiry("a") > windows.get_expiry("b")
    windows.clear("a")
    assert windows.get("a") == 0
    assert windows.check()
    assert windows.reset() > 0
    windows.close()
