"""Does an API process stay small while big files stream through it? `python -m bench.memory --help`

Starts a deployment of its own, measures its idle API processes, sends `--streams` uploads of `--size` MiB at the same
time (made on the fly, never on the client's disk), and samples the memory of every API process meanwhile. Only
127.0.0.1 is used; everything is removed at the end. Exit code 1: the goal was missed, or an upload failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil

from tests.acceptance import wire
from tests.acceptance.client import Client
from tests.acceptance.content import MIB, noise
from tests.acceptance.deployment import Deployment
from tests.acceptance.waiting import wait_until

GOAL_BYTES = 64 * MIB
SAMPLE_S, PSS_EVERY = 0.1, 5
SETTLE_S = 30.0
ROOM_TO_SPARE = 4 << 30
UPLOAD_BOUND_S = 1800.0


@dataclasses.dataclass
class Process:
    """One API process: what it had when idle, and the most it ever had."""

    process: psutil.Process
    idle_rss: int = 0
    idle_pss: int = 0
    peak_rss: int = 0
    peak_pss: int = 0
    cpu_before_s: float = 0.0

    def rss(self) -> int:
        return int(self.process.memory_info().rss)

    def pss(self) -> int:
        return int(self.process.memory_full_info().pss)

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def note_idle(self) -> None:
        self.idle_rss = self.peak_rss = self.rss()
        self.idle_pss = self.peak_pss = self.pss()
        self.cpu_before_s = self.cpu_s()

    def sample(self, *, with_pss: bool) -> None:
        self.peak_rss = max(self.peak_rss, self.rss())
        if with_pss:
            self.peak_pss = max(self.peak_pss, self.pss())


class Sampler(threading.Thread):
    """Looks at every process each 100 ms until it is stopped."""

    def __init__(self, processes: list[Process]) -> None:
        super().__init__(daemon=True)
        self._processes, self._over, self.samples = processes, threading.Event(), 0

    def run(self) -> None:
        while not self._over.wait(SAMPLE_S):
            for process in self._processes:
                process.sample(with_pss=self.samples % PSS_EVERY == 0)
            self.samples += 1

    def stop(self) -> None:
        self._over.set()
        self.join()


def send(client: Client, bucket: str, path: str, size: int) -> int:
    """Upload `size` bytes that are made on the fly; return the answer's status."""
    block = noise(MIB, size)
    lines = [f"Host: {client.host_header}", f"Authorization: Bearer {client.token}", f"Content-Length: {size}", "Connection: close"]
    with wire.connect(client.port, UPLOAD_BOUND_S) as sock:
        sock.sendall(wire.head("PUT", client.object_path(bucket, path), lines))
        left = size
        while left:
            sock.sendall(memoryview(block)[: min(left, MIB)])
            left -= min(left, MIB)
        return wire.read_reply(sock, "PUT").status_code


def settled(processes: list[Process]) -> bool:
    """Whether the processes' memory stood still for a second."""
    before = [each.rss() for each in processes]
    threading.Event().wait(1.0)
    return all(abs(each.rss() - rss) < MIB for each, rss in zip(processes, before, strict=True))


def warm_up(deployment: Deployment, client: Client, streams: int) -> None:
    """Have every process answer a few requests and take small files, so that 'idle' means idle and not 'never used'."""
    client.bucket("bench", versioning=False, trash_days=0)
    with ThreadPoolExecutor(streams) as pool:
        statuses = list(pool.map(lambda number: send(client, "bench", f"warm-{number}", 64 * 1024), range(4 * streams)))
    if set(statuses) != {201}:
        raise RuntimeError(f"warming up failed: {statuses}")
    deployment.wait_ready()


def measure(deployment: Deployment, client: Client, streams: int, size: int) -> bool:
    """Measure and print; return whether the goal was kept."""
    processes = [Process(psutil.Process(pid)) for pid in deployment.children("serve")]
    fresh = [each.rss() for each in processes]
    warm_up(deployment, client, streams)
    wait_until(lambda: settled(processes), SETTLE_S, "the memory to stand still")
    for each in processes:
        each.note_idle()
    sampler = Sampler(processes)
    sampler.start()
    began = time.monotonic()
    with ThreadPoolExecutor(streams) as pool:
        statuses = list(pool.map(lambda number: send(client, "bench", f"big-{number}", size), range(streams)))
    took_s = time.monotonic() - began
    sampler.stop()
    print_figures(processes, fresh, streams * size, took_s, sampler.samples)
    if set(statuses) != {201}:
        print(f"not every upload succeeded: {statuses}", file=sys.stderr)
    return set(statuses) == {201} and all(each.peak_rss - each.idle_rss <= GOAL_BYTES for each in processes)


def print_figures(processes: list[Process], fresh: list[int], total: int, took_s: float, samples: int) -> None:
    """Print what was measured."""
    print(f"{'process':>9} {'fresh':>8} {'idle RSS':>9} {'peak RSS':>9} {'grew by':>8} {'idle PSS':>9} {'peak PSS':>9} {'CPU s':>9}  goal")
    for each, first in zip(processes, fresh, strict=True):
        grown = each.peak_rss - each.idle_rss
        figures = [first, each.idle_rss, each.peak_rss, grown, each.idle_pss, each.peak_pss]
        shown = " ".join(f"{figure / MIB:>{width}.1f}" for figure, width in zip(figures, (8, 9, 9, 8, 9, 9), strict=True))
        print(f"{each.process.pid:>9} {shown} {each.cpu_s() - each.cpu_before_s:>9.1f}  {'kept' if grown <= GOAL_BYTES else 'MISSED'}")
    cpu_s = sum(each.cpu_s() - each.cpu_before_s for each in processes)
    print(f"memory in MiB, goal: grown by at most {GOAL_BYTES // MIB}; {samples} samples")
    print(
        f"{total / 1e9:.2f} GB in {took_s:.1f} s: {total / 1e6 / took_s:.0f} MB/s; API CPU {cpu_s:.1f} s, {cpu_s / (total / 1e9):.2f} s/GB"
    )


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="size of each upload in MiB (default 1024)")
    parser.add_argument("--streams", type=int, default=8, metavar="N", help="uploads at the same time (default 8)")
    options = parser.parse_args()
    needed = options.size * options.streams * MIB + ROOM_TO_SPARE
    deployment = Deployment(access_token_lifetime_s="7200")  # noqa: S106 - a time, not a token
    try:
        if shutil.disk_usage(deployment.folder).free < needed:
            print(f"{needed / 1e9:.0f} GB of free disk are needed below {deployment.folder}.", file=sys.stderr)
            return 2
        deployment.start("--json")
        load = os.getloadavg()[0]
        print(f"{options.streams} uploads of {options.size} MiB at once; {os.cpu_count()} cores, load {load:.1f} before")
        return 0 if measure(deployment, deployment.demo_owner(), options.streams, options.size * MIB) else 1
    finally:
        deployment.end()


if __name__ == "__main__":
    raise SystemExit(main())
