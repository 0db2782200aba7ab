"""Uploads whose sender or process is gone: swept up, room given back, bytes removed."""

from __future__ import annotations

import io
from typing import Any

import pytest
from strongroom.db.ids import new_id
from strongroom.errors import DatabaseUnavailable, UploadGone
from strongroom.files.service import enqueue_purge
from strongroom.uploads import ingest
from strongroom.uploads import service as uploads
from strongroom.uploads.models import Upload, UploadRequest
from strongroom.usage.recorder import Caller

from tenants.models import Tenant
from tests.factories import Account, Client, World, ok, problem, put_object

pytestmark = pytest.mark.usefixtures("bucket")
DATA = b"half of a file"


@pytest.fixture
def dead(world: World, owner: Account) -> Upload:
    """An upload of which the process was killed while its bytes were being written."""
    upload = begin(world, owner)
    writer = world.runtime.storage(owner.tenant).writer(upload.bucket.id, upload.version_id, 100)
    writer.write(DATA)
    writer._handle = -writer._handle  # type: ignore[attr-defined]  # as a killed process leaves it: neither completed nor aborted
    return upload


def begin(world: World, owner: Account, path: str = "a.txt", size_bytes: int = 100) -> Upload:
    return uploads.begin(world.runtime, owner.tenant, owner.principal, UploadRequest("media", path, size_bytes))


def expire(world: World, tenant: Tenant) -> None:
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET expires_at = now() - interval '1 second'")


def test_a_dead_upload_is_swept(world: World, tenant: Tenant, dead: Upload) -> None:
    assert dead.size_bytes == 100
    assert world.totals(tenant) == {"used_bytes": 0, "used_files": 0, "reserved_bytes": 100, "reserved_files": 1}
    assert len(world.stored(tenant)) == 1
    expire(world, tenant)
    world.run_jobs()
    assert world.rows(tenant, "uploads") == []
    assert set(world.totals(tenant).values()) == {0}
    assert world.stored(tenant) == []


def test_an_upload_under_way_is_left_alone(world: World, tenant: Tenant, dead: Upload) -> None:
    world.run_jobs()
    assert [row["id"] for row in world.rows(tenant, "uploads")] == [dead.id]
    assert len(world.stored(tenant)) == 1
    assert "queued" in [job["state"] for job in world.jobs(tenant, kind=uploads.SWEEP)], "the sweep comes again later"


def test_what_was_swept_cannot_be_completed(world: World, tenant: Tenant, owner: Account, dead: Upload) -> None:
    expire(world, tenant)
    uploads.sweep(world.runtime, tenant)
    received = uploads.Received(100, "text/plain", "text/plain", "f", "b")
    with pytest.raises(UploadGone):
        uploads.complete(world.runtime, tenant, owner.principal, Caller(), dead, received)
    assert world.rows(tenant, "files") == []
    assert set(world.totals(tenant).values()) == {0}


def test_sweeping_twice_gives_room_back_once(world: World, tenant: Tenant, dead: Upload) -> None:
    expire(world, tenant)
    assert uploads.sweep(world.runtime, tenant) == 1
    assert uploads.sweep(world.runtime, tenant) == 0
    uploads.abandon(world.runtime, tenant, dead)
    assert set(world.totals(tenant).values()) == {0}


def test_more_dead_uploads_than_one_sweep_takes(world: World, tenant: Tenant, owner: Account) -> None:
    for number in range(5):
        begin(world, owner, f"{number}.txt")
    expire(world, tenant)
    assert uploads.sweep(world.runtime, tenant, limit=3) == 3
    assert "queued" in [job["state"] for job in world.jobs(tenant, kind=uploads.SWEEP)], "the rest needs another sweep"
    world.run_jobs()
    assert world.rows(tenant, "uploads") == []


def test_every_upload_has_a_sweep_before_it(world: World, tenant: Tenant, owner: Account) -> None:
    """A sweep that runs while an upload begins does not miss it."""
    begin(world, owner, "1.txt")
    with world.runtime.tenant(tenant) as connection:
        connection.exec_driver_sql("SELECT 1")
        begun = begin(world, owner, "2.txt")
    world.sql("UPDATE strongroom.jobs SET state = 'running', lease_until = now() + interval '1 minute' WHERE kind = 'uploads.sweep'")
    third = begin(world, owner, "3.txt")
    assert [job["state"] for job in world.jobs(tenant, kind=uploads.SWEEP)] == ["running", "queued"]
    assert begun.id != third.id


def test_database_goes_away_at_the_end(world: World, client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are there, the row cannot be written, nor can anything be let go of: the sweeper has all it needs."""

    def down(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(uploads.repository, "take", down)
        problem(put_object(client, "media", "a.txt", DATA), 503, "database_unavailable")
    assert len(world.stored(tenant)) == 1
    assert world.totals(tenant)["reserved_bytes"] == len(DATA)
    expire(world, tenant)
    world.run_jobs()
    assert world.stored(tenant) == []
    assert set(world.totals(tenant).values()) == {0}
    world.upload(client, "a.txt", DATA)


def test_a_slow_upload_keeps_itself_alive(world: World, client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "PROLONG_AFTER_S", -1.0)
    seen = []

    class Body(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                (row,) = world.rows(tenant, "uploads")
                seen.append(row["expires_at"])
                world.tenant_sql(tenant, "UPDATE {t}.uploads SET expires_at = now() + interval '1 second'")
            return super().read(size)

    data = b"x" * 1_000_000
    overrides = {"wsgi.input": Body(data), "CONTENT_LENGTH": str(len(data))}
    ok(client.put("/api/v1/objects/media/a.txt", environ_overrides=overrides), 201)
    assert len(seen) >= 3
    (now,) = world.sql("SELECT now() AS now")
    assert (seen[-1] - now["now"]).total_seconds() > 60


def test_an_upload_that_was_swept_meanwhile_ends(world: World, client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "PROLONG_AFTER_S", -1.0)

    class Body(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                expire(world, tenant)
                uploads.sweep(world.runtime, tenant)
            return super().read(size)

    data = b"x" * 1_000_000
    overrides = {"wsgi.input": Body(data), "CONTENT_LENGTH": str(len(data))}
    problem(client.put("/api/v1/objects/media/a.txt", environ_overrides=overrides), 503, "storage_unavailable")
    world.run_jobs()
    assert world.stored(tenant) == []
    assert set(world.totals(tenant).values()) == {0}


def test_bytes_of_a_living_version_are_not_purged(world: World, client: Client, tenant: Tenant) -> None:
    """A purge that names a version which has a row after all leaves it alone."""
    world.upload(client, "a.txt")
    version = world.rows(tenant, "versions")[0]
    with world.runtime.tenant(tenant) as connection:
        enqueue_purge(connection, version["provider_id"], version["bucket_id"], [version["id"], new_id()])
    world.run_jobs()
    assert len(world.stored(tenant)) == 1
