"""The probe of the walls, of a tenant that brought its provider: a server, a bucket and credentials of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from strongroom.runtime import Runtime
from strongroom.storage.bound import TenantStorage

from tenants.models import Tenant
from tests.factories import World, ok
from tests.isolation.probing import probe
from tests.services import rclone
from tests.services.s3server import S3Server
from tests.services.shared import need

HERE = "/api/v1/tenant/providers"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """Not the run's: with a bucket and credentials that nobody else has."""
    need("rclone")
    with rclone.rclone() as made:
        yield made


@pytest.fixture
def own(world: World, server: S3Server) -> World:
    """The deployment, which may reach that server."""
    return world.again(outbound_allow=["127.0.0.1/32"], outbound_ports=[urlsplit(server.endpoint_url).port])


@pytest.fixture
def bringer(own: World, server: S3Server) -> Tenant:
    """A tenant whose files go to a provider of its own; and neighbours at the platform's."""
    own.create_tenant()
    tenant = own.create_tenant(own_providers=1)
    client = own.client(own.create_user(tenant))
    body = {"name": "ours", "kind": "s3", "config": server.config(), "secrets": server.secrets()}
    made = ok(client.post(HERE, json=body), 201)
    ok(client.post(f"{HERE}/{made['id']}/use"), 204)
    own.create_bucket(tenant)
    own.upload(client, "a.txt")
    found = own.runtime.registry.by_id(tenant.id)
    assert found is not None
    assert str(found.provider_id) == made["id"]
    return found


def test_all_walls_stand_and_its_provider_is_as_before(own: World, bringer: Tenant, server: S3Server) -> None:
    before = lying(own, bringer)
    assert len(before) == 1
    said = probe(own, bringer)
    assert (said["findings"], said["complete"]) == ([], True)
    # the prober goes to no address that a tenant named, but for what the provider's own guarded client does
    assert [each for each in said["left_out"] if each.startswith("bytes")] == [
        "bytes: signed addresses of a provider that the tenant brought itself are not fetched"
    ]
    assert ("bytes", "provider view bound to another prefix") in {(each["wall"], each["credential"]) for each in said["tried"]}
    assert lying(own, bringer) == before
    assert server.secret_access_key not in str(said)


def lying(own: World, tenant: Tenant) -> list[Any]:
    """What lies at the tenant's provider under its prefix."""
    return sorted(own.runtime.storage(tenant).list())


def whoever_asks_gets_it(runtime: Runtime, tenant: Tenant, provider_id: UUID | None = None) -> TenantStorage:
    """A provider for every tenant that names it, whoever brought it."""
    provider, _ = runtime._provider(provider_id or tenant.provider_id)
    return TenantStorage(provider, tenant.prefix)


@pytest.mark.slow
def test_a_provider_that_is_given_to_others_is_found(own: World, bringer: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the prefix still keeps them from its objects."""
    monkeypatch.setattr(Runtime, "storage", whoever_asks_gets_it)
    said = probe(own, bringer)
    assert said["ok"] is False
    assert {each["wall"] for each in said["findings"]} == {"bytes"}
