"""A tenant whose walls are probed."""

from __future__ import annotations

import pytest

from tenants.models import Tenant
from tests.factories import World


@pytest.fixture
def busy(world: World, tenant: Tenant) -> Tenant:
    """A tenant with a file, and neighbours."""
    world.create_tenant()
    world.create_bucket(tenant)
    world.upload(world.client(world.create_user(tenant)), "a.txt")
    return tenant
