"""A tenant that mirrors is taken out: its archive knows of no mirror, and is brought in elsewhere as any other."""

from __future__ import annotations

import json

import pytest

from tenants.models import ProviderInfo, Tenant
from tests.factories import Client, World, ok
from tests.mirrors.conftest import HOSTS, add_host, counts, settle
from tests.takeout.conftest import export, import_, members

pytestmark = pytest.mark.usefixtures("bucket")


def test_an_archive_holds_no_mirrors(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    host = add_host(client, place)
    world.upload(client)
    settle(world)
    assert counts(client, host) == (1, 0, 0)
    archive = export(world, tenant)
    found = members(archive)
    assert json.loads(found["strongroom-export.json"])["tenant"]["settings"].get("hosts") is None
    assert not any(name.startswith("tables/mirrors/") for name in found)
    imported = import_(world, archive)
    settle(world)
    arrived = world.runtime.registry.by_id(imported.tenant.id)
    assert arrived is not None
    assert arrived.settings.hosts == ()
    assert ok(client.get(HOSTS))["items"][0]["stored"] == 1
