"""Each test on both kinds of storage: one that writes regions, and one that takes parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from strongroom.storage import providers

from tenants import service as tenants
from tenants.models import Tenant
from tests.factories import Account, Client, World, number
from tests.tus.parts_provider import PartsProvider
from tests.tus.talk import Talk


@dataclass(frozen=True)
class Place:
    """Where a tenant's bytes are."""

    kind: str
    world: World
    parts: PartsProvider | None

    def left(self, tenant: Tenant) -> list[Path]:
        """Every file of bytes of this tenant, finished or not."""
        return self.world.stored(tenant) if self.parts is None else [each for each in self.parts.left() if tenant.id.hex in str(each)]


@pytest.fixture(scope="session")
def parts_provider(shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartsProvider]:
    made = PartsProvider(tmp_path_factory.mktemp("parts"))
    providers.KINDS["parts"] = lambda _config, _secrets: made
    tenants.add_provider(shared_world.runtime.databases, shared_world.runtime.keys, name="parts", kind="parts", config={})
    yield made
    del providers.KINDS["parts"]


@pytest.fixture(params=["regions", "parts"])
def place(request: pytest.FixtureRequest, world: World) -> Place:
    parts = request.getfixturevalue("parts_provider") if request.param == "parts" else None
    return Place(request.param, world, parts)


@pytest.fixture
def tenant(world: World, place: Place) -> Tenant:
    if place.parts is None:
        return world.create_tenant()
    made = tenants.create_tenant(world.runtime.databases, slug=f"parts-{os.getpid()}-{number()}", provider="parts")
    world.runtime.registry.forget()
    return made


@pytest.fixture
def talk(client: Client, bucket: object) -> Talk:  # noqa: ARG001 - the bucket `media`
    """The owner of `tenant`, who speaks tus."""
    return Talk(client)


@pytest.fixture
def member(world: World, tenant: Tenant) -> Account:
    return world.create_user(tenant, "member")
