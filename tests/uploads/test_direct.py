"""Direct uploads at every kind of provider: what is stored, what is refused, and that a refusal leaves nothing behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from blake3 import blake3
from strongroom.errors import DatabaseUnavailable
from strongroom.storage.base import PartLimits
from strongroom.uploads import service as uploads
from strongroom.uploads.layout import BLOCK_BYTES, choose_layout

from tests.factories import PNG, object_url, ok, problem
from tests.slow import all_at_once
from tests.uploads.conftest import WAYS, Place
from tests.uploads.direct_client import BLOCK, MIB, UPLOADS, Sender, content, fingerprint

PART = 8 * MIB
ELF = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0>\0" + b"\1" * 200


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART + BLOCK + 17])
def test_a_file_in_parts(place: Place, size: int) -> None:
    data = content(size)
    sender = place.sender
    begun = sender.begin(data, "2026/a.bin", metadata={"camera": "x"})
    assert (begun["mode"], begun["part_size_bytes"], begun["part_count"]) == ("direct", PART, -(-size // PART))
    assert [part["number"] for part in begun["parts"]] == begun["needed"] == list(range(1, begun["part_count"] + 1))
    assert sum(part["size_bytes"] for part in begun["parts"]) == size
    assert place.world.totals(place.tenant)["reserved_bytes"] == size
    file = ok(sender.complete(begun, sender.send(begun, data)), 201)
    assert (file["path"], file["size_bytes"], file["status"], file["metadata"]) == ("2026/a.bin", size, "pending", {"camera": "x"})
    assert sender.client.get(object_url("media", "2026/a.bin")).data == data
    assert place.world.totals(place.tenant) == {"used_bytes": size, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}
    place.world.run_jobs()
    checked = ok(sender.client.get(f"/api/v1/files/{file['id']}"))
    assert checked["status"] == "available"
    assert (checked["fingerprint"], checked["blake3"]) == (fingerprint(data), blake3(data).hexdigest())
    assert checked["sha256"] == hashlib.sha256(data).hexdigest()
    assert checked["etag"] == file["etag"], "a version keeps its tag for ever"
    assert len(place.left()) == 1


def test_digests_are_known_at_once_where_bytes_pass_through_us(make_place: Callable[..., Place]) -> None:
    data = content(PART + 1)
    for way in ("regions", "relayed"):
        file = make_place(way).sender.upload(data)
        assert (file["fingerprint"], file["blake3"], file["etag"]) == (fingerprint(data), None, fingerprint(data))
    file = make_place("presigned").sender.upload(data)
    assert (file["fingerprint"], file["etag"]) == (None, file["version_id"].replace("-", ""))


@pytest.mark.parametrize("way", WAYS)
def test_parts_in_any_order_in_parallel_and_again(make_place: Callable[..., Place], way: str) -> None:
    place = make_place(way)
    data, sender = content(3 * PART + 5), place.sender
    begun = sender.begin(data)
    others = data if way == "s3-rclone" else content(len(data), 1)  # that server takes no other bytes for a part that it has
    sender.send(begun, others, [2, 4])
    assert [part["number"] for part in sender.state(begun)["received"]] == [2, 4]
    all_at_once([lambda number=number: sender.send(begun, data, [number]) for number in (4, 3, 2, 1)])
    state = sender.state(begun)
    assert (state["state"], [part["size_bytes"] for part in state["received"]]) == ("open", [PART, PART, PART, 5])
    file = ok(sender.complete(begun), 201)
    place.world.run_jobs()
    assert ok(sender.client.get(f"/api/v1/files/{file['id']}"))["blake3"] == blake3(data).hexdigest()
    assert sender.state(begun)["file"]["id"] == file["id"]


def test_fifty_gibibytes_fit(make_place: Callable[..., Place]) -> None:
    place = make_place("regions", quota_bytes=2**50, max_file_size_bytes=2**50)
    size = 50 * 1024**3
    begun = place.sender.begin(b"", size_bytes=size)
    assert (begun["part_size_bytes"], begun["part_count"]) == (PART, 6400)
    assert len(begun["needed"]) == 6400
    assert len(begun["parts"]) == 100
    for number in (0, -1, 6401, 10**6):
        answer = place.sender.client.post(f"{UPLOADS}/{begun['id']}/parts", json={"numbers": [number]})
        assert problem(answer, 422, "part_invalid")["unexpected"] == [number]
    problem(place.sender.client.post(f"{UPLOADS}/{begun['id']}/parts", json={"numbers": list(range(1, 102))}), 422, "validation_failed")
    (last,) = place.sender.urls(begun["id"], [6400])
    assert last["size_bytes"] == PART


@pytest.mark.parametrize("size", [0, 1, 80 * 10**9, 90 * 10**9, 5 * 2**40, 48 * 2**40])
@pytest.mark.parametrize("limits", [None, PartLimits(5 * MIB, 5 * 1024**3, 10_000)])
def test_part_sizes(size: int, limits: PartLimits | None) -> None:
    layout = choose_layout(size, limits)
    assert layout.part_size_bytes % BLOCK_BYTES == 0
    assert layout.part_size_bytes >= 8 * MIB
    assert layout.count <= 10_000
    assert sum(layout.size_of(number) for number in layout.numbers) == size
    assert [block for number in list(layout.numbers)[:3] for block in layout.blocks_of(number)][:3] == list(
        range(min(3, -(-size // BLOCK)))
    )


def test_what_no_provider_can_take(make_place: Callable[..., Place]) -> None:
    place = make_place("relayed", quota_bytes=2**60, max_file_size_bytes=2**60)
    problem(place.sender.post(b"", size_bytes=2**50), 413, "file_too_large")
    place.nothing_left()


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no size": ({"size_bytes": None}, 422, "validation_failed"),
    "a negative size": ({"size_bytes": -1}, 422, "validation_failed"),
    "an unknown bucket": ({"bucket": "elsewhere"}, 404, "not_found"),
    "no path": ({"path": "a/../b"}, 400, "invalid_path"),
    "no media type": ({"content_type": "text"}, 400, "bad_request"),
    "a digest that is none": ({"sha256": "x"}, 422, "validation_failed"),
    "hashes that are none": ({"block_hashes": ["0" * 63]}, 422, "validation_failed"),
    "too few hashes": ({"block_hashes": []}, 422, "validation_failed"),
    "too many hashes": ({"block_hashes": ["0" * 64] * 2}, 422, "validation_failed"),
    "over the quota": ({"size_bytes": 101 * MIB}, 507, "quota_exceeded"),
    "too large": ({"size_bytes": 2**59}, 413, "file_too_large"),
    "a condition that fails": ({"if_match": "*"}, 412, "precondition_failed"),
    "an unknown field": ({"mode": "instant"}, 422, "validation_failed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_the_beginning(make_place: Callable[..., Place], name: str) -> None:
    place = make_place("regions", quota_bytes=100 * MIB)
    body, status, code = REFUSED[name]
    problem(place.sender.post(b"some", **body), status, code)
    assert place.world.rows(place.tenant, "uploads") == []
    place.nothing_left()


# Complete


def test_what_is_missing_is_named(place: Place) -> None:
    data, sender = content(3 * PART), place.sender
    begun = sender.begin(data)
    assert problem(sender.complete(begun), 422, "part_invalid")["missing"] == [1, 2, 3]
    sender.send(begun, data, [2])
    assert problem(sender.complete(begun), 422, "part_invalid")["missing"] == [1, 3]
    sender.send(begun, data, [1, 3])
    ok(sender.complete(begun), 201)


def test_tags_must_be_those_of_what_is_there(place: Place) -> None:
    data, sender = content(PART + 1), place.sender
    begun = sender.begin(data)
    tags = sender.send(begun, data)
    for wrong, named in (({**tags, 1: tags[2]}, [1]), ({**tags, 3: "x"}, [3]), ({2: "x"}, [2])):
        assert problem(sender.complete(begun, wrong), 422, "part_invalid")["wrong_tag"] == named
    ok(sender.complete(begun, tags), 201)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "s3-rclone"])  # it takes no other bytes for a part that it has
def test_a_part_that_was_replaced_has_another_tag(make_place: Callable[..., Place], way: str) -> None:
    data, sender = content(PART + 1), make_place(way).sender
    begun = sender.begin(data)
    tags = sender.send(begun, data)
    sender.send(begun, content(PART + 1, 1), [2])
    assert problem(sender.complete(begun, tags), 422, "part_invalid")["wrong_tag"] == [2]
    ok(sender.complete(begun, sender.send(begun, data)), 201)


def test_completing_twice_gives_the_same_file(place: Place) -> None:
    data, sender = content(PART + 1), place.sender
    begun = sender.begin(data)
    sender.send(begun, data)
    answers = all_at_once([lambda: sender.complete(begun)] * 4)
    assert {answer.status_code for answer in answers} == {201}
    first = answers[0].get_json()
    assert {answer.get_json()["version_id"] for answer in answers} == {first["version_id"]}
    assert ok(sender.complete(begun), 201)["version_id"] == first["version_id"]
    assert place.world.totals(place.tenant) == {"used_bytes": len(data), "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}
    sender.upload(b"replaced")
    assert ok(sender.client.post(f"{UPLOADS}/{begun['id']}/complete"), 201)["version_id"] == first["version_id"], (
        "the one that this upload made"
    )


def test_a_crash_between_object_and_row(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    data, sender = content(PART + 1), place.sender
    begun = sender.begin(data)
    sender.send(begun, data)

    def down(*_: Any) -> Any:
        raise DatabaseUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(uploads, "complete_patiently", down)
        problem(sender.complete(begun), 503, "database_unavailable")
    assert sender.state(begun)["state"] == "open"
    file = ok(sender.complete(begun), 201)
    assert sender.client.get(f"/api/v1/files/{file['id']}/content").data == data


def test_wrong_types_are_refused_before_there_is_a_version(place: Place) -> None:
    sender = place.sender
    begun = sender.begin(ELF, "a.png")
    sender.send(begun, ELF)
    assert problem(sender.complete(begun), 415, "type_mismatch")["detected_type"]
    state = sender.state(begun)
    assert (state["state"], state["reason"], state["file"]) == ("failed", "type_mismatch", None)
    problem(sender.complete(begun), 410, "upload_gone")
    ok(sender.client.patch("/api/v1/buckets/media", json={"allowed_types": ["image/png"]}))
    problem(sender.post(b"text", "a.txt"), 415, "type_not_allowed")
    begun = sender.begin(b"plain text, really", "noname")
    sender.send(begun, b"plain text, really")
    problem(sender.complete(begun), 415, "type_not_allowed")
    place.nothing_left()
    assert place.world.rows(place.tenant, "versions") == []
    assert sender.upload(PNG, "noname")["detected_type"] == "image/png"


def test_conditions_are_held_again_at_the_end(place: Place) -> None:
    sender = place.sender
    begun = sender.begin(b"slow", if_none_match="*")
    sender.send(begun, b"slow")
    quick = sender.upload(b"quick")
    problem(sender.complete(begun), 412, "precondition_failed")
    assert sender.state(begun)["state"] == "failed"
    place.world.run_jobs()
    assert len(place.left()) == 1
    begun = sender.begin(b"next", if_match=f'"{quick["etag"]}"')
    sender.send(begun, b"next")
    assert ok(sender.complete(begun), 201)["id"] == quick["id"]
    assert sender.client.get(object_url("media", "a.bin")).data == b"next"


def test_a_part_swapped_between_list_and_use(make_place: Callable[..., Place]) -> None:
    place = make_place("presigned")
    data, sender = content(PART + 5), place.sender
    begun = sender.begin(data)
    sender.send(begun, data)
    assert place.store is not None

    def swap(session: str) -> None:
        assert place.store is not None
        place.store.sessions[session][1][2] = b"other"

    place.store.after_list = swap
    problem(sender.complete(begun), 422, "part_invalid")
    place.store.after_list = lambda _session: None
    ok(sender.complete(begun, sender.send(begun, data)), 201)


def test_sizes_at_the_provider_count(make_place: Callable[..., Place]) -> None:
    """A provider that lets another size in than was signed."""
    place = make_place("presigned")
    data, sender = content(2 * PART), place.sender
    begun = sender.begin(data)
    sender.send(begun, data)
    assert place.store is not None
    ((_, parts),) = place.store.sessions.values()
    parts[1] = data[: PART - 1]
    assert problem(sender.complete(begun), 422, "part_invalid")["wrong_size"] == [1]
    parts[1], parts[2] = data[: PART - 1], data[PART - 1 :]
    assert problem(sender.complete(begun), 422, "part_invalid")["wrong_size"] == [1, 2], "though the total is right"
    parts[1], parts[2], parts[3] = data[:PART], data[PART:], b"more"
    assert problem(sender.complete(begun), 422, "part_invalid")["unexpected"] == [3]
    assert sender.state(begun)["state"] == "failed", "nobody can take a part away again"
    place.nothing_left()


def test_an_object_of_another_size_is_no_file(make_place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_place("presigned")
    sender = place.sender
    begun = sender.begin(b"right")
    sender.send(begun, b"right")
    assert place.store is not None
    put = place.store.put
    monkeypatch.setattr(place.store, "put", lambda key, data: put(key, data + b"!"))
    assert problem(sender.complete(begun), 422, "part_invalid")["wrong_total"] == 6
    assert sender.state(begun)["state"] == "failed"
    place.nothing_left()


def test_a_session_that_the_provider_has_lost(make_place: Callable[..., Place]) -> None:
    place = make_place("presigned")
    sender = place.sender
    begun = sender.begin(b"gone")
    sender.send(begun, b"gone")
    assert place.store is not None
    place.store.sessions.clear()
    assert sender.state(begun)["received"] == []
    problem(sender.complete(begun), 410, "upload_gone")
    assert sender.state(begun)["state"] == "failed"
    place.nothing_left()


# The end of an upload that is not completed


def test_an_upload_is_thrown_away(place: Place) -> None:
    sender = place.sender
    begun = sender.begin(content(PART + 1))
    sender.send(begun, content(PART + 1), [1])
    assert place.left()
    for _ in range(2):
        ok(sender.client.delete(f"{UPLOADS}/{begun['id']}"), 204)
    problem(sender.complete(begun), 410, "upload_gone")
    assert sender.state(begun)["reason"] == "ended"
    place.nothing_left()
    done = sender.begin(b"x")
    sender.send(done, b"x")
    ok(sender.complete(done), 201)
    problem(sender.client.delete(f"{UPLOADS}/{done['id']}"), 409, "conflict")


def test_abandoned_uploads_are_swept(place: Place) -> None:
    sender = place.sender
    begun = sender.begin(content(PART + 1))
    sender.send(begun, content(PART + 1), [2])
    place.world.tenant_sql(place.tenant, "UPDATE {t}.uploads SET expires_at = now() - interval '1 second'")
    place.nothing_left()
    problem(sender.complete(begun), 404, "not_found")


def test_quota_is_exact(make_place: Callable[..., Place]) -> None:
    for way in ("regions", "presigned"):
        place = make_place(way, quota_bytes=100, quota_files=2)
        sender = place.sender
        begun = sender.begin(b"x" * 60)
        problem(sender.post(b"x" * 41, "b"), 507, "quota_exceeded")
        second = sender.begin(b"x" * 40, "b")
        problem(sender.post(b"", "c"), 507, "quota_exceeded")
        for each, size in ((begun, 60), (second, 40)):
            sender.send(each, b"x" * size)
            ok(sender.complete(each), 201)
        assert place.world.totals(place.tenant) == {"used_bytes": 100, "used_files": 2, "reserved_bytes": 0, "reserved_files": 0}


# Whose upload it is


def test_only_its_creator_and_administrators_see_an_upload(place: Place, make_place: Callable[..., Place]) -> None:
    member, colleague, admin = (place.sender_of(role) for role in ("member", "member", "admin"))
    begun = member.begin(b"mine")
    stranger = make_place("regions").sender
    for sender in (colleague, stranger):
        url = f"{UPLOADS}/{begun['id']}"
        for answer in (
            sender.client.get(url), sender.client.delete(url), sender.complete(begun),
            sender.client.post(f"{url}/parts", json={"numbers": [1]}),
        ):  # fmt: skip
            problem(answer, 404, "not_found")
        assert ok(sender.client.get(UPLOADS))["items"] == []
    assert [each["id"] for each in ok(admin.client.get(UPLOADS))["items"]] == [begun["id"]]
    admin.send(begun, b"mine")
    ok(admin.complete(begun), 201)


def test_uploads_are_listed_by_pages(place: Place) -> None:
    sender = place.sender
    begun = [sender.begin(b"x", f"{number}") for number in range(5)]
    sender.client.delete(f"{UPLOADS}/{begun[0]['id']}")
    found, cursor = [], None
    while True:
        page = ok(sender.client.get(UPLOADS, query_string={"limit": 2, **({"cursor": cursor} if cursor else {})}))
        found += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert [each["id"] for each in found] == [each["id"] for each in reversed(begun)]
    assert [each["state"] for each in found] == ["open"] * 4 + ["failed"]
    assert found[0]["bucket"] == "media"


def test_an_api_key_that_only_writes_can_upload(place: Place) -> None:
    key = place.world.create_api_key(place.account, "files:write")
    sender = Sender(place.world.client(place.tenant, key))
    assert sender.upload(b"by key")["size_bytes"] == 6


def test_a_repeated_beginning(place: Place) -> None:
    sender = Sender(place.sender.client.with_headers({"Idempotency-Key": "once"}))
    assert sender.begin(b"x")["id"] == sender.begin(b"x")["id"]
