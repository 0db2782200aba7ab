"""Several ranges at once: multipart/byteranges, and no more of them than is reasonable."""

from __future__ import annotations

import email
from email.message import Message
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom.http.ranges import MAX_PARTS, ByteRange, _joined
from werkzeug.test import TestResponse

from tests.factories import Client, World, object_url, problem

pytestmark = pytest.mark.usefixtures("bucket")
DATA = b"".join(b"%05d," % number for number in range(1706)) + b"end."
URL = object_url("media", "a.txt")


@pytest.fixture(autouse=True)
def file(world: World, client: Client, bucket: Any) -> Any:  # noqa: ARG001 - the file lies in it
    made = world.upload(client, "a.txt", DATA)
    world.run_jobs()
    return made


def parts_of(response: TestResponse) -> list[tuple[str, bytes]]:
    """(Content-Range, bytes) of each part, as a mail parser of other people reads them."""
    head = f"Content-Type: {response.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + response.data)
    assert not message.defects
    found = message.get_payload()
    assert isinstance(found, list)
    parts = [part for part in found if isinstance(part, Message)]
    assert {part["Content-Type"] for part in parts} == {"text/plain; charset=utf-8"}
    return [(part["Content-Range"], bytes(part.get_payload(decode=True))) for part in parts]  # type: ignore[arg-type]  # a part of a multipart body has bytes


@pytest.mark.parametrize(("header", "wanted"), [
    ("bytes=48-57,65-90", [(48, 57), (65, 90)]), ("bytes=65-90,48-57", [(65, 90), (48, 57)]),
    ("bytes=97-99, -7", [(97, 99), (10233, 10239)]),
    ("bytes=97-99,,100000-,10233-", [(97, 99), (10233, 10239)]), ("Bytes=48-50,60-70,65-80", [(48, 50), (60, 80)]),
])  # fmt: skip
def test_several(client: Client, header: str, wanted: list[tuple[int, int]]) -> None:
    response = client.get(URL, headers={"Range": header})
    assert response.status_code == 206
    assert response.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert "Content-Range" not in response.headers
    assert int(response.headers["Content-Length"]) == len(response.data)
    assert parts_of(response) == [(f"bytes {first}-{last}/{len(DATA)}", DATA[first : last + 1]) for first, last in wanted]
    head = client.head(URL, headers={"Range": header})
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (206, b"", response.headers["Content-Length"])


@pytest.mark.parametrize(("header", "first", "last"), [
    ("bytes=0-9,10-19", 0, 19), ("bytes=10-19,0-9", 0, 19), ("bytes=0-,0-,0-", 0, 10239), ("bytes=5-9,99999-", 5, 9), ("bytes=0-9,", 0, 9),
])  # fmt: skip
def test_what_overlaps_or_touches_is_one(client: Client, header: str, first: int, last: int) -> None:
    response = client.get(URL, headers={"Range": header})
    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"
    assert response.data == DATA[first : last + 1]


@pytest.mark.parametrize(
    "header",
    [
        "bytes=" + ",".join(f"{2 * number}-{2 * number}" for number in range(MAX_PARTS + 1)),
        "bytes=" + ",".join(["0-"] * 600),
        "bytes=0-1,x",
        "bytes=0-1,9-5",
        "bytes=0-1,-",
        "lines=0-1,4-5",
    ],
    ids=["many", "overlapping", "letter", "backwards", "bare", "unit"],
)
def test_too_much_or_nonsense_is_the_whole_file(client: Client, header: str) -> None:
    response = client.get(URL, headers={"Range": header})
    assert (response.status_code, response.data) == (200, DATA)


def test_as_many_as_are_allowed(client: Client) -> None:
    header = "bytes=" + ",".join(f"{2 * number}-{2 * number}" for number in range(MAX_PARTS))
    assert len(parts_of(client.get(URL, headers={"Range": header}))) == MAX_PARTS


def test_overlapping_ranges_never_make_an_answer_larger(client: Client) -> None:
    response = client.get(URL, headers={"Range": "bytes=" + ",".join(f"{number}-" for number in range(400))})
    assert response.data == DATA


def test_none_of_them_is_there(client: Client) -> None:
    problem(client.get(URL, headers={"Range": "bytes=99999-,100000-100001"}), 416, "range_not_satisfiable")


def test_conditions_hold_for_several_too(client: Client, file: Any) -> None:
    several = {"Range": "bytes=0-1,4-5"}
    assert client.get(URL, headers={**several, "If-Range": '"other"'}).data == DATA
    assert client.get(URL, headers={**several, "If-Range": f'"{file["etag"]}"'}).status_code == 206
    assert client.get(URL, headers={**several, "If-None-Match": f'"{file["etag"]}"'}).status_code == 304


def test_bytes_sent_are_counted(world: World, client: Client, tenant: Any) -> None:
    assert client.get(URL, headers={"Range": "bytes=0-9,20-29"}).status_code == 206
    (row,) = world.rows(tenant, "access_log", "operation = 'download'")
    assert row["bytes_out"] == 20


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 20)), min_size=1, max_size=20))
def test_joined_parts_hold_the_same_bytes_once(pairs: list[tuple[int, int]]) -> None:
    joined = _joined(ByteRange(start, length) for start, length in pairs)
    wanted = {place for start, length in pairs for place in range(start, start + length)}
    found = [place for part in joined for place in range(part.start, part.end)]
    assert len(found) == len(set(found))
    assert set(found) == wanted
    ordered = sorted(joined, key=lambda part: part.start)
    assert all(one.end < other.start for one, other in pairwise(ordered))
