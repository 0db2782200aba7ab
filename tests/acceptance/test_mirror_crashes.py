"""Mirroring whose workers are killed in the middle of a copy: the next ones go on, and nothing is lost or left over."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from tests.acceptance.content import MIB, noise
from tests.acceptance.deployment import Deployment
from tests.acceptance.test_move_crashes import kill_workers_while_they_copy, proxy  # noqa: F401 - a fixture
from tests.acceptance.test_s3_deployment import lying
from tests.acceptance.waiting import wait_until
from tests.services.proxy import FaultProxy
from tests.services.s3server import S3Server

pytestmark = pytest.mark.slow
FILES, KILLS = 24, 2
MIRRORED_S = 240.0
CONTENTS = {f"{number:02}.bin": noise((number % 3) * 2 * MIB + 999, number) for number in range(FILES)}


def test_killed_workers_during_mirroring(
    own_deployment: Callable[..., Deployment], proxy: FaultProxy, rclone_server: S3Server  # noqa: F811 - a fixture
) -> None:  # fmt: skip
    made = own_deployment(worker_processes="2", job_lease_s="10", access_token_lifetime_s="7200")
    made.start("--json")
    tenant = made.tenant()
    tenant.owner.bucket("media")
    for path, data in CONTENTS.items():
        tenant.owner.upload("media", path, data)
    files = [tenant.owner.checked(each, MIRRORED_S) for each in tenant.owner.files("media", limit=1000)]
    config = rclone_server.config(endpoint_url=proxy.url, timeout_s=60)
    body = {"name": "there", "kind": "s3", "config": config, "secrets": rclone_server.secrets()}
    assert made.operator().post("/operator/api/v1/providers", json=body).status_code == 201
    assert made.operator().request("PATCH", "/operator/api/v1/providers/there", json={"offered_as_host": True}).status_code == 200
    (offered,) = [each for each in tenant.owner.get("/api/v1/hosts/providers").json()["items"] if each["name"] == "there"]
    host = tenant.owner.post("/api/v1/hosts", json={"name": "there", "provider_id": offered["id"]})
    assert host.status_code == 201, host.text
    for _ in range(KILLS):
        kill_workers_while_they_copy(made, proxy)

    def stored() -> int:
        return int(tenant.owner.get(f"/api/v1/hosts/{host.json()['id']}").json()["stored"])

    assert stored() < FILES
    wait_until(lambda: stored() == FILES, MIRRORED_S, "all files to be mirrored")
    versions = {file["version_id"].replace("-", ""): file["size_bytes"] for file in files}
    assert lying(rclone_server, tenant) == versions
    assert psutil.pid_exists(made.workers()[0])
    assert tenant.owner.request("DELETE", f"/api/v1/hosts/{host.json()['id']}").status_code == 204
    wait_until(lambda: not lying(rclone_server, tenant), MIRRORED_S, "the copies to be removed")
    for path, data in CONTENTS.items():
        assert tenant.owner.download("media", path).content == data, path
