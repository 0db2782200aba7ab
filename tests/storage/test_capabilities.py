"""What providers of one capability have to do, on every backend whose kind has it (`backends.CAPABILITIES`)."""

from __future__ import annotations

from typing import cast

import pytest
import urllib3
from strongroom.errors import Conflict, NotFound
from strongroom.storage.base import CannotCompose, LocalFiles, Multipart, Part, Presigning, Provider, Regions, ServerSideCopy, Slice

from tests.storage.backends import BACKENDS, having
from tests.storage.objects import MIB, PART, key_in, prefix_of, put, read

on_multipart = pytest.mark.parametrize("name", having(Multipart))
on_presigning = pytest.mark.parametrize("name", having(Presigning))
CANNOT_CUT = {"s3-rclone", "gcs", "opendal-webdav"}
"""`rclone serve s3` takes UploadPartCopy for an empty part: the provider sees that, and says that it cannot compose.
Google composes whole objects only, and WebDAV copies them only."""
on_copying = pytest.mark.parametrize("name", having(ServerSideCopy))
on_regions = pytest.mark.parametrize("name", having(Regions))


class Both(Provider, Presigning, ServerSideCopy, Regions):
    """For mypy alone: what a test may call on a backend that has it."""


@pytest.fixture
def provider(name: str, request: pytest.FixtureRequest) -> Both:
    return cast(Both, BACKENDS[name].make(request))


# Multipart


@on_multipart
def test_parts_make_an_object(provider: Both, key: str) -> None:
    session = provider.begin_multipart(key)
    data = [bytes([number]) * PART for number in (1, 2)] + [b"end"]
    parts = [provider.put_part(key, session, number, memoryview(piece)) for number, piece in enumerate(data, 1)]
    assert [(part.number, part.size_bytes) for part in parts] == [(1, PART), (2, PART), (3, 3)]
    with pytest.raises(NotFound):
        provider.head(key)
    assert provider.assemble(key, session, parts[::-1]).size_bytes == 2 * PART + 3
    assert read(provider, key) == b"".join(data)
    assert [(each.key, each.size_bytes) for each in provider.list(prefix_of(key))] == [(key, 2 * PART + 3)]


@on_multipart
def test_a_session_ends_once(provider: Both, key: str, name: str) -> None:
    session = provider.begin_multipart(key)
    part = provider.put_part(key, session, 1, b"abc")
    provider.assemble(key, session, [part])
    if name == "s3-ceph":  # as Amazon's does, it answers a repeated call as it answered the first
        assert provider.assemble(key, session, [part]).size_bytes == 3
    else:
        with pytest.raises(NotFound):
            provider.assemble(key, session, [part])
    assert provider.head(key).size_bytes == 3, "which tells that the first call went through"
    with pytest.raises(NotFound):
        provider.put_part(key, session, 2, b"x")
    provider.discard(key, session)
    assert read(provider, key) == b"abc"


@on_multipart
def test_an_object_of_no_parts_is_empty(provider: Both, key: str) -> None:
    session = provider.begin_multipart(key)
    assert provider.assemble(key, session, []).size_bytes == 0
    assert read(provider, key) == b""
    assert len(list(provider.list(prefix_of(key)))) == 1


@on_multipart
def test_another_part_than_named_is_a_conflict(provider: Both, key: str) -> None:
    session = provider.begin_multipart(key)
    part = provider.put_part(key, session, 1, b"abc")
    other = Part(1, 3, "0" * len(part.tag)) if part.tag else Part(1, 2)  # where parts have no tags, by its size
    with pytest.raises(Conflict):
        provider.assemble(key, session, [other])
    with pytest.raises(NotFound):
        provider.head(key)


@on_multipart
def test_a_part_that_is_not_there_is_a_conflict(provider: Both, key: str) -> None:
    session = provider.begin_multipart(key)
    part = provider.put_part(key, session, 1, b"abc")
    with pytest.raises(Conflict):
        provider.assemble(key, session, [part, Part(2, 3, part.tag)])
    with pytest.raises(NotFound):
        provider.head(key)


@on_multipart
def test_what_was_discarded_is_gone(provider: Both, key: str) -> None:
    session = provider.begin_multipart(key)
    part = provider.put_part(key, session, 1, b"abc")
    assert [each.key for each in provider.list(prefix_of(key))] == [key]
    for _ in range(2):
        provider.discard(key, session)
    assert list(provider.list(prefix_of(key))) == []
    with pytest.raises(NotFound):
        provider.assemble(key, session, [part])
    with pytest.raises(NotFound):
        provider.put_part(key, session, 1, b"abc")


@on_multipart
@pytest.mark.parametrize("whole", [True, False], ids=["prefix", "key"])
def test_sessions_are_deleted_with_their_key(provider: Both, key: str, whole: bool) -> None:
    sessions = [provider.begin_multipart(key) for _ in range(2)]
    if whole:
        provider.delete_prefix(prefix_of(key))
    else:
        provider.delete([key])
    assert list(provider.list(prefix_of(key))) == []
    for session in sessions:
        with pytest.raises(NotFound):
            provider.put_part(key, session, 1, b"abc")


# Presigning


def send(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request(method, url, body=body, headers=headers)


@on_presigning
def test_a_client_puts_parts_by_itself(provider: Both, key: str) -> None:
    session = provider.begin_multipart(key)
    assert provider.list_parts(key, session) == []
    data = [b"a" * PART, b"end"]
    for number, piece in enumerate(data, 1):
        signed = provider.presign_part(key, session, number, len(piece), 60)
        assert send(signed.method, signed.url, piece, dict(signed.headers)).status == 200
    parts = provider.list_parts(key, session)
    assert [(part.number, part.size_bytes) for part in parts] == [(1, PART), (2, 3)]
    provider.assemble(key, session, parts)
    assert read(provider, key) == b"".join(data)
    with pytest.raises(NotFound):
        provider.list_parts(key, session)


@on_presigning
def test_a_part_put_twice_is_the_later_one(provider: Both, key: str, name: str) -> None:
    # rclone refuses other bytes for a part that it has passed on already; the same bytes are welcome
    bodies = [b"same", b"same"] if name == "s3-rclone" else [b"first", b"other"]
    session = provider.begin_multipart(key)
    for body in bodies:
        provider.put_part(key, session, 1, body)
    provider.assemble(key, session, provider.list_parts(key, session))
    assert read(provider, key) == bodies[1]


@on_presigning
def test_a_signed_get_says_how_to_show_it(provider: Both, key: str) -> None:
    put(provider, key, b"0123456789")
    disposition = "attachment; filename*=UTF-8''%C3%A4%20b.txt"
    signed = provider.presign_get(key, 60, content_type="text/plain", disposition=disposition)
    answer = send(signed.method, signed.url, headers=dict(signed.headers))
    assert (answer.status, answer.data) == (200, b"0123456789")
    assert (answer.headers["Content-Type"], answer.headers["Content-Disposition"]) == ("text/plain", disposition)
    other = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert send("GET", signed.url.replace(key, other)).status == 403
    assert send("DELETE", signed.url).status == 403
    assert send("GET", signed.url.replace("text%2Fplain", "text%2Fhtml")).status == 403


# Server-side copy


@on_copying
def test_a_whole_object_is_copied(provider: Both, key: str) -> None:
    target = key_in(prefix_of(key))
    put(provider, key, b"0123456789")
    assert provider.compose(target, [Slice(key, 0, 10)]).size_bytes == 10
    assert read(provider, target) == read(provider, key) == b"0123456789"
    provider.delete([key])
    assert read(provider, target) == b"0123456789"


@on_copying
def test_slices_make_an_object(provider: Both, key: str, name: str) -> None:
    prefix = prefix_of(key)
    first, target = bytes(range(256)) * 4096 * 12, key_in(prefix)
    other = key_in(prefix)
    put(provider, key, first)
    put(provider, other, b"0123456789")
    pieces = [Slice(key, 100, 6 * MIB), Slice(key, 3 * MIB, PART), Slice(other, 2, 0), Slice(other, 2, 5)]
    if name in CANNOT_CUT:
        with pytest.raises(CannotCompose):
            provider.compose(target, pieces)
        assert {each.key for each in provider.list(prefix)} == {key, other}
        return
    made = provider.compose(target, pieces)
    assert made.size_bytes == 11 * MIB + 5
    assert read(provider, target) == first[100 : 100 + 6 * MIB] + first[3 * MIB : 3 * MIB + PART] + b"23456"


@on_copying
def test_one_slice_of_an_object(provider: Both, key: str, name: str) -> None:
    target = key_in(prefix_of(key))
    put(provider, key, b"0123456789")
    if name in CANNOT_CUT:
        with pytest.raises(CannotCompose):
            provider.compose(target, [Slice(key, 3, 4)])
        return
    assert provider.compose(target, [Slice(key, 3, 4)]).size_bytes == 4
    assert read(provider, target) == b"3456"


@on_copying
def test_a_source_that_is_not_there(provider: Both, key: str, name: str) -> None:
    prefix = prefix_of(key)
    there, target = key_in(prefix), key_in(prefix)
    put(provider, there, bytes(PART))
    for pieces in ([Slice(key, 0, 3)], [Slice(there, 0, PART), Slice(key, 0, 3)]):
        with pytest.raises((NotFound, CannotCompose) if name in CANNOT_CUT else NotFound):
            provider.compose(target, pieces)
        with pytest.raises(NotFound):
            provider.head(target)


@on_copying
def test_small_slices_are_made_or_refused(provider: Both, key: str) -> None:
    target = key_in(prefix_of(key))
    put(provider, key, b"0123456789")
    pieces = [Slice(key, 0, 3), Slice(key, 5, 3)]
    if isinstance(provider, LocalFiles):
        provider.compose(target, pieces)
        assert read(provider, target) == b"012567"
    else:
        with pytest.raises(CannotCompose):
            provider.compose(target, pieces)
        assert [each.key for each in provider.list(prefix_of(key))] == [key]


# Regions


@on_regions
def test_regions_are_written_in_any_order(provider: Both, key: str) -> None:
    for _ in range(2):
        provider.begin_regions(key, None)
    for offset, data in ((5, b"56789"), (0, b"01234")):
        region = provider.region(key, offset)
        region.write(data)
        region.sync()
        region.close()
    assert provider.read_region(key, 3, 4) == b"3456"
    with pytest.raises(NotFound):
        provider.head(key)
    assert [each.key for each in provider.list(prefix_of(key))] == [key]
    for _ in range(2):
        assert provider.finish_regions(key, 8).size_bytes == 8
    assert read(provider, key) == b"01234567"


@on_regions
def test_regions_of_what_was_not_begun(provider: Both, key: str) -> None:
    for act in (lambda: provider.region(key, 0), lambda: provider.finish_regions(key, 0)):
        with pytest.raises(NotFound):
            act()
    provider.begin_regions(key, 10)
    provider.delete([key])
    with pytest.raises(NotFound):
        provider.region(key, 0)
