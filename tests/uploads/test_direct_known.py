"""Instant uploads and deltas: what the tenant has need not travel, and knowing a digest gives nobody a byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from blake3 import blake3
from strongroom.errors import NotFound
from strongroom.storage.base import CannotCompose
from strongroom.storage.bound import TenantStorage

from tests.factories import EICAR, object_url, ok, problem
from tests.uploads.conftest import Place
from tests.uploads.direct_client import BLOCK, MIB, UPLOADS, Sender, content, fingerprint, hashes

PART = 8 * MIB


@pytest.fixture(params=["regions", "presigned", "s3-ceph"])
def place(request: pytest.FixtureRequest, make_place: Callable[..., Place]) -> Place:
    """A tenant at a provider that copies by itself."""
    return make_place(request.param)


def begin(sender: Sender, data: bytes, path: str = "copy.bin", **body: Any) -> Any:
    return sender.begin(data, path, block_hashes=hashes(data), **body)


def store(place: Place, data: bytes, path: str = "a.bin", *, checked: bool = True) -> Any:
    """A file that is there already."""
    file = place.world.upload(place.sender.client, path, data)
    if checked:
        place.world.run_jobs()
    return file


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17])
def test_a_file_that_is_there_already_needs_no_bytes(place: Place, size: int) -> None:
    data = content(size)
    original = store(place, data)
    begun = begin(place.sender, data)
    assert begun["mode"] == "instant"
    assert set(begun) == {"mode", "file"}
    file = begun["file"]
    assert (file["status"], file["size_bytes"], file["fingerprint"]) == ("pending", size, None)
    assert file["version_id"] != original["version_id"]
    place.world.run_jobs()
    client = place.sender.client
    ok(client.delete(f"/api/v1/files/{original['id']}"), 204)
    place.world.tenant_sql(place.tenant, "UPDATE {t}.files SET purge_at = now() WHERE deleted_at IS NOT NULL")
    place.world.run_jobs()
    checked = ok(client.get(f"/api/v1/files/{file['id']}"))
    assert (checked["status"], checked["fingerprint"], checked["blake3"]) == ("available", fingerprint(data), blake3(data).hexdigest())
    assert client.get(object_url("media", "copy.bin")).data == data, "it does not hang on its source"
    assert place.world.totals(place.tenant) == {"used_bytes": size, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}
    assert len(place.left()) == 1


@pytest.mark.parametrize(("way", "mode"), [("regions", "instant"), ("presigned", "instant"), ("s3-ceph", "direct")])
def test_a_file_made_of_pieces_of_others(make_place: Callable[..., Place], way: str, mode: str) -> None:
    """S3 joins no pieces below 5 MiB: a single block there has to be sent, with the part that it is in."""
    place = make_place(way)
    one, two = content(2 * BLOCK, 1), content(2 * BLOCK + 5, 2)
    store(place, one, "1")
    store(place, two, "2")
    data = two[BLOCK : 2 * BLOCK] + one + two[: 2 * BLOCK] + two[2 * BLOCK :]
    begun = begin(place.sender, data)
    assert begun["mode"] == mode
    if mode == "direct":
        assert begun["needed"] == [1, 2]
        place.sender.send(begun, data)
        ok(place.sender.complete(begun), 201)
    place.world.run_jobs()
    assert place.sender.client.get(object_url("media", "copy.bin")).data == data


def test_only_what_has_changed_is_sent(place: Place) -> None:
    former = content(4 * PART + 3)
    store(place, former)
    data = former[:PART] + content(PART, 1) + former[2 * PART :]
    begun = begin(place.sender, data)
    assert (begun["mode"], begun["needed"], begun["part_count"]) == ("direct", [2], 5)
    assert begun["have"] == [0, 1, 4, 5, 6, 7, 8]
    assert [part["number"] for part in begun["parts"]] == [2]
    place.sender.send(begun, data)
    file = ok(place.sender.complete(begun), 201)
    assert place.sender.client.get(object_url("media", "copy.bin")).data == data
    place.world.run_jobs()
    checked = ok(place.sender.client.get(f"/api/v1/files/{file['id']}"))
    assert (checked["status"], checked["fingerprint"]) == ("available", fingerprint(data))
    listed = ok(place.sender.client.get(f"/api/v1/files/{file['id']}/blocks"))
    assert [block["digest"] for block in listed["items"]] == hashes(data)


def test_a_part_is_copied_only_whole(place: Place) -> None:
    """One block of a part has changed: the part is sent."""
    former = content(2 * PART)
    store(place, former)
    data = former[: PART + BLOCK] + content(BLOCK, 1)
    begun = begin(place.sender, data)
    assert (begun["needed"], begun["have"]) == ([2], [0, 1])
    place.sender.send(begun, data)
    ok(place.sender.complete(begun), 201)
    assert place.sender.client.get(object_url("media", "copy.bin")).data == data


def test_pieces_of_several_sources_in_one_part(make_place: Callable[..., Place]) -> None:
    """A file system copies them into place; where a part needs one source, the part is sent."""
    for way, needed in (("regions", [1]), ("presigned", [1, 2])):
        place = make_place(way)
        one, two = content(BLOCK, 1), content(BLOCK, 2)
        store(place, one, "1")
        store(place, two, "2")
        data = content(PART, 3) + one + two
        begun = begin(place.sender, data)
        assert begun["needed"] == needed
        place.sender.send(begun, data)
        ok(place.sender.complete(begun), 201)
        assert place.sender.client.get(object_url("media", "copy.bin")).data == data


def test_a_provider_that_cannot_copy_is_sent_everything(make_place: Callable[..., Place]) -> None:
    place = make_place("relayed")
    data = content(PART + 1)
    store(place, data)
    begun = begin(place.sender, data)
    assert (begun["mode"], begun["needed"], begun["have"]) == ("direct", [1, 2], [])
    place.sender.send(begun, data)
    ok(place.sender.complete(begun), 201)


def test_claims_are_verified(place: Place) -> None:
    """Bytes that are sent under the hashes of others are refused by whoever reads them."""
    data = content(PART + 1)
    begun = begin(place.sender, data)
    assert begun["needed"] == [1, 2]
    place.sender.send(begun, content(PART + 1, 1))
    file = ok(place.sender.complete(begun), 201)
    place.world.run_jobs()
    checked = ok(place.sender.client.get(f"/api/v1/files/{file['id']}"))
    assert (checked["status"], checked["scan"]["verdict"], checked["scan"]["reason"]) == ("rejected", "invalid", "checksum")
    assert begin(place.sender, data, "again.bin")["mode"] == "direct", "the claim made nothing known"


def test_a_rotten_source_does_not_pass(make_place: Callable[..., Place]) -> None:
    place = make_place("regions")
    data = content(2 * BLOCK)
    store(place, data)
    (path,) = place.world.stored(place.tenant)
    path.write_bytes(content(2 * BLOCK, 1))
    file = begin(place.sender, data)["file"]
    place.world.run_jobs()
    checked = ok(place.sender.client.get(f"/api/v1/files/{file['id']}"))
    assert (checked["status"], checked["scan"]["reason"]) == ("rejected", "checksum")


def test_an_instant_file_keeps_to_the_buckets_policy(place: Place) -> None:
    data = b"plain text, really"
    store(place, data, "noname")
    ok(place.sender.client.patch("/api/v1/buckets/media", json={"allowed_types": ["image/png"]}))
    problem(place.sender.post(data, "copy", block_hashes=hashes(data)), 415, "type_not_allowed")
    place.world.run_jobs()
    assert len(place.left()) == 1
    assert place.world.totals(place.tenant)["used_files"] == 1


def test_an_instant_file_takes_room(make_place: Callable[..., Place]) -> None:
    place = make_place("regions", quota_bytes=10)
    store(place, b"123456")
    problem(place.sender.post(b"123456", "b", block_hashes=hashes(b"123456")), 507, "quota_exceeded")


def test_former_versions_count_and_the_trash_does_not(place: Place) -> None:
    data = content(BLOCK + 1)
    file = store(place, data)
    store(place, b"another version")
    assert begin(place.sender, data, "1")["mode"] == "instant"
    for path in ("1", "a.bin"):
        ok(place.sender.client.delete(object_url("media", path)), 204)
    assert begin(place.sender, data, "2")["mode"] == "direct"
    ok(place.sender.client.post(f"/api/v1/files/{file['id']}/undelete"))
    assert begin(place.sender, data, "3")["mode"] == "instant"


# Whom it helps


def knows(sender: Sender, data: bytes) -> bool:
    """Whether any byte of it need not be sent; what was begun is thrown away."""
    begun = sender.begin(data, "probe.bin", block_hashes=hashes(data))
    if begun["mode"] == "instant":
        ok(sender.client.delete(f"/api/v1/files/{begun['file']['id']}"), 204)
        return True
    ok(sender.client.delete(f"{UPLOADS}/{begun['id']}"), 204)
    return begun["have"] != [] or begun["needed"] != list(range(1, begun["part_count"] + 1))


def test_never_across_tenants(place: Place, make_place: Callable[..., Place]) -> None:
    data = content(PART + 1)
    store(place, data)
    assert knows(place.sender, data)
    neighbour = make_place("regions" if place.store is None else "presigned")
    assert not knows(neighbour.sender, data)


def test_before_its_check_only_the_uploader_itself_is_helped(place: Place) -> None:
    data = content(PART + 1)
    store(place, data, checked=False)
    colleague = place.sender_of("admin")
    assert not knows(colleague, data)
    assert knows(place.sender, data)
    place.world.run_jobs()
    assert knows(colleague, data)
    assert knows(place.sender_of("member"), data)


def test_what_did_not_pass_helps_nobody(place: Place) -> None:
    bad = EICAR + b"\n" * 3
    file = store(place, bad, "eicar.com")
    assert ok(place.sender.client.get(f"/api/v1/files/{file['id']}"))["status"] == "quarantined"
    assert not knows(place.sender, bad)
    for status in ("rejected", "quarantined"):
        data = content(PART + 1, ord(status[0]))
        other = store(place, data, status)
        place.world.tenant_sql(
            place.tenant, "UPDATE {t}.versions SET status = %(status)s WHERE id = %(id)s", status=status, id=other["version_id"]
        )
        assert not knows(place.sender, data)


def test_unscanned_files_help_where_they_are_given_out(place: Place) -> None:
    data = content(PART + 1)
    file = store(place, data)
    place.world.tenant_sql(place.tenant, "UPDATE {t}.versions SET verdict = 'unscanned' WHERE id = %(id)s", id=file["version_id"])
    colleague = place.sender_of("member")
    assert not knows(colleague, data)
    assert knows(place.sender, data), "its uploader may have it back"
    ok(place.sender.client.patch("/api/v1/buckets/media", json={"serve_unscanned": True}))
    assert knows(colleague, data)


def test_a_key_that_may_not_read_learns_nothing(place: Place) -> None:
    data = content(PART + 1)
    store(place, data)
    for scopes, helped in ((["files:write"], False), (["files:write", "files:read"], True)):
        key = place.world.create_api_key(place.account, *scopes)
        assert knows(Sender(place.world.client(place.tenant, key)), data) is helped


def test_hashes_of_other_lengths_fit_nowhere(place: Place) -> None:
    """The digest of a short block, claimed for a long one."""
    short = content(100)
    store(place, short)
    begun = place.sender.begin(b"", "long.bin", size_bytes=2 * BLOCK, block_hashes=hashes(short) * 2)
    assert (begun["mode"], begun["needed"], begun["have"]) == ("direct", [1], [])


def test_the_right_to_read_is_asked_again_at_the_end(place: Place) -> None:
    former = content(2 * PART)
    source = store(place, former)
    data = former[:PART] + content(PART, 1)
    begun = begin(place.sender, data)
    assert begun["needed"] == [2]
    place.sender.send(begun, data)
    ok(place.sender.client.delete(f"/api/v1/files/{source['id']}"), 204)
    assert problem(place.sender.complete(begun), 422, "part_invalid")["missing"] == [1]
    place.sender.send(begun, data, [1])
    ok(place.sender.complete(begun), 201)
    assert place.sender.client.get(object_url("media", "copy.bin")).data == data


# Sources that go away


@pytest.mark.parametrize(("error", "needed"), [(NotFound, [1, 2]), (CannotCompose, [])])
def test_a_source_that_is_gone_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: type[Exception], needed: list[int]
) -> None:  # fmt: skip
    data = content(PART + 1)
    store(place, data)

    def gone(*_: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(TenantStorage, "compose", gone)
        begun = begin(place.sender, data)
    assert (begun["mode"], begun["needed"]) == ("direct", needed)
    place.sender.send(begun, data)
    ok(place.sender.complete(begun), 201)
    assert place.sender.client.get(object_url("media", "copy.bin")).data == data


def test_a_source_that_goes_away_midway(make_place: Callable[..., Place]) -> None:
    """Bytes that vanish without their row: the parts that were to be copied are asked for."""
    place = make_place("regions")
    former = content(3 * PART)
    store(place, former)
    data = former[: 2 * PART] + content(PART, 1)
    begun = begin(place.sender, data)
    assert begun["needed"] == [3]
    place.sender.send(begun, data)
    for path in place.world.stored(place.tenant):
        if path.suffix != ".part":
            path.unlink()
    assert problem(place.sender.complete(begun), 422, "part_invalid")["missing"] == [1, 2]
    place.sender.send(begun, data, [1, 2])
    ok(place.sender.complete(begun), 201)
    assert place.sender.client.get(object_url("media", "copy.bin")).data == data


# Blocks


def test_blocks_by_pages(place: Place) -> None:
    data = content(3 * BLOCK + 1)
    file = store(place, data, checked=False)
    url, cursor, found = f"/api/v1/files/{file['id']}/blocks", None, []
    while True:
        page = ok(place.sender.client.get(url, query_string={"limit": 3, **({"cursor": cursor} if cursor else {})}))
        assert (page["block_size_bytes"], page["size_bytes"]) == (BLOCK, len(data))
        found += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
        store(place, b"replaced meanwhile", checked=False)
    assert found == [{"number": number, "digest": digest} for number, digest in enumerate(hashes(data))]
    assert ok(place.sender.client.get(url, query_string={"version": file["version_id"]}))["items"] == found
    (only,) = ok(place.sender.client.get(url))["items"]
    assert only["digest"] == blake3(b"replaced meanwhile").hexdigest()
    problem(place.sender.client.get(url, query_string={"cursor": "x"}), 400, "invalid_cursor")


def test_blocks_of_an_empty_file(place: Place) -> None:
    file = store(place, b"", checked=False)
    assert ok(place.sender.client.get(f"/api/v1/files/{file['id']}/blocks"))["items"] == []


@pytest.mark.parametrize("size", [1, BLOCK + 1])
def test_blocks_that_nobody_has_read_yet(make_place: Callable[..., Place], size: int) -> None:
    place = make_place("presigned")
    data = content(size)
    file = place.sender.upload(data)
    answer = place.sender.client.get(f"/api/v1/files/{file['id']}/blocks")
    problem(answer, 409, "file_pending")
    assert answer.headers["Retry-After"]
    place.world.run_jobs()
    assert [each["digest"] for each in ok(place.sender.client.get(f"/api/v1/files/{file['id']}/blocks"))["items"]] == hashes(data)
