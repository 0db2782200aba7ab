"""A tenant's reports: kept, and given out with their signature. And whose turn it is. Knows no HTTP."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import subprocess
import sys
from typing import Any
from uuid import UUID

from strongroom.errors import NotFound
from strongroom.isolation import repository, signing
from strongroom.isolation.models import PublicKey, StoredReport
from strongroom.jobs.queue import enqueue_platform, has_unfinished
from strongroom.runtime import Runtime
from tenants import repository as registry
from tenants.models import Tenant

log = logging.getLogger(__name__)
VERIFY = "isolation.verify"
KEPT = 12
ABANDONED_AFTER_S = 3600
LEAST_AGE_S = 20 * 3600.0
ROUNDS_PER_HOUR = 4
PROCESS_LIMIT_S = 300


class ProbeFailed(Exception):
    """The probe's process did not come to its end; the job is tried again."""


def latest(runtime: Runtime, tenant: Tenant) -> dict[str, Any]:
    """Return a tenant's newest report: the signed text, what it says, its signature and the key that verifies it.

    Raises:
        NotFound: its walls were not probed yet.
    """
    with runtime.tenant(tenant) as connection:
        found = repository.newest(connection)
    if found is None:
        raise NotFound("There is no report yet: the walls of each tenant are probed in turn.")
    return document(runtime, found)


def document(runtime: Runtime, report: StoredReport) -> dict[str, Any]:
    """Return a report as it is given out."""
    key = _key_of(runtime, report)
    return {
        "report": json.loads(report.signed), "signed": report.signed, "signature": base64.b64encode(report.signature).decode(),
        "algorithm": signing.ALGORITHM, "key_id": key.key_id, "public_key": key.public_key,
    }  # fmt: skip


def _key_of(runtime: Runtime, report: StoredReport) -> PublicKey:
    named = json.loads(report.signed).get("key_id")
    found = signing.public_keys(runtime.keys)
    return next((key for key in found if key.key_id == named), found[0])


def forget_old(runtime: Runtime, tenant: Tenant) -> int:
    """Forget all but the newest reports, and what a crash has left."""
    with runtime.tenant(tenant) as connection:
        return repository.forget_old(connection, KEPT, ABANDONED_AFTER_S)


def enqueue_due(runtime: Runtime) -> int:
    """Have the walls of some tenants probed, whose turn is longest ago: a quarter of an hour's share. Return how many."""
    share = -(-runtime.settings.isolation_probes_per_hour // ROUNDS_PER_HOUR)
    if share == 0:
        return 0
    with runtime.databases.control() as connection:
        due = [registry.get_tenant(connection, each) for each in repository.longest_ago(connection, share, LEAST_AGE_S)]
    ready = set(runtime.ready_cells())
    return sum(_enqueue(runtime, tenant) for tenant in due if tenant.cell in ready)


def _enqueue(runtime: Runtime, tenant: Tenant) -> int:
    with runtime.cell(tenant.cell) as connection:
        if has_unfinished(connection, tenant.id, VERIFY):
            return 0
        enqueue_platform(connection, tenant.id, VERIFY, {})
    return 1


def run_apart(runtime: Runtime, tenant_id: UUID) -> None:
    """Probe a tenant in a process of its own, which needs the whole application: a worker has no room for that.

    Settings go by standard input, where nobody else can read them.

    Raises:
        ProbeFailed
    """
    command = [sys.executable, "-m", "strongroom.probe.process"]
    given = pickle.dumps((runtime.settings, tenant_id))
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=PROCESS_LIMIT_S, check=False)  # noqa: S603 - ourselves
    except subprocess.TimeoutExpired:
        raise ProbeFailed(f"The probe took longer than {PROCESS_LIMIT_S} s.") from None
    if done.returncode:
        raise ProbeFailed(done.stderr.decode(errors="replace")[-1000:])
