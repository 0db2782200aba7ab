"""For how long a tenant cannot be written while it moves to another cell, by the number of its files. `--help`

Everything runs in this process on two embedded PostgreSQL clusters. Each tenant moves twice: as workers do it, and with all
rows compared anew in the pause, as whoever takes over from a worker that died has to. A few files come while it is copied.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from strongroom.life import service as life
from strongroom.relocation import service as relocation

from bench.measuring import Goal, keep
from tests.factories import Account, create_database
from tests.relocation.cells import NEW, OLD, TwoCells
from tests.services import postgres

FEW = 20
_FILL = """
INSERT INTO {t}.files (id, bucket_id, path, version_id)
SELECT uuidv7(), b.id, 'folder/' || n, uuidv7() FROM {t}.buckets b, generate_series(1, %(files)s) n;
"""
_FILL_VERSIONS = """
INSERT INTO {t}.versions (id, file_id, bucket_id, provider_id, size_bytes, content_type, detected_type, etag, blake3, status)
SELECT f.version_id, f.id, f.bucket_id, gen_random_uuid(), 1000, 'text/plain', 'text/plain', md5(f.path), md5(f.path), 'available'
FROM {t}.files f WHERE f.path LIKE 'folder/%'
"""
_FILL_EVENTS = """
INSERT INTO {t}.events (kind, subject, data)
SELECT 'file.created', f.id, jsonb_build_object('path', f.path, 'size_bytes', 1000) FROM {t}.files f
"""
_FILL_LOG = """
INSERT INTO {t}.access_log (operation, bucket_id, file_id, content_type, bytes_in, rolled_up)
SELECT 'upload', f.bucket_id, f.id, 'text/plain', 1000, true FROM {t}.files f
"""


def fill(two: TwoCells, owner: Account, files: int) -> None:
    """Give a tenant so many files, with a version, an event and an access each: one transaction per table."""
    two.create_bucket(owner.tenant)
    two.inside(OLD, owner.tenant, _FILL, files=files)
    for statement in (_FILL_VERSIONS, _FILL_EVENTS, _FILL_LOG):
        two.inside(OLD, owner.tenant, statement)


def move(two: TwoCells, owner: Account, name: str, *, forget: bool) -> tuple[float, float, int, int]:
    """Move a tenant to and fro: seconds of the whole and of the pause, rows, and how many were digested in the pause."""
    to = NEW if two.where(owner.tenant) == OLD else OLD
    began = time.perf_counter()
    two.begin(owner.tenant, to)
    two.go_to(owner.tenant, "copy")
    if forget:
        relocation._memories.clear()
    for number in range(FEW):
        two.upload(two.client(owner), f"{name}-{number}.txt")
    life.advance(two.runtime, owner.tenant.id)
    done = two.operation(owner.tenant)
    if done.state != "done" or done.writes_paused_s is None:
        raise RuntimeError(done.error)
    compared = done.data["compared"]
    return time.perf_counter() - began, done.writes_paused_s, compared["rows"], compared["hashed"]


def measure(two: TwoCells, sizes: list[int], rounds: int) -> list[Goal]:
    """Measure each size, both ways by turns."""
    goals = []
    print("| files | rows | move, s | pause, s | digested in it | pause with all compared anew, s |\n|---|---|---|---|---|---|")
    for files in sizes:
        owner = two.create_user(two.create_tenant())
        fill(two, owner, files)
        for number in range(rounds):
            whole, pause, rows, hashed = move(two, owner, f"a{number}", forget=False)
            _, anew, _, _ = move(two, owner, f"b{number}", forget=True)
            print(f"| {files:,} | {rows:,} | {whole:.1f} | {pause:.2f} | {hashed:,} | {anew:.2f} |", flush=True)
        goals.append(Goal(f"pause with {files:,} files, s", pause, 5, at_least=False))
    return goals


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with ExitStack() as stack:
        first, second = (create_database(stack.enter_context(postgres.embedded({})), "bench") for _ in range(2))
        two = TwoCells.make(first, second, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sr-bench-"))))
        stack.callback(two.close)
        goals = measure(two, options.files, options.rounds)
    print("\n".join(goal.line() for goal in goals))
    keep("relocation", {}, goals)
    return 0 if all(goal.is_met for goal in goals) else 1


if __name__ == "__main__":
    raise SystemExit(main())
