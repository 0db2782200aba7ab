"""Files are mirrored after their verdict and not before, follow what becomes of hosts and files, and go where they go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from strongroom.db.ids import new_id
from strongroom.mirrors import settling
from strongroom.moving import service as moving

from tenants.models import ProviderInfo, Tenant
from tests.factories import EICAR, Client, World, ok, problem
from tests.mirrors.conftest import HOSTS, AddPlace, add_host, at, counts, file_at, host_of, settle

pytestmark = pytest.mark.usefixtures("bucket")
CHECK, MIRROR = "files.check", "hosts.mirror"


def test_after_the_verdict_and_not_before(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    host = add_host(client, place)
    settle(world)
    file = world.upload(client, "a.txt", b"some text")
    world.sql("UPDATE strongroom.jobs SET state = 'parked' WHERE kind = %(kind)s AND state = 'queued'", kind=CHECK)
    settle(world)
    assert (file_at(client, file)["state"], at(world, tenant, place)) == ("none", set())
    assert world.rows(tenant, "mirrors") == []
    world.sql("UPDATE strongroom.jobs SET state = 'queued' WHERE kind = %(kind)s", kind=CHECK)
    world.run_jobs()
    stands = file_at(client, file)
    assert (stands["state"], stands["host_id"], stands["attempts"], stands["problem"]) == ("stored", host["id"], 1, "")
    assert stands["stored_at"]
    assert at(world, tenant, place) == {file["version_id"]}
    bucket_id, version_id, _ = next(world.runtime.storage(tenant, place.id).list())
    reader = world.runtime.storage(tenant, place.id).open(bucket_id, version_id)
    assert reader.read() == b"some text"
    reader.close()
    found = host_of(client, host)
    assert (found["stored"], found["stored_bytes"], found["pending"], found["failed"], found["problem"]) == (1, 9, 0, 0, "")
    assert world.rows(tenant, "byte_claims") == []


def test_what_did_not_pass_is_never_mirrored(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    world.upload(client, "eicar.com", EICAR)
    world.run_jobs()
    host = add_host(client, place)
    file = world.upload(client, "again.com", EICAR + b"\n")
    settle(world)
    assert {row["status"] for row in world.rows(tenant, "versions")} == {"quarantined"}
    assert (counts(client, host), at(world, tenant, place)) == ((0, 0, 0), set())
    assert file_at(client, file)["problem"] == "Only files that have passed their check are mirrored."


def test_unscanned_files_as_their_bucket_serves_them(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    file = world.upload(client, "a.txt", b"some text")
    world.run_jobs()
    world.tenant_sql(tenant, "UPDATE {t}.versions SET verdict = 'unscanned', reason = 'encrypted'")
    host = add_host(client, place)
    settle(world)
    assert (counts(client, host), file_at(client, file)["state"]) == ((0, 0, 0), "none")
    ok(client.patch("/api/v1/buckets/media", json={"serve_unscanned": True}))
    settle(world)
    assert counts(client, host) == (1, 0, 0)
    ok(client.patch("/api/v1/tenant/settings", json={"scanning": {"buckets_may_serve_unscanned": False}}))
    settle(world)
    assert (counts(client, host), at(world, tenant, place)) == ((0, 0, 0), set())
    ok(client.patch("/api/v1/tenant/settings", json={"scanning": {"buckets_may_serve_unscanned": True}}))
    settle(world)
    world.tenant_sql(tenant, "UPDATE {t}.versions SET status = 'quarantined', verdict = 'infected'")
    world.runtime.registry.forget()
    ok(client.patch(f"{HOSTS}/{host['id']}", json={"name": "another"}))
    settle(world)
    assert at(world, tenant, place) == set(), "quarantined later: gone there, too"


def test_files_that_exist_follow(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    """All versions, those in the trash, and only those of the host's buckets."""
    world.create_bucket(tenant, "other")
    for number in range(5):
        world.upload(client, f"{number}.txt", b"text %d" % number)
    world.upload(client, "0.txt", b"newer")
    big = world.upload(client, "big.bin", os.urandom(5_000_000))
    gone = world.upload(client, "gone.txt", b"in the trash")
    ok(client.delete(f"/api/v1/files/{gone['id']}"), 204)
    elsewhere = world.upload(client, "elsewhere.txt", b"text", bucket="other")
    world.run_jobs()
    buckets = {each["name"]: each["id"] for each in ok(client.get("/api/v1/buckets"))["items"]}
    host = add_host(client, place, buckets=[buckets["media"]])
    assert host["buckets"] == [buckets["media"]]
    settle(world)
    mine = {str(row["id"]) for row in world.rows(tenant, "versions", "id <> %(id)s", id=elsewhere["version_id"])}
    assert (counts(client, host), at(world, tenant, place)) == ((8, 0, 0), mine)
    assert file_at(client, big)["state"] == "stored"
    assert file_at(client, elsewhere)["problem"] == "Its bucket is not mirrored there."
    ok(client.patch(f"{HOSTS}/{host['id']}", json={"buckets": None}))
    settle(world)
    assert at(world, tenant, place) == {*mine, elsewhere["version_id"]}
    ok(client.patch(f"{HOSTS}/{host['id']}", json={"buckets": [buckets["other"]]}))
    settle(world)
    assert at(world, tenant, place) == {elsewhere["version_id"]}


def test_a_paused_host_keeps_what_it_has(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    host = add_host(client, place)
    first, second = (world.upload(client, f"{each}.txt", b"text %d" % each) for each in range(2))
    settle(world)
    assert not ok(client.patch(f"{HOSTS}/{host['id']}", json={"enabled": False}))["enabled"]
    third = world.upload(client, "3.txt", b"text 3")
    settle(world)
    assert at(world, tenant, place) == {first["version_id"], second["version_id"]}
    assert file_at(client, third)["problem"] == "The host is paused."
    purge(world, client, second)
    assert at(world, tenant, place) == {first["version_id"]}
    ok(client.patch(f"{HOSTS}/{host['id']}", json={"enabled": True}))
    settle(world)
    assert at(world, tenant, place) == {first["version_id"], third["version_id"]}


def purge(world: World, client: Client, file: dict[str, str]) -> None:
    """Delete a file for good."""
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    world.sql("SELECT 1")
    tenant = client.host.partition(".")[0]
    (row,) = world.sql("SELECT id FROM strongroom.tenants WHERE slug = %(slug)s", slug=tenant)
    world.sql(f"UPDATE t_{row['id'].hex}.files SET purge_at = now() - interval '1 day' WHERE id = %(id)s", id=file["id"])  # noqa: S608 - an id
    settle(world)


def test_what_goes_goes_everywhere(world: World, tenant: Tenant, client: Client, place: ProviderInfo, add_place: AddPlace) -> None:
    other = add_place()
    for each in (place, other):
        add_host(client, each)
    world.create_bucket(tenant, "plain", versioning=False)
    file = world.upload(client, "a.txt", b"some text")
    former = world.upload(client, "b.txt", b"first", bucket="plain")
    settle(world)
    assert at(world, tenant, place) == at(world, tenant, other) == {file["version_id"], former["version_id"]}
    present = world.upload(client, "b.txt", b"second", bucket="plain")
    settle(world)
    assert at(world, tenant, place) == at(world, tenant, other) == {file["version_id"], present["version_id"]}
    purge(world, client, file)
    assert at(world, tenant, place) == at(world, tenant, other) == {present["version_id"]}
    assert len(world.rows(tenant, "mirrors")) == 2


def test_a_deleted_tenant_leaves_nothing(world: World, tenant: Tenant, client: Client, place: ProviderInfo, operator: Client) -> None:
    add_host(client, place)
    world.upload(client)
    settle(world)
    assert len(at(world, tenant, place)) == 1
    ok(operator.delete(f"/operator/api/v1/tenants/{tenant.slug}"), 202)
    settle(world)
    assert at(world, tenant, place) == set()


def test_a_removed_host_is_emptied(world: World, tenant: Tenant, client: Client, place: ProviderInfo, operator: Client) -> None:
    host = add_host(client, place)
    world.upload(client)
    settle(world)
    problem(operator.delete(f"/operator/api/v1/providers/{place.name}"), 409, "provider_in_use")
    ok(client.delete(f"{HOSTS}/{host['id']}"), 204)
    problem(client.get(f"{HOSTS}/{host['id']}"), 404, "not_found")
    settle(world)
    assert (at(world, tenant, place), world.rows(tenant, "mirrors")) == (set(), [])
    moving.leave_providers(world.runtime, tenant)  # as every day
    assert place.id not in world.runtime.provider_ids(tenant)
    ok(operator.delete(f"/operator/api/v1/providers/{place.name}"), 204)


def test_copies_are_not_left_at_what_the_operator_offers(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    """They would count in no quota, and nobody could remove them."""
    host = add_host(client, place)
    file = world.upload(client)
    settle(world)
    refused = problem(client.delete(f"{HOSTS}/{host['id']}", query_string={"keep_copies": "1"}), 409, "conflict")
    assert "storage of your own" in refused["detail"]
    settle(world)
    assert (counts(client, host), at(world, tenant, place)) == ((1, 0, 0), {file["version_id"]})
    ok(client.delete(f"{HOSTS}/{host['id']}"), 204)
    settle(world)
    assert (at(world, tenant, place), world.rows(tenant, "mirrors")) == (set(), [])


def test_a_look_that_began_before_the_host_was_added(world: World, tenant: Tenant, client: Client, place: ProviderInfo) -> None:
    former = world.runtime.look_up(tenant)
    host = add_host(client, place)
    file = world.upload(client)
    settle(world)
    settling.settle(world.runtime, former)
    settle(world)
    assert (counts(client, host), at(world, tenant, place)) == ((1, 0, 0), {file["version_id"]})
    next(each for each in Path(place.config["root"], tenant.prefix).rglob("*") if each.is_file()).unlink()
    assert settling.reconcile(world.runtime, former) == 1


def test_a_former_version_of_the_settings(
    world: World, tenant: Tenant, client: Client, place: ProviderInfo, add_place: AddPlace, operator: Client
) -> None:
    other = add_place()
    host, gone = add_host(client, place), add_host(client, other)
    file = world.upload(client)
    settle(world)
    ok(client.delete(f"{HOSTS}/{gone['id']}"), 204)
    settle(world)
    assert at(world, tenant, other) == set()
    restored = ok(client.post("/api/v1/tenant/settings/versions/3/restore"))
    assert set(restored["hosts"]) == {host["id"], gone["id"]}
    settle(world)
    assert at(world, tenant, other) == {file["version_id"]}
    ok(client.post("/api/v1/tenant/settings/versions/1/restore"))
    settle(world)
    assert (at(world, tenant, place), at(world, tenant, other)) == (set(), set())
    moving.leave_providers(world.runtime, tenant)  # as every day
    ok(operator.delete(f"/operator/api/v1/providers/{other.name}"), 204)
    told = problem(client.post("/api/v1/tenant/settings/versions/3/restore"), 422, "validation_failed")
    assert gone["id"] in told["errors"]["hosts"]
    kinds = [row["kind"] for row in world.rows(tenant, "events", "kind LIKE 'host.%%' ORDER BY xid, id")]
    assert kinds.count("host.added") == 3
    assert kinds.count("host.removed") == 3


def test_what_a_host_may_be(world: World, client: Client, place: ProviderInfo, add_place: AddPlace, local: ProviderInfo) -> None:
    host = add_host(client, place)
    body = {"name": "x", "provider_id": str(place.id)}
    problem(client.post(HOSTS, json=body), 409, "already_exists")
    other = {"name": host["name"], "provider_id": str(add_place().id)}
    problem(client.post(HOSTS, json=other), 409, "already_exists")
    world.sql("UPDATE strongroom.providers SET offered_as_host = true WHERE id = %(id)s", id=local.id)
    problem(client.post(HOSTS, json={**body, "provider_id": str(local.id)}), 409, "conflict")
    world.sql("UPDATE strongroom.providers SET offered_as_host = false WHERE id = %(id)s", id=local.id)
    problem(client.post(HOSTS, json={**body, "provider_id": str(local.id)}), 404, "not_found")
    problem(client.post(HOSTS, json={**body, "provider_id": str(new_id())}), 404, "not_found")
    for wrong in (
        {"buckets": []},
        {"buckets": ["x"]},
        {"buckets": [str(new_id())]},
        {"name": ""},
        {"name": "a\nb"},
        {"enabled": "perhaps"},
    ):
        problem(client.post(HOSTS, json={"name": "y", "provider_id": str(add_place().id), **wrong}), 422, "validation_failed")
    for _ in range(4):
        add_host(client, add_place())
    problem(client.post(HOSTS, json={"name": "z", "provider_id": str(add_place().id)}), 409, "conflict")
    assert len(ok(client.get(HOSTS))["items"]) == 5
    problem(client.patch("/api/v1/tenant/settings", json={"hosts": {}}), 422, "validation_failed")


def test_a_place_that_does_not_work_is_refused(client: Client, place: ProviderInfo) -> None:
    Path(place.config["root"]).rmdir()
    problem(client.post(HOSTS, json={"name": "x", "provider_id": str(place.id)}), 503, "storage_unavailable")
    assert ok(client.get(HOSTS))["items"] == []


def test_who_may_use_which_provider(world: World, client: Client, place: ProviderInfo, operator: Client) -> None:
    offered = {each["name"]: each for each in ok(client.get(f"{HOSTS}/providers"))["items"]}
    assert (offered[place.name]["is_own"], offered[place.name]["is_free"]) == (False, True)
    host = add_host(client, place)
    stranger = world.client(world.create_user(world.create_tenant()))
    for path in (f"{HOSTS}/{host['id']}", f"{HOSTS}/{new_id()}", f"{HOSTS}/nonsense"):
        for answer in (
            stranger.get(path), stranger.patch(path, json={"name": "x"}), stranger.delete(path), stranger.post(f"{path}/retry"),
        ):  # fmt: skip
            problem(answer, 404, "not_found")
    file = world.upload(client)
    problem(stranger.get(f"/api/v1/files/{file['id']}/mirrors"), 404, "not_found")
    ok(operator.patch(f"/operator/api/v1/providers/{place.name}", json={"offered_as_host": False}))
    assert place.name not in {each["name"] for each in ok(stranger.get(f"{HOSTS}/providers"))["items"]}
    problem(stranger.post(HOSTS, json={"name": "x", "provider_id": str(place.id)}), 404, "not_found")
    settle(world)
    assert counts(client, host) == (1, 0, 0), "whoever mirrors there goes on"
