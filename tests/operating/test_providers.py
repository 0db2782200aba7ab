"""What operators do with providers: secrets go in and never come out, and nothing is kept that does not work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from strongroom.config import Settings
from strongroom.operating import providers
from strongroom.security.keys import KeyRing
from strongroom.storage.probe import ADVICE

from tenants import providers as registered
from tenants.models import Tenant
from tests.factories import Client, World, number, ok, problem, token_bytes
from tests.services.s3server import S3Server

HERE = "/operator/api/v1/providers"


@pytest.fixture
def server(rclone_server: S3Server) -> S3Server:
    return rclone_server


def add_s3(operator: Client, server: S3Server) -> Any:
    body = {"name": f"s3-{number()}", "kind": "s3", "config": server.config(), "secrets": server.secrets()}
    return ok(operator.post(HERE, json=body), 201)


def test_secrets_go_in_and_never_come_out(world: World, operator: Client, operator_viewer: Client, server: S3Server) -> None:
    made = add_s3(operator, server)
    assert made["secrets_set"] == ["access_key_id", "secret_access_key"]
    for client in (operator, operator_viewer):
        listed = client.get(HERE)
        assert made in ok(listed)["items"]
        assert server.secret_access_key.encode() not in listed.data
    (row,) = world.sql("SELECT secrets FROM strongroom.providers WHERE name = %(name)s", name=made["name"])
    assert server.secret_access_key.encode() not in row["secrets"]
    audit = operator.get("/operator/api/v1/audit")
    assert server.secret_access_key.encode() not in audit.data


def test_every_step_is_told(operator: Client, server: S3Server) -> None:
    made = add_s3(operator, server)
    tested = ok(operator.post(f"{HERE}/{made['name']}/test"))
    assert tested["ok"]
    assert [step["name"] for step in tested["steps"]] == [name for name in ADVICE if name != "write on"]
    local = ok(operator.post(f"{HERE}/local/test"))
    assert local["ok"]
    assert "write on" in [step["name"] for step in local["steps"]]


def test_what_fails_says_what_to_do(operator: Client, server: S3Server) -> None:
    config, secrets = server.config(), {**server.secrets(), "secret_access_key": "wrong"}
    body = {"name": f"s3-{number()}", "kind": "s3", "config": config, "secrets": secrets}
    refused = problem(operator.post(HERE, json=body), 503, "storage_unavailable")
    assert refused["step"] == "check"
    assert ADVICE["check"] in refused["detail"]
    wrong = problem(operator.post(HERE, json={**body, "config": {**config, "buckett": 1}}), 422, "validation_failed")
    assert "buckett" in wrong["detail"]


def test_update_and_delete(world: World, operator: Client, tenant: Tenant, server: S3Server) -> None:
    made = add_s3(operator, server)
    url = f"{HERE}/{made['name']}"
    problem(operator.patch(url, json={"secrets": {**server.secrets(), "secret_access_key": "wrong"}}), 503, "storage_unavailable")
    changed = ok(operator.patch(url, json={"config": server.config(timeout_s=10)}))
    assert changed["config"]["timeout_s"] == 10
    assert changed["secrets_set"] == made["secrets_set"]
    ok(operator.put(f"/operator/api/v1/tenants/{tenant.slug}/provider", json={"provider": made["name"]}))
    problem(operator.delete(url), 409, "provider_in_use")
    problem(operator.delete(f"{HERE}/local"), 409, "provider_in_use")
    ok(operator.put(f"/operator/api/v1/tenants/{tenant.slug}/provider", json={"provider": "local"}))
    registered.leave(world.runtime.databases, tenant.id, world.runtime.provider_ids(tenant)[-1])
    ok(operator.delete(url), 204)
    problem(operator.post(f"{url}/test"), 404, "not_found")


def test_a_provider_in_use_leads_to_no_other_place(operator: Client, tenant: Tenant, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    name = f"folder-{number()}"
    ok(operator.post(HERE, json={"name": name, "kind": "filesystem", "config": {"root": str(first)}}), 201)
    ok(operator.patch(f"{HERE}/{name}", json={"config": {"root": str(second)}}))
    ok(operator.put(f"/operator/api/v1/tenants/{tenant.slug}/provider", json={"provider": name}))
    problem(operator.patch(f"{HERE}/{name}", json={"config": {"root": str(first)}}), 409, "provider_in_use")
    (tmp_path / "link").symlink_to(second)
    assert ok(operator.patch(f"{HERE}/{name}", json={"config": {"root": str(tmp_path / "link")}}))


def test_another_master_key(world: World, operator: Client, server: S3Server) -> None:
    made = add_s3(operator, server)
    old = world.settings.master_key.get_secret_value()
    changed = world.again(master_key=token_bytes("another master key").decode(), master_keys_old=[old])
    done = providers.rotate_secrets(changed.runtime, "test")
    assert done.resealed >= 1
    assert providers.rotate_secrets(changed.runtime, "test").resealed == 0
    settings: Settings = replace(changed.settings, master_keys_old=[])
    alone = KeyRing(settings)
    (row,) = world.sql("SELECT id, secrets FROM strongroom.providers WHERE name = %(name)s", name=made["name"])
    assert alone.is_present(row["secrets"])
    assert server.secret_access_key.encode() in alone.open(row["secrets"], f"provider {row['id']}")
    back = world.again(master_keys_old=[token_bytes("another master key").decode()])
    assert providers.rotate_secrets(back.runtime, "test").resealed >= done.resealed


def test_secrets_are_sealed_anew_past_a_tenant_that_goes_meanwhile(world: World, tenant: Tenant) -> None:
    """Its role is gone, and it was living when the tenants were listed."""
    role, sealed = tenant.ref.role, providers.rotate_secrets(world.runtime, "test")
    world.sql(f"ALTER ROLE {role} RENAME TO {role}_gone")
    try:
        again = providers.rotate_secrets(world.runtime, "test")
        assert (again.resealed, again.already) == (0, sealed.resealed + sealed.already)
    finally:
        world.sql(f"ALTER ROLE {role}_gone RENAME TO {role}")


def test_a_move_by_the_api(world: World, operator: Client, operator_viewer: Client, tenant: Tenant, tmp_path: Path) -> None:
    client = world.client(world.create_user(tenant))
    world.create_bucket(tenant)
    world.upload(client)
    world.run_jobs()
    name = f"folder-{number()}"
    ok(operator.post(HERE, json={"name": name, "kind": "filesystem", "config": {"root": str(tmp_path)}}), 201)
    url = f"/operator/api/v1/tenants/{tenant.slug}/move"
    assert ok(operator_viewer.get(url))["move"] is None
    plan = ok(operator.post(url, json={"provider": name, "dry_run": True}), 202)
    assert (plan["left"]["objects"], plan["left"]["size_bytes"]) == (1, 9)
    assert ok(operator.post(url, json={"provider": name}), 202)["move"]["state"] == "running"
    world.run_jobs()
    report = ok(operator_viewer.get(url))
    assert (report["provider"], report["move"]["state"], report["left"]["objects"]) == (name, "done", 0)
