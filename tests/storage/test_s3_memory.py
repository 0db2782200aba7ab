"""S3: parts of any object, and what this process keeps in memory of them."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections import deque
from typing import cast

import pytest
from strongroom.db.ids import new_id
from strongroom.storage import s3_memory, s3_writer
from strongroom.storage.base import Lending
from strongroom.storage.keys import tenant_prefix
from strongroom.storage.s3_memory import Budget
from strongroom.storage.s3_writer import LIMITS, part_bytes

from tests.services.proxy import fault_proxy
from tests.services.s3server import S3Server
from tests.services.shared import s3_server
from tests.slow import all_at_once
from tests.storage.backends import s3_provider, through
from tests.storage.objects import DATA, MIB, PART, key_in, put, read

# Parts and memory


@pytest.mark.parametrize("size_bytes", [1, 8 * MIB, 80_000 * MIB, 80_000 * MIB + 1, 5 * 1024**4], ids=str)
def test_any_size_fits_into_10000_parts(size_bytes: int) -> None:
    part = part_bytes(size_bytes, 1)
    assert part >= 8 * MIB
    assert -(-size_bytes // part) <= LIMITS.max_count
    assert LIMITS.min_bytes <= part <= LIMITS.max_bytes


def test_parts_of_unknown_size_grow() -> None:
    sizes = [part_bytes(None, number) for number in range(1, LIMITS.max_count + 1)]
    assert sizes[0] == 8 * MIB
    assert sizes == sorted(sizes)
    assert sum(sizes) > 400 * 1024**3


def test_more_streams_than_memory(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit waits on disk: nobody waits for anybody, and all that was taken is given back."""
    room = Budget(6 * MIB)
    monkeypatch.setattr(s3_writer, "budget", lambda: room)
    provider, prefix = s3_provider(server), tenant_prefix(new_id())
    keys = [key_in(prefix) for _ in range(5)]
    writers = [provider.writer(key, 9 * MIB) for key in keys]
    for at in range(0, 9 * MIB, MIB):
        for writer, key in zip(writers, keys, strict=True):
            writer.write((key.encode() * 12000)[:MIB])
            assert room.free_bytes >= 0, at
    for writer, key in zip(writers, keys, strict=True):
        writer.complete()
        assert read(provider, key) == (key.encode() * 12000)[:MIB] * 9
    assert room.free_bytes == 6 * MIB


def test_many_at_once_without_memory(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Budget(MIB)
    monkeypatch.setattr(s3_writer, "budget", lambda: room)
    provider, prefix = s3_provider(server), tenant_prefix(new_id())
    keys = [key_in(prefix) for _ in range(12)]
    all_at_once([lambda key=key: put(provider, key, DATA[: 9 * MIB]) for key in keys])
    assert all(provider.head(key).size_bytes == 9 * MIB for key in keys)
    assert room.free_bytes == MIB


def test_a_forgotten_writer_gives_its_memory_back(server: S3Server, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Budget(20 * MIB)
    monkeypatch.setattr(s3_writer, "budget", lambda: room)
    writer = s3_provider(server).writer(key, 3 * MIB)
    writer.write(bytes(2 * MIB))
    assert room.free_bytes == 18 * MIB
    del writer
    gc.collect()
    assert room.free_bytes == 20 * MIB


def test_memory_of_parts_goes_back_to_the_system(server: S3Server, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are used again while an upload lasts; afterwards the process keeps few of them."""
    room, spare = Budget(80 * MIB), deque[bytearray]()
    monkeypatch.setattr(s3_writer, "budget", lambda: room)
    monkeypatch.setattr(s3_memory, "_spare", spare)
    writer = s3_provider(server).writer(key, None)
    for _ in range(s3_writer.PART_BYTES // MIB + 1):
        writer.write(memoryview(DATA)[:MIB])  # not bytes, which would be kept as they are
    cast(s3_writer.S3Writer, writer)._drain()  # the first part is stored
    assert len(spare) == s3_writer.PART_BYTES // MIB
    writer.complete()
    assert len(spare) == s3_memory.IDLE_BLOCKS
    assert room.is_untouched


def test_small_writes_are_gathered(server: S3Server, key: str) -> None:
    provider = s3_provider(server)
    writer = provider.writer(key, None)
    for number in range(20_000):
        writer.write(b"%05d" % number)
    body = cast(s3_writer.S3Writer, writer)._body
    assert len(body._pieces) < 5
    writer.complete()
    assert read(provider, key) == b"".join(b"%05d" % number for number in range(20_000))


@pytest.mark.parametrize("budget_mib", [1, 80], ids=["on disk", "in memory"])
def test_lent_memory_is_stored(server: S3Server, key: str, monkeypatch: pytest.MonkeyPatch, budget_mib: int) -> None:
    """Bytes put where the writer says, and written between them, arrive in order; what was lent and not filled does not."""
    room = Budget(budget_mib * MIB)
    monkeypatch.setattr(s3_writer, "budget", lambda: room)
    provider, sent = s3_provider(server), 0
    writer = provider.writer(key, len(DATA))
    assert isinstance(writer, Lending)
    while sent < len(DATA):
        lent = writer.room()
        size = min(len(lent), 300_000, len(DATA) - sent)
        lent[:] = b"\xff" * len(lent)
        lent[:size] = DATA[sent : sent + size]
        writer.fill(size)
        sent += size
        writer.write(DATA[sent : sent + 1000])
        sent = min(sent + 1000, len(DATA))
    writer.complete()
    assert read(provider, key) == DATA
    assert room.free_bytes == budget_mib * MIB


STREAMS = """
import json, os, sys, threading
import psutil
from strongroom.storage.providers import make_provider
config, secrets, keys, size_mib = json.loads(sys.argv[1])
provider, process = make_provider("s3", config, secrets), psutil.Process()
def send(key, mib):
    writer = provider.writer(key, mib << 20)
    for _ in range(mib * 4):
        writer.write(memoryview(block))
        peak[0] = max(peak[0], process.memory_info().rss)
    writer.complete()
peak, block = [0], bytearray(1 << 18)
send(keys[0], 1)
base = peak[0]
threads = [threading.Thread(target=send, args=(key, size_mib)) for key in keys]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print((peak[0] - base) >> 20)
"""


@pytest.mark.parametrize(("streams", "most_mib"), [(1, 25), (8, 110)])
def test_memory_is_bounded(streams: int, most_mib: int) -> None:
    server = s3_server("rclone")
    keys = [key_in(tenant_prefix(new_id())) for _ in range(streams)]
    argument = json.dumps([server.config(), server.secrets(), keys, 64])
    grown = subprocess.run([sys.executable, "-c", STREAMS, argument], capture_output=True, text=True, check=True, env={**os.environ}).stdout
    assert int(grown) < most_mib
    provider = s3_provider(server)
    assert all(provider.head(key).size_bytes == 64 * MIB for key in keys)
    provider.delete(keys)


def test_deleting_thousands_goes_by_the_thousand(ceph: S3Server) -> None:
    prefix = tenant_prefix(new_id())
    with fault_proxy(ceph.endpoint_url) as proxy:
        provider = through(proxy, ceph, timeout_s=30)
        provider.delete(key_in(prefix) for _ in range(2001))
        assert proxy.count("POST", "delete") == 3
    assert s3_memory.BUDGET_BYTES >= 2 * PART
