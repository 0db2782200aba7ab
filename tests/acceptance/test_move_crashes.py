"""A live move whose workers are killed in the middle of a copy, again and again: the next ones go on, and not a byte is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.acceptance.content import MIB, noise
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.test_s3_deployment import lying
from tests.acceptance.waiting import wait_until
from tests.services.proxy import Fault, FaultProxy, fault_proxy
from tests.services.s3server import S3Server

pytestmark = pytest.mark.slow
FILES, KILLS = 40, 3
MOVED_S = 180.0
CONTENTS = {f"{number:02}.bin": noise((number % 4) * 3 * MIB + 999, number) for number in range(FILES)}


@pytest.fixture(scope="module")
def moving(own_deployment: Callable[..., Deployment]) -> Deployment:
    """A deployment whose workers are killed; what they held is taken up after some seconds."""
    made = own_deployment(worker_processes="2", job_lease_s="10", moved_bytes_kept_s="0", access_token_lifetime_s="7200")
    made.start("--json")
    return made


@pytest.fixture
def proxy(rclone_server: S3Server) -> Iterator[FaultProxy]:
    with fault_proxy(rclone_server.endpoint_url) as running:
        yield running


def report(deployment: Deployment, tenant: Tenant) -> dict[str, Any]:
    answer = deployment.operator().get(f"/operator/api/v1/tenants/{tenant.slug}/move")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def kill_workers_while_they_copy(deployment: Deployment, proxy: FaultProxy) -> None:
    """Let some objects through, hold the next ones back at the new provider, and kill whoever sends them: `kill -9`."""
    begun = proxy.count("PUT")
    wait_until(lambda: proxy.count("PUT") >= begun + 3, MOVED_S, "some objects to be copied")
    held = Fault("stall", method="PUT", times=1000)
    proxy.faults.append(held)
    wait_until(lambda: held.times < 1000, MOVED_S, "a copy to be under way")
    killed = [psutil.Process(pid) for pid in deployment.workers()]
    for each in killed:
        each.kill()
    wait_until(lambda: not any(each.is_running() for each in killed), 60, "the workers to be gone")
    proxy.faults.remove(held)


def test_killed_workers_during_a_move(moving: Deployment, proxy: FaultProxy, rclone_server: S3Server) -> None:
    tenant = moving.tenant()
    tenant.owner.bucket("media")
    for path, data in CONTENTS.items():
        tenant.owner.upload("media", path, data)
    files = [tenant.owner.checked(each, MOVED_S) for each in tenant.owner.files("media", limit=1000)]
    config = rclone_server.config(endpoint_url=proxy.url, timeout_s=60)
    added = moving.operator().post(
        "/operator/api/v1/providers", json={"name": "there", "kind": "s3", "config": config, "secrets": rclone_server.secrets()}
    )
    assert added.status_code == 201, added.text
    begun = moving.operator().post(f"/operator/api/v1/tenants/{tenant.slug}/move", json={"provider": "there"})
    assert begun.status_code == 202, begun.text
    for _ in range(KILLS):
        kill_workers_while_they_copy(moving, proxy)
        assert report(moving, tenant)["move"]["state"] == "running"
    wait_until(lambda: report(moving, tenant)["move"]["state"] == "done", MOVED_S, "the move to end")
    ended = report(moving, tenant)
    assert (ended["move"]["moved_objects"], ended["move"]["problem"], ended["left"]["objects"], ended["failures"]) == (FILES, "", 0, [])
    for path, data in CONTENTS.items():
        assert tenant.owner.download("media", path).content == data, path
    versions = {file["version_id"].replace("-", ""): file["size_bytes"] for file in files}
    assert wait_until(lambda: lying(rclone_server, tenant) == versions, MOVED_S, "just the files to be there")
    wait_until(lambda: not tenant.stored(), MOVED_S, "the old bytes to be removed")
    assert moving.command("stats", "verify", "--tenant", tenant.slug)["ok"]
