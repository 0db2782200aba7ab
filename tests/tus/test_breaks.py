"""Requests that break off, databases and providers that go away, processes that die: every byte that came is kept, and no ghost."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from strongroom.checks import service as checks
from strongroom.errors import DatabaseUnavailable, StorageFull, StorageUnavailable
from strongroom.storage.bound import StoredObject
from strongroom.storage.filesystem import FilesystemRegion
from strongroom.uploads import appending, limits, progress, resuming, service, targets
from strongroom.uploads.fingerprint import BLOCK_BYTES

from tenants import service as tenants
from tenants.models import Tenant
from tests.acceptance.content import noise
from tests.factories import Client, World, object_url, ok, problem
from tests.slow import Hanging, with_others_beginning
from tests.tus.conftest import Place
from tests.tus.talk import CHUNK, MIB, URL, VERSION, Talk, checksum, meta

DATA = noise(2 * BLOCK_BYTES + 5 * MIB + 12345)


def rested(talk: Talk, data: bytes, path: str = "a.txt") -> Any:
    """The file, after having seen that it is byte for byte what was sent, and hashed as a PUT of it is."""
    assert talk.client.get(object_url("media", path)).data == data
    file = next(each for each in ok(talk.client.get("/api/v1/buckets/media/files"))["items"] if each["path"] == path)
    put = ok(talk.client.put(object_url("media", f"{path}.put"), data=data, headers={"Content-Type": "application/octet-stream"}), 201)
    assert file["fingerprint"] == put["fingerprint"]
    return file


@pytest.mark.parametrize("rudely", [False, True])
def test_a_client_that_hangs_up_loses_nothing(world: World, tenant: Tenant, talk: Talk, rudely: bool) -> None:
    url = talk.begin(len(DATA))
    wire = talk.open(url, 0, len(DATA)).send(DATA[: 5 * MIB + 1])
    problem(wire.end(rudely=rudely), 400, "incomplete_body")
    assert talk.offset(url) == 5 * MIB + 1
    talk.send(url, 5 * MIB + 1, DATA[5 * MIB + 1 :])
    rested(talk, DATA)
    assert world.totals(tenant)["reserved_bytes"] == 0


def test_any_number_of_pieces_of_any_size(world: World, tenant: Tenant, talk: Talk, place: Place) -> None:
    """Each from another process, as it were."""
    url, at, chance = talk.begin(len(DATA)), 0, random.Random(1)  # noqa: S311 - sizes, not secrets
    others = [Talk(Client(world.again().app, talk.client.host, talk.client.token)) for _ in range(2)]
    while at < len(DATA):
        size = min(chance.choice([1, 1000, 65536, MIB, BLOCK_BYTES, 3 * BLOCK_BYTES]), len(DATA) - at)
        chance.choice([talk, *others]).send(url, at, DATA[at : at + size])
        at += size
    rested(talk, DATA)
    world.run_jobs()
    assert len(place.left(tenant)) == 2
    assert world.rows(tenant, "parts") == []


def test_whole_blocks_and_parts(talk: Talk) -> None:
    """Sizes that end just where a block and a part do."""
    for number, size in enumerate((BLOCK_BYTES, 2 * BLOCK_BYTES, 4 * BLOCK_BYTES)):
        data = noise(size, number)
        url = talk.begin(size, f"{number}")
        talk.send(url, 0, data[: size // 2])
        talk.send(url, size // 2, data[size // 2 :])
        rested(talk, data, f"{number}")


def test_parts_have_the_size_that_was_fixed(world: World, talk: Talk, place: Place, tenant: Tenant) -> None:
    if place.parts is None:
        return
    place.parts.puts.clear()
    url = talk.begin(len(DATA))
    for start in range(0, len(DATA), 3 * MIB):
        talk.send(url, start, DATA[start : start + 3 * MIB])
    assert place.parts.puts == [(1, 8 * MIB), (2, len(DATA) - 8 * MIB)]
    assert world.rows(tenant, "uploads")[0]["tail_bytes"] == 0


def test_parts_grow_for_very_large_files() -> None:
    limits = targets.PartLimits(5 * MIB, 5 * 1024 * MIB, 10_000)
    assert targets._part_size(limits, 0) == 8 * MIB
    assert targets._part_size(limits, 8 * MIB * 10_000) == 8 * MIB
    assert targets._part_size(limits, 8 * MIB * 10_000 + 1) == 12 * MIB
    with pytest.raises(targets.FileTooLarge):
        targets._part_size(limits, 5 * 1024 * MIB * 10_000 + 1)


def test_a_request_with_a_checksum_counts_whole_or_not_at_all(talk: Talk) -> None:
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[:MIB])
    rest = DATA[MIB:]
    wire = talk.open(url, MIB, len(rest), Upload_Checksum=checksum(rest)).send(rest[: 9 * MIB])
    problem(wire.end(), 400, "incomplete_body")
    assert talk.offset(url) == MIB
    problem(talk.patch(url, MIB, noise(len(rest), 7), Upload_Checksum=checksum(rest)), 460, "upload_checksum_mismatch")
    assert talk.offset(url) == MIB
    talk.send(url, MIB, rest, Upload_Checksum=checksum(rest))
    rested(talk, DATA)


def test_checkpoints_on_the_way(world: World, tenant: Tenant, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process that is killed in the middle leaves: the last checkpoint."""
    monkeypatch.setattr(appending, "CHECKPOINT_BYTES", MIB)
    monkeypatch.setattr(appending, "CHECKPOINTS_APART_S", 0.0)
    url = talk.begin(len(DATA))
    wire = talk.open(url, 0, len(DATA)).send(DATA[: 9 * MIB])
    (row,) = world.rows(tenant, "uploads")
    assert row["offset_bytes"] >= (7 * MIB if row["part_size_bytes"] is None else 8 * MIB)
    assert row["detected_type"] == "application/octet-stream"
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET lock_id = gen_random_uuid()")  # as if another process had taken over
    problem(wire.end(), 423, "upload_locked")
    (after,) = world.rows(tenant, "uploads")
    assert after["offset_bytes"] == row["offset_bytes"], "whoever lost the lock writes nothing down any more"
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET locked_until = now()")
    talk.send(url, talk.offset(url), DATA[talk.offset(url) :])
    rested(talk, DATA)


def fail_for(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: Exception, times: int = 10**6) -> list[int]:
    """Have a function raise so many times; what is returned counts them."""
    real, count = getattr(owner, name), [0]

    def failing(*args: Any, **named: Any) -> Any:
        if count[0] < times:
            count[0] += 1
            raise error
        return real(*args, **named)

    monkeypatch.setattr(owner, name, failing)
    return count


def test_a_database_that_is_away_for_a_moment_ends_nothing(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "CHECKPOINT_BYTES", MIB)
    monkeypatch.setattr(appending, "CHECKPOINTS_APART_S", 0.0)
    monkeypatch.setattr(appending, "PAUSES_S", (0.0, 0.0, 0.0))
    count = fail_for(monkeypatch, progress, "checkpoint", DatabaseUnavailable(), 4)
    talk.send(talk.begin(len(DATA)), 0, DATA)
    assert count == [4]
    rested(talk, DATA)


def test_a_database_that_is_gone_when_a_request_ends(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "PAUSES_S", (0.0,))
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[: 9 * MIB])
    with monkeypatch.context() as patch:
        fail_for(patch, progress, "checkpoint", DatabaseUnavailable())
        problem(talk.patch(url, 9 * MIB, DATA[9 * MIB : 10 * MIB]), 503, "database_unavailable")
    assert talk.offset(url) == 9 * MIB
    talk.send(url, 9 * MIB, DATA[9 * MIB :])
    rested(talk, DATA)


@pytest.mark.parametrize("where", ["before the object is made", "after the object is made"])
def test_what_is_whole_is_completed_by_whoever_looks(
    world: World, tenant: Tenant, talk: Talk, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The process died after the last byte was written down: a client that asks for the offset must find the file."""
    url = talk.begin(len(DATA))
    with monkeypatch.context() as patch:
        patch.setattr(service, "COMPLETE_PAUSES_S", ())
        name = "finish" if where.startswith("before") else "complete_patiently"
        fail_for(patch, resuming, name, DatabaseUnavailable())
        problem(talk.patch(url, 0, DATA), 503, "database_unavailable")
    assert world.rows(tenant, "files") == []
    assert talk.offset(url) == len(DATA)
    rested(talk, DATA)


def test_an_empty_upload_that_could_not_be_completed_at_once(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    url = talk.begin(None)
    with monkeypatch.context() as patch:
        fail_for(patch, resuming, "complete_patiently", DatabaseUnavailable())
        problem(talk.patch(url, 0, b"", Upload_Length="0"), 503, "database_unavailable")
    assert talk.offset(url) == 0
    assert talk.client.get(object_url("media", "a.txt")).data == b""


def test_a_full_disk_keeps_what_came(talk: Talk, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[: 2 * MIB])
    with monkeypatch.context() as patch:
        owner, name = (FilesystemRegion, "write") if place.parts is None else (StoredObject, "put_part")
        fail_for(patch, owner, name, StorageFull())
        problem(talk.patch(url, 2 * MIB, DATA[2 * MIB :]), 507, "storage_full")
    at = talk.offset(url)
    assert at >= 2 * MIB
    talk.send(url, at, DATA[at:])
    rested(talk, DATA)


def test_a_tail_that_could_not_be_written(talk: Talk, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    if place.parts is None:
        return
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[:MIB])
    with monkeypatch.context() as patch:
        fail_for(patch, StoredObject, "write_tail", StorageUnavailable())
        problem(talk.patch(url, MIB, DATA[MIB : 9 * MIB]), 503, "storage_unavailable")
    assert talk.offset(url) == 8 * MIB, "the part that was full is kept"
    talk.send(url, 8 * MIB, DATA[8 * MIB :])
    rested(talk, DATA)


def test_bytes_that_are_gone_end_the_upload(world: World, tenant: Tenant, talk: Talk, place: Place) -> None:
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[: 9 * MIB])
    for path in place.left(tenant):
        path.unlink()
    answer = talk.patch(url, 9 * MIB, DATA[9 * MIB :])
    assert answer.status_code in {410, 409, 503}
    assert world.rows(tenant, "files") == []


def test_a_provider_that_cannot_begin_leaves_nothing(world: World, tenant: Tenant, talk: Talk, place: Place, monkeypatch: Any) -> None:
    fail_for(monkeypatch, StoredObject, "begin_regions" if place.parts is None else "begin_multipart", StorageUnavailable())
    problem(talk.create(5), 503, "storage_unavailable")
    world.run_jobs()
    assert set(world.totals(tenant).values()) == {0}
    assert place.left(tenant) == []


def test_parts_that_were_exchanged_at_the_provider_never_become_a_file(talk: Talk, world: World, place: Place, tenant: Tenant) -> None:
    if place.parts is None:
        return
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[: 9 * MIB])
    (part,) = [path for path in place.left(tenant) if path.name == "00001"]
    part.write_bytes(noise(8 * MIB, 5))
    problem(talk.patch(url, 9 * MIB, DATA[9 * MIB :]), 409, "conflict")
    assert talk.head(url).status_code == 410
    world.run_jobs()
    assert place.left(tenant) == []
    assert set(world.totals(tenant).values()) == {0}


# Room


def test_room_is_reserved_at_creation_and_counted_once(world: World, talk: Talk, tenant: Tenant) -> None:
    quota = tenant.limits.quota_bytes
    url = talk.begin(1000)
    assert world.totals(tenant) == {"used_bytes": 0, "used_files": 0, "reserved_bytes": 1000, "reserved_files": 1}
    problem(talk.create(quota - 999, "b.txt"), 413 if quota > tenant.limits.max_file_size_bytes else 507, "file_too_large")
    talk.terminate(url)
    assert world.totals(tenant)["reserved_bytes"] == 0


@pytest.fixture
def poor(world: World, tenant: Tenant) -> Tenant:
    """The tenant, now with room for 20 MiB."""
    tenants.set_limits(world.runtime.databases, tenant.id, limits={"quota_bytes": 20 * MIB})
    world.runtime.registry.forget()
    return tenant


def test_the_edge_of_the_quota(world: World, poor: Tenant, talk: Talk) -> None:
    problem(talk.create(20 * MIB + 1), 507, "quota_exceeded")
    url = talk.begin(20 * MIB)
    problem(talk.create(1, "b.txt"), 507, "quota_exceeded")
    data = noise(20 * MIB)
    talk.send(url, 0, data)
    assert world.totals(poor) == {"used_bytes": 20 * MIB, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}


def test_an_upload_of_unknown_size_grows_to_the_edge_and_no_further(world: World, poor: Tenant, talk: Talk) -> None:
    data = noise(20 * MIB)
    url = talk.begin(None)
    for start in range(0, len(data), 3 * MIB):
        talk.send(url, start, data[start : start + 3 * MIB])
        assert world.totals(poor)["reserved_bytes"] <= 20 * MIB
    problem(talk.patch(url, 20 * MIB, b"x"), 507, "quota_exceeded")
    problem(talk.patch(url, 20 * MIB, b"", Upload_Length=str(20 * MIB + 1)), 507, "quota_exceeded")
    assert world.totals(poor)["reserved_bytes"] == 20 * MIB
    talk.send(url, 20 * MIB, b"", Upload_Length=str(20 * MIB))
    assert world.totals(poor) == {"used_bytes": 20 * MIB, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}


def test_what_was_reserved_too_much_is_given_back(world: World, tenant: Tenant, talk: Talk) -> None:
    url = talk.begin(None)
    talk.send(url, 0, b"12345")
    assert world.totals(tenant)["reserved_bytes"] > 5
    talk.send(url, 5, b"", Upload_Length="10")
    assert world.totals(tenant)["reserved_bytes"] == 10


def test_unfinished_uploads_are_limited(world: World, tenant: Tenant, talk: Talk) -> None:
    most = tenant.limits.parallel_uploads
    world.tenant_sql(
        tenant,
        """INSERT INTO {t}.uploads (id, kind, bucket_id, path, version_id, provider_id, reserved_bytes, reserved_files, content_type,
        expires_at) SELECT gen_random_uuid(), 'tus', (SELECT id FROM {t}.buckets), n::text, gen_random_uuid(),
        gen_random_uuid(), 0, 0, '', now() + '1 day' FROM generate_series(1, %(most)s) n""",
        most=most * limits.OPEN_PER_PARALLEL,
    )
    problem(talk.create(5), 429, "too_many_uploads")


def test_requests_under_way_are_limited(world: World, tenant: Tenant, talk: Talk) -> None:
    url = talk.begin(10)
    most = tenant.limits.parallel_uploads
    world.tenant_sql(
        tenant,
        """INSERT INTO {t}.uploads (id, kind, bucket_id, path, version_id, provider_id, reserved_bytes, reserved_files, content_type,
        locked_until, expires_at) SELECT gen_random_uuid(), 'tus', (SELECT id FROM {t}.buckets), n::text, gen_random_uuid(),
        gen_random_uuid(), 0, 0, '', now() + '1 hour', now() + '1 day' FROM generate_series(1, %(most)s) n""",
        most=most,
    )
    problem(talk.patch(url, 0, b"0123456789"), 429, "too_many_uploads")
    world.tenant_sql(tenant, "DELETE FROM {t}.uploads WHERE provider_id NOT IN (SELECT id FROM strongroom.providers)")
    talk.send(url, 0, b"0123456789")


def test_requests_under_way_are_limited_exactly(world: World, tenant: Tenant, talk: Talk) -> None:
    tenants.set_limits(world.runtime.databases, tenant.id, limits={"parallel_uploads": 2})
    world.runtime.registry.forget()
    urls = [talk.begin(10, f"{each}.bin") for each in range(6)]
    headers = {**VERSION, **CHUNK, "Upload-Offset": "0"}
    acts = [lambda options, url=url: talk.client.patch(url, headers=headers, **options) for url in urls]
    hanging = Hanging(acts, b"0123456789")
    refused = hanging.answered()
    assert len(refused) == 4
    for answer in refused:
        problem(answer, 429, "too_many_uploads")
        assert int(answer.headers["Retry-After"]) > 0
    assert [answer.status_code for answer in hanging.go_on()] == [204, 204]


def test_whoever_begins_at_the_same_moment_is_counted(world: World, tenant: Tenant, talk: Talk) -> None:
    url = talk.begin(10)
    answer = with_others_beginning(world, tenant, lambda: talk.patch(url, 0, b"0123456789"))
    problem(answer, 429, "too_many_uploads")


def test_a_bucket_with_an_open_upload_is_not_empty(talk: Talk) -> None:
    url = talk.begin(5)
    problem(talk.client.delete("/api/v1/buckets/media"), 409, "bucket_not_empty")
    talk.terminate(url)
    assert talk.client.delete("/api/v1/buckets/media").status_code == 204


def test_folders_of_other_files_are_left_alone(world: World, tenant: Tenant, talk: Talk, place: Place) -> None:
    """Reconciliation leaves bytes alone that an open upload names."""
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[: 9 * MIB])
    for path in place.left(tenant):
        os.utime(path, (0, 0))
    assert checks.reconcile(world.runtime, tenant).bytes_without_row == 0
    talk.send(url, 9 * MIB, DATA[9 * MIB :])
    rested(talk, DATA)


def test_unused_address(talk: Talk) -> None:
    assert talk.client.post(f"{URL}/", headers={"Upload-Metadata": meta(a="b")}).status_code in {404, 405, 412}
