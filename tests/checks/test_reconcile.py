"""Bytes without rows and rows without bytes, found in both directions."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from strongroom.checks import service as checks
from strongroom.db.ids import new_id
from strongroom.storage.filesystem import FilesystemProvider
from strongroom.storage.keys import object_key, tenant_prefix

from tenants.models import Tenant
from tests.factories import Account, Client, World, object_url, ok
from tests.slow import slow_upload

pytestmark = pytest.mark.usefixtures("bucket")


def plant(world: World, tenant: Tenant, *, age_s: float = 7200, suffix: str = "") -> Path:
    """Bytes that no row names, as a crash leaves them."""
    storage = world.runtime.storage(tenant)
    bucket, version = new_id(), new_id()
    writer = storage.writer(bucket, version, 3)
    writer.write(b"abc")
    writer.complete()
    path = world.files_dir / object_key(tenant.prefix, bucket, version)
    if suffix:
        path = path.rename(path.with_name(path.name + suffix))
    age(path, age_s)
    return path


def age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


@pytest.mark.parametrize("suffix", ["", ".part"])
def test_bytes_without_a_row_are_removed_after_the_grace_time(world: World, tenant: Tenant, suffix: str) -> None:
    old, young = plant(world, tenant, suffix=suffix), plant(world, tenant, age_s=10, suffix=suffix)
    found = checks.reconcile(world.runtime, tenant)
    assert (found.bytes_without_row, found.missing) == (1, ())
    assert not old.exists()
    assert young.exists()


def test_bytes_with_a_row_stay(world: World, tenant: Tenant, client: Client) -> None:
    for number in range(3):
        world.upload(client, "a.txt", b"%d" % number)
    file = world.upload(client, "b.txt")
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    for path in world.stored(tenant):
        age(path, 10**6)
    found = checks.reconcile(world.runtime, tenant)
    assert (found.bytes_without_row, found.missing) == (0, ())
    assert len(world.stored(tenant)) == 4


def test_uploads_under_way_are_left_alone(world: World, tenant: Tenant, client: Client) -> None:
    """Even one that is older than the grace time."""
    with slow_upload(client, "a.txt", b"x" * 100_000) as finish:
        (upload,) = world.rows(tenant, "uploads")
        path = world.files_dir / (object_key(tenant.prefix, upload["bucket_id"], upload["version_id"]) + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            age(path, 10**6)
        else:
            path.write_bytes(b"")
            age(path, 10**6)
            assert checks.reconcile(world.runtime, tenant).bytes_without_row == 0
            path.unlink()
        assert checks.reconcile(world.runtime, tenant).bytes_without_row == 0
        ok(finish(), 201)
    assert client.get(object_url("media", "a.txt")).data == b"x" * 100_000


def test_missing_and_shortened_bytes_are_told(world: World, tenant: Tenant, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("gone", "short", "fine"):
        world.upload(client, name, name.encode())
    by_content = {path.read_bytes(): path for path in world.stored(tenant)}
    by_content[b"gone"].unlink()
    by_content[b"short"].write_bytes(b"s")
    missing = set(checks.reconcile(world.runtime, tenant).missing)
    lost = {row["version_id"] for row in world.rows(tenant, "files", "path <> 'fine'")}
    assert missing == lost
    assert len(world.rows(tenant, "versions")) == 3, "told, not removed"
    told = [record for record in caplog.records if record.message == "a version has no bytes"]
    assert {getattr(record, "version_id", None) for record in told} == {str(each) for each in lost}
    assert {getattr(record, "tenant_id", None) for record in told} == {str(tenant.id)}


def test_every_tenants_bytes_are_its_own(world: World, tenant: Tenant, client: Client) -> None:
    other: Account = world.create_user(world.create_tenant())
    world.create_bucket(other.tenant)
    world.upload(world.client(other), "theirs.txt")
    world.upload(client, "mine.txt")
    planted = plant(world, other.tenant)
    for path in world.stored(other.tenant) + world.stored(tenant):
        age(path, 10**6)
    assert checks.reconcile(world.runtime, tenant).bytes_without_row == 0
    assert planted.exists()
    assert len(world.stored(other.tenant)) == 2


def test_what_vanishes_while_it_looks(tmp_path: Path) -> None:
    """An upload that ends, or a purge, between the reading of a folder and of its files."""
    provider = FilesystemProvider(tmp_path)
    prefix, bucket = tenant_prefix(new_id()), new_id()
    keys = [object_key(prefix, bucket, new_id()) for _ in range(3)]
    for key in keys:
        writer = provider.writer(key, 1)
        writer.write(b"x")
        writer.complete()
    found = []
    for meta in provider.list(prefix):
        found.append(meta.key)
        provider.delete([key for key in keys if key not in found])
    assert len(found) == 1


def test_more_than_one_batch(world: World, tenant: Tenant, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "BATCH", 2)
    for number in range(5):
        world.upload(client, f"{number}.txt")
    planted = [plant(world, tenant) for _ in range(5)]
    world.stored(tenant)[0].touch()
    for row in world.rows(tenant, "versions", "true ORDER BY id")[:3]:
        (world.files_dir / object_key(tenant.prefix, row["bucket_id"], row["id"])).unlink()
    found = checks.reconcile(world.runtime, tenant)
    assert (found.bytes_without_row, len(found.missing)) == (5, 3)
    assert not any(path.exists() for path in planted)


def test_a_stranger_in_the_folder_is_left_alone(world: World, tenant: Tenant, client: Client) -> None:
    world.upload(client, "a.txt")
    folder = world.stored(tenant)[0].parent
    for name in ("README", "not-a-version.part", "0" * 31):
        (folder / name).write_bytes(b"x")
        age(folder / name, 10**6)
    checks.reconcile(world.runtime, tenant)
    assert len(world.stored(tenant)) == 4
