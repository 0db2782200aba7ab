"""Conditions of requests: what is understood, what is refused, and that no date ever vouches for other bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom.errors import BadRequest
from strongroom.http.conditions import SETTLES_S, Modified, etags, tags_named

from tenants.models import Tenant
from tests.factories import Client, World, object_url, ok, problem, put_object

URL = object_url("media", "a.txt")
MALFORMED = ["abc", "", '"', 'a"b"', '"a" "b"', '"a", b', '"a";x=1', "*, *", 'W/abc', 'w/"a"', "'a'"]  # fmt: skip
START = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = st.floats(0, 10, allow_nan=False)


@pytest.mark.parametrize("header", MALFORMED)
def test_a_malformed_condition_lets_no_write_through(world: World, client: Client, tenant: Tenant, bucket: Any, header: str) -> None:  # noqa: ARG001 - the file lies in it
    file = world.upload(client, "a.txt", b"there")
    for name in ("If_Match", "If_None_Match"):
        problem(put_object(client, "media", "a.txt", b"new", **{name: header}), 400, "bad_request")
    for url in (URL, f"/api/v1/files/{file['id']}"):
        problem(client.delete(url, headers={"If-Match": header}), 400, "bad_request")
    created = {"Tus-Resumable": "1.0.0", "Upload-Length": "0", "If-Match": header}
    problem(client.post("/api/v1/tus?bucket=media&path=a.txt", headers=created), 400, "bad_request")
    assert client.get(URL).data == b"there"


@pytest.mark.parametrize("header", [each for each in MALFORMED if each])
def test_a_malformed_validator_matches_nothing_that_is_read(world: World, client: Client, bucket: Any, header: str) -> None:  # noqa: ARG001 - the file lies in it
    world.upload(client, "a.txt", b"there")
    for method in ("GET", "HEAD"):
        later = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}  # If-None-Match goes before it, whatever it says
        assert client.open(method, URL, headers={"If-None-Match": header, **later}).status_code == 200
        assert client.open(method, URL, headers={"If-Match": header}).status_code == 412


def test_lists_of_tags() -> None:
    assert etags('"a", W/"b" ,"c-gzip",') == {"a", "b", "c"}
    assert etags(' ,"a",, W/"b"', strong=True) == {"a"}
    assert etags(" * ") == etags("*") == {"*"}
    assert etags(None) is tags_named(None) is None
    assert tags_named('abc, "d"') == {"d"}
    for header in MALFORMED:
        with pytest.raises(BadRequest):
            etags(header)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@given(st.lists(st.tuples(SECONDS, st.floats(0, SETTLES_S * 0.99)), min_size=2, max_size=5), SECONDS)
def test_no_date_vouches_for_other_bytes(changes: list[tuple[float, float]], asked_s: float) -> None:
    """Whenever a client has asked, by whichever date it remembers its copy: after a change it is asked for again.

    A change is (its time, how long its commit took); it can be seen once it is committed. The first one makes the file.
    """
    begin = min(time for time, _ in changes)
    states = sorted((max(begin, time) + lag, time) for time, lag in changes)
    visible = [(committed, Modified(at(time), has_former=index > 0)) for index, (committed, time) in enumerate(states)]
    seen = [modified for committed, modified in visible if committed <= asked_s]
    now = visible[-1][1]
    if not seen or seen[-1] is now:
        return
    copied = at(asked_s)
    for date in (seen[-1].told(copied), copied.replace(microsecond=0)):
        assert date < now.since, "304 for other bytes"


@given(SECONDS, SECONDS, st.booleans())
def test_the_date_told_is_never_in_the_future_and_holds_once_it_is_sure(changed_s: float, later_s: float, has_former: bool) -> None:
    modified = Modified(at(changed_s), has_former)
    asked = at(changed_s + later_s)
    assert modified.told(asked) <= asked
    assert modified.told(at(changed_s + SETTLES_S + 1)) == modified.since
    if not has_former:
        assert modified.told(asked) == modified.since, "what has always been the same is held by its date at once"


def test_a_file_that_changes_within_a_second(world: World, client: Client, bucket: Any) -> None:  # noqa: ARG001 - the file lies in it
    world.upload(client, "a.txt", b"first")
    first = client.get(URL)
    by_date = {"If-Modified-Since": first.headers["Last-Modified"]}
    assert client.get(URL, headers=by_date).status_code == 304
    world.upload(client, "a.txt", b"second")
    second = client.get(URL, headers=by_date)
    assert (second.status_code, second.data) == (200, b"second")
    by_clock = {"If-Modified-Since": second.headers["Last-Modified"]}
    world.upload(client, "a.txt", b"third")
    assert client.get(URL, headers=by_clock).data == b"third"
    assert client.get(URL, headers={**by_clock, "Range": "bytes=0-1"}).data == b"th"
    part = client.get(URL, headers={"Range": "bytes=0-1", "If-Range": second.headers["Last-Modified"]})
    assert (part.status_code, part.data) == (200, b"third")
    problem(client.get(URL, headers={"If-Unmodified-Since": second.headers["Last-Modified"]}), 412, "precondition_failed")


def test_a_file_that_comes_back_to_its_path(world: World, client: Client, bucket: Any) -> None:  # noqa: ARG001 - the file lies in it
    """Its own date is older than that of the file which had its place meanwhile."""
    old = world.upload(client, "a.txt", b"old")
    ok(client.delete(URL), 204)
    new = world.upload(client, "a.txt", b"new")
    by_date = {"If-Modified-Since": client.get(URL).headers["Last-Modified"]}
    ok(client.delete(f"/api/v1/files/{new['id']}"), 204)
    ok(client.post(f"/api/v1/files/{old['id']}/undelete"))
    assert client.get(URL, headers=by_date).data == b"old"
