"""A tenant with files, and other places to move them to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strongroom.moving import service as moving
from strongroom.moving.models import Report
from strongroom.operating import providers

from tenants.models import ProviderInfo, Tenant
from tests.factories import Client, World, number, object_url

Add = Callable[..., ProviderInfo]


@pytest.fixture
def add(world: World) -> Add:
    """Adds a provider as an operator does."""

    def make(kind: str, config: dict[str, Any], secrets: dict[str, str] | None = None) -> ProviderInfo:
        name = f"other-{number()}"
        return providers.add_provider(world.runtime, "test", name=name, kind=kind, config=config, secrets=secrets)

    return make


@pytest.fixture
def other(add: Add, tmp_path: Path) -> ProviderInfo:
    """Another folder."""
    (tmp_path / "other").mkdir()
    return add("filesystem", {"root": str(tmp_path / "other")})


@pytest.fixture
def local(world: World) -> ProviderInfo:
    """The folder in which every tenant begins."""
    return providers.get_provider(world.runtime, "local")


def present(world: World, tenant: Tenant) -> Tenant:
    """The tenant as the registry knows it now."""
    found = world.runtime.registry.by_id(tenant.id)
    assert found is not None
    return found


def move(world: World, tenant: Tenant, to: ProviderInfo) -> Report:
    """Move all, and do what follows from it later too: removing the old bytes, forgetting the old provider."""
    moving.begin(world.runtime, tenant, to)
    for _ in range(4):
        world.run_jobs()
    moving.leave_providers(world.runtime, tenant)  # as every day
    return moving.report(world.runtime, tenant)


def objects(world: World, tenant: Tenant, at: ProviderInfo) -> set[str]:
    """The versions of which there are bytes at a provider."""
    return {str(version_id) for _, version_id, _ in world.runtime.storage(tenant, at.id).list()}


def named(world: World, tenant: Tenant, at: ProviderInfo) -> set[str]:
    """The versions that the rows name there."""
    return {str(row["id"]) for row in world.rows(tenant, "versions", "provider_id = %(id)s", id=at.id)}


def assert_readable(client: Client, contents: dict[str, bytes]) -> None:
    """Every file is there, byte for byte."""
    for path, data in contents.items():
        response = client.get(object_url("media", path))
        assert (response.status_code, response.data) == (200, data), path
