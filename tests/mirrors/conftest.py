"""A tenant with files, a folder that the operator offers as a host, and what it takes to look at both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strongroom.operating import providers

from tenants.models import ProviderInfo, Tenant
from tests.factories import Client, World, number, ok

HOSTS = "/api/v1/hosts"
AddPlace = Callable[..., ProviderInfo]


@pytest.fixture
def add_place(world: World, tmp_path: Path) -> AddPlace:
    """Adds a provider of the operator's, a folder unless it is said otherwise, and offers it to tenants."""

    def make(kind: str = "filesystem", config: dict[str, Any] | None = None, secrets: dict[str, str] | None = None) -> ProviderInfo:
        name = f"host-{number()}"
        if config is None:
            config = {"root": str(tmp_path / name)}
            (tmp_path / name).mkdir()
        providers.add_provider(world.runtime, "test", name=name, kind=kind, config=config, secrets=secrets)
        return providers.offer_as_host(world.runtime, "test", name, offered=True)

    return make


@pytest.fixture
def place(add_place: AddPlace) -> ProviderInfo:
    """A folder beside the one in which every tenant begins."""
    return add_place()


@pytest.fixture
def local(world: World) -> ProviderInfo:
    """The folder in which every tenant begins."""
    return providers.get_provider(world.runtime, "local")


def add_host(client: Client, place: ProviderInfo, **more: Any) -> Any:
    """Mirror to a place."""
    return ok(client.post(HOSTS, json={"name": f"to {place.name}", "provider_id": str(place.id), **more}), 201)


def host_of(client: Client, host: Any) -> Any:
    """A host as it is now."""
    return ok(client.get(f"{HOSTS}/{host['id']}"))


def counts(client: Client, host: Any) -> tuple[int, int, int]:
    """How many copies are stored, pending and failed."""
    found = host_of(client, host)
    return found["stored"], found["pending"], found["failed"]


def at(world: World, tenant: Tenant, place: ProviderInfo) -> set[str]:
    """The versions of which there are bytes at a provider."""
    return {str(version_id) for _, version_id, _ in world.runtime.storage(tenant, place.id).list()}


def file_at(client: Client, file: Any) -> Any:
    """Where a file stands at its only host."""
    (found,) = ok(client.get(f"/api/v1/files/{file['id']}/mirrors"))["items"]
    return found


def settle(world: World) -> None:
    """Do what is queued, whatever its delay, and what follows from it."""
    for _ in range(3):
        world.run_jobs()
