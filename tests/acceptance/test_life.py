"""Point 1: the first start, the second start, Ctrl-C, and `kill -9` of each process and of all."""

from __future__ import annotations

import json
import signal
import stat
import time
from collections.abc import Callable

import psutil
import pytest

from tests.acceptance.client import Client
from tests.acceptance.content import MIB, noise, sha256
from tests.acceptance.deployment import Deployment
from tests.acceptance.waiting import wait_until

pytestmark = pytest.mark.xdist_group("life")
RECOVER_S = 60.0
PATH, DATA = "kept/before.bin", noise(3 * MIB, 1)
NAMES = ("postgres", "serve", "worker-1", "beat")


@pytest.fixture(scope="module")
def living(own_deployment: Callable[..., Deployment]) -> Deployment:
    """A deployment with one file in it."""
    made = own_deployment()
    made.first_output = made.start()  # type: ignore[attr-defined]  # kept with the deployment for the tests below
    made.demo_owner().upload("media", PATH, DATA)
    return made


@pytest.fixture
def running(living: Deployment) -> Deployment:
    """The deployment, running, whatever the test before did to it."""
    if living.process is None or living.process.poll() is not None:
        living.start()
    living.wait_ready()
    return living


def can_work(client: Client) -> None:
    """See that everything works: data is there, an upload is taken, and a worker checks it."""
    assert sha256(client.download("media", PATH).content) == sha256(DATA)
    file = client.upload("media", f"after/{time.monotonic_ns()}.bin", noise(1000, time.monotonic_ns()))
    assert client.checked(file, RECOVER_S)["scan"]["verdict"] == "clean"


def test_first_start_prints_addresses_and_passwords(living: Deployment) -> None:
    text, known = living.first_output, living.credentials  # type: ignore[attr-defined]  # kept with the deployment for the tests below
    assert f"http://localhost:{living.port}/operator" in text
    assert f"http://acme.localhost:{living.port}/console" in text
    for part in ("operator", "tenant"):
        assert known[part]["email"] in text
        assert known[part]["password"] in text


def test_credentials_have_the_documented_shape_and_are_private(living: Deployment) -> None:
    file = living.state / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    known = json.loads(file.read_text())
    assert set(known) == {"operator", "tenant"}
    assert set(known["operator"]) == {"email", "password"}
    assert set(known["tenant"]) == {"slug", "email", "password"}
    assert known["tenant"]["slug"] == "acme"
    assert all(isinstance(value, str) and value for part in known.values() for value in part.values())


def test_no_password_is_in_a_log_or_open_to_others(running: Deployment) -> None:
    secrets = [running.credentials[part]["password"].encode() for part in ("operator", "tenant")]
    for log in (running.state / "logs").iterdir():
        assert not any(secret in log.read_bytes() for secret in secrets), log
    for name in ("credentials.json", "secrets.json", "logs", "files", "run"):
        assert stat.S_IMODE((running.state / name).stat().st_mode) & 0o077 == 0, name


def test_second_up_on_the_same_folder_or_port_says_what_is_wrong(running: Deployment) -> None:
    same = running.run("up", "--state", running.state, "--port", running.port)
    assert same.returncode == 1
    assert "in use by process" in same.stderr
    other = running.run("up", "--state", running.folder / "other", "--port", running.port)
    assert other.returncode == 1
    assert str(running.port) in other.stderr
    assert "--port" in other.stderr
    can_work(running.demo_owner())


def test_ctrl_c_ends_every_process_and_the_second_start_has_all_data(running: Deployment) -> None:
    before = running.credentials
    everything = dict(running.processes())
    assert len(everything) > len(NAMES)
    started = time.monotonic()
    assert running.stop(signal.SIGINT) == 0
    assert time.monotonic() - started < 30
    assert not running.living()
    started = time.monotonic()
    answer = json.loads(running.start("--json"))
    assert time.monotonic() - started < 15
    assert answer["credentials"] == before == running.credentials
    can_work(running.demo_owner())


@pytest.mark.slow
def test_ctrl_c_while_starting_leaves_nothing(running: Deployment) -> None:
    assert running.stop(signal.SIGTERM) == 0
    process = running.launch()
    wait_until(lambda: running.record().get("children"), 20, "the first process to be started")
    running.processes()
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert not running.living()
    running.start()
    can_work(running.demo_owner())


def victim(deployment: Deployment, name: str) -> int:
    """The process that a test kills."""
    top, _, kind = name.partition(" ")
    return deployment.children(top)[0] if kind == "child" else deployment.pid(top)


@pytest.mark.parametrize("name", ["postgres", "serve", "serve child", "worker-1", "beat"])
def test_kill_of_one_process_mends_itself(running: Deployment, name: str) -> None:
    client = running.demo_owner()
    pid = victim(running, name)
    psutil.Process(pid).kill()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 10, "it to be gone")
    wait_until(lambda: victim(running, name) != pid, RECOVER_S, f"another {name}")
    running.wait_ready()
    can_work(client)
    assert running.process is not None
    assert running.process.poll() is None


@pytest.mark.slow
def test_kill_of_the_supervisor_takes_all_with_it_and_the_next_up_recovers(running: Deployment) -> None:
    running.processes()
    assert running.process is not None
    running.process.kill()
    running.process.wait(10)
    running.start()
    assert set(running.record()) >= {"pid", "children"}
    can_work(running.demo_owner())
    wait_until(lambda: {each.pid for each in running.living()} <= tree(running), 30, "no process of the killed run to be left")


def tree(deployment: Deployment) -> set[int]:
    """The processes below the supervisor of now, and itself."""
    top = psutil.Process(deployment.record()["pid"])
    return {top.pid, *(each.pid for each in top.children(recursive=True))}


@pytest.mark.slow
def test_kill_of_everything_at_once_and_the_next_up_recovers(running: Deployment) -> None:
    running.kill_all()
    running.start()
    can_work(running.demo_owner())


@pytest.mark.slow
def test_kill_in_the_middle_of_the_first_start_is_taken_up_again(own_deployment: Callable[..., Deployment]) -> None:
    fresh = own_deployment()
    for name in ("postgres", "serve"):
        fresh.launch()
        wait_until(lambda name=name: any(each["name"] == name for each in fresh.record().get("children", []) if each["pid"]), 60, name)
        fresh.kill_all()
    fresh.start()
    owner = fresh.demo_owner()
    assert {bucket["name"] for bucket in owner.listed("/api/v1/buckets")} == {"media", "documents"}
    fresh.operator()
    assert fresh.stop() == 0
