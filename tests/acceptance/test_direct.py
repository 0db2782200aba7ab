"""Direct uploads by a program that knows the documentation only: parts in parallel, crashes in the middle, deltas."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from blake3 import blake3

from tests.acceptance.client import Client, assert_problem
from tests.acceptance.content import MIB, digest_of_stream, noise, sha256
from tests.acceptance.deployment import ROOT, Deployment, Tenant
from tests.acceptance.waiting import wait_until

UPLOADS = "/api/v1/uploads"
BLOCK = 4 * MIB
SENDERS = 6
CHECKED_S = 180.0


def content(size: int, seed: int = 0) -> bytes:
    """Bytes of which no block is like another, quickly made."""
    return blake3(b"direct %d" % seed).digest(size)


def hashes(data: bytes) -> list[str]:
    return [blake3(data[start : start + BLOCK]).hexdigest() for start in range(0, len(data), BLOCK)]


class Sender:
    """One upload, as a client would do it that reads nothing but the answers."""

    def __init__(self, client: Client, data: bytes, path: str, **body: Any) -> None:
        self.client, self.data = client, data
        answer = client.post(UPLOADS, json={"bucket": "media", "path": path, "size_bytes": len(data), **body})
        assert answer.status_code == 201, answer.text
        self.begun = answer.json()

    def urls(self, numbers: Iterable[int]) -> list[Any]:
        answer = self.client.post(f"{UPLOADS}/{self.begun['id']}/parts", json={"numbers": list(numbers)})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["parts"])

    def put(self, part: Any) -> str:
        """Send one part to wherever its URL says, without any credential."""
        start = (part["number"] - 1) * self.begun["part_size_bytes"]
        url = urlsplit(part["url"])
        with requests.Session() as session:
            session.trust_env = False
            answer = session.put(
                f"http://127.0.0.1:{url.port}{url.path}?{url.query}",
                data=self.data[start : start + part["size_bytes"]],
                headers={**part["headers"], "Host": url.netloc},
                timeout=60,
            )
        assert answer.status_code == 200, answer.text
        return str(answer.headers["ETag"])

    def complete(self, **body: Any) -> requests.Response:
        return self.client.post(f"{UPLOADS}/{self.begun['id']}/complete", json=body)


@pytest.mark.slow
def test_300_megabytes_in_parallel_parts(tenant: Tenant, owner: Client) -> None:
    data = content(300 * 10**6)
    sender = Sender(owner, data, "large.bin", sha256=sha256(data), block_hashes=hashes(data))
    assert sender.begun["mode"] == "direct"
    assert sender.begun["needed"] == [part["number"] for part in sender.begun["parts"]]
    parts = list(reversed(sender.begun["parts"]))
    with ThreadPoolExecutor(SENDERS) as pool:
        tags = dict(zip((part["number"] for part in parts), pool.map(sender.put, parts), strict=True))
    answer = sender.complete(parts=[{"number": number, "tag": tag} for number, tag in tags.items()])
    assert answer.status_code == 201, answer.text
    checked = owner.checked(answer.json(), CHECKED_S)
    assert (checked["status"], checked["sha256"], checked["blake3"]) == ("available", sha256(data), blake3(data).hexdigest())
    with owner.download("media", "large.bin", stream=True) as download:
        assert digest_of_stream(download) == sha256(data)
    listed = owner.listed(f"/api/v1/files/{checked['id']}/blocks", limit=30)
    assert [block["digest"] for block in listed] == hashes(data)
    again = Sender(owner, data, "again.bin", block_hashes=hashes(data)).begun
    assert again["mode"] == "instant"
    changed = data[: 100 * MIB] + content(8 * MIB, 1) + data[108 * MIB :]
    delta = Sender(owner, changed, "changed.bin", block_hashes=hashes(changed))
    assert 1 <= len(delta.begun["needed"]) <= 2, "only what has changed"
    for part in delta.urls(delta.begun["needed"]):
        delta.put(part)
    file = delta.complete()
    assert file.status_code == 201, file.text
    assert owner.checked(file.json(), CHECKED_S)["sha256"] == sha256(changed)
    assert owner.checked(again["file"], CHECKED_S)["sha256"] == sha256(data)
    quota = owner.quota()
    assert (quota["used_bytes"], quota["reserved_bytes"]) == (900 * 10**6, 0)
    assert len(tenant.stored()) == 3


def test_small_and_empty_files(owner: Client) -> None:
    for size in (0, 1):
        sender = Sender(owner, noise(size), f"{size}.bin")
        for part in sender.begun["parts"]:
            sender.put(part)
        answer = sender.complete()
        assert answer.status_code == 201, answer.text
        assert owner.download("media", f"{size}.bin").content == noise(size)


def test_an_upload_is_its_creators(tenant: Tenant, owner: Client, deployment: Deployment) -> None:
    member, colleague = tenant.user(), tenant.user()
    sender = Sender(member, noise(10), "a.bin")
    other = deployment.tenant().owner
    for client in (colleague, other):
        assert_problem(client.get(f"{UPLOADS}/{sender.begun['id']}"), 404, "not_found")
        assert_problem(client.post(f"{UPLOADS}/{sender.begun['id']}/complete", json={}), 404, "not_found")
    part = sender.begun["parts"][0]
    url = urlsplit(part["url"])
    stolen = other.request("PUT", f"{url.path}?{url.query}", data=noise(10), token="")
    assert_problem(stolen, 404, "not_found")
    assert owner.get(f"{UPLOADS}/{sender.begun['id']}").json()["state"] == "open"


# Not every resolver knows that names below "localhost" are this machine (RFC 6761, 6.3)
LOCAL_NAMES = """
import socket
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: real("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named)
"""


def test_the_client_in_the_guide(tenant: Tenant, owner: Client, tmp_path: Path) -> None:
    """It is taken from the page as it stands, and run."""
    guide = (ROOT / "docs" / "guides" / "direct-uploads.md").read_text()
    script, source = tmp_path / "client.py", tmp_path / "source.bin"
    script.write_text(guide.partition("```python\n")[2].partition("```")[0])
    (tmp_path / "sitecustomize.py").write_text(LOCAL_NAMES)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NO_PROXY": "*"}
    key = owner.post("/api/v1/api-keys", json={"name": "guide", "scopes": ["files:write", "files:read"]}).json()["key"]

    def run(*arguments: str) -> str:
        base = f"http://{owner.host_header}"
        command = [sys.executable, script, base, key, source, "media", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stderr

    former = content(5 * 8 * MIB + 1)
    source.write_bytes(former)
    assert "sends 6 of 6" in run("first.bin")
    assert run("copy.bin") == "", "instant"
    data = former[: 16 * MIB] + noise(MIB) + former[17 * MIB :]
    source.write_bytes(data)
    assert "sends 1 of 6" in run("second.bin")
    broken = Sender(owner, data, "third.bin")
    broken.put(broken.begun["parts"][3])
    run("third.bin", broken.begun["id"])
    for path, expected in (("first.bin", former), ("copy.bin", former), ("second.bin", data), ("third.bin", data)):
        assert sha256(owner.download("media", path).content) == sha256(expected)
    assert len(tenant.stored()) == 4


# Crashes


@pytest.fixture(scope="module")
def crashing(own_deployment: Callable[..., Deployment]) -> Deployment:
    """A deployment whose API processes are killed."""
    made = own_deployment(access_token_lifetime_s="7200")
    made.start("--json")
    return made


@contextlib.contextmanager
def killer(deployment: Deployment) -> Iterator[list[int]]:
    """Kill an API process every now and then, until the block is over."""
    over, killed, chance = threading.Event(), list[int](), random.Random()  # noqa: S311 - moments of killing

    def run() -> None:
        while not over.wait(chance.uniform(0.3, 1.5)):
            with contextlib.suppress(psutil.Error, AssertionError, IndexError):
                pid = chance.choice(deployment.children("serve"))
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


class Stubborn:
    """Uploads one file after the other, and goes on after whatever happens."""

    def __init__(self, tenant: Tenant, number: int) -> None:
        self.tenant, self.number = tenant, number
        self.done: dict[str, str] = {}
        self.stumbled = 0

    def again(self, act: Callable[[], Any]) -> Any:
        """Do something until it succeeds; servers that die or are busy in between are no failure."""

        def tried() -> Any:
            try:
                answer = act()
            except requests.RequestException:
                self.stumbled += 1
                wait_until(self.tenant.deployment.is_ready, 60, "the server to be back")
                return None
            if isinstance(answer, requests.Response) and answer.status_code in {423, 429, 503}:
                return None
            return answer if answer is not None else True

        return wait_until(tried, 120, "a server that answers")

    def run(self, over: threading.Event, least: int) -> None:
        with self.tenant.owner.again() as client:
            count = 0
            while count < least or not over.is_set():
                count += 1
                path, data = f"{self.number}/{count}", content(20 * MIB + count, self.number * 1000 + count)
                self.upload(client, path, data)
                self.done[path] = sha256(data)

    def upload(self, client: Client, path: str, data: bytes) -> None:
        sender: Sender = self.again(lambda: Sender(client, data, path))
        while True:
            state = self.again(lambda: client.get(f"{UPLOADS}/{sender.begun['id']}")).json()
            missing = set(range(1, sender.begun["part_count"] + 1)) - {part["number"] for part in state.get("received", [])}
            if state["state"] == "complete":
                return
            for part in self.again(lambda missing=missing: sender.urls(sorted(missing))) if missing else []:
                self.again(lambda part=part: sender.put(part))
            answer = self.again(sender.complete)
            assert answer.status_code in {201, 422}, answer.text
            if answer.status_code == 201:
                return


@pytest.mark.slow
def test_killed_api_processes_between_and_during_parts(crashing: Deployment) -> None:
    tenant = crashing.tenant(parallel_uploads=100)
    tenant.owner.bucket("media")
    senders, over = [Stubborn(tenant, number) for number in range(4)], threading.Event()
    with killer(crashing) as killed, ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(sender.run, over, 6) for sender in senders]
        try:
            wait_until(lambda: len(killed) >= 10 or any(future.done() for future in futures), 120, "enough to be killed")
        finally:
            over.set()
        for future in futures:
            future.result(300)
    assert sum(sender.stumbled for sender in senders) > 0, "nothing was hit"
    done = {path: digest for sender in senders for path, digest in sender.done.items()}
    listed = {each["path"]: each for each in tenant.owner.files("media", limit=1000)}
    assert set(listed) == set(done)
    for path, digest in done.items():
        with tenant.owner.download("media", path, stream=True) as answer:
            assert digest_of_stream(answer) == digest, path
    wait_until(lambda: all(each["status"] != "pending" for each in tenant.owner.files("media", limit=1000)), CHECKED_S, "every verdict")
    assert {each["sha256"] for each in tenant.owner.files("media", limit=1000)} == set(done.values())
    open_ones = [each["id"] for each in tenant.owner.listed(UPLOADS, limit=1000) if each["state"] == "open"]
    for upload_id in open_ones:
        assert tenant.owner.request("DELETE", f"{UPLOADS}/{upload_id}").status_code == 204
    quota = tenant.owner.quota()
    assert (quota["used_files"], quota["reserved_bytes"], quota["reserved_files"]) == (len(done), 0, 0)
    versions = {each["version_id"].replace("-", "") for each in listed.values()}
    wait_until(lambda: set(tenant.stored()) == versions, 60, "what was begun twice to be gone")
