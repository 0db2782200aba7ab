"""API processes are killed at random moments of resumable uploads: gone on from, byte for byte, every time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.acceptance.client import Client
from tests.acceptance.content import MIB, noise, sha256
from tests.acceptance.deployment import Deployment
from tests.acceptance.test_crashes import killer
from tests.acceptance.test_tus import VERSION, begin, patch
from tests.acceptance.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("crashes")]
SENDERS, ROUNDS, KILLS = 4, 5, 8
BOUND_S = 240.0


class Resumer:
    """Sends one file after the other, going on as a client does: ask for the offset, send from there."""

    def __init__(self, client: Client, number: int) -> None:
        self.client, self.number = client, number
        self.breaks = 0

    def run(self) -> dict[str, str]:
        """The digests of what was sent, by path."""
        return dict(self._send(round_) for round_ in range(ROUNDS))

    def _send(self, round_: int) -> tuple[str, str]:
        data, path = noise((5 + 4 * round_) * MIB + round_, self.number * 100 + round_), f"{self.number}/{round_}.bin"
        url = wait_until(lambda: self._begin(len(data), path), BOUND_S, "an upload to begin")
        reached = [0]
        wait_until(lambda: self._go_on(url, data, reached), BOUND_S, "an upload to end")
        return path, sha256(data)

    def _begin(self, size: int, path: str) -> str:
        with contextlib.suppress(requests.RequestException, AssertionError):
            return begin(self.client, size, path)
        return ""

    def _go_on(self, url: str, data: bytes, reached: list[int]) -> bool:
        with contextlib.suppress(requests.RequestException):
            asked = self.client.request("HEAD", url, headers=VERSION)
            if asked.status_code != 200:
                assert asked.status_code in {423, 429, 503}, asked.status_code
                return False
            at = int(asked.headers["Upload-Offset"])
            assert at >= reached[0], "an offset that was told is never taken back"
            reached[0] = at
            if at == len(data):
                return True
            answer = patch(self.client, url, at, self._pieces(data[at:]))
            if answer.status_code == 204:
                return int(answer.headers["Upload-Offset"]) == len(data)
            assert answer.status_code in {409, 423, 429, 503}, answer.text
        self.breaks += 1
        return False

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), 65536):
            yield data[start : start + 65536]


def test_kill_9_at_many_moments(own_deployment: Callable[..., Deployment]) -> None:
    deployment = own_deployment(access_token_lifetime_s="7200")
    deployment.start("--json")
    tenant = deployment.tenant()
    tenant.owner.bucket("media")
    resumers = [Resumer(tenant.owner.again(), number) for number in range(SENDERS)]
    with killer(deployment, lambda: deployment.children("serve"), (0.3, 1.5)) as killed:
        with ThreadPoolExecutor(SENDERS) as pool:
            sent = [future.result(4 * BOUND_S) for future in [pool.submit(each.run) for each in resumers]]
        wait_until(lambda: len(killed) >= KILLS, 60, "enough to be killed")
    assert sum(each.breaks for each in resumers) > 0
    wanted = {path: digest for each in sent for path, digest in each.items()}
    files = {each["path"]: each for each in tenant.owner.files("media", limit=1000)}
    assert set(files) == set(wanted)
    for path, digest in wanted.items():
        assert sha256(tenant.owner.download("media", path).content) == digest, path
        assert tenant.owner.checked(files[path], 120)["sha256"] == digest
    for each in tenant.owner.listed("/api/v1/uploads"):
        if each["state"] == "open":  # begun right before a kill: nobody has got its address, and it would keep its room for a day
            ended = tenant.owner.request("DELETE", f"/api/v1/tus/{each['id']}", headers=VERSION)
            assert ended.status_code == 204, ended.text
    wait_until(lambda: tenant.owner.quota()["reserved_bytes"] == 0, 60, "all room to be given back")
    assert tenant.owner.quota()["used_bytes"] == sum(each["size_bytes"] for each in files.values())
