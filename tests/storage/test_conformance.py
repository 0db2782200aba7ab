"""What every provider has to do, told once and held against each of them."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from strongroom.db.ids import new_id
from strongroom.errors import NotFound, StorageFull, StorageUnavailable, UnknownProviderKind, ValidationFailed
from strongroom.storage.base import ObjectMeta, Provider
from strongroom.storage.filesystem import FilesystemProvider
from strongroom.storage.keys import object_key, tenant_prefix
from strongroom.storage.probe import probe
from strongroom.storage.providers import KINDS, make_provider

from tests.slow import all_at_once
from tests.storage.clouds import gcs_provider, opendal_provider

MIB = 1024 * 1024


def filesystem(folder: Path) -> Provider:
    return make_provider("filesystem", {"root": str(folder)})


PROVIDERS: dict[str, Callable[[pytest.FixtureRequest], Provider]] = {
    "filesystem": lambda request: filesystem(request.getfixturevalue("tmp_path")),
    "gcs": lambda request: gcs_provider(request.getfixturevalue("gcs_server")),
    "opendal": lambda request: opendal_provider(request.getfixturevalue("webdav_server")),
    "opendal on ftp": lambda request: opendal_provider(request.getfixturevalue("ftp_server")),
}
SENDS_AT_ONCE = {"filesystem"}
"""Kinds with which something is there as soon as a writer is open; the others gather a first chunk, and before it leave nothing."""


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param](request)


@pytest.fixture
def sends_at_once(request: pytest.FixtureRequest, provider: Provider) -> bool:  # noqa: ARG001 - parametrised with it
    return request.node.callspec.params["provider"] in SENDS_AT_ONCE


@pytest.fixture
def prefix() -> str:
    return tenant_prefix(new_id())


def key_in(prefix: str) -> str:
    return object_key(prefix, new_id(), new_id())


def put(provider: Provider, key: str, *pieces: bytes) -> ObjectMeta:
    writer = provider.writer(key, sum(map(len, pieces)))
    for piece in pieces:
        writer.write(piece)
    return writer.complete()


def read(provider: Provider, key: str) -> bytes:
    reader = provider.open(key)
    try:
        data = b""
        while piece := reader.read(64 * 1024):
            data += piece
        return data
    finally:
        reader.close()


def test_every_kind_is_held_to_this() -> None:
    assert {name.partition(" ")[0] for name in PROVIDERS} == set(KINDS)


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


def test_nothing_is_seen_before_it_is_complete(provider: Provider, prefix: str, sends_at_once: bool) -> None:
    key = key_in(prefix)
    writer = provider.writer(key, 100)
    writer.write(b"half")
    for act in (provider.head, provider.open):
        with pytest.raises(NotFound):
            act(key)
    left = [key] if sends_at_once else []
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


def test_delete_removes_what_was_left_unfinished(provider: Provider, prefix: str, sends_at_once: bool) -> None:
    if not sends_at_once:
        return  # nothing is left; see test_gcs and test_opendal for what is after the first chunk
    key = key_in(prefix)
    writer = provider.writer(key, 100)
    writer.write(b"half")
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
    all_at_once([lambda key=key: put(provider, key, key.encode() * 1000) for key in keys])  # type: ignore[misc]
    assert all(read(provider, key) == key.encode() * 1000 for key in keys)


def test_the_probe_passes(provider: Provider, tmp_path: Path) -> None:
    assert all(not problem for _, problem in probe(provider))
    assert [name for name, _ in probe(provider)] == ["check", "write", "describe", "read", "list", "delete"]
    assert list(tmp_path.iterdir()) == []  # also the filesystem's own


# Making providers


@pytest.mark.parametrize("config", [{}, {"root": ""}, {"root": "relative/path"}, {"root": 1}, {"root": None}, {"path": "/srv"}], ids=str)
def test_a_filesystem_needs_its_root(config: dict[str, object]) -> None:
    with pytest.raises(ValidationFailed):
        make_provider("filesystem", config)


@pytest.mark.parametrize("kind", ["", "floppy", "Filesystem", "filesystem "])
def test_unknown_kinds(kind: str) -> None:
    with pytest.raises(UnknownProviderKind):
        make_provider(kind, {"root": "/srv"})


# The filesystem alone: durability and disks that are full


def test_bytes_are_durable_before_they_are_visible(tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """File synced, then renamed, then its folder synced; and every new folder synced into its parent."""
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(handle: int) -> None:
        steps.append("fsync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "fsync file")
        fsync(handle)

    def noted_rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    put(FilesystemProvider(tmp_path), key_in(prefix), b"abc")
    assert steps == ["fsync folder", "fsync folder", "fsync file", "rename", "fsync folder"]


@pytest.mark.parametrize("step", ["fsync", "ftruncate"])
def test_a_disk_that_fails_is_told(tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    provider, key = FilesystemProvider(tmp_path), key_in(prefix)
    put(provider, key_in(prefix), b"x")
    writer = provider.writer(key, 3)
    writer.write(b"abc")

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, broken)
        with pytest.raises(StorageUnavailable):
            writer.complete()
    writer.abort()
    with pytest.raises(NotFound):
        provider.head(key)


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """Limits how large a file of this process may grow, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_told_before_the_first_byte(tmp_path: Path, prefix: str, file_size_limit: Callable[[int], None]) -> None:
    provider, key = FilesystemProvider(tmp_path), key_in(prefix)
    file_size_limit(4096)
    with pytest.raises(StorageFull):
        provider.writer(key, 8192)
    assert list(provider.list(prefix)) == []
    put(provider, key, b"x" * 4096)


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path, prefix: str, file_size_limit: Callable[[int], None]) -> None:
    provider, key = FilesystemProvider(tmp_path), key_in(prefix)
    writer = provider.writer(key, 100)
    file_size_limit(4096)
    with pytest.raises(StorageFull):
        writer.write(b"x" * 8192)
    writer.abort()
    assert list(provider.list(prefix)) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, where this process may mount one; else a folder that no file may outgrow."""
    mounted = (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True, check=False).returncode == 0
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)
    if mounted:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_really_full_disk(tiny_disk: Path, prefix: str) -> None:
    provider = FilesystemProvider(tiny_disk)
    put(provider, key_in(prefix), b"x" * 512 * 1024)
    with pytest.raises(StorageFull):
        provider.writer(key_in(prefix), 2 * MIB)
    assert len(list(provider.list(prefix))) == 1
    provider.delete_prefix(prefix)
    put(provider, key_in(prefix), b"x" * 512 * 1024)


def test_a_root_that_is_not_there(tmp_path: Path, prefix: str) -> None:
    """A disk that is not mounted is an outage: no missing file, and nothing that was removed."""
    provider, key = FilesystemProvider(tmp_path / "none"), key_in(prefix)
    for act in (provider.check, lambda: provider.writer(key, 1), lambda: provider.delete([key]), lambda: provider.delete_prefix(prefix)):
        with pytest.raises(StorageUnavailable):
            act()
    steps = list(probe(provider))
    assert steps[-1][1]
