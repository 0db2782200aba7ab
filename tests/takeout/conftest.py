"""A tenant with something of everything, its archive, and archives made by hand."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from strongroom.access import Scope
from strongroom.takeout import importing, service, tar
from strongroom.takeout.importing import Imported

from tenants.models import Tenant
from tests.factories import EICAR, Account, World, number, ok

BLOCK = 4 * 1024 * 1024
CANARY = b"the canary of another tenant"


@pytest.fixture
def owner(world: World, tenant: Tenant) -> Account:
    """The owner of a tenant with files, versions, trash, quarantine, users, a key, brand and events."""
    owner = world.create_user(tenant, "owner", name="Ada")
    world.create_user(tenant, "member")
    world.create_api_key(owner, Scope.FILES_READ)
    world.create_bucket(tenant, allowed_types=[])
    world.create_bucket(tenant, "empty")
    client = world.client(owner)
    world.upload(client, "a.txt", b"first")
    world.upload(client, "a.txt", b"second")
    world.upload(client, "folder/grün & 'rot'.bin", b"\x00\x01" * BLOCK, x_meta="ignored")
    world.upload(client, "nothing.txt", b"")
    world.upload(client, "virus.txt", EICAR)
    gone = world.upload(client, "gone.txt", b"in the trash")
    ok(client.delete(f"/api/v1/files/{gone['id']}"), 204)
    ok(client.patch("/api/v1/tenant/branding", json={"name": "Ada & Co", "primary": "#123456"}))
    ok(client.patch("/api/v1/tenant/settings", json={"sessions": {"session_lifetime_s": 4321}, "bucket_defaults": {"trash_days": 9}}))
    world.run_jobs()
    assert client.get("/api/v1/objects/media/a.txt").data == b"second"
    world.run_jobs()
    return owner


@pytest.fixture
def other(world: World) -> Account:
    """The owner of another tenant, with a canary."""
    other = world.create_user(world.create_tenant(), "owner", name=CANARY.decode())
    world.create_bucket(other.tenant)
    world.upload(world.client(other), "canary.txt", CANARY)
    world.run_jobs()
    return other


def export(world: World, tenant: Tenant) -> bytes:
    """A tenant's archive, made by the worker."""
    made = service.begin(world.runtime, tenant, None)
    world.run_jobs()
    made = service.get(world.runtime, tenant, made.id)
    assert made.state == "ready", made
    data = b"".join(service.pieces(world.runtime, tenant, made))
    assert len(data) == made.size_bytes
    return data


@pytest.fixture
def archive(world: World, owner: Account) -> bytes:
    return export(world, owner.tenant)


def members(archive: bytes) -> dict[str, bytes]:
    """What any tar program finds in an archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        return {each.name: found.extractfile(each).read() for each in found}  # type: ignore[union-attr]


def rows(archive: bytes, table: str) -> list[Any]:
    """The rows of a table in an archive."""
    found = [data for name, data in members(archive).items() if name.startswith(f"tables/{table}/")]
    return [json.loads(line) for data in found for line in data.splitlines()]


def rebuilt(archive: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """An archive whose manifests fit it, although members were changed, or left out, by somebody who knows the format."""
    written = io.BytesIO()
    writer = tar.SegmentWriter(written.write)
    chain, segments = "", 0
    for name, data in members(archive).items():
        if name.startswith("manifest/"):
            for line in data.splitlines():
                if "missing" in (told := json.loads(line)):
                    writer.note_missing(told["missing"])
            segments += 1
            chain = writer.end_segment(segments, chain)
        elif name == tar.END:
            writer.end_archive(segments=segments, members=writer.members, chain=chain)
        elif (changed := change(name, data)) is not None:
            writer.add(name, changed)
    return written.getvalue()


def import_(world: World, archive: bytes, slug: str = "", **options: Any) -> Imported:
    return importing.import_tenant(world.runtime, io.BytesIO(archive), slug=slug or f"imported-{number()}", **options)
