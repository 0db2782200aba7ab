"""Uploads of 1 GiB to a folder: Strongroom's PUT and tus, @tus/server with its file store, nginx's DAV. `--help`

Strongroom hashes each block and the whole, and the bytes and the row survive a crash when it answers; the peers neither
hash nor sync. Its workers stand still meanwhile: peers check nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

from bench import peers, sending
from bench.measuring import Candidate, Goal, Rounds, interleave, keep, show
from bench.strongroom import BUCKET, Measured, files_below, strongroom

OURS_PUT, OURS_TUS, TUS, NGINX = "Strongroom PUT", "Strongroom tus", "@tus/server, file store", "nginx DAV PUT"


def candidates(ours: Measured, tus: peers.Peer, tus_folder: Path, nginx: peers.Peer, nginx_folder: Path, size: int) -> list[Candidate]:
    """Return who is compared."""

    def put() -> int:
        sending.upload(ours.port, "PUT", ours.path("put"), ours.headers, size)
        return size

    def our_tus() -> int:
        sending.tus(ours.port, f"/api/v1/tus?bucket={BUCKET}", ours.headers, size)
        return size

    def their_tus() -> int:
        sending.tus(tus.port, "/files", {"Host": "127.0.0.1"}, size)
        return size

    def dav() -> int:
        sending.upload(nginx.port, "PUT", "/put", {"Host": "127.0.0.1"}, size)
        return size

    return [
        Candidate(OURS_PUT, put, ours.roots, ours.drop_bytes),
        Candidate(OURS_TUS, our_tus, ours.roots, ours.drop_bytes),
        Candidate(TUS, their_tus, lambda: [tus.pid], partial(files_below, tus_folder)),
        Candidate(NGINX, dav, lambda: [nginx.pid], partial(files_below, nginx_folder)),
    ]


def goals(found: dict[str, Rounds]) -> list[Goal]:
    """Return what is wanted."""
    wanted = []
    for name in (OURS_PUT, OURS_TUS):
        ours = found[name]
        wanted += [
            Goal(f"{name} / {TUS}, rate", ours.rate / found[TUS].rate, 1.7),
            Goal(f"{name} / {TUS}, CPU", ours.cpu_s / found[TUS].cpu_s, 0.5, at_least=False),
        ]
    return [*wanted, Goal(f"{OURS_PUT} / {NGINX}, rate", found[OURS_PUT].rate / found[NGINX].rate, 0.8)]


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="size of each upload in MiB (default 1024)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sr-bench-") as name, strongroom() as ours:
        folder = Path(name)
        (dav := folder / "dav").mkdir()
        with peers.tus_server(folder) as tus, peers.nginx_files(folder, dav) as nginx, ours.workers_stopped():
            compared = candidates(ours, tus, folder / "tus", nginx, dav, options.size << 20)
            found = interleave(compared, options.rounds)
    wanted = goals(found)
    show(f"Upload of {options.size} MiB to a folder, {options.rounds} rounds", found, wanted)
    keep("upload", found, wanted, size_mib=options.size)
    return 0 if all(goal.is_met for goal in wanted) else 1


if __name__ == "__main__":
    raise SystemExit(main())
