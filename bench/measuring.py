"""What all measurements share: rounds in a shuffled order, CPU time of whole process trees, medians, ratios, a file of results."""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Candidate:
    """One of those who are compared. `run` does one round and returns how much it did: bytes, or requests.

    `roots`: the processes whose CPU time counts, with all their descendants. `after` tidies up and is not measured.
    """

    name: str
    run: Callable[[], int]
    roots: Callable[[], Iterable[int]]
    after: Callable[[], None] = lambda: None


@dataclass
class Rounds:
    """What one candidate did in each round."""

    rates: list[float] = field(default_factory=list)
    cpu_s_per_unit: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median of units in a second."""
        return statistics.median(self.rates)

    @property
    def cpu_s(self) -> float:
        """The median of CPU seconds per unit."""
        return statistics.median(self.cpu_s_per_unit)


@dataclass(frozen=True)
class Goal:
    """What is wanted of a figure, and what came out."""

    name: str
    figure: float
    limit: float
    at_least: bool = True

    @property
    def is_met(self) -> bool:
        """Whether the figure is on the right side of its limit."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def line(self) -> str:
        """The goal in words."""
        sign = "at least" if self.at_least else "at most"
        return f"{'met   ' if self.is_met else 'MISSED'}  {self.name}: {self.figure:.2f} ({sign} {self.limit:g})"


def tree_cpu_s(roots: Iterable[int]) -> float:
    """Return the CPU seconds of processes and all their descendants, those that have ended and were waited for included."""
    seen: dict[int, psutil.Process] = {}
    for pid in roots:
        with suppress(psutil.Error):
            top = psutil.Process(pid)
            seen |= {each.pid: each for each in [top, *top.children(recursive=True)]}
    total = 0.0
    for process in seen.values():
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def interleave(candidates: Sequence[Candidate], rounds: int, *, unit: float = 1e9, warm_up: bool = True) -> dict[str, Rounds]:
    """Measure every candidate in every round, in an order that is shuffled anew each time: what disturbs one disturbs all.

    Rates are in units a second, CPU time in seconds per unit.
    """
    found = {each.name: Rounds() for each in candidates}
    for number in range(-1 if warm_up else 0, rounds):
        for candidate in random.sample(list(candidates), len(candidates)):
            os.sync()  # what the one before left to be written must not be paid for by this one
            rate, cpu_s = _once(candidate, unit)
            if number >= 0:
                found[candidate.name].rates.append(rate)
                found[candidate.name].cpu_s_per_unit.append(cpu_s)
    return found


def _once(candidate: Candidate, unit: float) -> tuple[float, float]:
    before, began = tree_cpu_s(candidate.roots()), time.monotonic()
    done = candidate.run() / unit
    took_s = time.monotonic() - began
    cpu_s = tree_cpu_s(candidate.roots()) - before
    candidate.after()
    return done / took_s, cpu_s / done


def show(
    title: str, found: dict[str, Rounds], goals: Sequence[Goal], *, scale: float = 1000.0, units: tuple[str, str] = ("MB/s", "s/GB")
) -> None:
    """Print a table and the goals."""
    print(f"\n{title}")
    width = max(len(name) for name in found)
    print(f"{'':{width}} {units[0]:>9} {'least':>9} {'most':>9} {'CPU ' + units[1]:>10}")
    for name, each in found.items():
        rates = [rate * scale for rate in (each.rate, min(each.rates), max(each.rates))]
        print(f"{name:{width}} {rates[0]:>9.0f} {rates[1]:>9.0f} {rates[2]:>9.0f} {each.cpu_s:>10.3f}")
    for goal in goals:
        print(goal.line())


def keep(name: str, found: dict[str, Rounds], goals: Sequence[Goal], **more: Any) -> None:
    """Write results/NAME.json: when, where, every round, the goals."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "bench": name, "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "load_at_end": os.getloadavg(),
        "candidates": {each: asdict(rounds) | {"rate": rounds.rate, "cpu_s": rounds.cpu_s} for each, rounds in found.items()},
        "goals": [asdict(goal) | {"is_met": goal.is_met} for goal in goals], **more,
    }  # fmt: skip
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1))


def machine() -> str:
    """Describe this machine in a line."""
    model = next((line.partition(": ")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    memory = psutil.virtual_memory().total / 2**30
    kind, python = model or platform.machine(), platform.python_version()
    return f"{os.cpu_count()} cores ({kind}), {memory:.0f} GiB, Linux {platform.release()}, Python {python}"
