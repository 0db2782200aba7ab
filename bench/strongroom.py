"""A deployment to be measured: fresh, with a tenant whose limits are out of the way, and workers that can be made to stand still."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.client import Client
from tests.acceptance.deployment import Deployment, Tenant
from tests.services.s3server import S3Server

BUCKET = "bench"
WIDE = {"requests_per_s": 1_000_000, "parallel_uploads": 1000, "quota_bytes": 10**15, "quota_files": 10**9, "max_file_size_bytes": 10**14}


class Measured:
    """One deployment and its tenant with one bucket, which keeps no former versions."""

    def __init__(self, deployment: Deployment, tenant: Tenant) -> None:
        self.deployment, self.tenant, self.owner = deployment, tenant, tenant.owner
        self.owner.bucket(BUCKET, versioning=False, trash_days=0)

    @property
    def port(self) -> int:
        """Where its API listens."""
        return self.deployment.port

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Host": self.owner.host_header, "Authorization": f"Bearer {self.owner.token}"}

    def path(self, name: str) -> str:
        """The address of a file in the bucket."""
        return Client.object_path(BUCKET, name)

    def roots(self) -> list[int]:
        """The processes that serve: the API's and PostgreSQL's."""
        return [self.deployment.pid("serve"), self.deployment.pid("postgres")]

    def api(self) -> list[int]:
        """The API processes."""
        return self.deployment.children("serve")

    def drop_bytes(self) -> None:
        """Remove what is stored below the filesystem provider's folder, to have room for the next round."""
        for path in self.tenant.stored().values():
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def workers_stopped(self) -> Iterator[None]:
        """Have the background work stand still: peers do none."""
        workers = self.deployment.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def strongroom(s3: S3Server | None = None, **settings: str) -> Iterator[Measured]:
    """Run a deployment; with `s3`, the tenant's bytes go there."""
    if s3:  # the deployment's processes take their credentials from the environment that they are started with
        os.environ |= {"AWS_ACCESS_KEY_ID": s3.access_key_id, "AWS_SECRET_ACCESS_KEY": s3.secret_access_key}
    deployment = Deployment(access_token_lifetime_s="14400", **settings)  # noqa: S106 - a time, not a token
    try:
        deployment.start("--json")
        provider = add_s3(deployment, s3) if s3 else None
        yield Measured(deployment, deployment.tenant(provider=provider, **WIDE))
    finally:
        deployment.end()


def add_s3(deployment: Deployment, s3: S3Server) -> str:
    """Make an S3 server a provider; return its name."""
    body = {"name": "s3", "kind": "s3", "config": s3.config(credentials="environment")}
    response = deployment.operator().post("/operator/api/v1/providers", json=body)
    if response.status_code != 201:  # noqa: PLR2004 - 201 Created
        raise RuntimeError(response.text)
    return "s3"


def files_below(folder: Path) -> None:
    """Remove all files in a folder."""
    for path in folder.iterdir():
        path.unlink()
