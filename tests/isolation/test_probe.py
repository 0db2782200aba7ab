"""The probe of the walls: finds nothing where they stand, and each that is taken down alone."""

from __future__ import annotations

import json
from typing import Any

from strongroom.isolation.models import StoredReport
from strongroom.probe import run

from tenants.models import Tenant
from tests.factories import World


def probe(world: World, tenant: Tenant, **options: Any) -> Any:
    report: StoredReport = run.verify(world.runtime, world.app, tenant, **options)
    return json.loads(report.signed)


def test_all_walls_stand(world: World, tenant: Tenant) -> None:
    said = probe(world, tenant)
    assert said["findings"] == []
    assert said["ok"] is True
