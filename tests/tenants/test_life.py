"""The life of a tenant: made, closed, opened, removed with all that it owned; and taken up again where it was cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from strongroom.db.ids import new_id
from strongroom.errors import AlreadyExists, Conflict, DatabaseUnavailable, NotFound, ValidationFailed
from strongroom.life import service as lives
from strongroom.operating import service as operating
from strongroom.users import service as users

from tenants import service
from tenants.models import RESERVED_SLUGS, Tenant, TenantStatus
from tests.factories import PASSWORD, Account, Client, World, host_of, ok, problem, put_object
from tests.slow import all_at_once, slow_upload
from workers import handlers, runner

TENANTS = "/operator/api/v1/tenants"


def body(slug: str, **more: Any) -> dict[str, Any]:
    return {"slug": slug, "owner_email": "owner@example.com", "owner_password": PASSWORD, **more}


@pytest.fixture
def slug() -> str:
    return f"made-{new_id().hex[-12:]}"


@pytest.fixture
def full(world: World, tenant: Tenant) -> Account:
    """The owner of a tenant with something of everything."""
    owner = world.create_user(tenant, "owner")
    world.create_bucket(tenant)
    world.upload(world.client(owner), "a.txt")
    world.run_jobs()
    return owner


def relics(world: World, tenant: Tenant) -> dict[str, int]:
    """What there still is of a tenant."""
    schema = world.sql("SELECT 1 FROM pg_namespace WHERE nspname = %(name)s", name=tenant.ref.role)
    role = world.sql("SELECT 1 FROM pg_roles WHERE rolname = %(name)s", name=tenant.ref.role)
    return {"schema": len(schema), "role": len(role), "bytes": len(world.stored(tenant))}


GONE = {"schema": 0, "role": 0, "bytes": 0}


# Create


def test_create_and_sign_in(world: World, operator: Client, slug: str) -> None:
    made = ok(operator.post(TENANTS, json=body(slug, name="Made & Co", limits={"quota_bytes": 1000})), 201)
    assert (made["slug"], made["name"], made["status"], made["limits"]["quota_bytes"]) == (slug, "Made & Co", "active", 1000)
    assert made["url"] == f"http://{slug}.localhost"
    assert ok(operator.get(f"{TENANTS}/{slug}"))["id"] == made["id"]
    login = {"email": "owner@example.com", "password": PASSWORD}
    tokens = ok(Client(world.app, f"{slug}.localhost").post("/api/v1/auth/login", json=login))
    assert ok(Client(world.app, f"{slug}.localhost", tokens["access_token"]).get("/api/v1/account"))["role"] == "owner"


@pytest.mark.parametrize(
    "slug_", ["", "-a", "a-", "a--b", "A", "a_b", "a.b", "a b", "ä", "a" * 41, "../x", "a\n", "a\0", *sorted(RESERVED_SLUGS)[:3]]
)
def test_slugs_that_are_none(operator: Client, slug_: str) -> None:
    response = operator.post(TENANTS, json=body(slug_))
    assert response.status_code in {400, 422}
    assert response.get_json()["code"] in {"validation_failed", "bad_request"}


@pytest.mark.parametrize("change", [
    {"owner_email": "nobody"}, {"owner_password": "short"}, {"plan": "gold"}, {"limits": {"quota_bytes": -1}}, {"limits": {"unknown": 1}},
    {"limits": {"requests_per_s": 0}}, {"limits": {"parallel_uploads": "x"}}, {"name": "x" * 81}, {"unknown": 1},
], ids=str)  # fmt: skip
def test_tenants_that_are_none(world: World, operator: Client, slug: str, change: dict[str, Any]) -> None:
    problem(operator.post(TENANTS, json=body(slug, **change)), 422, "validation_failed")
    assert world.sql("SELECT 1 FROM strongroom.tenants WHERE slug = %(slug)s", slug=slug) == []


def test_an_unknown_provider(world: World, operator: Client, slug: str) -> None:
    problem(operator.post(TENANTS, json=body(slug, provider="nowhere")), 404, "not_found")
    assert world.sql("SELECT 1 FROM strongroom.tenants WHERE slug = %(slug)s", slug=slug) == []


def test_a_slug_is_taken_once(operator: Client, slug: str) -> None:
    ok(operator.post(TENANTS, json=body(slug)), 201)
    problem(operator.post(TENANTS, json=body(slug)), 409, "already_exists")


def test_of_many_that_make_the_same_tenant_one_wins(world: World, operator: Client, slug: str) -> None:
    acts = [lambda each=each: operator.post(TENANTS, json=body(slug, owner_email=f"owner{each}@example.com")) for each in range(4)]
    answers = all_at_once(acts)
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]
    assert len(world.rows(operating.find_tenant(world.runtime, slug), "users")) == 1


class Killed(BaseException):
    """The process ends here: nothing catches it, nothing is cleaned up."""


def killed(*_: Any, **__: Any) -> Any:
    raise Killed


CUTS = [
    ("tenants.repository.update_tenant", "after the schema was made"),
    ("strongroom.users.service.create_owner", "before the owner was made"),
    ("strongroom.auth.operators.record", "before it was written down"),
]


@pytest.mark.parametrize("place", [each[0] for each in CUTS], ids=[each[1] for each in CUTS])
def test_a_creation_that_was_cut_off_is_taken_up_again(world: World, slug: str, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def create() -> Tenant:
        return operating.create_tenant(world.runtime, "test", slug=slug, owner_email="owner@example.com", owner_password=PASSWORD)

    with monkeypatch.context() as patch:
        patch.setattr(place, killed)
        with pytest.raises(Killed):
            create()
    (row,) = world.sql("SELECT id, status FROM strongroom.tenants WHERE slug = %(slug)s", slug=slug)
    try:
        tenant = create()
    except AlreadyExists:
        assert place.endswith("record"), "only when nothing was missing but the note"
        tenant = operating.find_tenant(world.runtime, slug)
    assert tenant.id == row["id"]
    assert tenant.status == TenantStatus.ACTIVE
    login = {"email": "owner@example.com", "password": PASSWORD}
    ok(Client(world.app, host_of(tenant)).post("/api/v1/auth/login", json=login))
    assert len(world.rows(tenant, "users")) == 1


def test_a_tenant_half_made_is_no_tenant(world: World, slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tenants.repository.update_tenant", killed)
        with pytest.raises(Killed):
            world.create_tenant(slug)
    problem(Client(world.app, f"{slug}.localhost").get("/api/v1/account"), 404, "unknown_host")


def test_no_default_provider(empty_world: World, slug: str) -> None:
    empty_world.sql("UPDATE strongroom.providers SET is_default = false")
    with pytest.raises(NotFound):
        empty_world.create_tenant(slug)


# Suspend and resume


def test_suspended_and_resumed(world: World, operator: Client, full: Account) -> None:
    client, url = world.client(full), f"{TENANTS}/{full.tenant.slug}"
    for _ in range(2):
        assert ok(operator.post(f"{url}/suspend"))["status"] == "suspended"
    problem(client.get("/api/v1/account"), 403, "tenant_suspended")
    problem(client.get("/api/v1/objects/media/a.txt"), 403, "tenant_suspended")
    for _ in range(2):
        assert ok(operator.post(f"{url}/resume"))["status"] == "active"
    assert client.get("/api/v1/objects/media/a.txt").data == b"some text"


def test_an_upload_under_way_when_the_tenant_is_suspended(world: World, operator: Client, full: Account) -> None:
    """It may end; nothing half-done is left."""
    client = world.client(full)
    with slow_upload(client, "slow.txt") as finish:
        ok(operator.post(f"{TENANTS}/{full.tenant.slug}/suspend"))
        assert finish().status_code in {201, 403}
    world.run_jobs()
    assert len(world.stored(full.tenant)) == len(world.rows(full.tenant, "versions"))


# Delete


def test_deletion_removes_all_that_it_owned(world: World, operator: Client, full: Account) -> None:
    tenant, client = full.tenant, world.client(full)
    assert relics(world, tenant) == {"schema": 1, "role": 1, "bytes": 1}
    assert ok(operator.delete(f"{TENANTS}/{tenant.slug}"), 202)["status"] == "deleting"
    problem(client.get("/api/v1/account"), 404, "unknown_host")
    world.run_jobs()
    assert relics(world, tenant) == GONE
    assert not (world.files_dir / tenant.prefix).exists()
    problem(operator.get(f"{TENANTS}/{tenant.slug}"), 404, "not_found")
    problem(operator.delete(f"{TENANTS}/{tenant.slug}"), 404, "not_found")
    (row,) = world.sql("SELECT status, prefix, logo, brand FROM strongroom.tenants WHERE id = %(id)s", id=tenant.id)
    assert row == {"status": "deleted", "prefix": tenant.prefix, "logo": None, "brand": {}}
    assert [job for job in world.jobs(tenant) if job["realm"] == "tenant"] == []


def test_a_slug_is_free_again_for_a_new_id_and_prefix(world: World, operator: Client, full: Account) -> None:
    slug = full.tenant.slug
    problem(operator.post(TENANTS, json=body(slug)), 409, "already_exists")
    ok(operator.delete(f"{TENANTS}/{slug}"), 202)
    problem(operator.post(TENANTS, json=body(slug)), 409, "already_exists")
    world.run_jobs()
    made = ok(operator.post(TENANTS, json=body(slug)), 201)
    assert made["id"] != str(full.tenant.id)
    (row,) = world.sql("SELECT prefix FROM strongroom.tenants WHERE id = %(id)s", id=made["id"])
    assert row["prefix"] != full.tenant.prefix
    problem(world.client(full).get("/api/v1/account"), 401, "token_invalid")


DELETION_CUTS = ["strongroom.storage.bound.TenantStorage.delete_all", "tenants.service.drop_schema", "tenants.service.finish_deletion"]


@pytest.mark.parametrize("place", DELETION_CUTS)
def test_a_deletion_that_was_cut_off_goes_on(
    world: World, operator: Client, full: Account, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*_: Any) -> None:
        raise DatabaseUnavailable

    ok(operator.delete(f"{TENANTS}/{full.tenant.slug}"), 202)
    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        world.run_jobs()
    assert full.tenant.slug in {each.slug for each in all_tenants(world)}
    world.run_jobs()
    assert relics(world, full.tenant) == GONE
    assert full.tenant.slug not in {each.slug for each in all_tenants(world)}


def all_tenants(world: World) -> list[Tenant]:
    with world.runtime.databases.control() as connection:
        return list(service.repository.list_tenants(connection))


def test_deleting_what_is_being_deleted(world: World, operator: Client, full: Account) -> None:
    for _ in range(2):
        ok(operator.delete(f"{TENANTS}/{full.tenant.slug}"), 202)
    world.run_jobs()
    assert relics(world, full.tenant) == GONE
    for act in ("suspend", "resume"):
        problem(operator.post(f"{TENANTS}/{full.tenant.slug}/{act}"), 404, "not_found")


def test_a_leaving_tenant_is_not_brought_back(world: World, operator: Client, full: Account) -> None:
    ok(operator.delete(f"{TENANTS}/{full.tenant.slug}"), 202)
    for act in ("suspend", "resume"):
        problem(operator.post(f"{TENANTS}/{full.tenant.slug}/{act}"), 409, "conflict")
    with pytest.raises(Conflict):
        lives.resume(world.runtime, full.tenant.id)


@pytest.fixture
def patient(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Another process, in which tenants are remembered for long."""
    monkeypatch.setattr("tenants.registry.UNHEARD_LIFETIME_S", 600.0)
    return world.again(registry_listen=False)


def test_an_upload_under_way_while_its_tenant_goes(world: World, patient: World, operator: Client, full: Account) -> None:
    """Its bytes come after everything was removed: none of them may stay for ever."""
    client = patient.client(full)
    with slow_upload(client, "late.txt", b"x" * 100_000) as finish:
        ok(operator.delete(f"{TENANTS}/{full.tenant.slug}", query_string={"now": True, "confirm": full.tenant.slug}), 202)
        world.run_due_jobs()
        response = finish()
        assert response.status_code in {404, 503}
        assert response.content_type == "application/problem+json"
    world.run_jobs()
    assert relics(world, full.tenant) == GONE


def test_jobs_of_other_tenants_go_on(world: World, operator: Client, full: Account) -> None:
    other = world.create_user(world.create_tenant())
    world.create_bucket(other.tenant)
    file = world.upload(world.client(other), "a.txt")
    ok(operator.delete(f"{TENANTS}/{full.tenant.slug}"), 202)
    world.run_jobs()
    assert ok(world.client(other).get(f"/api/v1/files/{file['id']}"))["status"] == "available"
    assert relics(world, other.tenant) == {"schema": 1, "role": 1, "bytes": 1}


def test_deletion_is_the_platforms_job_alone() -> None:
    assert lives.ADVANCE not in handlers.TENANT_JOBS
    assert runner.handle is handlers.handle


# Limits


def test_limits_of_its_own_over_the_plans(world: World, operator: Client, full: Account) -> None:
    url, client = f"{TENANTS}/{full.tenant.slug}", world.client(full)
    changed = ok(operator.patch(url, json={"limits": {"max_file_size_bytes": 5}}))
    assert (changed["limits"]["max_file_size_bytes"], changed["limits"]["quota_files"]) == (5, 10_000_000)
    problem(put_object(client, "media", "b.txt", b"123456"), 413, "file_too_large")
    assert ok(operator.patch(url, json={"limits": {}}))["limits"]["max_file_size_bytes"] > 5
    ok(put_object(client, "media", "b.txt", b"123456"), 201)
    assert ok(operator.patch(url, json={}))["plan"] == "standard"
    problem(operator.patch(url, json={"plan": "gold"}), 422, "validation_failed")
    problem(operator.patch(url, json={"limits": {"unknown": 1}}), 422, "validation_failed")
    problem(operator.patch(url, json={"limits": {"quota_bytes": "many"}}), 422, "validation_failed")


@pytest.mark.parametrize("value", [2**63 - 1, 2**63, 10**30])
def test_limits_beyond_every_disk(world: World, operator: Client, full: Account, value: int) -> None:
    response = operator.patch(f"{TENANTS}/{full.tenant.slug}", json={"limits": {"quota_bytes": value, "max_file_size_bytes": value}})
    assert response.status_code in {200, 400, 422}
    ok(put_object(world.client(full), "media", "b.txt", b"123456"), 201)
    ok(world.client(full).get("/api/v1/tenant/quota"))


# Providers


def test_providers_are_tried_before_they_are_taken(operator: Client, tmp_path: Path) -> None:
    url, name = "/operator/api/v1/providers", f"second-{new_id().hex[-8:]}"
    config = {"root": str(tmp_path)}
    made = ok(operator.post(url, json={"name": name, "kind": "filesystem", "config": config}), 201)
    assert (made["name"], made["is_default"]) == (name, False)
    problem(operator.post(url, json={"name": name, "kind": "filesystem", "config": config}), 409, "already_exists")
    problem(operator.post(url, json={"name": "x", "kind": "floppy", "config": {}}), 422, "unknown_provider_kind")
    problem(operator.post(url, json={"name": "x", "kind": "filesystem", "config": {}}), 422, "validation_failed")
    problem(operator.post(url, json={"name": "x", "kind": "filesystem", "config": {"root": "relative"}}), 422, "validation_failed")
    problem(
        operator.post(url, json={"name": "x", "kind": "filesystem", "config": {"root": str(tmp_path / "none")}}), 503, "storage_unavailable"
    )
    problem(operator.post(url, json={"name": "X y", "kind": "filesystem", "config": config}), 422, "validation_failed")
    steps = ok(operator.post(f"{url}/{name}/test"))
    assert steps["ok"] is True
    assert [step["name"] for step in steps["steps"]] == ["check", "write", "describe", "read", "read a range", "list", "write on", "delete"]
    assert list(tmp_path.iterdir()) == [], "a test leaves nothing"
    problem(operator.post(f"{url}/nowhere/test"), 404, "not_found")


def test_a_provider_that_is_gone_fails_its_test(operator: Client, tmp_path: Path) -> None:
    name, folder = f"gone-{new_id().hex[-8:]}", tmp_path / "gone"
    folder.mkdir()
    ok(operator.post("/operator/api/v1/providers", json={"name": name, "kind": "filesystem", "config": {"root": str(folder)}}), 201)
    folder.rmdir()
    steps = ok(operator.post(f"/operator/api/v1/providers/{name}/test"))
    assert steps["ok"] is False
    assert steps["steps"][-1]["detail"]


def test_tenants_live_at_the_provider_of_their_choice(world: World, operator: Client, slug: str, tmp_path: Path) -> None:
    name = f"other-{new_id().hex[-8:]}"
    ok(operator.post("/operator/api/v1/providers", json={"name": name, "kind": "filesystem", "config": {"root": str(tmp_path)}}), 201)
    ok(operator.post(TENANTS, json=body(slug, provider=name)), 201)
    tenant = operating.find_tenant(world.runtime, slug)
    world.create_bucket(tenant)
    world.upload(world.client(world.create_user(tenant)), "a.txt")
    assert world.stored(tenant) == []
    assert len([path for path in (tmp_path / tenant.prefix).rglob("*") if path.is_file()]) == 1


def test_owners_are_checked_before_anything_is_made(world: World, slug: str) -> None:
    for email, password in (("nobody", PASSWORD), ("a@b.c", "short")):
        with pytest.raises(ValidationFailed):
            operating.create_tenant(world.runtime, "test", slug=slug, owner_email=email, owner_password=password)
    with pytest.raises(NotFound):
        operating.find_tenant(world.runtime, slug)
    assert users.check_email(" a@b.c ") == "a@b.c"
