"""A tenant mirrors to a provider of its own, which nobody else can name; and what the table of mirrors costs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from strongroom.db.ids import new_id
from strongroom.files import copies
from strongroom.mirrors import settling
from strongroom.storage import outages
from strongroom.storage.outages import Outages

from tenants.models import Tenant
from tests.factories import Account, Client, World, ok, problem
from tests.mirrors.conftest import HOSTS, counts, settle
from tests.moving.conftest import present
from tests.services.s3server import S3Server

PROVIDERS = "/api/v1/tenant/providers"


def test_to_a_provider_of_its_own(world: World, rclone_server: S3Server) -> None:
    """Which is reached through the guard, is nobody else's, and stays while copies are there."""
    open_world = world.again(outbound_allow=["127.0.0.1/32"], outbound_ports=[urlsplit(rclone_server.endpoint_url).port])
    tenant = open_world.create_tenant(own_providers=1)
    client = open_world.client(open_world.create_user(tenant))
    stranger = open_world.client(open_world.create_user(open_world.create_tenant(own_providers=1)))
    open_world.create_bucket(tenant)
    body = {"name": "ours", "kind": "s3", "config": rclone_server.config(), "secrets": rclone_server.secrets()}
    own = ok(client.post(PROVIDERS, json=body), 201)
    for provider_id in (own["id"], str(new_id())):
        problem(stranger.post(HOSTS, json={"name": "x", "provider_id": provider_id}), 404, "not_found")
    host = ok(client.post(HOSTS, json={"name": "x", "provider_id": own["id"]}), 201)
    assert (host["provider"], host["kind"], host["is_main"]) == ("ours", "s3", False)
    file = open_world.upload(client)
    for _ in range(2):
        open_world.run_jobs()
    (copy,) = open_world.runtime.storage(tenant, present(open_world, tenant).settings.hosts[0].provider_id).list()
    assert (str(copy[1]), copy[2].size_bytes) == (file["version_id"], file["size_bytes"])
    problem(client.delete(f"{PROVIDERS}/{own['id']}"), 409, "provider_in_use")
    ok(client.delete(f"{HOSTS}/{host['id']}", query_string={"keep_copies": "1"}), 204)
    ok(client.delete(f"{PROVIDERS}/{own['id']}"), 204)
    problem(client.post("/api/v1/tenant/settings/versions/2/restore"), 422, "validation_failed")


@dataclass(frozen=True)
class Own:
    """A tenant that mirrors a file to an S3 server of its own."""

    world: World
    tenant: Tenant
    owner: Account
    client: Client
    provider_id: str
    host_id: str
    version_id: str

    def kept(self) -> set[str]:
        """The versions of which there are copies."""
        return {str(version_id) for _, version_id, _ in self.world.runtime.storage(self.tenant, UUID(self.provider_id)).list()}


@pytest.fixture
def own(world: World, rclone_server: S3Server) -> Own:
    open_world = world.again(outbound_allow=["127.0.0.1/32"], outbound_ports=[urlsplit(rclone_server.endpoint_url).port])
    tenant = open_world.create_tenant(own_providers=1)
    owner = open_world.create_user(tenant)
    client = open_world.client(owner)
    open_world.create_bucket(tenant)
    body = {"name": "ours", "kind": "s3", "config": rclone_server.config(), "secrets": rclone_server.secrets()}
    provider = ok(client.post(PROVIDERS, json=body), 201)
    host = ok(client.post(HOSTS, json={"name": "x", "provider_id": provider["id"]}), 201)
    file = open_world.upload(client)
    settle(open_world)
    return Own(open_world, tenant, owner, client, provider["id"], host["id"], file["version_id"])


def test_copies_can_be_left(own: Own) -> None:
    """They are forgotten: nothing of ours looks there again."""
    world, tenant, client = own.world, own.tenant, own.client
    ok(client.delete(f"{HOSTS}/{own.host_id}", query_string={"keep_copies": "1"}), 204)
    settle(world)
    assert (own.kept(), world.rows(tenant, "mirrors")) == ({own.version_id}, [])
    assert UUID(own.provider_id) not in world.runtime.provider_ids(tenant)
    again = ok(client.post(HOSTS, json={"name": "x", "provider_id": own.provider_id}), 201)
    settle(world)
    assert counts(client, again) == (1, 0, 0), "they are written anew"


def test_its_page_offers_to_leave_them(own: Own) -> None:
    browser = own.world.browser(own.owner)
    assert b"Leave the copies there" in browser.get("/console/hosts/").data
    assert browser.post(f"/console/hosts/{own.host_id}/remove", data={"keep_copies": "1"}).status_code == 303
    assert ok(own.client.get(HOSTS))["items"] == []
    settle(own.world)
    assert own.kept() == {own.version_id}


def test_a_look_that_began_before_leaves_kept_copies(own: Own) -> None:
    """Whether it finds what has to be copied there with the settings of then, or such a row was noted in the last moment."""
    world, tenant = own.world, own.tenant
    former = world.runtime.look_up(tenant)
    ok(own.client.delete(f"{HOSTS}/{own.host_id}", query_string={"keep_copies": "1"}), 204)
    settling.settle(world.runtime, former)
    settle(world)
    assert (own.kept(), world.rows(tenant, "mirrors")) == ({own.version_id}, [])
    with world.runtime.tenant(tenant) as connection:
        assert copies.add(connection, former.settings.hosts[0], former.settings.scanning)
    settle(world)
    settling.settle(world.runtime, tenant)
    settle(world)
    assert (own.kept(), world.rows(tenant, "mirrors")) == ({own.version_id}, [])


def test_without_its_plan_it_brings_none(world: World, rclone_server: S3Server) -> None:
    """An inner address is refused where the operator has not allowed it; so is an own provider where the plan has none."""
    open_world = world.again(outbound_allow=["127.0.0.1/32"], outbound_ports=[urlsplit(rclone_server.endpoint_url).port])
    tenant = open_world.create_tenant(own_providers=1)
    owner = open_world.create_user(tenant)
    body = {"name": "ours", "kind": "s3", "config": rclone_server.config(), "secrets": rclone_server.secrets()}
    own = ok(open_world.client(owner).post(PROVIDERS, json=body), 201)
    closed = world.client(owner)
    problem(closed.post(HOSTS, json={"name": "x", "provider_id": own["id"]}), 503, "storage_unavailable")
    world.sql("UPDATE strongroom.tenants SET limits = '{}' WHERE id = %(id)s", id=tenant.id)
    open_world.runtime.registry.forget()
    problem(open_world.client(owner).post(HOSTS, json={"name": "x", "provider_id": own["id"]}), 403, "forbidden")


def test_the_table_is_small(world: World, tenant: Tenant) -> None:
    """It is multiplied by the number of tenants: no TOAST table, and one index beside its key."""
    table = f"'{tenant.ref.role}.mirrors'::regclass"
    (row,) = world.sql(f"SELECT reltoastrelid FROM pg_class WHERE oid = {table}")  # noqa: S608 - a role's name
    assert row["reltoastrelid"] == 0
    assert len(world.sql(f"SELECT indexrelid FROM pg_index WHERE indrelid = {table}")) == 2  # noqa: S608 - a role's name


def test_the_daily_look_of_a_tenant_without_hosts_leaves_no_jobs(world: World, tenant: Tenant) -> None:
    settling.settle(world.runtime, tenant)
    assert settling.reconcile(world.runtime, tenant) == 0
    assert world.jobs(tenant) == []


def test_outages_are_remembered_for_a_tenant_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made, (tenant, other, provider) = Outages(), (new_id() for _ in range(3))
    made.note(tenant, provider)
    assert (made.knows(tenant, provider), made.knows(other, provider)) == (True, False)
    for _ in range(outages.MOST + 5):
        made.note(new_id(), provider)
    assert len(made._until) == outages.MOST
    monkeypatch.setattr(outages, "REMEMBERED_S", -1.0)
    late = Outages()
    late.note(tenant, provider)
    assert not late.knows(tenant, provider)
