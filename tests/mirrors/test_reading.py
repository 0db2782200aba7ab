"""Downloads go on while a file's own provider is down: from a mirror, byte for byte, also in the middle."""

from __future__ import annotations

import io
import os
import zipfile

import pytest
from strongroom.files.streams import PIECE_BYTES

from tenants.models import ProviderInfo, Tenant
from tests.factories import Client, Statements, World, object_url, problem
from tests.mirrors.conftest import add_host, settle
from tests.mirrors.test_faults import far, line, path_of  # noqa: F401 - fixtures
from tests.services.outage import Fault, Outage

pytestmark = pytest.mark.usefixtures("bucket")
DATA = os.urandom(3_000_000)
URL = object_url("media", "a.bin")


@pytest.fixture
def away(world: World, tenant: Tenant, client: Client, place: ProviderInfo, far: ProviderInfo) -> str:  # noqa: F811 - a fixture
    """A file at an S3 server, mirrored to a folder."""
    world.sql("UPDATE strongroom.tenants SET provider_id = %(to)s WHERE id = %(id)s", to=far.id, id=tenant.id)
    world.sql("INSERT INTO strongroom.tenant_providers (tenant_id, provider_id) VALUES (%(id)s, %(to)s)", to=far.id, id=tenant.id)
    world.runtime.registry.forget()
    add_host(client, place)
    file = world.upload(client, "a.bin", DATA)
    settle(world)
    (row,) = world.rows(tenant, "versions")
    assert row["provider_id"] == far.id
    assert world.rows(tenant, "mirrors")[0]["state"] == "stored"
    return str(file["id"])


def forget_outages(world: World) -> None:
    world.runtime.outages._until.clear()


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.UNAVAILABLE])
def test_from_the_mirror_while_its_own_provider_is_down(world: World, client: Client, away: str, line: Outage, fault: Fault) -> None:  # noqa: F811
    assert client.get(URL).data == DATA
    line.begin(fault)
    try:
        whole = client.get(URL)
        assert (whole.status_code, whole.headers["Content-Length"], whole.data) == (200, str(len(DATA)), DATA)
        asked = line.hit
        assert asked
        part = client.get(URL, headers={"Range": "bytes=1000000-2000000"})
        assert (part.status_code, part.headers["Content-Range"]) == (206, f"bytes 1000000-2000000/{len(DATA)}")
        assert part.data == DATA[1_000_000:2_000_001]
        last = client.get(f"/api/v1/files/{away}/content", headers={"Range": "bytes=-5"})
        assert (last.status_code, last.data) == (206, DATA[-5:])
        several = client.get(URL, headers={"Range": "bytes=0-1,-2"})
        assert several.status_code == 206
        assert DATA[:2] in several.data
        assert line.hit == asked, "what has just failed is not asked again at once"
    finally:
        line.end()
    forget_outages(world)
    assert client.get(URL).data == DATA


@pytest.mark.usefixtures("bucket", "away")
def test_a_download_that_breaks_off_goes_on(client: Client, line: Outage) -> None:  # noqa: F811
    line.begin(Fault.CUT, cut_after=PIECE_BYTES)
    try:
        assert client.get(URL).data == DATA
    finally:
        line.end()


@pytest.mark.usefixtures("bucket", "away")
def test_without_a_mirror_it_is_as_it_was(world: World, tenant: Tenant, client: Client, line: Outage) -> None:  # noqa: F811
    world.tenant_sql(tenant, "UPDATE {t}.mirrors SET state = 'pending'")
    line.begin(Fault.RESET)
    try:
        for _ in range(2):
            problem(client.get(URL), 503, "storage_unavailable")
    finally:
        line.end()
    assert client.get(URL).data == DATA, "and what is remembered of it is no reason to refuse"


def test_bytes_that_are_gone_come_from_the_mirror(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, local: ProviderInfo
) -> None:
    add_host(client, place)
    file = world.upload(client, "a.txt", b"some text")
    settle(world)
    path_of(world, tenant, local, file).unlink()
    assert client.get(object_url("media", "a.txt")).data == b"some text"
    path_of(world, tenant, local, file).write_bytes(b"some")
    assert client.get(object_url("media", "a.txt")).data == b"some text", "so do those that are too few"
    path_of(world, tenant, place, file).unlink()
    problem(client.get(object_url("media", "a.txt")), 503, "storage_unavailable")


def test_a_mirror_costs_an_ordinary_download_nothing(world: World, client: Client, place: ProviderInfo) -> None:
    world.upload(client, "a.txt", b"some text")
    world.run_jobs()
    client.get(object_url("media", "a.txt"))
    with Statements(world.runtime) as before:
        client.get(object_url("media", "a.txt"))
    add_host(client, place)
    settle(world)
    client.get(object_url("media", "a.txt"))
    with Statements(world.runtime) as after:
        client.get(object_url("media", "a.txt"))
    assert [each for each in after.texts if "mirrors" in each] == []
    assert len(after.texts) == len(before.texts)


def test_archives_have_what_a_mirror_has(world: World, tenant: Tenant, client: Client, place: ProviderInfo, local: ProviderInfo) -> None:
    add_host(client, place)
    file = world.upload(client, "a.txt", b"some text")
    settle(world)
    path_of(world, tenant, local, file).unlink()
    answer = client.get("/api/v1/buckets/media/archive")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.read("a.txt") == b"some text"
