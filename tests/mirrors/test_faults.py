"""Hosts that are down, copies that are lost or wrong, and several who work at the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import delete
from strongroom.checks import service as checks
from strongroom.errors import StorageUnavailable
from strongroom.files import claims
from strongroom.files.tables import versions
from strongroom.mirrors import repository, settling
from strongroom.mirrors import service as mirrors
from strongroom.moving import service as moving

from tenants import providers as registered
from tenants.models import ProviderInfo, Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import Client, World, ok
from tests.mirrors.conftest import HOSTS, AddPlace, add_host, at, counts, file_at, host_of, settle
from tests.moving.conftest import present
from tests.services.outage import Fault, Outage, outage
from tests.services.s3server import S3Server

pytestmark = pytest.mark.usefixtures("bucket")
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def line(rclone_server: S3Server) -> Iterator[Outage]:
    """The way to an S3 server, which can break."""
    port = urlsplit(rclone_server.endpoint_url).port
    assert port is not None
    with outage(port) as running:
        yield running


@pytest.fixture
def far(add_place: AddPlace, rclone_server: S3Server, line: Outage) -> ProviderInfo:
    """A host at the end of it."""
    return add_place("s3", rclone_server.config(endpoint_url=line.url, timeout_s=2), rclone_server.secrets())


def path_of(world: World, tenant: Tenant, place: ProviderInfo, file: dict[str, Any]) -> Path:
    (row,) = world.rows(tenant, "versions", "id = %(id)s", id=file["version_id"])
    return Path(place.config["root"]) / tenant.prefix / row["bucket_id"].hex / row["id"].hex


def test_a_host_that_is_down_and_up_again(world: World, tenant: Tenant, client: Client, far: ProviderInfo, line: Outage) -> None:
    host = add_host(client, far)
    settle(world)
    line.begin(Fault.RESET)
    file = world.upload(client, "a.txt", b"some text")
    world.run_due_jobs()
    stands = file_at(client, file)
    assert (stands["state"], stands["attempts"]) == ("failed", 1)
    assert stands["problem"].startswith("At the host: ")
    assert stands["next_try_at"]
    assert host_of(client, host)["problem"] == stands["problem"]
    (waiting,) = world.jobs(tenant, kind="hosts.mirror", state="queued", dedupe_key=str(far.id))
    assert waiting["ids"]["tries"] == 1
    second = world.upload(client, "b.txt", b"other text")
    world.run_due_jobs()
    assert counts(client, host) == (0, 1, 1), "nobody tries every moment"
    assert client.get("/api/v1/objects/media/b.txt").data == b"other text"
    line.end()
    assert ok(client.post(f"{HOSTS}/{host['id']}/retry")) == {"retried": 1}
    world.run_due_jobs()
    assert counts(client, host) == (2, 0, 0)
    assert at(world, tenant, far) == {file["version_id"], second["version_id"]}
    assert world.rows(tenant, "byte_claims") == []


def test_one_host_that_is_down_delays_no_other(
    world: World, tenant: Tenant, client: Client, far: ProviderInfo, place: ProviderInfo, line: Outage
) -> None:
    add_host(client, far)
    near = add_host(client, place)
    settle(world)
    line.begin(Fault.RESET)
    files = [world.upload(client, f"{each}.txt", b"text %d" % each) for each in range(6)]
    world.run_due_jobs()
    assert counts(client, near) == (6, 0, 0)
    assert at(world, tenant, place) == {file["version_id"] for file in files}
    line.end()
    world.sql("UPDATE strongroom.jobs SET run_at = now() WHERE kind = 'hosts.mirror' AND state = 'queued'")
    world.tenant_sql(tenant, "UPDATE {t}.mirrors SET at = now() WHERE state <> 'stored'")
    world.run_due_jobs()
    assert at(world, tenant, far) == {file["version_id"] for file in files}


def test_a_source_that_is_corrupt_is_not_mirrored(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, local: ProviderInfo
) -> None:
    good, bad = world.upload(client, "a.txt", b"some text"), world.upload(client, "b.txt", b"some text")
    world.run_jobs()
    path_of(world, tenant, local, bad).write_bytes(b"some tExt")
    host = add_host(client, place)
    world.run_due_jobs()
    assert counts(client, host) == (1, 0, 1)
    assert at(world, tenant, place) == {good["version_id"]}
    assert "not those that were stored" in file_at(client, bad)["problem"]
    path_of(world, tenant, local, bad).write_bytes(b"some text")
    ok(client.post(f"{HOSTS}/{host['id']}/retry"))
    world.run_due_jobs()
    assert counts(client, host) == (2, 0, 0)


def test_reconciling_in_both_directions(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    host = add_host(client, place)
    kept, lost, cut = (world.upload(client, f"{each}.txt", b"text %d" % each) for each in range(3))
    settle(world)
    path_of(world, tenant, place, lost).unlink()
    path_of(world, tenant, place, cut).write_bytes(b"te")
    stray = path_of(world, tenant, place, kept).with_name("0" * 32)
    stray.write_bytes(b"left over")
    unfinished = path_of(world, tenant, place, kept).with_name("1" * 32 + ".part")
    unfinished.write_bytes(b"left")
    eager = world.again(reconcile_grace_s=0)
    assert checks.reconcile(world.runtime, present(world, tenant)).bytes_without_row == 0, "they have a grace time"
    assert checks.reconcile(eager.runtime, present(eager, tenant)).bytes_without_row == 2
    assert (stray.exists(), unfinished.exists(), path_of(world, tenant, place, kept).exists()) == (False, False, True)
    assert settling.reconcile(world.runtime, present(world, tenant)) == 2
    assert counts(client, host) == (1, 0, 2)
    assert "not there any more" in file_at(client, lost)["problem"]
    world.run_due_jobs()
    assert counts(client, host) == (3, 0, 0)
    assert path_of(world, tenant, place, cut).read_bytes() == b"text 2"


def test_housekeeping_goes_on_without_a_host(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    host = add_host(client, place)
    world.upload(client)
    settle(world)
    root = Path(place.config["root"])
    root.rename(root.with_name("away"))
    try:
        tenant = present(world, tenant)
        assert checks.reconcile(world.runtime, tenant).missing == ()
        assert settling.reconcile(world.runtime, tenant) == 0
        assert counts(client, host) == (1, 0, 0)
    finally:
        root.with_name("away").rename(root)


def test_a_removed_host_that_is_dead_holds_up_nothing_else(
    world: World, tenant: Tenant, client: Client, add_place: AddPlace, local: ProviderInfo, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever of the two was there first: bytes left over at the other are removed, it is left, and lost ones are told."""
    dead, fine = add_place(), add_place()
    lost = world.upload(client)
    for each in (dead, fine):
        ok(client.delete(f"{HOSTS}/{add_host(client, each)['id']}"), 204)
    settle(world)
    path_of(world, tenant, local, lost).unlink()
    stray = Path(fine.config["root"]) / tenant.prefix / ("0" * 32) / ("1" * 32)
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"left over")
    with world.runtime.databases.control() as connection:
        for each in (dead, fine):
            registered.note_use(connection, tenant.id, each.id)
    Path(dead.config["root"]).rename(Path(dead.config["root"]).with_name("away"))
    eager = world.again(reconcile_grace_s=0)
    with pytest.raises(StorageUnavailable):
        checks.reconcile(eager.runtime, present(eager, tenant))
    assert not stray.exists()
    assert "a version has no bytes" in caplog.messages
    with pytest.raises(StorageUnavailable):
        moving.leave_providers(world.runtime, tenant)
    assert set(world.runtime.provider_ids(tenant)) == {local.id, dead.id}


def test_a_deletion_is_held_up_by_a_dead_host_only_there(
    world: World, tenant: Tenant, client: Client, add_place: AddPlace, operator: Client
) -> None:
    """Its bytes at all others are gone, and those there as soon as it is back."""
    dead, fine = add_place(), add_place()
    for each in (dead, fine):
        add_host(client, each)
    file = world.upload(client)
    settle(world)
    root = Path(dead.config["root"])
    root.rename(root.with_name("away"))
    url, now = f"/operator/api/v1/tenants/{tenant.slug}", {"now": True, "confirm": tenant.slug}
    ok(operator.delete(url, query_string=now), 202)
    world.run_due_jobs()
    assert (at(world, tenant, fine), world.stored(tenant)) == (set(), [])
    (operation,) = ok(operator.get("/operator/api/v1/operations", query_string={"slug": tenant.slug}))["items"]
    assert (operation["state"], bool(operation["error"])) == ("open", True)
    root.with_name("away").rename(root)
    assert at(world, tenant, dead) == {file["version_id"]}
    ok(operator.post(f"/operator/api/v1/operations/{operation['id']}/retry"))
    settle(world)
    assert at(world, tenant, dead) == set()


def test_what_a_dead_worker_left_is_in_nobodys_way(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    """It was killed in mid-copy: its row is under its lease, its claim stands, and unfinished bytes lie there."""
    host = add_host(client, place)
    settle(world)
    ok(client.patch(f"{HOSTS}/{host['id']}", json={"enabled": False}))
    file = world.upload(client, "a.txt", b"some text")
    world.run_due_jobs()
    ok(client.patch(f"{HOSTS}/{host['id']}", json={"enabled": True}))
    tenant = present(world, tenant)
    world.sql("UPDATE strongroom.jobs SET state = 'parked' WHERE kind = 'hosts.mirror' AND state = 'queued'")
    settling.settle(world.runtime, tenant)
    with world.runtime.tenant(tenant) as connection:
        (task,) = repository.take(connection, place.id, 4, 60.0)
        assert claims.take_for_mirror(connection, task.stored.id, place.id)
        assert repository.take(connection, place.id, 4, 60.0) == [], "under a lease"
        assert not claims.take_for_copy(connection, task.stored.id, place.id), "nor does a move copy it there"
    path = path_of(world, tenant, place, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".part").write_bytes(b"some")
    mirrors.run(world.runtime, tenant, {"provider_id": str(place.id)})
    assert counts(client, host) == (0, 1, 0), "the lease is not over"
    world.tenant_sql(tenant, "UPDATE {t}.mirrors SET at = now()")
    mirrors.run(world.runtime, tenant, {"provider_id": str(place.id)})
    assert (counts(client, host), path.read_bytes()) == ((1, 0, 0), b"some text")
    with world.runtime.tenant(tenant) as connection:
        assert not repository.mark_stored(connection, task, ""), "whoever comes back from the dead changes nothing"
    assert not path.with_name(path.name + ".part").exists()


class Held:
    """Copies that wait in the middle until they may go on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on, self.count = threading.Event(), threading.Event(), 0
        real = mirrors.copy

        def copy(*args: Any) -> Any:
            self.count += 1
            meta = real(*args)
            self.begun.set()
            assert self.go_on.wait(60)
            return meta

        patch.setattr(mirrors, "copy", copy)


def test_a_file_that_goes_while_it_is_mirrored(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = add_host(client, place)
    settle(world)
    tenant, held = present(world, tenant), Held(monkeypatch)
    file = world.upload(client)
    with world.runtime.tenant(tenant) as connection:
        connection.execute(repository.update(repository.versions).values(status="available", verdict="clean"))
    world.sql("DELETE FROM strongroom.jobs WHERE kind = 'files.check'")
    settling.settle(world.runtime, tenant)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(mirrors.run, world.runtime, tenant, {"provider_id": str(place.id)})
        assert held.begun.wait(60)
        ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
        world.tenant_sql(tenant, "UPDATE {t}.files SET purge_at = now() - interval '1 day'")
        checks.empty_trash(world.runtime, tenant)
        (purge,) = world.jobs(tenant, kind="files.purge", state="queued")[-1:]
        checks.purge(world.runtime, tenant, place.id, UUID(purge["ids"]["bucket_id"]), [UUID(file["version_id"])])
        held.go_on.set()
        working.result(60)
    world.run_due_jobs()
    assert (at(world, tenant, place), counts(client, host)) == (set(), (0, 0, 0))
    assert world.rows(tenant, "byte_claims") == []


def test_two_workers_make_each_copy_once(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [world.upload(client, f"{each}.txt", b"text %d" % each) for each in range(10)]
    world.run_jobs()
    host = add_host(client, place)
    tenant, held = present(world, tenant), Held(monkeypatch)
    settling.settle(world.runtime, tenant)
    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(mirrors.run, world.runtime, tenant, {"provider_id": str(place.id)}) for _ in range(2)]
        assert held.begun.wait(60)
        held.go_on.set()
        for each in workers:
            each.result(60)
    assert (held.count, counts(client, host)) == (10, (10, 0, 0))
    assert at(world, tenant, place) == {file["version_id"] for file in files}


def test_a_copy_stays_where_its_source_is_down(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, local: ProviderInfo
) -> None:
    """It may be all that is left, and is told to be there once it was looked at."""
    add_host(client, place)
    file = world.upload(client)
    settle(world)
    (copied,) = at(world, tenant, place)
    with world.runtime.tenant(tenant) as connection:
        repository.make_again(connection, place.id, [UUID(file["version_id"])], "Its tag is another one.")
    path_of(world, tenant, local, file).unlink()
    mirrors.run(world.runtime, present(world, tenant), {"provider_id": str(place.id)})
    assert at(world, tenant, place) == {copied}
    assert file_at(client, file)["state"] == "stored"


def test_a_version_that_is_deleted_while_it_is_noted_is_passed_over(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo
) -> None:
    host = add_host(client, place)
    ok(client.patch(f"{HOSTS}/{host['id']}", json={"enabled": False}))
    file = world.upload(client)
    settle(world)
    ok(client.patch(f"{HOSTS}/{host['id']}", json={"enabled": True}))
    now = present(world, tenant)
    with ThreadPoolExecutor(1) as pool:
        with world.runtime.tenant(now) as connection:
            connection.execute(delete(versions).where(versions.c.id == UUID(file["version_id"])))
            settled = pool.submit(settling.settle, world.runtime, now)
            wait_until(lambda: bool(world.sql(WAITING)), 20, "a statement waits")
        settled.result(timeout=30)
    assert world.rows(tenant, "mirrors") == []
