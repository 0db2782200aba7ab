"""Parts of direct uploads on their way: sizes, tokens, expiry, and senders that get in each other's way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from strongroom.uploads import counting, part_stores
from werkzeug.test import TestResponse

from tests.factories import Client, object_url, ok, problem, put_object
from tests.slow import Hanging, InBackground, SlowBody, with_others_beginning
from tests.uploads.conftest import Place
from tests.uploads.direct_client import MIB, UPLOADS, Sender, content, fingerprint

PART = 8 * MIB


@pytest.fixture(params=["regions", "relayed"])
def own(request: pytest.FixtureRequest, make_place: Callable[..., Place]) -> Place:
    """A tenant whose parts pass through us."""
    return make_place(request.param)


def test_a_part_has_exactly_its_size(own: Place) -> None:
    data, sender = content(PART + 7), own.sender
    begun = sender.begin(data)
    first, last = begun["parts"]
    for part, body in ((last, data[:6]), (last, data[:8]), (last, b""), (first, data[: PART - 1])):
        answer = sender.put(part, body)
        assert (answer.status, answer.body["code"]) == (422, "part_invalid")
    assert sender.state(begun)["received"] == []
    ok(sender.complete(begun, sender.send(begun, data)), 201)


def test_tokens_open_one_part_of_one_upload(own: Place, make_place: Callable[..., Place]) -> None:
    data, sender = content(PART + 7), own.sender
    begun, other = sender.begin(data), sender.begin(data, "b.bin")
    first, last = begun["parts"]
    neighbour = make_place("regions").sender.begin(data)["parts"][1]
    token = last["url"].partition("?")[2]
    for url in (
        first["url"].partition("?")[0] + f"?{token}",
        other["parts"][1]["url"].partition("?")[0] + f"?{token}",
        last["url"].partition("?")[0] + "?" + neighbour["url"].partition("?")[2],
        neighbour["url"].partition("?")[0] + f"?{token}",
        last["url"][:-3] + "AAA",
        last["url"].partition("?")[0] + "?token=" + str(sender.client.token),
        last["url"].replace("/parts/2", "/parts/3"),
        last["url"].replace("/parts/2", "/parts/٢"),
    ):
        answer = sender.put({"url": url, "headers": {}}, data[PART:])
        assert (answer.status, answer.body["code"]) == (404, "not_found"), url
    assert sender.state(begun)["received"] == []


def test_an_expired_url_is_renewed(own: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    data, sender = content(10), own.sender
    with monkeypatch.context() as patch:
        patch.setattr(part_stores.RegionParts, "_lifetime_s", lambda _self: -1)
        patch.setattr(part_stores.RelayedParts, "_lifetime_s", lambda _self: -1)
        begun = sender.begin(data)
        answer = sender.put(begun["parts"][0], data)
    assert (answer.status, answer.body["code"]) == (403, "part_url_expired")
    ok(sender.complete(begun, sender.send(begun, data)), 201)


def test_an_expired_url_of_the_provider(make_place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    sender = make_place("presigned").sender
    with monkeypatch.context() as patch:
        patch.setattr(part_stores.PresignedParts, "_lifetime_s", lambda _self: -1)
        begun = sender.begin(b"x")
        assert sender.put(begun["parts"][0], b"x").status == 403
    ok(sender.complete(begun, sender.send(begun, b"x")), 201)


def test_no_part_is_taken_after_the_end(own: Place) -> None:
    data, sender = content(10), own.sender
    begun = sender.begin(data)
    sender.send(begun, data)
    ok(sender.complete(begun), 201)
    for _ in range(2):
        answer = sender.put(begun["parts"][0], content(10, 1))
        assert (answer.status, answer.body["code"]) == (410, "upload_gone")
    assert sender.client.get(object_url("media", "a.bin")).data == data
    problem(sender.client.post(f"{UPLOADS}/{begun['id']}/parts", json={"numbers": [1]}), 410, "upload_gone")


def test_a_part_that_breaks_off_leaves_no_old_digests(own: Place) -> None:
    """The part counts as missing until it has been sent again whole."""
    data, sender = content(PART), own.sender
    begun = sender.begin(data)
    sender.send(begun, data)
    (row,) = own.world.rows(own.tenant, "parts")
    path = begun["parts"][0]["url"].partition("localhost")[2].partition("/")[2]
    overrides = {"CONTENT_LENGTH": str(PART), "wsgi.input": BreaksOff(content(MIB, 1))}
    problem(sender.client.put(f"/{path}", environ_overrides=overrides), 400, "incomplete_body")
    found = {part["number"]: part["tag"] for part in sender.state(begun)["received"]}
    if own.store is None:
        assert found == {}, "bytes have been written over it"
        problem(sender.complete(begun), 422, "part_invalid")
    else:
        assert found == {1: row["tag"]}, "nothing has been passed on"
    sender.send(begun, data)
    file = ok(sender.complete(begun), 201)
    assert file["fingerprint"] == fingerprint(data)


class BreaksOff:
    """A body that ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int = -1) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data


# Senders that get in each other's way


def hanging_part(place: Place, part: Any, data: bytes) -> tuple[SlowBody, InBackground]:
    """A part whose body stops until it is let go on."""
    url = urlsplit(part["url"])
    body = SlowBody(data)
    overrides = {"wsgi.input": body, "CONTENT_LENGTH": str(len(data))}
    stranger = Client(place.world.app, url.netloc)
    request = InBackground(lambda: stranger.put(f"{url.path}?{url.query}", environ_overrides=overrides))
    assert body.reached.wait(20), request.result().data
    return body, request


def test_the_same_part_twice_at_the_same_time(make_place: Callable[..., Place]) -> None:
    place = make_place("regions")
    data, sender = content(PART), place.sender
    begun = sender.begin(data)
    body, request = hanging_part(place, begun["parts"][0], data)
    answer = sender.put(begun["parts"][0], content(PART, 1))
    assert (answer.status, answer.body["code"]) == (423, "upload_locked")
    body.go.set()
    ok(request.result())
    assert ok(sender.complete(begun), 201)["fingerprint"] == fingerprint(data)


def test_completing_while_a_part_is_sent_again(own: Place) -> None:
    """What hangs may not change the file that comes of the former bytes: neither while it is made nor later."""
    data, sender = content(PART), own.sender
    begun = sender.begin(data)
    sender.send(begun, data)
    body, request = hanging_part(own, begun["parts"][0], content(PART, 1))
    answer = sender.complete(begun)
    body.go.set()
    late = request.result()
    if own.store is None:
        assert problem(answer, 422, "part_invalid")["missing"] == [1], "its bytes are being written over"
        ok(late)
        assert ok(sender.complete(begun), 201)["fingerprint"] == fingerprint(content(PART, 1))
    else:
        assert ok(answer, 201)["fingerprint"] == fingerprint(data)
        problem(late, 410, "upload_gone")
        assert sender.client.get(object_url("media", "a.bin")).data == data
    own.world.run_jobs()
    assert ok(sender.client.get(f"/api/v1/files/{sender.state(begun)['file']['id']}"))["status"] == "available"


def test_a_part_that_ends_after_its_upload(own: Place) -> None:
    data, sender = content(PART), own.sender
    begun = sender.begin(data)
    body, request = hanging_part(own, begun["parts"][0], data)
    ok(sender.client.delete(f"{UPLOADS}/{begun['id']}"), 204)
    own.world.run_jobs()
    body.go.set()
    problem(request.result(), 410, "upload_gone")
    own.nothing_left()


def test_no_connection_is_held_while_a_part_travels(make_place: Callable[..., Place]) -> None:
    place = make_place("regions")
    one = place.world.again(pool_size=1, pool_timeout_s=0.2)
    data, sender = content(PART + 1), Sender(one.client(place.account))
    begun = sender.begin(data)
    other = replace(place, world=one)
    hanging = [hanging_part(other, part, data[start : start + PART]) for part, start in zip(begun["parts"], (0, PART), strict=True)]
    ok(sender.client.get("/api/v1/account"))
    for body, request in hanging:
        body.go.set()
        ok(request.result())
    ok(sender.complete(begun), 201)


# How many at once


def empty_handed(place: Place, part: Any) -> Callable[..., TestResponse]:
    """Sends a part whose body is given as options."""
    url = urlsplit(part["url"])
    stranger = Client(place.world.app, url.netloc)
    return lambda options: stranger.put(f"{url.path}?{url.query}", **options)


@pytest.mark.parametrize("way", ["regions", "relayed"])
def test_parts_under_way_are_limited_exactly(make_place: Callable[..., Place], way: str) -> None:
    """As other uploads are, and together with them: of one tenant, whatever the process."""
    place = make_place(way, parallel_uploads=3)
    data, sender = content(10), place.sender
    begun = [sender.begin(data, f"{each}.bin") for each in range(8)]
    two = replace(place, world=place.world.again())
    hanging = Hanging([empty_handed(where, each["parts"][0]) for where, each in zip([place, two] * 4, begun, strict=True)], data)
    refused = hanging.answered()
    assert len(refused) == 5
    for answer in refused:
        problem(answer, 429, "too_many_uploads")
        assert int(answer.headers["Retry-After"]) > 0
    problem(put_object(sender.client, "media", "another.bin"), 429, "too_many_uploads")
    assert [answer.status_code for answer in hanging.go_on()] == [200] * 3
    for each in begun:
        ok(sender.complete(each, sender.send(each, data)), 201)
    assert [row["kind"] for row in place.world.rows(place.tenant, "uploads")] == ["direct"] * 8


def test_a_part_that_is_refused_leaves_what_was_there(own: Place) -> None:
    """Here because others begin at the same moment: they are counted too."""
    data, sender = content(10), own.sender
    begun = sender.begin(data)
    tags = sender.send(begun, data)
    answer = with_others_beginning(own.world, own.tenant, lambda: sender.put(begun["parts"][0], content(10, 1)))
    assert (answer.status, answer.body["code"]) == (429, "too_many_uploads")
    assert {part["number"]: f'"{part["tag"]}"' for part in sender.state(begun)["received"]} == tags
    own.world.tenant_sql(own.tenant, "DELETE FROM {t}.uploads WHERE kind = 'stream'")
    assert ok(sender.complete(begun, tags), 201)["fingerprint"] == fingerprint(data)


def test_what_a_dead_process_was_receiving_counts_no_more(own: Place) -> None:
    """Its row is swept up; the upload itself, and what had arrived of it, stays."""
    data, sender = content(PART + 7), own.sender
    begun = sender.begin(data)
    sender.send(begun, data, [1])
    body, request = hanging_part(own, begun["parts"][1], data[PART:])
    expired = own.world.tenant_sql(
        own.tenant, "UPDATE {t}.uploads SET expires_at = now() - interval '1 second' WHERE kind = 'stream' RETURNING id"
    )
    assert len(expired) == 1
    own.world.run_jobs()
    assert [row["kind"] for row in own.world.rows(own.tenant, "uploads")] == ["direct"]
    body.go.set()
    ok(request.result())
    assert ok(sender.complete(begun), 201)["fingerprint"] == fingerprint(data)


class Watching:
    """A body in two pieces: with the first its request's row is about to expire, with the second it was looked at again."""

    def __init__(self, place: Place, data: bytes) -> None:
        self._place, self._data = place, data
        self.found: list[Any] = []

    def read(self, size: int = -1) -> bytes:
        self.found = self._place.world.rows(self._place.tenant, "uploads", "kind = 'stream' AND expires_at > now() + interval '1 minute'")
        self._place.world.tenant_sql(self._place.tenant, "UPDATE {t}.uploads SET expires_at = now() WHERE kind = 'stream'")
        piece, self._data = self._data[: min(5, size)], self._data[min(5, size) :]
        return piece


def test_a_part_that_takes_long_goes_on_counting(own: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "PROLONG_AFTER_S", -1)
    data, sender = content(10), own.sender
    begun = sender.begin(data)
    body = Watching(own, data)
    ok(empty_handed(own, begun["parts"][0])({"environ_overrides": {"wsgi.input": body, "CONTENT_LENGTH": "10"}}))
    assert len(body.found) == 1
    ok(sender.complete(begun), 201)
