"""Tenants whose bytes lie at providers of different abilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from strongroom.storage import providers

from tenants import service as tenants
from tenants.models import Tenant
from tests.factories import Account, World, number
from tests.services.parts_server import MultipartProvider, PresigningProvider, Store, parts_server
from tests.services.shared import s3_server
from tests.uploads.direct_client import Sender

WAYS = ("regions", "presigned", "relayed", "s3-ceph", "s3-rclone")


@dataclass(frozen=True)
class Place:
    """A tenant at a provider, its owner, and, where the provider is the tests' own server, its store."""

    world: World
    tenant: Tenant
    account: Account
    store: Store | None

    @property
    def sender(self) -> Sender:
        return Sender(self.world.client(self.account))

    def sender_of(self, role: str) -> Sender:
        """Another user of the same tenant."""
        return Sender(self.world.client(self.world.create_user(self.tenant, role)))

    def left(self) -> list[str]:
        """What lies at the provider, finished or not."""
        if self.store is None:
            return [version_id.hex for _, version_id, _ in self.world.runtime.storage(self.tenant).list()]
        return [*self.store.objects, *self.store.sessions]

    def nothing_left(self) -> None:
        """After the jobs nothing of a failed upload is there: no bytes, no room."""
        self.world.run_jobs()
        assert self.left() == []
        assert set(self.world.totals(self.tenant).values()) == {0}


@pytest.fixture
def make_place(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Place]]:
    """Makes tenants at a provider that takes parts in a certain way; keywords are the tenant's limits."""
    with parts_server() as (store, address):
        kinds = {"presigned": PresigningProvider(store, address), "relayed": MultipartProvider(store, address)}
        for name, provider in kinds.items():
            monkeypatch.setitem(providers.KINDS, f"test-{name}", lambda _config, _secrets, provider=provider: provider)

        def make(way: str, **limits: int) -> Place:
            name = None if way == "regions" else f"{way}-{number()}"
            if name:
                server = s3_server(way.removeprefix("s3-")) if way.startswith("s3-") else None
                what = (
                    {"kind": "s3", "config": server.config(), "secrets": server.secrets()}
                    if server
                    else {"kind": f"test-{way}", "config": {}}
                )
                tenants.add_provider(world.runtime.databases, world.runtime.keys, name=name, **what)
            tenant = tenants.create_tenant(world.runtime.databases, slug=f"{way}-{number()}", provider=name, limits=limits)
            world.runtime.registry.forget()
            world.create_bucket(tenant)
            return Place(world, tenant, world.create_user(tenant), store if way in kinds else None)

        yield make


@pytest.fixture(params=WAYS)
def place(request: pytest.FixtureRequest, make_place: Callable[..., Place]) -> Place:
    """A tenant at each kind of provider in turn."""
    return make_place(request.param)
