"""Small requests over 16 keep-alive connections (wrk): PUT of 1 KiB, a file's metadata, a page of 100 out of 100,000 files. `--help`

Beside each stands what Flask, gunicorn and psycopg alone make of the same statements on the same rows (`bench/bare.py`): what this machine
has for such requests. wrk runs on the same cores. All is measured with the background workers standing still and running: they check
what was put, on the same cores. Debian package: wrk.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.measuring import Candidate, Goal, Rounds, interleave, keep, show
from bench.strongroom import BUCKET, Measured, strongroom
from tests.services.processes import free_port, listens, running, wait_for

LUA = Path(__file__).parent / "lua"
CONNECTIONS, THREADS = 16, 2
GOALS = {"PUT of 1 KiB": 1200.0, "metadata": 2000.0, "page of 100": 900.0}
BARE = ", bare"
FILL = """
WITH made AS (
    SELECT gen_random_uuid() AS file_id, gen_random_uuid() AS version_id, n FROM generate_series(1, %(count)s) AS n
), one AS (
    INSERT INTO versions (id, file_id, bucket_id, provider_id, size_bytes, content_type, detected_type, etag, fingerprint, blake3,
                          status, verdict, engine, scanned_bytes, created_by)
    SELECT made.version_id, made.file_id, %(bucket)s, provider_id, size_bytes, content_type, detected_type, etag, fingerprint, blake3,
           'available',
           'clean', 'bench', size_bytes, created_by
    FROM made, (SELECT * FROM versions LIMIT 1) AS sample
)
INSERT INTO files (id, bucket_id, path, version_id, metadata, created_by)
SELECT file_id, %(bucket)s, 'many/' || lpad(n::text, 7, '0') || '.txt', version_id, '{}', (SELECT created_by FROM versions LIMIT 1)
FROM made
"""


@dataclass(frozen=True)
class Load:
    """One kind of request: its path, and a script of its own if it is no plain GET."""

    name: str
    path: str
    script: str = ""


@dataclass(frozen=True)
class Server:
    """Where requests go, and the processes whose CPU time counts."""

    port: int
    roots: Callable[[], list[int]]


def wrk(ours: Measured, server: Server, load: Load, seconds: int, scripts: Path) -> int:
    """Send requests for some seconds; return how many were answered well.

    Raises:
        RuntimeError: some were not.
    """
    script = scripts / f"{load.script or 'get'}.lua"
    script.write_text(((LUA / f"{load.script}.lua").read_text() if load.script else "") + (LUA / "done.lua").read_text())
    headers = [word for name, value in ours.headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t", str(THREADS), "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", "20s", "-s", str(script), *headers]
    done = subprocess.run([*command, f"http://127.0.0.1:{server.port}{load.path}"], capture_output=True, text=True, check=True)
    result = next(line for line in done.stdout.splitlines() if line.startswith("RESULT")).split()
    count, errors = int(result[1]), int(result[3])
    if errors:
        raise RuntimeError(f"{errors} of {count} requests failed: {done.stdout}")
    return count


def fill(ours: Measured, count: int) -> None:
    """Put rows of many files into the bucket, as if they had been uploaded and checked."""
    state = ours.deployment.state
    schema = f"t_{ours.tenant.id.replace('-', '')}"
    with psycopg.connect(owner_url(state), autocommit=False) as connection:
        connection.execute(f"SET LOCAL search_path = {schema}")
        bucket = connection.execute("SELECT id FROM buckets WHERE name = %s", [BUCKET]).fetchone()
        assert bucket is not None  # noqa: S101 - it was made a moment ago
        connection.execute(FILL, {"count": count, "bucket": bucket[0]})
    with psycopg.connect(owner_url(state), autocommit=True) as connection:
        connection.execute(f"ANALYZE {schema}.files")
        connection.execute(f"ANALYZE {schema}.versions")


def deployed(state: Path) -> Any:
    """Return the settings of a deployment."""
    from strongroom.cli.deployment import Deployment  # noqa: PLC0415 - imports all of the command line

    return Deployment(state.resolve()).settings()


def owner_url(state: Path) -> str:
    """How the deployment's database is reached by its owning role."""
    return str(deployed(state).migration_database_url)


def candidates(ours: Measured, bare: Server, file_id: str, seconds: int, scripts: Path) -> list[Candidate]:
    """Return the kinds of requests, each to Strongroom and to the bare handler."""
    loads = [
        Load("PUT of 1 KiB", "/", "put"),
        Load("metadata", f"/api/v1/files/{file_id}"),
        Load("page of 100", f"/api/v1/buckets/{BUCKET}/files?limit=100&prefix=many/"),
    ]

    def made(load: Load, server: Server, suffix: str) -> Candidate:
        return Candidate(load.name + suffix, lambda: wrk(ours, server, load, seconds, scripts), server.roots)

    servers = {"": Server(ours.port, ours.roots), BARE: bare}
    return [made(load, server, suffix) for load in loads for suffix, server in servers.items()]


@contextlib.contextmanager
def bare_server(ours: Measured, folder: Path) -> Iterator[Server]:
    """Run the bare handler on the deployment's database, as its login role, and in its folder."""
    settings = deployed(ours.deployment.state)
    schema = f"t_{ours.tenant.id.replace('-', '')}"
    with psycopg.connect(str(settings.migration_database_url)) as connection:
        connection.execute(f"SET LOCAL search_path = {schema}")
        row = connection.execute("SELECT provider_id FROM versions LIMIT 1").fetchone()
    assert row is not None  # noqa: S101 - a file was put a moment ago
    claims = json.loads(base64.urlsafe_b64decode(ours.owner.token.split(".")[1] + "=="))
    environment = {
        "BARE_URL": str(settings.database_url).replace("+psycopg", ""), "BARE_ROLE": schema, "BARE_SESSION": claims["sid"],
        "BARE_PROVIDER": str(row[0]), "BARE_FOLDER": str(next(iter(ours.tenant.stored().values())).parent),
    }  # fmt: skip
    port, log = free_port(), folder / "bare.log"
    options = ["-w", str(settings.api_processes), "-k", "gthread", "--threads", str(settings.threads), "--keep-alive", "15"]
    words = [f"{name}={value}" for name, value in environment.items()]
    command = [sys.executable, "-m", "gunicorn", *options, "-b", f"127.0.0.1:{port}", "--no-control-socket", "bench.bare:app"]
    with running(["env", *words, *command], log) as process:
        wait_for(lambda: listens(port), process, log)
        yield Server(port, lambda: [process.pid, ours.deployment.pid("postgres")])


def goals(found: dict[str, Rounds]) -> list[Goal]:
    """Return what is wanted, in requests a second."""
    return [Goal(f"{name}, requests/s", found[name].rate, least) for name, least in GOALS.items()]


def measure(options: argparse.Namespace) -> list[tuple[str, dict[str, Rounds]]]:
    """Measure with workers standing still, then running."""
    results: list[tuple[str, dict[str, Rounds]]] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sr-bench-")))
        ours = stack.enter_context(strongroom())
        file_id = ours.owner.upload(BUCKET, "one.txt", b"one line\n")["id"]
        bare = stack.enter_context(bare_server(ours, folder))
        compared = candidates(ours, bare, file_id, options.seconds, folder)
        fill(ours, options.files)
        for title, state in (("stopped", ours.workers_stopped()), ("running", contextlib.nullcontext())):
            with state:
                results.append((title, interleave(compared, options.rounds, unit=1.0)))
    return results


def report(results: Sequence[tuple[str, dict[str, Rounds]]]) -> bool:
    """Print and keep; the goals are for workers that stand still."""
    for title, found in results:
        show(f"Small requests, workers {title}", found, goals(found), scale=1.0, units=("req/s", "s/request"))
        keep(f"small-{title}", found, goals(found))
    return all(goal.is_met for goal in goals(results[0][1]))


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="length of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=100_000, help="files in the bucket that is listed (default 100,000)")
    return 0 if report(measure(parser.parse_args())) else 1


if __name__ == "__main__":
    raise SystemExit(main())
