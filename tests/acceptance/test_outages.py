"""What everything depends on goes away for a while: the disk is full, the database, the worker. Nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from tests.acceptance import test_tus as tus
from tests.acceptance.client import Client, assert_problem
from tests.acceptance.content import EICAR, MIB, TEXT, noise, sha256
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.waiting import wait_until

pytestmark = pytest.mark.xdist_group("outages")
ROOM = 16 * MIB
BACK_S = 60.0
LEASE_OVER_S = 100.0  # a job whose worker lost it in the middle is taken up again when its lease of 60 s is over


@pytest.fixture(scope="module")
def fragile(own_deployment: Callable[..., Deployment]) -> Deployment:
    """A deployment whose parts may be stopped."""
    made = own_deployment()
    made.start("--json")
    return made


@pytest.fixture
def tenant(fragile: Deployment) -> Tenant:
    """A fresh tenant there, with a bucket."""
    fragile.wait_ready()
    made = fragile.tenant()
    made.owner.bucket("media")
    return made


# The disk


@pytest.fixture(scope="module")
def small_disk(fragile: Deployment) -> Iterator[Path]:
    """A provider `small` on a file system of 16 MiB."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("mounting a small file system needs root, and CI skips nothing")
        pytest.skip("mounting a small file system needs root")
    root = fragile.folder / "small"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0700", "strongroom-test", root], check=True)
    try:
        fragile.command("provider", "add", "small", "--kind", "filesystem", "--root", root)
        yield root
    finally:
        subprocess.run(["umount", "-l", root], check=True)


@pytest.fixture
def cramped(fragile: Deployment, small_disk: Path) -> Tenant:
    """A tenant whose provider is the small disk."""
    for path in small_disk.rglob("*"):
        if path.is_file():
            path.unlink()
    made = fragile.tenant(provider="small")
    made.owner.bucket("media")
    return made


def nothing_is_left(tenant: Tenant, root: Path, files: int = 0) -> None:
    def clean() -> bool:
        quota = tenant.owner.quota()
        assert (quota["reserved_bytes"], quota["used_files"]) == (0, files)
        assert len(tenant.owner.files("media")) == files
        assert len(tenant.stored(root)) == files
        return True

    wait_until(clean, 20, "nothing to be left")


def test_disk_full(cramped: Tenant, small_disk: Path) -> None:
    owner = cramped.owner
    kept = owner.store("media", "kept", noise(4 * MIB))
    problem = assert_problem(owner.put("media", "big", noise(ROOM + 1)), 507, "storage_full", resolve=owner.get)
    assert str(small_disk) not in json.dumps(problem), "a tenant is not told where the operator's disk is"
    nothing_is_left(cramped, small_disk, files=1)
    assert sha256(owner.download("media", "kept").content) == kept["sha256"]
    owner.upload("media", "fits", noise(8 * MIB))


def test_disk_full_with_many_at_once(cramped: Tenant, small_disk: Path) -> None:
    def send(number: int) -> int:
        with cramped.owner.again() as client:
            return client.put("media", f"{number}", noise(4 * MIB, number)).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(12)))
    assert set(answers) == {201, 507}
    assert answers.count(201) <= 4
    nothing_is_left(cramped, small_disk, files=answers.count(201))
    for file in cramped.owner.files("media"):
        assert cramped.owner.download("media", file["path"]).content == noise(4 * MIB, int(file["path"]))


def test_an_overwrite_on_a_full_disk_keeps_the_former(cramped: Tenant, small_disk: Path) -> None:
    owner = cramped.owner
    former = owner.store("media", "a", noise(9 * MIB))
    assert_problem(owner.put("media", "a", noise(9 * MIB, 1)), 507, "storage_full")
    nothing_is_left(cramped, small_disk, files=1)
    assert owner.file(former["id"])["version_id"] == former["version_id"]
    assert sha256(owner.download("media", "a").content) == former["sha256"]


def test_a_disk_that_fills_up_under_a_resumable_upload(cramped: Tenant, small_disk: Path) -> None:
    """What came is kept, and gone on from when there is room again."""
    owner, data = cramped.owner, noise(10 * MIB)
    url = tus.begin(owner, len(data))
    assert tus.patch(owner, url, 0, data[: 2 * MIB]).status_code == 204
    owner.store("media", "other", noise(9 * MIB, 1))  # checked: else its reader would keep the room that its removal gives back
    assert_problem(tus.patch(owner, url, 2 * MIB, data[2 * MIB :]), 507, "storage_full")
    offset = tus.offset(owner, url)
    assert 2 * MIB < offset < len(data)
    for path in cramped.stored(small_disk).values():
        if not path.name.endswith(".part"):
            path.unlink()
    assert tus.patch(owner, url, offset, data[offset:]).status_code == 204
    assert sha256(owner.download("media", "a.bin").content) == sha256(data)


def test_other_tenants_do_not_feel_a_full_disk(cramped: Tenant, tenant: Tenant) -> None:
    assert_problem(cramped.owner.put("media", "big", noise(ROOM + 1)), 507, "storage_full")
    assert tenant.owner.store("media", "a", noise(ROOM))["status"] == "available"


def test_doctor_tells_of_too_little_room(fragile: Deployment, small_disk: Path) -> None:
    done = fragile.run("doctor", "--state", fragile.state, "--json")
    assert done.returncode == 1
    (finding,) = [each for each in json.loads(done.stdout)["findings"] if each["part"] == "providers"]
    assert not finding["ok"]
    assert "small" in finding["text"]
    assert str(small_disk) in finding["text"]


# The database


def is_over(process: psutil.Process) -> bool:
    """A process that has ended; its parent, which stands still, has not noticed yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def command_of(process: psutil.Process) -> str:
    """What a process runs; nothing when it has ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


@contextlib.contextmanager
def database_down(deployment: Deployment) -> Iterator[None]:
    """Have no connection answered: the postmaster stands still, and every session's process is ended."""
    postmaster = psutil.Process(deployment.pid("postgres"))
    postmaster.suspend()
    try:
        wait_until(lambda: postmaster.status() == psutil.STATUS_STOPPED, 10, "the postmaster to stand still")
        sessions = [each for each in postmaster.children() if not is_over(each) and "strongroom_app" in command_of(each)]
        for session in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                session.terminate()
        wait_until(lambda: all(map(is_over, sessions)), 30, "the sessions to end")
        yield
    finally:
        postmaster.resume()


def ask(client: Client, method: str, path: str) -> requests.Response:
    """One request on a connection of its own, and within the time in which nobody loses patience."""
    with client.again() as other:
        return other.request(method, path, data=TEXT if method == "PUT" else None, timeout=30)


@pytest.mark.slow
def test_database_down(fragile: Deployment, tenant: Tenant) -> None:
    owner = tenant.owner
    kept = owner.store("media", "kept", TEXT)
    with database_down(fragile):
        asked = (("GET", "/api/v1/buckets"), ("PUT", "/api/v1/objects/media/a"), ("GET", "/api/v1/objects/media/kept"), ("GET", "/readyz"))
        with ThreadPoolExecutor(len(asked)) as pool:
            answers = list(pool.map(lambda each: ask(owner, *each), asked))
        for answer in answers[:-1]:
            assert_problem(answer, 503, "database_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert answers[-1].status_code == 503
        assert owner.get("/healthz").status_code == 200
        assert owner.get("/problems/database_unavailable", headers={"Host": "localhost"}).status_code == 200
    fragile.wait_ready(BACK_S)
    assert sha256(owner.download("media", "kept").content) == kept["sha256"]
    assert owner.store("media", "after", TEXT)["status"] == "available"
    assert {each["path"] for each in owner.files("media")} == {"kept", "after"}
    assert owner.quota()["reserved_files"] == 0


class SlowBody:
    """A body that waits in its middle until it is let go."""

    def __init__(self, data: bytes) -> None:
        self.data, self.half, self.go = data, threading.Event(), threading.Event()

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[bytes]:
        middle = len(self.data) // 2
        yield self.data[:middle]
        self.half.set()
        assert self.go.wait(60)
        yield self.data[middle:]


@pytest.mark.slow
def test_database_away_and_back_while_bytes_travel(fragile: Deployment, tenant: Tenant) -> None:
    body = SlowBody(noise(8 * MIB))
    with ThreadPoolExecutor(1) as pool, tenant.owner.again() as client:
        upload = pool.submit(client.put, "media", "long", body)
        assert body.half.wait(30)
        with database_down(fragile):
            assert tenant.owner.get("/readyz", timeout=30).status_code == 503
        fragile.wait_ready(BACK_S)
        body.go.set()
        answer = upload.result(60)
    assert answer.status_code == 201, "no connection is held while bytes travel"
    assert tenant.owner.checked(answer.json(), BACK_S)["sha256"] == sha256(body.data)


@pytest.mark.slow
def test_database_gone_when_an_upload_completes(fragile: Deployment, tenant: Tenant) -> None:
    body = SlowBody(noise(2 * MIB))
    with ThreadPoolExecutor(1) as pool, tenant.owner.again() as client:
        upload = pool.submit(client.put, "media", "long", body)
        assert body.half.wait(30)
        with database_down(fragile):
            body.go.set()
            answer = upload.result(90)
    assert_problem(answer, 503, "database_unavailable")
    fragile.wait_ready(BACK_S)
    assert tenant.owner.files("media") == []
    assert tenant.owner.store("media", "long", body.data)["sha256"] == sha256(body.data)


@pytest.mark.slow
def test_what_was_left_when_the_database_went_is_swept(fragile: Deployment, tenant: Tenant) -> None:
    test_database_gone_when_an_upload_completes(fragile, tenant)
    root = fragile.state / "files"
    wait_until(lambda: tenant.owner.quota()["reserved_bytes"] == 0 and len(tenant.stored(root)) == 1, 240, "the sweeper")


@pytest.mark.slow
def test_killed_database_during_requests(fragile: Deployment, tenant: Tenant) -> None:
    owner, sure = tenant.owner, []
    stop = threading.Event()

    def send(worker: int) -> None:
        with owner.again() as client:
            number = 0
            while not stop.is_set():
                number += 1
                path = f"{worker}/{number}"
                answer = client.put("media", path, path.encode(), timeout=60)
                assert answer.status_code in {201, 503}, answer.text
                if answer.status_code == 201:
                    sure.append(path)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(send, worker) for worker in range(4)]
        wait_until(lambda: len(sure) > 20, 30, "uploads to run")
        before = len(sure)
        psutil.Process(fragile.pid("postgres")).kill()
        wait_until(lambda: len(sure) > before + 20, BACK_S, "uploads to run again")
        stop.set()
        for future in futures:
            future.result(60)
    listed = {each["path"]: each for each in owner.files("media", limit=1000)}
    assert set(sure) <= set(listed), "a file that was acknowledged is lost"
    for path in sure[:: max(1, len(sure) // 30)]:
        assert owner.download("media", path).content == path.encode()
    wait_until(lambda: all(each["status"] == "available" for each in owner.files("media", limit=1000)), LEASE_OVER_S, "all to be checked")


# The worker


@contextlib.contextmanager
def worker_stopped(deployment: Deployment) -> Iterator[None]:
    """Have no worker: all its processes stand still."""
    stopped = [psutil.Process(pid) for pid in deployment.workers()]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(stopped):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def check_pending(uploader: Client, others: list[Client], file: dict[str, object], data: bytes) -> None:
    """Before the verdict the uploader alone may have its bytes back."""
    assert uploader.file(str(file["id"]))["status"] == "pending"
    assert uploader.download("media", str(file["path"])).content == data
    for other in others:
        answer = other.download("media", str(file["path"]))
        assert_problem(answer, 409, "file_pending", resolve=other.get)
        assert int(answer.headers["Retry-After"]) > 0
        assert_problem(other.get(f"/api/v1/files/{file['id']}/content"), 409, "file_pending")
        assert other.request("HEAD", other.object_path("media", str(file["path"]))).status_code == 409


def test_worker_down(fragile: Deployment, tenant: Tenant) -> None:
    member, viewer = tenant.user("member"), tenant.user("viewer")
    with worker_stopped(fragile):
        clean = member.upload("media", "clean.txt", TEXT)
        infected = member.upload("media", "infected.com", EICAR)
        assert (clean["status"], clean["scan"]["verdict"]) == ("pending", "pending")
        check_pending(member, [tenant.owner, viewer], clean, TEXT)
        check_pending(member, [tenant.owner, viewer], infected, EICAR)
    assert member.checked(clean, BACK_S)["status"] == "available"
    assert member.checked(infected, BACK_S)["status"] == "quarantined"
    assert viewer.download("media", "clean.txt").content == TEXT
    assert_problem(member.download("media", "infected.com"), 403, "file_quarantined")


def test_killed_worker_does_its_work_after_its_restart(fragile: Deployment, tenant: Tenant) -> None:
    for pid in fragile.workers():
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).send_signal(signal.SIGKILL)
    files = [tenant.owner.upload("media", f"{number}", noise(100_000, number)) for number in range(20)]
    for file in files:
        assert tenant.owner.checked(file, BACK_S)["scan"]["verdict"] == "clean"
    assert len(tenant.owner.listed("/api/v1/buckets/media/files")) == len(files)
    usage = wait_until(lambda: (found := tenant.owner.usage()["totals"])["uploads"] == 20 and found, 30, "all to be counted")
    assert usage["bytes_in"] == 20 * 100_000


def test_beat_down_costs_nothing_but_time(fragile: Deployment, tenant: Tenant) -> None:
    beat = psutil.Process(fragile.pid("beat"))
    beat.suspend()
    try:
        assert tenant.owner.store("media", "a", TEXT)["status"] == "available"
    finally:
        beat.resume()


# clamd


@pytest.mark.slow
def test_a_configured_clamd_that_is_down_leaves_files_pending_and_never_clean(own_deployment: Callable[..., Deployment]) -> None:
    made = own_deployment(clamd_address="/nowhere/clamd.sock")
    made.start("--json")
    tenant = made.tenant()
    tenant.owner.bucket("media")
    viewer = tenant.user("viewer")
    file = tenant.owner.upload("media", "a.txt", TEXT)

    def tried() -> bool:
        jobs = made.operator().get("/operator/api/v1/jobs").json()["items"]
        return any(job["kind"].startswith("files.check") and job["attempts"] >= 2 and job["error"] for job in jobs)

    wait_until(tried, 40, "the check to be tried twice")
    assert tenant.owner.file(file["id"])["status"] == "pending"
    assert_problem(viewer.download("media", "a.txt"), 409, "file_pending")
