"""Parts of direct uploads on their way: sizes, tokens, expiry, and senders that get in each other's way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from strongroom.uploads import part_stores

from tests.factories import Client, object_url, ok, problem
from tests.slow import InBackground, SlowBody
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
