"""The heart of tus on real servers of every kind of provider that takes parts: what lies there meanwhile, and what is left afterwards."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest
from strongroom.storage.base import Provider
from strongroom.storage.bound import TAIL
from strongroom.storage.keys import object_key
from strongroom.storage.providers import make_provider
from strongroom.uploads.fingerprint import BLOCK_BYTES

from tenants import service as tenants
from tenants.models import Tenant
from tests.acceptance.content import noise
from tests.factories import Client, World, number, object_url, ok, problem
from tests.services.gcs import GCSService
from tests.services.shared import s3_server
from tests.services.webdav import RcloneService
from tests.storage.objects import read
from tests.tus.talk import MIB, Talk, checksum

PART = 2 * BLOCK_BYTES
DATA = noise(PART + MIB + 12345)
NAMES = ("gcs", "opendal-webdav", "s3-ceph", "s3-rclone")


@dataclass(frozen=True)
class There:
    """A tenant's place at a real provider."""

    provider: Provider
    tenant: Tenant

    def objects(self) -> dict[str, int]:
        """The sizes of what is listed for the tenant, by the last part of the key; of what is unfinished, where it can be listed."""
        return {each.key.rpartition("/")[2]: each.size_bytes for each in self.provider.list(self.tenant.prefix)}

    def tails(self, world: World) -> list[bytes]:
        """What is kept at the provider between two requests, of each upload."""
        rows = world.rows(self.tenant, "uploads", "state = 'open'")
        return [read(self.provider, object_key(self.tenant.prefix, row["bucket_id"], row["version_id"]) + TAIL) for row in rows]


def settings(request: pytest.FixtureRequest, name: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Return the kind, the configuration and the secrets of a provider on the run's server of that name."""
    if name == "gcs":
        gcs: GCSService = request.getfixturevalue("gcs_server")
        return "gcs", {"bucket": gcs.bucket, "endpoint_url": gcs.url, "credentials": "anonymous"}, {}
    if name == "opendal-webdav":
        webdav: RcloneService = request.getfixturevalue("webdav_server")
        return "opendal", webdav.config(), {"password": webdav.password}
    server = s3_server(name.removeprefix("s3-"))
    return "s3", server.config(), server.secrets()


@pytest.fixture(params=NAMES)
def there(request: pytest.FixtureRequest, world: World) -> There:
    kind, config, secrets = settings(request, request.param)
    name = f"{request.param}-{os.getpid()}-{number()}"
    tenants.add_provider(world.runtime.databases, world.runtime.keys, name=name, kind=kind, config=config, secrets=secrets)
    made = tenants.create_tenant(world.runtime.databases, slug=f"tus-{os.getpid()}-{number()}", provider=name)
    world.runtime.registry.forget()
    return There(make_provider(kind, config, secrets), made)


@pytest.fixture
def tenant(there: There) -> Tenant:
    return there.tenant


def test_it_breaks_off_and_another_process_goes_on(world: World, there: There, talk: Talk) -> None:
    """Below a part, over its edge, and to the end; each request in a process of its own."""
    url = talk.begin(len(DATA))
    problem(talk.open(url, 0, len(DATA)).send(DATA[: 3 * MIB + 1]).end(rudely=True), 400, "incomplete_body")
    assert there.tails(world) == [DATA[: 3 * MIB + 1]]
    second = Talk(Client(world.again().app, talk.client.host, talk.client.token))
    assert second.offset(url) == 3 * MIB + 1
    second.send(url, 3 * MIB + 1, DATA[3 * MIB + 1 : PART + 5])
    assert there.tails(world) == [DATA[PART : PART + 5]]
    third = Talk(Client(world.again().app, talk.client.host, talk.client.token))
    rest = DATA[PART + 5 :]
    problem(third.patch(url, PART + 5, noise(len(rest), 3), Upload_Checksum=checksum(rest)), 460, "upload_checksum_mismatch")
    third.send(url, PART + 5, rest, Upload_Checksum=checksum(rest))
    assert talk.client.get(object_url("media", "a.txt")).data == DATA
    world.run_jobs()
    (file,) = world.rows(there.tenant, "versions")
    assert there.objects() == {file["id"].hex: len(DATA)}
    ended = ok(talk.client.get("/api/v1/buckets/media/files"))["items"][0]
    assert ended["size_bytes"] == len(DATA)
    assert ended["sha256"] is not None


def test_what_is_terminated_or_expires_leaves_nothing_there(world: World, there: There, talk: Talk) -> None:
    first, second = talk.begin(len(DATA), "a.bin"), talk.begin(len(DATA), "b.bin")
    for url in (first, second):
        talk.send(url, 0, DATA[: PART + 7])
    assert there.tails(world) == [DATA[PART : PART + 7]] * 2
    assert talk.terminate(first).status_code == 204
    world.run_due_jobs()
    assert there.tails(world) == [DATA[PART : PART + 7]]
    world.tenant_sql(there.tenant, "UPDATE {t}.uploads SET expires_at = now() - interval '1 second'")
    world.run_jobs()
    assert there.objects() == {}
    assert talk.head(second).status_code in {404, 410}
    assert set(world.totals(there.tenant).values()) == {0}


def test_a_small_one_in_one_request_and_an_empty_one(world: World, there: There, talk: Talk) -> None:
    assert talk.create(5, "small.txt", b"12345").headers["Strongroom-File-Id"]
    assert talk.create(0, "empty.txt").headers["Strongroom-File-Id"]
    for path, data in (("small.txt", b"12345"), ("empty.txt", b"")):
        assert talk.client.get(object_url("media", path)).data == data
    world.run_jobs()
    assert sorted(there.objects().values()) == [0, 5]
