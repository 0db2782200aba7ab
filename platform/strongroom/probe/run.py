"""One probe of one tenant's walls, from planting the secrets to keeping the signed report. And of many tenants, in turn."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from flask import Flask

from strongroom import __version__
from strongroom.app import create_app
from strongroom.auth import operators
from strongroom.config import Settings
from strongroom.fleet.behind import catch_up
from strongroom.isolation import repository, signing
from strongroom.isolation.models import FORMAT, StoredReport, Wall
from strongroom.probe import requests, things
from strongroom.probe.bytes import bytes_
from strongroom.probe.rows import rows
from strongroom.probe.stage import Stage, Target, planted, staged
from strongroom.probe.state import state
from strongroom.probe.tally import HERE, STAND_IN, Tally
from strongroom.probe.work import exports, jobs
from strongroom.runtime import Runtime
from tenants import repository as registry
from tenants.models import Tenant, TenantStatus

log = logging.getLogger(__name__)
LIMIT_S = 120.0
PROBER = "isolation probe"
ORDER: tuple[tuple[Wall, Callable[[Stage, Tally], None]], ...] = (
    (Wall.ROWS, rows), (Wall.BYTES, bytes_), (Wall.IDENTITY, requests.identity), (Wall.LINKS, requests.links), (Wall.STATE, state),
    (Wall.JOBS, jobs), (Wall.EXPORTS, exports), (Wall.OBJECTS, requests.objects),
)  # fmt: skip


@contextmanager
def prober(settings: Settings) -> Iterator[Runtime]:
    """Yield a runtime for probes: few connections, and nobody's request rate is used up by what it asks."""
    runtime = Runtime(replace(settings, rate_limit_storage="memory://", registry_listen=False, pool_size=4))
    try:
        yield runtime
    finally:
        runtime.announcer.flush()
        runtime.close()


def make_app(runtime: Runtime) -> Flask:
    """Return the application that is driven."""
    return create_app(runtime.settings, runtime)


def verify(runtime: Runtime, app: Flask, tenant: Tenant, *, limit_s: float = LIMIT_S) -> StoredReport:
    """Probe a tenant's walls; keep, note and return the signed report.

    Bounded: some hundred requests and statements, `limit_s` seconds; what is not tried by then is told.
    """
    tally, began_at = Tally(limit_s), datetime.now(UTC)
    with planted(runtime, tenant) as target:
        with staged(runtime, app, target) as stage:
            _furnish(stage, tally)
            for wall, probe in ORDER:
                _run(stage, tally, wall, probe)
        report = _sign(runtime, target, tally, began_at)
        with runtime.tenant(tenant) as connection:
            repository.finish(connection, report)
    with runtime.databases.control() as connection:
        repository.note_probe(connection, tenant.id, report.ended_at, ok=report.ok, findings=report.findings)
    if not report.ok:
        _raise_alarm(runtime, tenant, tally)
    return report


def _furnish(stage: Stage, tally: Tally) -> None:
    def is_furnished() -> bool:
        for party in (stage.attacker, stage.victim):
            things.furnish(stage.runtime, stage.door, party)
        return True

    tally.control(Wall.OBJECTS, STAND_IN, "giving the stand-ins one of everything", is_furnished)


def _run(stage: Stage, tally: Tally, wall: Wall, probe: Callable[[Stage, Tally], None]) -> None:
    """One wall's probe; that it breaks off is a finding, and holds up no other."""
    try:
        probe(stage, tally)
    except Exception as error:
        log.exception("the probe of a wall broke off", extra={"tenant_id": str(stage.target.tenant.id), "wall": wall})
        tally.attempt(wall, PROBER, HERE, "the probe itself", f"it broke off with {type(error).__name__}")


def _sign(runtime: Runtime, target: Target, tally: Tally, began_at: datetime) -> StoredReport:
    ended_at, complete = datetime.now(UTC), not tally.is_over
    said = {
        "format": FORMAT, "id": str(target.report_id), "tenant": {"id": str(target.tenant.id), "slug": target.tenant.slug},
        "software": f"strongroom {__version__}", "began_at": began_at.isoformat(), "ended_at": ended_at.isoformat(),
        "ok": complete and not tally.found, "complete": complete, "attempts": tally.attempts, "controls": tally.controls,
        "tried": [vars(each) for each in tally.tried()], "findings": [vars(each) for each in tally.found], "left_out": tally.left_out,
        "key_id": signing.public_keys(runtime.keys)[0].key_id,
    }  # fmt: skip
    text = json.dumps(said, indent=2)
    return StoredReport(target.report_id, ended_at, bool(said["ok"]), len(tally.found), text, signing.sign(runtime.keys, text))


def _raise_alarm(runtime: Runtime, tenant: Tenant, tally: Tally) -> None:
    walls = sorted({each.wall for each in tally.found})
    log.error("the probe of the walls found something", extra={"tenant_id": str(tenant.id), "walls": walls, "findings": len(tally.found)})
    operators.record(runtime.databases, PROBER, "isolation.found", tenant.slug, {"walls": walls, "findings": len(tally.found)})


def due(runtime: Runtime, limit: int | None) -> list[Tenant]:
    """Return the tenants whose probe is longest ago."""
    with runtime.databases.control() as connection:
        return [registry.get_tenant(connection, each) for each in repository.longest_ago(connection, limit, 0.0)]


def one(runtime: Runtime, tenant_id: UUID) -> StoredReport | None:
    """Probe a tenant by its id; None where it is not active any more.

    Raises:
        TenantBehind: its schema is too old for this code.
    """
    tenant = runtime.registry.by_id(tenant_id)
    if tenant is None or tenant.status != TenantStatus.ACTIVE:
        return None
    return verify(runtime, make_app(runtime), catch_up(runtime, tenant))
