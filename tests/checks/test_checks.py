"""Checks of stored files by jobs: verdicts, what they say, and that nothing unchecked is ever called clean."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from strongroom.checks import service as checks
from strongroom.db.ids import new_id
from strongroom.files.models import Verdict

from tenants.models import Tenant
from tests.factories import EICAR, Client, World, object_url, ok, put_object
from tests.services.clamd import clamd

pytestmark = pytest.mark.usefixtures("bucket")


def file_of(client: Client, file: Any) -> Any:
    return ok(client.get(f"/api/v1/files/{file['id']}"))


def check_job(world: World, tenant: Tenant) -> Any:
    return world.jobs(tenant, kind="files.check")[-1]


def test_a_clean_file(world: World, client: Client) -> None:
    data = b"nothing wrong with this"
    file = world.upload(client, "a.txt", data)
    world.run_jobs()
    checked = file_of(client, file)
    assert checked["status"] == "available"
    assert checked["sha256"] == hashlib.sha256(data).hexdigest()
    scan = checked["scan"]
    assert (scan["verdict"], scan["scanned_bytes"], scan["reason"]) == ("clean", len(data), None)
    assert "yara" in scan["engine"].lower()
    assert datetime.fromisoformat(scan["signatures_at"]) <= datetime.now(UTC)
    assert checked["etag"] == file["etag"]


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "data"), [
    ("eicar.com", EICAR), ("eicar.txt", EICAR), ("eicar.zip", zipped("inside.com", EICAR)),
    ("twice.zip", zipped("inside.zip", zipped("x", EICAR))),
    ("no-extension", EICAR),
])  # fmt: skip
def test_eicar_is_quarantined(world: World, client: Client, tenant: Tenant, name: str, data: bytes) -> None:
    file = world.upload(client, name, data)
    world.run_jobs()
    checked = file_of(client, file)
    assert (checked["status"], checked["scan"]["verdict"]) == ("quarantined", "infected")
    assert "eicar" in checked["scan"]["reason"].lower()
    assert client.get(object_url("media", name)).status_code == 403
    (event,) = world.rows(tenant, "events", "kind = 'file.verdict'")
    assert (event["data"]["status"], event["data"]["verdict"]) == ("quarantined", "infected")
    assert event["actor"] == {"system": "worker"}
    assert len(world.stored(tenant)) == 1, "kept, for whoever has to look at it"
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)


def test_an_archive_that_cannot_be_looked_into_is_not_clean(world: World, client: Client) -> None:
    data = bytearray(zipped("secret.txt", b"x" * 1000))
    central = data.index(b"PK\x01\x02")
    data[6] |= 1  # the flag that says: encrypted
    data[central + 8] |= 1
    file = world.upload(client, "locked.zip", bytes(data))
    world.run_jobs()
    checked = file_of(client, file)
    assert checked["scan"]["verdict"] == "unscanned"
    assert checked["scan"]["reason"]


def test_an_empty_file_is_clean(world: World, client: Client) -> None:
    file = world.upload(client, "empty.txt", b"")
    world.run_jobs()
    assert file_of(client, file)["scan"]["verdict"] == "clean"


def test_a_broken_picture_is_rejected(world: World, client: Client) -> None:
    """Structure is looked at as a whole, by the worker, not only the first bytes."""
    broken = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0" * 17 + b"no chunk"
    response = put_object(client, "media", "a.png", broken, Content_Type="image/png")
    file = ok(response, 201)
    world.run_jobs()
    checked = file_of(client, file)
    assert checked["status"] == "rejected"
    assert checked["scan"]["verdict"] == "invalid"
    assert client.get(object_url("media", "a.png")).status_code == 403


def test_tampered_bytes_are_not_judged(world: World, client: Client, tenant: Tenant) -> None:
    """What lies there is not what was stored: the job fails, is tried again, and the file stays pending."""
    file = world.upload(client, "a.txt", b"as it was stored")
    (path,) = world.stored(tenant)
    path.write_bytes(b"as it was altere")
    world.run_jobs()
    job = check_job(world, tenant)
    assert (job["state"], job["attempts"]) == ("queued", 1)
    assert "StorageUnavailable" in job["error"]
    assert file_of(client, file)["status"] == "pending"
    path.write_bytes(b"as it was stored")
    world.run_jobs()
    assert file_of(client, file)["status"] == "available"


@pytest.mark.parametrize("data", [b"", b"as it", b"as it was stored and more"])
def test_bytes_of_another_length_are_not_judged(world: World, client: Client, tenant: Tenant, data: bytes) -> None:
    file = world.upload(client, "a.txt", b"as it was stored")
    world.stored(tenant)[0].write_bytes(data)
    world.run_jobs()
    assert check_job(world, tenant)["state"] == "queued"
    assert file_of(client, file)["status"] == "pending"


def test_missing_bytes_are_not_judged(world: World, client: Client, tenant: Tenant) -> None:
    file = world.upload(client, "a.txt")
    world.stored(tenant)[0].unlink()
    world.run_jobs()
    assert "StorageUnavailable" in check_job(world, tenant)["error"]
    assert file_of(client, file)["status"] == "pending"


def test_a_scanner_that_is_down_decides_nothing(world: World, client: Client, tenant: Tenant, tmp_path: Path) -> None:
    file = world.upload(client, "a.txt", b"harmless")
    down = world.again(clamd_address=str(tmp_path / "nobody.sock"))
    world.run_jobs(down)
    assert "ScannerFailed" in check_job(world, tenant)["error"]
    assert file_of(client, file)["status"] == "pending", "one engine has not seen it"
    bad = world.upload(client, "b.txt", EICAR)
    world.run_jobs(down)
    assert file_of(client, bad)["status"] in {"pending", "quarantined"}
    world.run_jobs()
    assert file_of(client, file)["status"] == "available"
    assert file_of(client, bad)["status"] == "quarantined"


@pytest.fixture
def with_clamd(world: World, tmp_path: Path) -> Iterator[World]:
    """A worker with a real clamd, started and stopped within the test."""
    with clamd(tmp_path, AlertExceedsMax="yes") as service:
        made = world.again(clamd_address=str(service.socket_path))
        yield made
        made.close()


def test_both_engines_are_named(world: World, with_clamd: World, client: Client) -> None:
    file = world.upload(client, "a.txt", b"harmless")
    bad = world.upload(client, "b.txt", EICAR)
    world.run_jobs(with_clamd)
    assert file_of(client, file)["scan"]["engine"].count(" + ") == 1
    assert "clam" in file_of(client, file)["scan"]["engine"].lower()
    assert file_of(client, bad)["status"] == "quarantined"


def test_a_verdict_is_given_once(world: World, client: Client, tenant: Tenant) -> None:
    file = world.upload(client, "a.txt")
    world.run_jobs()
    (row,) = world.rows(tenant, "versions")
    assert checks.check_version(world.runtime, tenant, row["id"]) is None
    world.stored(tenant)[0].write_bytes(EICAR)
    assert checks.check_version(world.runtime, tenant, row["id"]) is None
    assert checks.check_version(world.runtime, tenant, new_id()) is None
    assert file_of(client, file)["status"] == "available"
    assert len(world.rows(tenant, "events", "kind = 'file.verdict'")) == 1


def test_two_workers_give_one_verdict(world: World, client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that ran out while the first was still reading: the second has decided already."""
    world.upload(client, "a.txt")
    (row,) = world.rows(tenant, "versions")
    inspect = checks._inspect

    def late(*arguments: Any) -> Any:
        found = inspect(*arguments)
        monkeypatch.setattr(checks, "_inspect", inspect)
        assert checks.check_version(world.runtime, tenant, row["id"]) == Verdict.CLEAN
        return found

    monkeypatch.setattr(checks, "_inspect", late)
    checks.check_version(world.runtime, tenant, row["id"])
    assert len(world.rows(tenant, "events", "kind = 'file.verdict'")) == 1


def test_a_version_that_was_replaced_is_checked_all_the_same(world: World, client: Client, tenant: Tenant) -> None:
    first = world.upload(client, "a.txt", EICAR)
    world.upload(client, "a.txt", b"harmless")
    world.run_jobs()
    states = {str(row["id"]): row["status"] for row in world.rows(tenant, "versions")}
    assert states[first["version_id"]] == "quarantined"
    assert sorted(states.values()) == ["available", "quarantined"]


def test_a_file_in_the_trash_is_checked_too(world: World, client: Client) -> None:
    file = world.upload(client, "a.txt", EICAR)
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    world.run_jobs()
    restored = ok(client.post(f"/api/v1/files/{file['id']}/undelete"))
    assert restored["status"] == "quarantined"
