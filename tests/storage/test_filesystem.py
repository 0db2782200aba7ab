"""What only the filesystem provider has: durability, disks that are full, a root that must be there."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from strongroom.errors import NotFound, StorageFull, StorageUnavailable, UploadLocked, ValidationFailed
from strongroom.storage.filesystem import FilesystemProvider
from strongroom.storage.probe import probe
from strongroom.storage.providers import make_provider

from tests.storage.objects import MIB, key_in, put


@pytest.mark.parametrize("config", [{}, {"root": ""}, {"root": "relative/path"}, {"root": 1}, {"root": None}, {"path": "/srv"}], ids=str)
def test_a_filesystem_needs_its_root(config: dict[str, object]) -> None:
    with pytest.raises(ValidationFailed):
        make_provider("filesystem", config)


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


def test_what_a_killed_writer_left_is_taken_over_and_what_a_living_one_writes_is_not(tmp_path: Path, prefix: str) -> None:
    provider, key = FilesystemProvider(tmp_path), key_in(prefix)
    left = tmp_path / f"{key}.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"longer than what comes now")
    writer = provider.writer(key, 3)
    writer.write(b"ab")
    for _ in range(2):
        with pytest.raises(UploadLocked):
            provider.writer(key, 3)
    writer.write(b"c")
    assert writer.complete().size_bytes == 3
    assert (tmp_path / key).read_bytes() == b"abc"
    assert not left.exists()


def test_who_was_overtaken_gives_nobody_elses_bytes_a_name(tmp_path: Path, prefix: str) -> None:
    provider, key = FilesystemProvider(tmp_path), key_in(prefix)
    overtaken = provider.writer(key, 6)
    overtaken.write(b"abcdef")
    provider.delete([key])
    writer = provider.writer(key, 6)
    writer.write(b"abc")
    with pytest.raises(StorageUnavailable):
        overtaken.complete()
    overtaken.abort()
    assert not (tmp_path / key).exists()
    writer.write(b"def")
    assert writer.complete().size_bytes == 6
    assert (tmp_path / key).read_bytes() == b"abcdef"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_takes_new_files(tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.fcntl", refuse)
    provider, key = FilesystemProvider(tmp_path), key_in(prefix)
    put(provider, key, b"abc")
    (tmp_path / f"{key}.part").write_bytes(b"left")
    with pytest.raises(StorageUnavailable):
        provider.writer(key, 3)
    assert (tmp_path / f"{key}.part").read_bytes() == b"left"


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
    assert steps[-1].problem
