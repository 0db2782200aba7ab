"""Does an API process stay small while big files stream through it? Every door, every provider, one stream and eight. `--help`

One API process takes all of it. For each case it is told what the process had when idle, the most that it ever had (RSS,
looked at each 50 ms), and its CPU time. Exit code 1: a goal was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import psutil

from bench.doors import DOORS
from bench.measuring import Goal, keep
from bench.passthrough import empty
from bench.strongroom import Measured, strongroom
from tests.acceptance.content import MIB
from tests.services.rclone import rclone

ONE_MIB, MANY_MIB, MANY = 128, 256, 8
SAMPLE_S = 0.05


@dataclass(frozen=True)
class Case:
    """What one case came to. Memory in MiB."""

    provider: str
    door: str
    streams: int
    idle: float
    peak: float
    mb_per_s: float
    cpu_s_per_gb: float

    @property
    def goal(self) -> Goal:
        """The most that is allowed."""
        limit = ONE_MIB if self.streams == 1 else MANY_MIB
        return Goal(f"{self.provider} {self.door} x {self.streams}, peak RSS in MiB", self.peak, limit, at_least=False)


class Peak(threading.Thread):
    """The most memory that a process has until it is told to stop, in MiB."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._process, self._over, self.most = process, threading.Event(), 0.0

    def run(self) -> None:
        """Look again and again."""
        while not self._over.wait(SAMPLE_S):
            self.most = max(self.most, rss(self._process))

    def stop(self) -> float:
        """End, and return the most."""
        self._over.set()
        self.join()
        return max(self.most, rss(self._process))


def rss(process: psutil.Process) -> float:
    """The resident memory in MiB."""
    return float(process.memory_info().rss) / MIB


def one_case(ours: Measured, provider: str, door: str, streams: int, size: int) -> Case:
    """Send `size` bytes in each of some streams at the same time."""
    (pid,) = ours.api()
    process, send = psutil.Process(pid), DOORS[door]
    idle, before, began = rss(process), process.cpu_times(), time.monotonic()
    peak = Peak(process)
    peak.start()
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(lambda number: send(ours, f"{door}-{number}", size), range(streams)))
    took_s, after, total = time.monotonic() - began, process.cpu_times(), streams * size
    cpu_s = after.user + after.system - before.user - before.system
    return Case(provider, door, streams, idle, peak.stop(), total / 1e6 / took_s, cpu_s / (total / 1e9))


def cases(provider: str, doors: Sequence[str], size: int) -> list[Case]:
    """Measure all doors at one provider; the one stream first, for the allocator gives back little."""
    found = []
    with contextlib.ExitStack() as stack:
        s3 = stack.enter_context(rclone()) if provider == "s3" else None
        ours = stack.enter_context(strongroom(s3, api_processes="1"))
        stack.enter_context(ours.workers_stopped())
        for streams in (1, MANY):
            for door in doors:
                found.append(one_case(ours, provider, door, streams, size // (1 if streams == 1 else 4)))
                print(
                    found[-1].goal.line(),
                    f" idle {found[-1].idle:.0f}, {found[-1].mb_per_s:.0f} MB/s, {found[-1].cpu_s_per_gb:.2f} CPU s/GB",
                )
                empty(s3) if s3 else ours.drop_bytes()
    return found


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", type=int, default=1024, metavar="MIB", help="size of an upload in MiB; a quarter where eight come at once"
    )
    parser.add_argument("--provider", choices=["filesystem", "s3", "all"], default="all")
    parser.add_argument("--doors", nargs="+", choices=list(DOORS), default=list(DOORS))
    options = parser.parse_args()
    providers = ["filesystem", "s3"] if options.provider == "all" else [options.provider]
    found = [case for provider in providers for case in cases(provider, options.doors, options.size * MIB)]
    goals = [case.goal for case in found]
    keep("memory", {}, goals, cases=[asdict(case) for case in found])
    return 0 if all(goal.is_met for goal in goals) else 1


if __name__ == "__main__":
    raise SystemExit(main())
