"""What every provider has to do, told once and held against each of them, on real servers."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from strongroom.db.ids import new_id
from strongroom.errors import NotFound, StorageUnavailable, UnknownProviderKind
from strongroom.storage.base import Multipart, Presigning, Provider, Regions
from strongroom.storage.keys import object_key, tenant_prefix
from strongroom.storage.probe import probe
from strongroom.storage.providers import KINDS, make_provider

from tests.slow import all_at_once
from tests.storage.backends import ALL, BACKENDS, CAPABILITIES, Backend
from tests.storage.objects import MIB, key_in, put, read

BUILT_IN = frozenset(KINDS)  # before the tests add some of their own
ALWAYS = ("check", "write", "describe", "read", "read a range", "list", "delete")


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]


@pytest.fixture
def provider(request: pytest.FixtureRequest, backend: Backend) -> Provider:
    return backend.make(request)


def test_every_kind_is_held_to_this() -> None:
    assert {backend.kind for backend in BACKENDS.values()} == BUILT_IN == set(CAPABILITIES)


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_what_each_kind_can_do(name: str, request: pytest.FixtureRequest) -> None:
    backend = BACKENDS[name]
    provider = backend.make(request)
    assert {capability for capability in ALL if isinstance(provider, capability)} == backend.capabilities


def test_a_process_without_clouds_loads_none_of_their_libraries() -> None:
    code = "import sys, strongroom.app, workers.runner, strongroom.storage.providers; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "strongroom.storage.providers" in loaded
    assert not {"boto3", "botocore", "google.cloud.storage", "opendal"} & set(loaded)


@pytest.mark.parametrize(
    "pieces",
    [[], [b""], [b"x"], [b"abc", b"", b"def"], [b"\0" * MIB, b"\xff" * MIB, b"end"]],
    ids=["none", "empty", "one", "three", "large"],
)
def test_what_is_written_is_read(provider: Provider, prefix: str, pieces: list[bytes]) -> None:
    key, data = key_in(prefix), b"".join(pieces)
    meta = put(provider, key, *pieces)
    assert (meta.key, meta.size_bytes) == (key, len(data))
    assert abs(meta.modified_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert provider.head(key).size_bytes == len(data)
    assert read(provider, key) == data
    assert [(each.key, each.size_bytes) for each in provider.list(prefix)] == [(key, len(data))]


def test_reading_from_anywhere(provider: Provider, prefix: str) -> None:
    key = key_in(prefix)
    put(provider, key, b"0123456789")
    reader = provider.open(key)
    try:
        assert reader.seek(4) == 4
        assert reader.read(3) == b"456"
        assert reader.seek(8) == 8
        assert reader.read() == b"89"
        assert reader.read() == b""
        assert reader.seek(100) == 100
        assert reader.read(1) == b""
    finally:
        reader.close()


def test_nothing_is_seen_before_it_is_complete(provider: Provider, prefix: str, backend: Backend) -> None:
    key = key_in(prefix)
    writer = provider.writer(key, 24 * MIB)
    writer.write(bytes(17 * MIB))
    for act in (provider.head, provider.open):
        with pytest.raises(NotFound):
            act(key)
    left = [key] if backend.shows_unfinished else []
    assert [each.key for each in provider.list(prefix)] == left, "a walk finds what is unfinished, for the sweeper"
    writer.abort()
    assert list(provider.list(prefix)) == []


def test_abort_is_harmless_at_any_time(provider: Provider, prefix: str) -> None:
    key = key_in(prefix)
    writer = provider.writer(key, 3)
    writer.abort()
    writer.abort()
    done = provider.writer(key, 3)
    done.write(b"abc")
    done.complete()
    done.abort()
    assert read(provider, key) == b"abc"


def test_less_than_was_announced(provider: Provider, prefix: str) -> None:
    key = key_in(prefix)
    writer = provider.writer(key, 1000)
    writer.write(b"abc")
    assert writer.complete().size_bytes == 3
    assert read(provider, key) == b"abc"


def test_what_is_not_there(provider: Provider, prefix: str) -> None:
    key = key_in(prefix)
    for act in (provider.head, provider.open):
        with pytest.raises(NotFound):
            act(key)
    provider.delete([key, key_in(prefix)])
    provider.delete([])
    provider.delete_prefix(prefix)
    assert list(provider.list(prefix)) == []


def test_delete_is_idempotent_and_exact(provider: Provider, prefix: str) -> None:
    keys = [key_in(prefix) for _ in range(3)]
    for key in keys:
        put(provider, key, b"x")
    for _ in range(2):
        provider.delete(iter(keys[:2]))
    assert [each.key for each in provider.list(prefix)] == keys[2:]


def test_delete_removes_what_was_left_unfinished(provider: Provider, prefix: str, backend: Backend) -> None:
    if not backend.shows_unfinished:
        return  # it ends by itself after a week; nobody can list it
    key = key_in(prefix)
    writer = provider.writer(key, 24 * MIB)
    writer.write(bytes(17 * MIB))
    provider.delete([key])
    assert list(provider.list(prefix)) == []
    with pytest.raises(StorageUnavailable):
        writer.complete()
    writer.abort()
    with pytest.raises(NotFound):
        provider.head(key)


def test_prefixes_are_apart(provider: Provider) -> None:
    mine, other = tenant_prefix(new_id()), tenant_prefix(new_id())
    for prefix in (mine, other):
        for _ in range(3):
            put(provider, key_in(prefix), b"x")
    assert all(each.key.startswith(mine) for each in provider.list(mine))
    provider.delete_prefix(mine)
    provider.delete_prefix(mine)
    assert list(provider.list(mine)) == []
    assert len(list(provider.list(other))) == 3


def test_listing_many(provider: Provider, prefix: str) -> None:
    bucket = new_id()
    keys = {object_key(prefix, bucket, new_id()) for _ in range(300)}
    for key in keys:
        put(provider, key)
    assert {each.key for each in provider.list(prefix)} == keys


def test_many_writers_at_once(provider: Provider, prefix: str) -> None:
    """Also the first ones of a tenant and a bucket, which make their folders."""
    bucket = new_id()
    keys = [object_key(prefix, bucket, new_id()) for _ in range(16)]
    all_at_once([lambda key=key: put(provider, key, key.encode() * 1000) for key in keys])
    assert all(read(provider, key) == key.encode() * 1000 for key in keys)


def test_the_probe_passes(provider: Provider, tmp_path: Path) -> None:
    outcomes = list(probe(provider))
    assert [each for each in outcomes if each.problem] == []
    told = [each.name for each in outcomes]
    assert [name for name in told if name in ALWAYS] == list(ALWAYS)
    assert ("upload in parts" in told) == isinstance(provider, Multipart)
    assert ("write on" in told) == isinstance(provider, Regions)
    assert ("download by a signed address" in told) == isinstance(provider, Presigning)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB, 21 * MIB])
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "unknown"])
def test_sizes_around_a_part(provider: Provider, prefix: str, size_bytes: int, announced: bool) -> None:
    """Also one whose size nobody knew before."""
    key = key_in(prefix)
    data = (key.encode() * (size_bytes // len(key) + 1))[:size_bytes]
    writer = provider.writer(key, size_bytes if announced else None)
    for start in range(0, size_bytes, 300_000):
        writer.write(data[start : start + 300_000])
    assert writer.complete().size_bytes == size_bytes
    assert provider.head(key).size_bytes == size_bytes
    assert read(provider, key) == data
    reader = provider.open(key)
    reader.seek(size_bytes - 10)
    assert reader.read() == data[-10:]
    reader.seek(0)
    assert reader.read(7) == data[:7]
    reader.close()
    provider.delete([key])


def test_the_callers_buffer_stays_its_own(provider: Provider, prefix: str) -> None:
    """It is filled again as soon as `write` returns."""
    key, buffer = key_in(prefix), bytearray(256 * 1024)
    writer = provider.writer(key, 10 * MIB)
    for number in range(40):
        buffer[:] = bytes([number]) * len(buffer)
        writer.write(memoryview(buffer))
    writer.write(memoryview(b"end"))
    writer.complete()
    assert read(provider, key) == b"".join(bytes([number]) * len(buffer) for number in range(40)) + b"end"


def test_the_same_key_again_is_replaced_whole(provider: Provider, prefix: str) -> None:
    key = key_in(prefix)
    put(provider, key, b"first, which is longer")
    put(provider, key, b"second")
    assert read(provider, key) == b"second"


@pytest.mark.parametrize("key", ["", "x", "../x", "tn-0/x", "tn-" + "0" * 32 + "/" + "1" * 32, "tn-" + "0" * 32 + "/../" + "1" * 32])
def test_keys_that_are_none_of_ours(provider: Provider, key: str) -> None:
    for act in (provider.head, provider.open, lambda each: provider.writer(each, 1), lambda each: provider.delete([each])):
        with pytest.raises(NotFound):
            act(key)


@pytest.mark.parametrize("prefix", ["", "/", "tn-", "tn-" + "0" * 32, "../tn-" + "0" * 32 + "/"])
def test_prefixes_that_are_no_tenants(provider: Provider, prefix: str) -> None:
    with pytest.raises(NotFound):
        list(provider.list(prefix))
    with pytest.raises(NotFound):
        provider.delete_prefix(prefix)


@pytest.mark.parametrize("kind", ["", "floppy", "Filesystem", "filesystem "])
def test_unknown_kinds(kind: str) -> None:
    with pytest.raises(UnknownProviderKind):
        make_provider(kind, {"root": "/srv"})
