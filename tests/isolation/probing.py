"""A probe in this process, as tests read its report."""

from __future__ import annotations

import json
from typing import Any

from strongroom.isolation.models import StoredReport
from strongroom.probe import run

from tenants.models import Tenant
from tests.factories import World


def probe(world: World, tenant: Tenant, **options: Any) -> Any:
    """What the signed report says."""
    report: StoredReport = run.verify(world.runtime, world.app, tenant, **options)
    return json.loads(report.signed)
