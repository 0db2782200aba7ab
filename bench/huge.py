"""Does a file of 50 GiB go through, by tus and by direct parts? Refuses to start without room for it. `--help`

The bytes are one MiB of noise again and again, made on the fly. What is stored is removed before the next door is tried.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time

from bench.doors import DOORS
from bench.measuring import keep
from bench.strongroom import strongroom

GIB = 1 << 30
SPARE = 8 * GIB


def main() -> int:
    """Send, and see that the file is there with all its bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=50, metavar="GIB", help="size in GiB (default 50)")
    parser.add_argument("--doors", nargs="+", choices=list(DOORS), default=["tus", "direct"])
    options = parser.parse_args()
    size, rates = options.size * GIB, {}
    with strongroom() as ours, ours.workers_stopped():
        if shutil.disk_usage(ours.deployment.folder).free < size + SPARE:
            print(f"{(size + SPARE) / 1e9:.0f} GB of free disk are needed below {ours.deployment.folder}.", file=sys.stderr)
            return 2
        for door in options.doors:
            began = time.monotonic()
            DOORS[door](ours, door, size)
            rates[door] = size / 1e6 / (time.monotonic() - began)
            (file,) = ours.owner.files("bench", prefix=door)
            stored = [path for path in ours.tenant.stored().values() if path.stat().st_size == size]
            if file["size_bytes"] != size or len(stored) != 1:
                raise RuntimeError(f"{door}: {file}")
            print(f"{door}: {options.size} GiB, {rates[door]:.0f} MB/s")
            ours.drop_bytes()
    keep("huge", {}, [], size_gib=options.size, mb_per_s=rates)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
