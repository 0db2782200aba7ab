"""Crash consistency: processes are killed at random moments in the middle of the work; what was acknowledged is there."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from tests.acceptance.content import EICAR, MIB, Noise, digest_of_stream, noise, sha256
from tests.acceptance.deployment import PASSWORD, Deployment, Tenant
from tests.acceptance.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("crashes")]
SENDERS, UPLOADS_EACH, KILLS = 8, 14, 12
SMALL = 777
SWEPT_S = 420.0
CHECKED_S = 180.0


@pytest.fixture(scope="module")
def crashing(own_deployment: Callable[..., Deployment]) -> Deployment:
    """A deployment whose processes are killed."""
    made = own_deployment(access_token_lifetime_s="7200")
    made.start("--json")
    return made


@pytest.fixture
def tenant(crashing: Deployment) -> Tenant:
    """A fresh tenant there, with a bucket."""
    crashing.wait_ready()
    made = crashing.tenant()
    made.owner.bucket("media")
    return made


@contextlib.contextmanager
def killer(deployment: Deployment, victims: Callable[[], list[int]], pause_s: tuple[float, float]) -> Iterator[list[int]]:
    """Kill one of the victims every now and then, until the block is over."""
    over, killed, chance = threading.Event(), list[int](), random.Random()  # noqa: S311 - moments of killing

    def run() -> None:
        while not over.wait(chance.uniform(*pause_s)):
            with contextlib.suppress(psutil.Error, AssertionError, IndexError):
                pid = chance.choice(victims())
                psutil.Process(pid).kill()
                killed.append(pid)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()
        deployment.wait_ready()


class Sender:
    """Uploads one file after the other and remembers what was acknowledged, and what it cannot know."""

    def __init__(self, tenant: Tenant, number: int) -> None:
        self.tenant, self.number = tenant, number
        self.sure: dict[str, str] = {}
        self.unsure: dict[str, str] = {}

    def run(self) -> None:
        with self.tenant.owner.again() as client:
            for count in range(UPLOADS_EACH):
                path, body = f"{self.number}/{count}", Noise((count % 5) * 3 * MIB + SMALL, self.number * 1000 + count)
                digest = sha256(b"".join(Noise(body.size, self.number * 1000 + count)))
                try:
                    answer = client.put("media", path, body)
                except requests.RequestException:
                    self.unsure[path] = digest
                    wait_until(self.tenant.deployment.is_ready, 60, "the server to be back")
                    continue
                (self.sure if answer.status_code == 201 else self.unsure)[path] = digest
                assert answer.status_code in {201, 503}, answer.text


def test_killed_api_processes_during_many_uploads(crashing: Deployment, tenant: Tenant) -> None:
    senders = [Sender(tenant, number) for number in range(SENDERS)]
    with killer(crashing, lambda: crashing.children("serve"), (0.2, 1.5)) as killed, ThreadPoolExecutor(SENDERS) as pool:
        for future in [pool.submit(sender.run) for sender in senders]:
            future.result(300)
    assert len(killed) >= 3, "too little was killed to say anything"
    sure = {path: digest for sender in senders for path, digest in sender.sure.items()}
    unsure = {path: digest for sender in senders for path, digest in sender.unsure.items()}
    assert unsure, "no upload was hit"
    check_files(tenant, sure, unsure)

    def swept() -> bool:
        quota = tenant.owner.quota()
        assert (quota["reserved_bytes"], quota["reserved_files"]) == (0, 0)
        versions = {each["version_id"].replace("-", "") for each in tenant.owner.files("media", limit=1000)}
        lying = tenant.stored()
        assert versions <= set(lying)
        assert [name for name in set(lying) - versions if not is_small(lying[name])] == []
        return True

    wait_until(swept, SWEPT_S, "the sweeper to remove what dead uploads left")
    check_files(tenant, sure, unsure)


def is_small(path: Path) -> bool:
    """Whether it is of an upload that was all here when it began: that has no row, so the day's reconciliation finds what it left."""
    try:
        return path.stat().st_size == SMALL
    except FileNotFoundError:
        return True


def check_files(tenant: Tenant, sure: dict[str, str], unsure: dict[str, str]) -> None:
    """What was acknowledged is there byte for byte; what else is listed was sent, and is whole too."""
    listed = {each["path"]: each for each in tenant.owner.files("media", limit=1000)}
    assert set(sure) <= set(listed), "acknowledged, and lost"
    assert set(listed) <= set(sure) | set(unsure), "listed, and never sent"
    for path in listed:
        with tenant.owner.download("media", path, stream=True) as answer:
            assert answer.status_code == 200, (path, answer.text)
            assert digest_of_stream(answer) == {**unsure, **sure}[path], path
    quota = tenant.owner.quota()
    assert quota["used_files"] == len(listed)
    assert quota["used_bytes"] == sum(each["size_bytes"] for each in listed.values())


def test_killed_workers_during_checks(crashing: Deployment, tenant: Tenant) -> None:
    def worker() -> list[int]:
        return crashing.workers()

    with killer(crashing, worker, (0.5, 2.0)) as killed:
        files = []
        for number in range(60):
            data = EICAR if number % 6 == 0 else noise(MIB, number)
            files.append(tenant.owner.upload("media", f"{number:02}", data))
        wait_until(lambda: len(killed) >= KILLS, 60, "enough to be killed")

    def all_checked() -> bool:
        return all(each["status"] != "pending" for each in tenant.owner.files("media", limit=1000))

    wait_until(all_checked, CHECKED_S, "every file to get its verdict")
    for number, each in enumerate(tenant.owner.files("media", limit=1000)):
        expected = ("quarantined", "infected") if number % 6 == 0 else ("available", "clean")
        assert (each["status"], each["scan"]["verdict"]) == expected
        assert each["sha256"] == sha256(EICAR if number % 6 == 0 else noise(MIB, number))
    usage = wait_until(lambda: (found := tenant.owner.usage()["totals"])["uploads"] >= 60 and found, CHECKED_S, "all to be counted")
    assert usage["uploads"] == 60, "counted exactly once"
    assert usage["bytes_in"] == sum(each["size_bytes"] for each in files)
    assert crashing.command("stats", "verify", "--tenant", tenant.slug)["ok"]
    jobs = crashing.operator().get("/operator/api/v1/jobs", params={"state": "parked"}).json()["items"]
    assert not [job for job in jobs if job["tenant_id"] == tenant.id], "no job was given up"


def test_killed_everything_during_uploads_again_and_again(crashing: Deployment, tenant: Tenant) -> None:
    sure: dict[str, str] = {}
    for round_ in range(3):
        stop = threading.Event()

        def send(number: int, round_: int = round_, stop: threading.Event = stop) -> None:
            with tenant.owner.again() as client, contextlib.suppress(requests.RequestException):
                count = 0
                while not stop.is_set():
                    count += 1
                    path, data = f"{round_}/{number}/{count}", noise(200_000, count)
                    if client.put("media", path, data).status_code == 201:
                        sure[path] = sha256(data)

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(send, number) for number in range(4)]
            before = len(sure)
            wait_until(lambda before=before: len(sure) > before + 15, 60, "uploads to run")
            crashing.kill_all()
            stop.set()
            for future in futures:
                future.result(60)
        crashing.start("--json")
    tenant.owner.login(tenant.owner.email, PASSWORD)
    listed = {each["path"]: each for each in tenant.owner.files("media", limit=1000)}
    assert set(sure) <= set(listed)
    for path, digest in sure.items():
        assert sha256(tenant.owner.download("media", path).content) == digest
    wait_until(lambda: all(each["status"] != "pending" for each in tenant.owner.files("media", limit=1000)), CHECKED_S, "all to be checked")


def test_a_file_that_is_replaced_while_processes_die_is_always_whole(crashing: Deployment, tenant: Tenant) -> None:
    tenant.owner.bucket("single", versioning=False)
    contents = [noise(MIB, number) for number in range(4)]
    whole = {sha256(each) for each in contents}
    tenant.owner.upload("single", "a", contents[0])
    stop = threading.Event()

    def replace(number: int) -> None:
        with tenant.owner.again() as client:
            while not stop.is_set():
                with contextlib.suppress(requests.RequestException):
                    client.put("single", "a", contents[number])

    seen = 0
    with killer(crashing, lambda: crashing.children("serve"), (0.5, 1.5)), ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(replace, number) for number in range(4)]
        while seen < 60:
            with contextlib.suppress(requests.RequestException), tenant.owner.again() as reader:
                answer = reader.download("single", "a")
                if answer.status_code == 200:
                    assert sha256(answer.content) in whole
                    seen += 1
        stop.set()
        for future in futures:
            future.result(60)
    (file,) = tenant.owner.files("single")
    assert len(tenant.owner.get(f"/api/v1/files/{file['id']}/versions").json()["items"]) == 1
    wait_until(lambda: set(tenant.stored()) == {file["version_id"].replace("-", "")}, SWEPT_S, "all former bytes to be gone")
