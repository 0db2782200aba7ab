"""Downloads of 1 GiB: Strongroom by itself and behind nginx, and nginx's sendfile of the same bytes. `--help`"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from pathlib import Path

from bench import peers, sending
from bench.measuring import Candidate, Goal, Rounds, interleave, keep, show
from bench.strongroom import Measured, strongroom
from tests.services.nginx import nginx

OURS, ACCEL, NGINX = "Strongroom", "Strongroom behind nginx", "nginx sendfile"
NAME = "film.bin"


def measure(folder: Path, size: int, rounds: int) -> dict[str, Rounds]:
    """Run two deployments, with and without nginx in front, and nginx over a folder with the same bytes."""
    (plain := folder / "plain").mkdir()
    with strongroom() as ours, strongroom(accel_prefix="/_bytes/", trusted_proxies="1") as behind:
        for each in (ours, behind):
            sending.upload(each.port, "PUT", each.path(NAME), each.headers, size)
        (stored,) = ours.tenant.stored().values()
        os.link(stored, plain / NAME)  # both are below the folder for temporary files
        files = behind.deployment.state / "files"
        with contextlib.ExitStack() as stack:
            alone = stack.enter_context(peers.nginx_files(folder, plain))
            front = stack.enter_context(nginx(folder, behind.port, files))
            stack.enter_context(ours.workers_stopped())
            stack.enter_context(behind.workers_stopped())
            return interleave(candidates(ours, behind, alone, front.port, front_pid(folder), size), rounds)


def front_pid(folder: Path) -> int:
    """The process of the nginx in front."""
    return int((folder / "nginx.pid").read_text())


def candidates(ours: Measured, behind: Measured, alone: peers.Peer, front_port: int, front: int, size: int) -> list[Candidate]:
    """Return who is compared."""
    return [
        Candidate(OURS, lambda: sending.download(ours.port, ours.path(NAME), ours.headers, size), ours.roots),
        Candidate(
            ACCEL,
            lambda: sending.download(front_port, behind.path(NAME), behind.headers, size),
            lambda: [*behind.roots(), front],
        ),
        Candidate(NGINX, lambda: sending.download(alone.port, f"/{NAME}", {"Host": "127.0.0.1"}, size), lambda: [alone.pid]),
    ]


def goals(found: dict[str, Rounds]) -> list[Goal]:
    """Return what is wanted."""
    return [
        Goal(f"{OURS} / {NGINX}, rate", found[OURS].rate / found[NGINX].rate, 1.0),
        Goal(f"{ACCEL} / {NGINX}, rate", found[ACCEL].rate / found[NGINX].rate, 0.95),
        Goal(f"{OURS}, CPU s/GB", found[OURS].cpu_s, 0.25, at_least=False),
        Goal(f"{ACCEL}, CPU s/GB", found[ACCEL].cpu_s, 0.25, at_least=False),
    ]


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="size of the file in MiB (default 1024)")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sr-bench-") as name:
        found = measure(Path(name), options.size << 20, options.rounds)
    wanted = goals(found)
    show(f"Download of {options.size} MiB, {options.rounds} rounds", found, wanted)
    keep("download", found, wanted, size_mib=options.size)
    return 0 if all(goal.is_met for goal in wanted) else 1


if __name__ == "__main__":
    raise SystemExit(main())
