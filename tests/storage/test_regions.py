"""Unfinished files that are written anywhere by anyone: who writes holds its bytes, and a finished file is never written in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from strongroom.db.ids import new_id
from strongroom.errors import NotFound, UploadLocked
from strongroom.storage.base import CannotCompose, Slice
from strongroom.storage.filesystem import FilesystemProvider
from strongroom.storage.keys import object_key

from tests.slow import all_at_once


@pytest.fixture
def provider(tmp_path: Path) -> FilesystemProvider:
    return FilesystemProvider(tmp_path)


def write(provider: FilesystemProvider, key: str, offset: int, data: bytes) -> None:
    region = provider.region(key, offset, len(data))
    region.write(data)
    region.sync()
    region.close()


def content(provider: FilesystemProvider, key: str) -> bytes:
    with provider.open(key) as reader:  # type: ignore[attr-defined]  # a real file
        data: bytes = reader.read()
        return data


def test_two_writers_of_the_same_bytes_exclude_each_other(provider: FilesystemProvider, key: str) -> None:
    provider.begin_regions(key, 30)
    first = provider.region(key, 10, 10)
    for offset, length in ((10, 10), (5, 6), (19, 1), (0, None)):
        with pytest.raises(UploadLocked):
            provider.region(key, offset, length)
    neighbours = [provider.region(key, 0, 10), provider.region(key, 20, 10)]
    first.close()
    again = provider.region(key, 10, 10)
    for each in (*neighbours, again):
        each.close()


def test_nothing_is_finished_while_somebody_writes(provider: FilesystemProvider, key: str) -> None:
    provider.begin_regions(key, 4)
    region = provider.region(key, 0, 4)
    region.write(b"data")
    with pytest.raises(UploadLocked):
        provider.finish_regions(key, 4)
    region.close()
    assert provider.finish_regions(key, 4).size_bytes == 4
    assert provider.finish_regions(key, 4).size_bytes == 4, "idempotent"
    assert content(provider, key) == b"data"


def test_a_finished_file_cannot_be_written(provider: FilesystemProvider, key: str) -> None:
    provider.begin_regions(key, 4)
    write(provider, key, 0, b"data")
    provider.finish_regions(key, 4)
    with pytest.raises(NotFound):
        provider.region(key, 0, 4)
    with pytest.raises(NotFound):
        provider.finish_regions(key, 5)


def test_many_finish_at_once(provider: FilesystemProvider, key: str) -> None:
    provider.begin_regions(key, 4)
    write(provider, key, 0, b"data")

    def finish() -> int:
        while True:
            try:
                return provider.finish_regions(key, 4).size_bytes
            except UploadLocked:
                continue

    assert all_at_once([finish] * 8) == [4] * 8


HOLDER = """
import sys
from pathlib import Path
from strongroom.storage.filesystem import FilesystemProvider
held = FilesystemProvider(Path(sys.argv[1])).region(sys.argv[2], 0, 4)
held.write(b"half")
print("held", flush=True)
sys.stdin.read()
"""


def test_the_kernel_lets_go_of_what_a_killed_process_held(provider: FilesystemProvider, key: str, tmp_path: Path) -> None:
    provider.begin_regions(key, 8)
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path), key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(UploadLocked):
            provider.region(key, 0, 4)
        os.kill(process.pid, signal.SIGKILL)
    write(provider, key, 0, b"whole...")
    provider.finish_regions(key, 8)
    assert content(provider, key) == b"whole..."


def test_slices_are_copied_into_place(provider: FilesystemProvider, key: str) -> None:
    sources = [object_key(key[:36], new_id(), new_id()) for _ in range(2)]
    for source, data in zip(sources, (b"0123456789", b"abcdefghij"), strict=True):
        writer = provider.writer(source, len(data))
        writer.write(data)
        writer.complete()
    provider.begin_regions(key, 12)
    write(provider, key, 0, b"......")
    provider.copy_region(key, 3, [Slice(sources[0], 2, 4), Slice(sources[1], 9, 1), Slice(sources[0], 0, 1)])
    provider.finish_regions(key, 12)
    assert content(provider, key) == b"...2345j0\0\0\0"


def test_slices_of_what_is_not_there(provider: FilesystemProvider, key: str) -> None:
    short = object_key(key[:36], new_id(), new_id())
    writer = provider.writer(short, 3)
    writer.write(b"abc")
    writer.complete()
    with pytest.raises(NotFound):
        provider.copy_region(key, 0, [Slice(short, 0, 3)])
    provider.begin_regions(key, 10)
    with pytest.raises(CannotCompose):
        provider.copy_region(key, 0, [Slice(short, 0, 4)])
    with pytest.raises(NotFound):
        provider.copy_region(key, 0, [Slice(object_key(key[:36], new_id(), new_id()), 0, 1)])
    held = provider.region(key, 2, 1)
    with pytest.raises(UploadLocked):
        provider.copy_region(key, 0, [Slice(short, 0, 3)])
    held.close()
