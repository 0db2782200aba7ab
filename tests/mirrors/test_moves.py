"""A tenant's bytes move to a host's provider and away from it: what is a mirror and what is not changes, and no byte is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from strongroom.files import claims
from strongroom.moving import service as moving
from strongroom.storage.keys import object_key

from tenants.models import ProviderInfo, Tenant
from tests.factories import Client, World, ok
from tests.mirrors.conftest import HOSTS, add_host, at, counts, file_at, host_of, settle
from tests.moving.conftest import assert_readable, move, named, present

pytestmark = pytest.mark.usefixtures("bucket")


def fill(world: World, client: Client) -> dict[str, bytes]:
    contents = {f"{each}.txt": b"text %d" % each for each in range(6)}
    for path, data in contents.items():
        world.upload(client, path, data)
    world.run_jobs()
    return contents


def test_to_a_host_and_back(world: World, tenant: Tenant, client: Client, place: ProviderInfo, local: ProviderInfo) -> None:
    contents = fill(world, client)
    versions = named(world, tenant, local)
    host = add_host(client, place)
    settle(world)
    assert at(world, tenant, place) == at(world, tenant, local) == versions
    assert move(world, present(world, tenant), place).failures == ()
    settle(world)
    assert named(world, tenant, place) == at(world, tenant, place) == versions, "what was a mirror is the only place"
    assert at(world, tenant, local) == set()
    assert (counts(client, host), world.rows(tenant, "mirrors")) == ((0, 0, 0), [])
    assert host_of(client, host)["is_main"]
    assert_readable(client, contents)
    assert move(world, present(world, tenant), local).failures == ()
    settle(world)
    assert named(world, tenant, local) == at(world, tenant, local) == versions
    assert at(world, tenant, place) == versions, "where it came from is a mirror again"
    assert counts(client, host) == (6, 0, 0)
    assert_readable(client, contents)
    ok(client.delete(f"{HOSTS}/{host['id']}"), 204)
    settle(world)
    assert at(world, tenant, place) == set()
    assert_readable(client, contents)
    assert world.rows(tenant, "byte_claims") == []


def test_to_a_host_that_is_not_done_yet(world: World, tenant: Tenant, client: Client, place: ProviderInfo, local: ProviderInfo) -> None:
    """The move comes first, with the copies still to be made, and old bytes that wait for their removal."""
    contents = fill(world, client)
    versions = named(world, tenant, local)
    add_host(client, place)
    moving.begin(world.runtime, present(world, tenant), place)
    settle(world)
    assert named(world, tenant, place) == at(world, tenant, place) == versions
    assert (at(world, tenant, local), world.rows(tenant, "mirrors")) == (set(), [])
    assert_readable(client, contents)


def only_path(world: World, tenant: Tenant, place: ProviderInfo) -> Path:
    (row,) = world.rows(tenant, "versions")
    return Path(place.config["root"]) / object_key(tenant.prefix, row["bucket_id"], row["id"])


def test_a_mirror_that_stands_is_not_written_over(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, local: ProviderInfo
) -> None:
    """Not even read from the old provider, which may have lost it."""
    file = world.upload(client, "a.txt", b"a text")
    world.run_jobs()
    add_host(client, place)
    settle(world)
    before = only_path(world, tenant, place).stat().st_ino
    only_path(world, tenant, local).unlink()
    assert move(world, present(world, tenant), place).failures == ()
    assert named(world, tenant, place) == at(world, tenant, place) == {file["version_id"]}
    assert only_path(world, tenant, place).stat().st_ino == before
    assert_readable(client, {"a.txt": b"a text"})


@pytest.mark.parametrize("there", [b"b text", b"a te", None], ids=["other", "shorter", "missing"])
def test_a_mirror_that_is_not_what_it_should_be_is_made_anew(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, there: bytes | None
) -> None:
    file = world.upload(client, "a.txt", b"a text")
    world.run_jobs()
    add_host(client, place)
    settle(world)
    path = only_path(world, tenant, place)
    path.unlink()
    if there is not None:
        path.write_bytes(there)
    assert move(world, present(world, tenant), place).failures == ()
    assert named(world, tenant, place) == {file["version_id"]}
    assert path.read_bytes() == b"a text"
    assert_readable(client, {"a.txt": b"a text"})


def test_to_elsewhere_while_a_host_stays(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, local: ProviderInfo, operator: Client
) -> None:
    """And the place that was left becomes a host before its bytes were removed."""
    contents = fill(world, client)
    versions = named(world, tenant, local)
    moving.begin(world.runtime, tenant, place)
    world.run_due_jobs()
    assert at(world, tenant, local) == at(world, tenant, place) == versions
    ok(operator.patch(f"/operator/api/v1/providers/{local.name}", json={"offered_as_host": True}))
    try:
        host = add_host(client, local)
    finally:
        ok(operator.patch(f"/operator/api/v1/providers/{local.name}", json={"offered_as_host": False}))
    settle(world)
    moving.leave_providers(world.runtime, tenant)
    assert at(world, tenant, local) == at(world, tenant, place) == versions, "the removal that waited leaves a mirror alone"
    assert counts(client, host) == (6, 0, 0)
    assert local.id in world.runtime.provider_ids(tenant)
    assert_readable(client, contents)


def test_a_move_and_a_mirror_do_not_copy_to_one_place_at_once(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, local: ProviderInfo
) -> None:
    file = world.upload(client)
    world.run_jobs()
    add_host(client, place)
    tenant = present(world, tenant)
    (version,) = world.rows(tenant, "versions")
    with world.runtime.tenant(tenant) as connection:
        assert claims.take_for_copy(connection, version["id"], place.id)
    world.run_due_jobs()
    assert (file_at(client, file)["state"], file_at(client, file)["attempts"], at(world, tenant, place)) == ("pending", 0, set())
    with world.runtime.tenant(tenant) as connection:
        claims.release(connection, [version["id"]], place.id, claims.COPY)
        assert claims.take_for_mirror(connection, version["id"], place.id)
    moving.begin(world.runtime, tenant, place)
    world.run_due_jobs()
    assert named(world, tenant, local) == {file["version_id"]}, "the move waits"
    with world.runtime.tenant(tenant) as connection:
        claims.release(connection, [version["id"]], place.id, claims.MIRROR)
    settle(world)
    assert named(world, tenant, place) == at(world, tenant, place) == {file["version_id"]}
