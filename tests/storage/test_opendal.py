"""OpenDAL: a WebDAV and an FTP server behind it; outages, half-written tables, and configurations that are refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from strongroom.errors import NotFound, StorageFull, StorageUnavailable, ValidationFailed
from strongroom.storage.base import Presigning, Provider, ServerSideCopy
from strongroom.storage.opendal_index import Index
from strongroom.storage.opendal_schemes import SCHEMES, available, known_options
from strongroom.storage.providers import make_provider

from tests.services.outage import Fault, Outage, outage
from tests.services.webdav import RcloneService, rclone_serve
from tests.slow import all_at_once
from tests.storage.clouds import opendal_provider
from tests.storage.objects import MIB, new_key, prefix_of, put, read

BYTES = random.Random(2).randbytes(20 * MIB + 17)  # noqa: S311 - only to be told apart
LOCAL = [
    "fs",
    "file",
    "memory",
    "sqlite",
    "redis",
    "dashmap",
    "moka",
    "mini-moka",
    "sled",
    "redb",
    "cacache",
    "mysql",
    "postgresql",
    "http",
]


@pytest.fixture(params=["webdav", "ftp"])
def server(request: pytest.FixtureRequest) -> RcloneService:
    running: RcloneService = request.getfixturevalue(f"{request.param}_server")
    return running


@pytest.fixture
def provider(server: RcloneService) -> Provider:
    return opendal_provider(server)


@pytest.fixture
def proxy(webdav_server: RcloneService) -> Iterator[Outage]:
    with outage(webdav_server.port) as running:
        yield running


@pytest.fixture
def shaky(webdav_server: RcloneService, proxy: Outage) -> Any:
    return opendal_provider(webdav_server, proxy.port, timeout_s=0.5)


def pieces_of(server: RcloneService, key: str) -> list[Path]:
    """What lies beside a key."""
    path = server.folder / "objects" / key
    return sorted(path.parent.glob(f"{path.name}.*"))


# Writing and reading


@pytest.mark.parametrize("size", [8 * MIB - 1, 8 * MIB, 8 * MIB + 1, len(BYTES)])
def test_objects_of_several_pieces(provider: Provider, size: int) -> None:
    key = new_key()
    writer = provider.writer(key, size)
    for start in range(0, size, 3 * MIB):
        writer.write(BYTES[start : min(start + 3 * MIB, size)])
    with pytest.raises(NotFound):
        provider.head(key)
    meta = writer.complete()
    assert meta.size_bytes == size
    assert provider.head(key) == meta
    assert read(provider, key) == BYTES[:size]
    assert [(each.key, each.size_bytes) for each in provider.list(prefix_of(key))] == [(key, size)]
    reader = provider.open(key)
    for offset in (size - 5, 3 * MIB, 0):
        reader.seek(offset)
        assert reader.read(5) == BYTES[offset : offset + 5]
    provider.delete([key])
    assert list(provider.list(prefix_of(key))) == []


def test_delete_ends_what_is_being_written(provider: Provider) -> None:
    key = new_key()
    writer = provider.writer(key, None)
    writer.write(BYTES)
    assert [(each.key, each.size_bytes) for each in provider.list(prefix_of(key))] == [(key, 16 * MIB)]
    provider.delete([key])
    assert list(provider.list(prefix_of(key))) == []
    with pytest.raises(StorageUnavailable):
        writer.complete()
    writer.abort()
    with pytest.raises(NotFound):
        provider.head(key)


def test_abort_removes_pieces(provider: Provider) -> None:
    key = new_key()
    writer = provider.writer(key, None)
    writer.write(BYTES)
    writer.abort()
    assert list(provider.list(prefix_of(key))) == []


def test_a_second_writer_that_breaks_off_leaves_the_object_whole(server: RcloneService, provider: Provider) -> None:
    key = new_key()
    meta, pieces = put(provider, key, BYTES[: 9 * MIB]), pieces_of(server, key)
    writer = provider.writer(key, None)
    writer.write(BYTES[MIB : 10 * MIB])
    assert len(pieces_of(server, key)) == len(pieces) + 1
    writer.abort()
    assert pieces_of(server, key) == pieces
    assert (provider.head(key), read(provider, key)) == (meta, BYTES[: 9 * MIB])


def test_of_two_writers_the_overtaken_one_takes_nothing_away(server: RcloneService, provider: Provider) -> None:
    key = new_key()
    slow, quick = provider.writer(key, None), provider.writer(key, None)
    slow.write(BYTES[: 9 * MIB])
    quick.write(BYTES[: 9 * MIB])
    quick.complete()
    slow.abort()
    assert read(provider, key) == BYTES[: 9 * MIB]
    assert len(pieces_of(server, key)) == 2
    provider.delete([key])
    assert list(provider.list(prefix_of(key))) == []


def test_an_object_that_is_replaced_while_it_is_read(server: RcloneService, provider: Provider) -> None:
    """Its reader goes on, and its pieces are not left over."""
    key = new_key()
    put(provider, key, BYTES[: 9 * MIB])
    reader = provider.open(key)
    assert reader.read(5) == BYTES[:5]
    put(provider, key, BYTES[: 9 * MIB])
    reader.seek(9 * MIB - 5)
    assert reader.read(5) == BYTES[9 * MIB - 5 : 9 * MIB]
    assert len(pieces_of(server, key)) == 2


def test_what_a_dead_writer_left_beside_an_object(server: RcloneService, provider: Provider) -> None:
    """It shows under the key once the object is gone, so that who looks for left-overs finds and removes it."""
    key = new_key()
    provider.writer(key, None).write(BYTES[: 8 * MIB])
    put(provider, key, b"abc")
    provider.delete([key])
    assert [(each.key, each.size_bytes) for each in provider.list(prefix_of(key))] == [(key, 8 * MIB)]
    provider.delete([key])
    assert (list(provider.list(prefix_of(key))), pieces_of(server, key)) == ([], [])


def test_objects_of_before_pieces_had_tags(server: RcloneService) -> None:
    provider: Any = opendal_provider(server)
    key = new_key()
    provider.put(f"{key}.00001", b"abc")
    provider.put(key, b'{"strongroom":1,"at":"2026-01-02T03:04:05+00:00","tag":"0123","pieces":[[1,3]]}\n')
    assert (provider.head(key).tag, read(provider, key)) == ("0123", b"abc")
    writer = provider.writer(key, None)
    writer.write(BYTES[: 8 * MIB])
    writer.abort()
    assert read(provider, key) == b"abc"
    put(provider, key, b"abcd")
    assert (read(provider, key), len(pieces_of(server, key))) == (b"abcd", 1)
    provider.delete([key])
    assert (list(provider.list(prefix_of(key))), pieces_of(server, key)) == ([], [])


@pytest.mark.parametrize("cut", [0, 1, -1])
def test_a_table_that_was_cut_off_is_none(server: RcloneService, cut: int) -> None:
    """What a crash of the service leaves over: never a shorter object."""
    provider, key = opendal_provider(server), new_key()
    put(provider, key, b"abc")
    file = server.folder / "objects" / key
    file.write_bytes(file.read_bytes()[:cut])
    for act in (provider.head, provider.open):
        with pytest.raises(NotFound):
            act(key)
    assert [each.key for each in provider.list(prefix_of(key))] == [key]
    provider.delete([key])
    assert list(provider.list(prefix_of(key))) == []


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", b"[]\n", b'{"strongroom":2}\n', b"\xff\n", b'{"strongroom":1,"pieces":[[1]]}\n'])
def test_what_is_no_table(data: bytes) -> None:
    assert Index.from_bytes(data) is None


def test_ranges_over_pieces() -> None:
    index = Index.now([(1, 10), (3, 5), (4, 10)])
    assert Index.from_bytes(index.to_bytes()) == index
    tagged = Index.now([(1, 10)], "abcdef")
    assert Index.from_bytes(tagged.to_bytes()) == tagged
    assert list(index.ranges(0, 25)) == [(1, 0, 10), (3, 0, 5), (4, 0, 10)]
    assert list(index.ranges(9, 7)) == [(1, 9, 1), (3, 0, 5), (4, 0, 1)]
    assert list(index.ranges(10, 0)) == []


def test_a_piece_that_lost_bytes_is_told(server: RcloneService) -> None:
    provider, key = opendal_provider(server), new_key()
    put(provider, key, b"abcdef")
    (piece,) = pieces_of(server, key)
    piece.write_bytes(b"abc")
    with pytest.raises(StorageUnavailable):
        read(provider, key)


def test_capabilities_are_those_of_the_service(webdav_server: RcloneService, ftp_server: RcloneService) -> None:
    webdav, ftp = opendal_provider(webdav_server), opendal_provider(ftp_server)
    assert (isinstance(webdav, ServerSideCopy), isinstance(ftp, ServerSideCopy)) == (True, False)
    assert not isinstance(webdav, Presigning)


# Outages


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.UNAVAILABLE, Fault.ERROR])
def test_short_outages_are_not_felt(webdav_server: RcloneService, proxy: Outage, fault: Fault) -> None:
    provider, key = opendal_provider(webdav_server, proxy.port, timeout_s=5), new_key()
    steps: list[Callable[[], Any]] = [
        lambda: put(provider, key, b"abc"),
        lambda: provider.head(key),
        lambda: read(provider, key),
        lambda: list(provider.list(prefix_of(key))),
        lambda: provider.delete([key]),
        provider.check,
    ]
    for step in steps:
        proxy.begin(fault, times=1)
        step()
    assert proxy.hit == len(steps)
    with pytest.raises(NotFound):
        provider.head(key)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.UNAVAILABLE, Fault.HANG])
@pytest.mark.parametrize("step", ["write", "complete", "open", "list", "delete", "check"])
def test_outages_are_told_and_leave_nothing_half(shaky: Any, webdav_server: RcloneService, proxy: Outage, fault: Fault, step: str) -> None:
    key, there = new_key(), new_key()
    put(shaky, there, b"abc")
    writer = shaky.writer(key, None)
    writer.write(BYTES[: 8 * MIB])
    acts: dict[str, Callable[[], Any]] = {
        "write": lambda: writer.write(BYTES[: 8 * MIB]),
        "complete": writer.complete,
        "open": lambda: shaky.open(there),
        "list": lambda: list(shaky.list(prefix_of(there))),
        "delete": lambda: shaky.delete([there]),
        "check": shaky.check,
    }
    proxy.begin(fault)
    with pytest.raises(StorageUnavailable) as caught:
        acts[step]()
    said = f"{caught.value} {caught.value.detail} {caught.value.__cause__}"
    assert webdav_server.password not in said
    assert "127.0.0.1" not in said
    proxy.end()
    writer.abort()
    direct = opendal_provider(webdav_server)
    with pytest.raises(NotFound):
        direct.head(key)
    assert read(direct, there) == b"abc"
    assert list(direct.list(prefix_of(key))) == []


def test_a_service_that_is_full(shaky: Any, proxy: Outage) -> None:
    proxy.begin(Fault.FULL)
    with pytest.raises(StorageFull):
        put(shaky, new_key(), b"abc")


@pytest.mark.parametrize("protocol", ["webdav", "ftp"])
def test_a_server_that_disappears(tmp_path: Path, protocol: str) -> None:
    with rclone_serve(protocol, tmp_path) as server:
        provider, key = opendal_provider(server, timeout_s=1), new_key()
        writer = provider.writer(key, None)
        writer.write(BYTES)
        server.kill()

        def is_told(act: Callable[[], object]) -> None:
            with pytest.raises(StorageUnavailable):
                act()

        acts = (writer.complete, lambda: provider.head(key), provider.check)
        all_at_once([partial(is_told, act) for act in acts])  # each goes on trying for a while
        writer.abort()


def test_a_wrong_password(webdav_server: RcloneService) -> None:
    provider = make_provider("opendal", webdav_server.config(), {"password": "not-the-right-one"})
    with pytest.raises(StorageUnavailable) as caught:
        provider.check()
    assert "not-the-right-one" not in caught.value.detail
    assert "secrets" in caught.value.detail


# Configuration


@pytest.mark.parametrize("scheme", [*LOCAL, "s3", "gcs", "", "WebDAV", None, 7, "sftp"])
def test_only_what_is_on_the_list(scheme: object) -> None:
    with pytest.raises(ValidationFailed) as caught:
        make_provider("opendal", {"scheme": scheme, "options": {"root": "/"}})
    if scheme not in {"s3", "gcs"}:
        assert "webdav" in caught.value.detail


def test_the_library_has_what_is_on_the_list() -> None:
    assert available() == sorted(SCHEMES)
    assert all("root" in known_options(scheme) for scheme in SCHEMES)


@pytest.mark.parametrize(
    ("options", "secrets"),
    [
        ({}, {}),
        ({"endpoint": "http://127.0.0.1:1", "pasword": "5ecret"}, {}),
        ({"endpoint": "http://127.0.0.1:1", "password": "5ecret"}, {}),
        ({"endpoint": "http://127.0.0.1:1", "token": "5ecret"}, {}),
        ({"endpoint": "http://user:5ecret@127.0.0.1:1"}, {}),
        ({"endpoint": "http://127.0.0.1:1/?token=5ecret"}, {}),
        ({"endpoint": "nonsense"}, {}),
        ({"endpoint": ["http://127.0.0.1:1"]}, {}),
        ({"endpoint": "http://127.0.0.1:1", "username": "u"}, {"username": "5ecret"}),
        ({"endpoint": "http://127.0.0.1:1"}, {"pass": "5ecret"}),
        ("endpoint", {}),
    ],
    ids=str,
)
def test_options_that_are_refused(options: object, secrets: dict[str, object]) -> None:
    with pytest.raises(ValidationFailed) as caught:
        make_provider("opendal", {"scheme": "webdav", "options": options}, secrets)
    assert "5ecret" not in str(caught.value) + caught.value.detail
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("extra", [{"timeout_s": 0}, {"timeout_s": "5"}, {"timeout_s": True}, {"root": "/srv"}], ids=str)
def test_fields_that_are_refused(extra: dict[str, object]) -> None:
    with pytest.raises(ValidationFailed):
        make_provider("opendal", {"scheme": "webdav", "options": {"endpoint": "http://127.0.0.1:1"}, **extra})


def test_secrets_are_in_no_representation(webdav_server: RcloneService) -> None:
    provider: Any = opendal_provider(webdav_server)
    assert webdav_server.password not in repr(vars(provider))
