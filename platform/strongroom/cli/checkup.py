"""What `strongroom doctor` looks at: each part, what is wrong with it, and how to mend it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text

from strongroom.checks.service import clamd_address, scanners
from strongroom.cli.fleet import migration_status
from strongroom.config import Settings
from strongroom.db import walls
from strongroom.errors import DomainError
from strongroom.isolation import repository as isolation
from strongroom.operating import cells, providers, service
from strongroom.runtime import Runtime
from strongroom.scanning import ClamdError, ClamdScanner

LOW_ROOM_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    part: str
    ok: bool
    text: str


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; never raises."""
    runtime = Runtime(settings)
    checks: list[tuple[str, Callable[[Runtime], str]]] = [
        ("database", _database), ("cells", _cells), ("walls", _walls), ("migrations", _migrations), ("broker", _broker), ("jobs", _jobs),
        ("scanners", _scanners), ("providers", _providers),
    ]  # fmt: skip
    findings = [_run(name, check, runtime) for name, check in checks]
    runtime.close()
    return findings


class Problem(Exception):
    """What is wrong and what to do about it."""


def _run(name: str, check: Callable[[Runtime], str], runtime: Runtime) -> Finding:
    try:
        return Finding(name, ok=True, text=check(runtime))
    except (Problem, DomainError) as error:
        return Finding(name, ok=False, text=error.detail if isinstance(error, DomainError) else str(error))
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is a finding, not a crash
        return Finding(name, ok=False, text=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}")


def _database(runtime: Runtime) -> str:
    with runtime.databases.control() as connection:
        version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
        name = str(connection.execute(text("SHOW server_version")).scalar_one())
    if version < walls.OLDEST_POSTGRES:
        raise Problem(f"PostgreSQL {name} is too old; 15 or later is needed.")
    return f"PostgreSQL {name} answers"


def _cells(runtime: Runtime) -> str:
    amiss = cells.amiss(runtime)
    if amiss:
        raise Problem(" ".join(amiss.values()))
    return f"{len(runtime.databases.cell_names)} of the settings, all ready"


def _walls(runtime: Runtime) -> str:
    for cell in runtime.ready_cells():
        with runtime.databases.cell(cell) as connection:
            found = walls.open_doors(connection)
        if found:
            raise Problem(f"cell {cell}: " + "; ".join(found) + ". 'strongroom bootstrap-sql' prints all statements.")
    with runtime.databases.control() as connection:
        bad = isolation.count_bad(connection)
    if bad:
        raise Problem(f"the last probe of {bad} tenants found something: run 'strongroom isolation verify', see docs/guides/isolation.md")
    return "the database's doors between tenants are closed"


def _migrations(runtime: Runtime) -> str:
    behind = [part.name for part in migration_status(runtime) if not part.current]
    if behind:
        raise Problem(f"behind: {', '.join(behind[:10])}. Run 'strongroom migrate'.")
    return "every part is at its newest revision"


def _broker(runtime: Runtime) -> str:
    with runtime.celery.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        connection.default_channel.close()
    workers = runtime.celery.control.ping(timeout=1.0) if not runtime.settings.broker_url.startswith("sqla+") else None
    if workers == []:
        raise Problem("the broker answers, but no worker does: start 'strongroom worker'")
    return "the broker answers" + (f", and {len(workers)} workers" if workers else "")


def _jobs(runtime: Runtime) -> str:
    counts = service.count_jobs(runtime)
    if counts["parked"]:
        raise Problem(
            f"{counts['parked']} jobs are parked after too many failures: see the operator's console, Jobs, mend the cause and retry them"
        )
    oldest = _oldest_due(runtime)
    if oldest > 120:  # noqa: PLR2004 - two minutes: well beyond the dispatcher's interval
        raise Problem(f"a job has been due for {oldest:.0f} s: is a worker running?")
    return f"{counts['queued']} waiting, {counts['running']} running, none parked"


def _oldest_due(runtime: Runtime) -> float:
    query = text(
        "SELECT coalesce(extract(epoch FROM now() - min(run_at)), 0) FROM strongroom.jobs WHERE state = 'queued' AND run_at < now()"
    )
    ages = []
    for cell in runtime.ready_cells():
        with runtime.databases.cell(cell) as connection:
            ages.append(float(connection.execute(query).scalar_one()))
    return max(ages)


def _scanners(runtime: Runtime) -> str:
    scanners(runtime.settings)
    address = clamd_address(runtime.settings)
    if address is None:
        return "bundled YARA-X rules; no clamd found (install clamav-daemon for its signatures)"
    try:
        scanner = ClamdScanner(address)
        version = scanner.version()
        if not scanner.alerts_on_limits():
            raise Problem(
                "clamd is silent about what it skips: set 'AlertExceedsMax yes' in clamd.conf, or files over 25 MB stay unscanned"
            )
    except ClamdError as error:
        raise Problem(f"clamd at {address} does not answer ({error}): start it, or set STRONGROOM_CLAMD_ADDRESS=off") from None
    return f"bundled YARA-X rules and {version.engine} at {address}"


def _providers(runtime: Runtime) -> str:
    found = providers.list_all(runtime)
    if not any(each.is_default for each in found):
        raise Problem("there is no default provider: run 'strongroom provider add NAME --kind filesystem --root DIR --default'")
    for each in found:
        failed = [step for step in providers.try_info(runtime, each) if not step.ok]
        if failed:
            owner = f" of tenant {each.tenant_id}" if each.tenant_id else ""
            raise Problem(f"provider {each.name}{owner}: {failed[0].name}: {failed[0].detail} {failed[0].advice}")
        _room(each.name, str(each.config.get("root", "")))
    return f"{len(found)} answered every step of the test"


def _room(name: str, root: str) -> None:
    if root and os.path.isdir(root) and shutil.disk_usage(root).free < LOW_ROOM_BYTES:  # noqa: PTH112 - a configured string
        raise Problem(f"provider {name}: less than 1 GiB is free below {root}; make room")
