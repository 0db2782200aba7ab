"""What is done to tenants as a whole: renamed, deleted with a grace time, restored; step by step, through every cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from strongroom.access import Scope
from strongroom.db.ids import new_id
from strongroom.errors import Conflict, DatabaseUnavailable
from strongroom.life import service as life
from strongroom.life.models import OperationState

from tenants.models import Tenant
from tests.factories import PLATFORM, Account, Client, World, ok, problem
from tests.slow import all_at_once

TENANTS, OPERATIONS = "/operator/api/v1/tenants", "/operator/api/v1/operations"
ACCOUNT = "/api/v1/account"


@pytest.fixture
def full(world: World, tenant: Tenant) -> Account:
    """The owner of a tenant with a file."""
    owner = world.create_user(tenant, "owner")
    world.create_bucket(tenant)
    world.upload(world.client(owner), "a.txt")
    world.run_jobs()
    return owner


@pytest.fixture
def fresh() -> str:
    return f"fresh-{new_id().hex[-12:]}"


class Killed(BaseException):
    """The process ends here: nothing catches it, nothing is cleaned up."""


def killed(*_: Any, **__: Any) -> Any:
    raise Killed


def operations(operator: Client, slug: str) -> list[Any]:
    items: list[Any] = ok(operator.get(OPERATIONS, query_string={"slug": slug}))["items"]
    return items


def states(operation: Any) -> dict[str, str]:
    return {step["name"]: step["state"] for step in operation["steps"]}


def delete_now(operator: Client, slug: str) -> Any:
    return ok(operator.delete(f"{TENANTS}/{slug}", query_string={"now": True, "confirm": slug}), 202)


def there_is(world: World, tenant: Tenant) -> tuple[int, int]:
    """How many schemas and files of bytes there are of a tenant."""
    return len(world.sql("SELECT 1 FROM pg_namespace WHERE nspname = %(n)s", n=tenant.ref.role)), len(world.stored(tenant))


# Rename


def test_renamed_it_lives_at_its_new_address_alone(world: World, operator: Client, full: Account, fresh: str) -> None:
    old = full.tenant.slug
    renamed = ok(operator.post(f"{TENANTS}/{old}/rename", json={"slug": fresh}))
    assert (renamed["slug"], renamed["id"], renamed["url"]) == (fresh, str(full.tenant.id), f"http://{fresh}.localhost")
    login = {"email": full.email, "password": full.password}
    problem(world.client(f"{old}.localhost").post("/api/v1/auth/login", json=login), 404, "unknown_host")
    assert b"Nothing lives at this address" in world.client(f"{old}.localhost").get("/").data
    ok(world.client(f"{fresh}.localhost").post("/api/v1/auth/login", json=login))
    problem(operator.get(f"{TENANTS}/{old}"), 404, "not_found")
    assert [event["data"] for event in world.rows(full.tenant, "events", "kind = 'tenant.renamed'")] == [{"from": old, "to": fresh}]
    (operation,) = operations(operator, old)
    assert (operation["kind"], operation["state"], states(operation)) == ("rename", "done", {"registry": "done", "feed": "done"})


def test_what_was_issued_before_is_good_at_the_new_address(world: World, operator: Client, full: Account, fresh: str) -> None:
    key, tokens = world.create_api_key(full, Scope.ADMIN), world.sign_in(full)
    ok(operator.post(f"{TENANTS}/{full.tenant.slug}/rename", json={"slug": fresh}))
    at_new = Client(world.app, f"{fresh}.localhost")
    for credential in (key.text, tokens["access_token"]):
        ok(at_new.as_(credential).get("/api/v1/tenant"))
    renewed = ok(at_new.as_(tokens["refresh_token"]).post("/api/v1/auth/refresh"))
    ok(Client(world.app, PLATFORM, renewed["access_token"]).get(ACCOUNT))
    problem(Client(world.app, PLATFORM, key.text).get("/api/v1/tenant"), 404, "unknown_host")
    ok(Client(world.app, PLATFORM, key.text.replace(full.tenant.slug, fresh)).get("/api/v1/tenant"))


def test_the_old_slug_is_anothers_and_knows_nothing_of_the_former(world: World, operator: Client, full: Account, fresh: str) -> None:
    old, key, tokens = full.tenant.slug, world.create_api_key(full, Scope.ADMIN), world.sign_in(full)
    cursor = _cursor_of(world, full)
    browser = world.browser(full)
    ok(operator.post(f"{TENANTS}/{old}/rename", json={"slug": fresh}))
    other = world.create_user(world.create_tenant(old), "owner")
    for credential in (key.text, tokens["access_token"], tokens["refresh_token"]):
        for host in (f"{old}.localhost", PLATFORM):
            problem(Client(world.app, host, credential).get("/api/v1/tenant"), 401, "token_invalid")
    assert Client(world.app, f"{old}.localhost", headers=browser.headers).get("/console/").status_code in {302, 303}
    world.create_bucket(other.tenant)
    problem(world.client(other).get("/api/v1/buckets/media/files", query_string={"cursor": cursor}), 400, "invalid_cursor")
    foreign = world.create_api_key(other, Scope.ADMIN).text
    problem(Client(world.app, f"{fresh}.localhost", foreign).get("/api/v1/tenant"), 401, "token_invalid")


def _cursor_of(world: World, account: Account) -> str:
    client = world.client(account)
    for name in ("x.txt", "y.txt"):
        world.upload(client, name)
    cursor: str = ok(client.get("/api/v1/buckets/media/files", query_string={"limit": 1}))["next_cursor"]
    assert cursor
    return cursor


def test_back_to_where_it_was(world: World, operator: Client, full: Account, fresh: str) -> None:
    old, key = full.tenant.slug, world.create_api_key(full, Scope.ADMIN)
    ok(operator.post(f"{TENANTS}/{old}/rename", json={"slug": fresh}))
    ok(operator.post(f"{TENANTS}/{fresh}/rename", json={"slug": old}))
    ok(Client(world.app, f"{old}.localhost", key.text).get("/api/v1/tenant"))
    assert ok(operator.get(f"{TENANTS}/{old}"))["id"] == str(full.tenant.id)


@pytest.mark.parametrize("wrong", ["", "A", "a--b", "-a", "www", "x" * 41, "a.b", "a\n"])
def test_slugs_that_are_none(operator: Client, full: Account, wrong: str) -> None:
    problem(operator.post(f"{TENANTS}/{full.tenant.slug}/rename", json={"slug": wrong}), 422, "validation_failed")


def test_a_slug_that_is_taken(world: World, operator: Client, full: Account) -> None:
    other = world.create_tenant()
    problem(operator.post(f"{TENANTS}/{full.tenant.slug}/rename", json={"slug": other.slug}), 409, "already_exists")
    ok(operator.delete(f"{TENANTS}/{other.slug}"), 202)
    problem(operator.post(f"{TENANTS}/{full.tenant.slug}/rename", json={"slug": other.slug}), 409, "already_exists")
    problem(operator.post(f"{TENANTS}/{full.tenant.slug}/rename", json={"slug": full.tenant.slug}), 409, "conflict")
    problem(operator.post(f"{TENANTS}/nobody-here/rename", json={"slug": "x"}), 404, "not_found")
    ok(world.client(full).get(ACCOUNT))
    assert operations(operator, full.tenant.slug) == []


def test_of_many_that_want_one_slug_one_gets_it(world: World, operator: Client, fresh: str) -> None:
    tenants = [world.create_tenant() for _ in range(4)]
    acts = [lambda slug=each.slug: operator.post(f"{TENANTS}/{slug}/rename", json={"slug": fresh}) for each in tenants]
    answers = all_at_once(acts)
    assert sorted(each.status_code for each in answers) == [200, 409, 409, 409]


# Cut off


def test_what_was_cut_off_is_finished_by_a_job(world: World, full: Account, operator: Client, fresh: str, monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("strongroom.life.service._turn", killed)
        with pytest.raises(Killed):
            life.rename(world.runtime, full.tenant.id, fresh)
    (operation,) = operations(operator, full.tenant.slug)
    assert (operation["state"], states(operation)) == ("open", {"registry": "done", "feed": "waiting"})
    problem(operator.post(f"{TENANTS}/{fresh}/suspend"), 409, "conflict")
    for _ in range(2):
        world.look_for_lost_work()
    assert len(world.jobs(full.tenant, kind=life.ADVANCE)) == 1
    world.run_due_jobs()
    (operation,) = operations(operator, full.tenant.slug)
    assert (operation["state"], states(operation)) == ("done", {"registry": "done", "feed": "done"})


def test_a_step_that_fails_is_told_and_can_be_retried(world: World, full: Account, operator: Client, monkeypatch: Any) -> None:
    def fail(*_: Any) -> None:
        raise DatabaseUnavailable("The cell is away.")

    with monkeypatch.context() as patch:
        patch.setattr("strongroom.jobs.queue.pause", fail)
        assert ok(operator.post(f"{TENANTS}/{full.tenant.slug}/suspend"))["status"] == "suspended"
        world.run_due_jobs()
        (operation,) = operations(operator, full.tenant.slug)
        assert (operation["state"], operation["error"]) == ("open", "The cell is away.")
    assert ok(operator.post(f"{OPERATIONS}/{operation['id']}/retry"))["error"] == ""
    world.run_due_jobs()
    (operation,) = operations(operator, full.tenant.slug)
    assert (operation["state"], operation["error"]) == ("done", "")
    assert ok(operator.post(f"{OPERATIONS}/{operation['id']}/retry"))["state"] == "done", "nothing is done twice"
    problem(operator.post(f"{OPERATIONS}/{new_id()}/retry"), 404, "not_found")


LONG = ["tenants.service.drop_schema", "strongroom.storage.bound.TenantStorage.delete_all", "tenants.service.finish_deletion"]


@pytest.mark.parametrize("place", LONG)
def test_killed_in_the_midst_of_a_deletion(world: World, full: Account, operator: Client, monkeypatch: Any, place: str) -> None:
    """The worker is gone without a word: its job is found again when its lease is over."""
    delete_now(operator, full.tenant.slug)
    with monkeypatch.context() as patch:
        patch.setattr(place, killed)
        with pytest.raises(Killed):
            world.run_due_jobs()
    running = [name for name, state in states(operations(operator, full.tenant.slug)[0]).items() if state == "running"]
    assert len(running) == 1, "it shows where it was"
    problem(operator.post(f"{TENANTS}/{full.tenant.slug}/restore"), 409, "conflict")
    world.sql("UPDATE strongroom.jobs SET lease_until = now() - interval '1 second' WHERE state = 'running'")
    world.look_for_lost_work()
    with world.runtime.databases.cell("default") as connection:
        life.queue.release_expired(connection, max_attempts=8)
    for _ in range(2):
        world.run_jobs()
    assert there_is(world, full.tenant) == (0, 0)
    (operation,) = operations(operator, full.tenant.slug)
    assert operation["state"] == "done"
    assert set(states(operation).values()) == {"done"}


# Delete and restore


def test_a_deleted_tenant_rests_for_its_grace_time(world: World, operator: Client, full: Account) -> None:
    slug, client = full.tenant.slug, world.client(full)
    assert ok(operator.delete(f"{TENANTS}/{slug}"), 202)["status"] == "deleting"
    world.run_due_jobs()
    assert there_is(world, full.tenant) == (1, 1)
    problem(client.get(ACCOUNT), 404, "unknown_host")
    (operation,) = operations(operator, slug)
    assert (operation["state"], states(operation)["grace"], states(operation)["schema"]) == ("open", "waiting", "waiting")
    left = datetime.fromisoformat(operation["due_at"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    problem(
        operator.post(TENANTS, json={"slug": slug, "owner_email": "a@b.test", "owner_password": "long enough pw"}), 409, "already_exists"
    )
    world.sql("UPDATE strongroom.jobs SET run_at = now() WHERE state = 'queued'")  # one that comes too early does nothing
    world.run_due_jobs()
    assert there_is(world, full.tenant) == (1, 1)
    assert len(world.jobs(full.tenant, kind=life.ADVANCE, state="queued")) == 1
    world.run_jobs()
    assert there_is(world, full.tenant) == (0, 0)


def test_restored_within_the_grace_time_everything_is_as_it_was(world: World, operator: Client, full: Account) -> None:
    slug, client = full.tenant.slug, world.client(full)
    ok(operator.delete(f"{TENANTS}/{slug}"), 202)
    assert ok(operator.post(f"{TENANTS}/{slug}/restore"))["status"] == "active"
    assert client.get("/api/v1/objects/media/a.txt").data == b"some text"
    file = world.upload(client, "b.txt")
    world.run_jobs()
    assert ok(client.get(f"/api/v1/files/{file['id']}"))["status"] == "available", "its jobs go on"
    assert there_is(world, full.tenant) == (1, 2), "the deletion that was called off never comes"
    restored, deleted = operations(operator, slug)
    assert [(each["kind"], each["state"]) for each in (restored, deleted)] == [("restore", "done"), ("delete", "cancelled")]
    problem(operator.post(f"{TENANTS}/{slug}/restore"), 409, "conflict")


def test_a_suspended_tenant_is_restored_suspended(world: World, operator: Client, full: Account) -> None:
    slug = full.tenant.slug
    ok(operator.post(f"{TENANTS}/{slug}/suspend"))
    ok(operator.delete(f"{TENANTS}/{slug}"), 202)
    assert ok(operator.post(f"{TENANTS}/{slug}/restore"))["status"] == "suspended"
    problem(world.client(full).get(ACCOUNT), 403, "tenant_suspended")
    assert world.sql("SELECT 1 FROM strongroom.paused_tenants WHERE tenant_id = %(id)s", id=full.tenant.id) != []
    ok(operator.post(f"{TENANTS}/{slug}/resume"))
    ok(world.client(full).get(ACCOUNT))
    assert world.sql("SELECT 1 FROM strongroom.paused_tenants WHERE tenant_id = %(id)s", id=full.tenant.id) == []


def test_at_once_only_when_confirmed_by_the_slug(world: World, operator: Client, full: Account) -> None:
    url = f"{TENANTS}/{full.tenant.slug}"
    for confirm in ("", "another", full.tenant.slug.upper()):
        problem(operator.delete(url, query_string={"now": True, "confirm": confirm}), 422, "validation_failed")
    ok(world.client(full).get(ACCOUNT))
    delete_now(operator, full.tenant.slug)
    world.run_due_jobs()
    assert there_is(world, full.tenant) == (0, 0)


def test_a_grace_time_is_cut_short(world: World, operator: Client, full: Account) -> None:
    ok(operator.delete(f"{TENANTS}/{full.tenant.slug}"), 202)
    world.run_due_jobs()
    delete_now(operator, full.tenant.slug)
    world.run_due_jobs()
    assert there_is(world, full.tenant) == (0, 0)


def test_without_a_grace_time(world: World, full: Account) -> None:
    other = world.again(deletion_grace_days=0)
    life.delete(other.runtime, full.tenant.id)
    world.run_due_jobs()
    assert there_is(world, full.tenant) == (0, 0)


def test_what_stays_of_a_tenant_is_its_tombstone(world: World, operator: Client, full: Account) -> None:
    slug = full.tenant.slug
    delete_now(operator, slug)
    for _ in range(2):
        world.run_jobs()
    (row,) = world.sql("SELECT * FROM strongroom.tenants WHERE id = %(id)s", id=full.tenant.id)
    assert (row["status"], row["prefix"], row["former_slugs"]) == ("deleted", full.tenant.prefix, [])
    with pytest.raises(Conflict):
        life.restore(world.runtime, full.tenant.id)
    for table in ("jobs", "job_turns", "paused_tenants"):
        query = f"SELECT * FROM strongroom.{table} WHERE tenant_id = %(id)s"  # noqa: S608 - names from this test
        assert [each for each in world.sql(query, id=full.tenant.id) if each.get("realm") != "platform"] == []
    assert {each["state"] for each in operations(operator, slug)} == {OperationState.DONE}
    with pytest.raises(Exception, match="tenants_prefix_key"):
        world.sql(
            "INSERT INTO strongroom.tenants (id, slug, name, status, cell, provider_id, prefix, plan) "
            "SELECT gen_random_uuid(), 'twin', 'x', 'active', cell, provider_id, prefix, plan FROM strongroom.tenants WHERE id = %(id)s",
            id=full.tenant.id,
        )


def test_operations_page_by_page(world: World, operator: Client, full: Account) -> None:
    for act in ("suspend", "resume", "suspend"):
        ok(operator.post(f"{TENANTS}/{full.tenant.slug}/{act}"))
    kinds, cursor = [], ""
    while True:
        page = ok(operator.get(OPERATIONS, query_string={"slug": full.tenant.slug, "limit": 2, **({"cursor": cursor} if cursor else {})}))
        kinds += [each["kind"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert kinds == ["suspend", "resume", "suspend"]
    assert world.jobs(full.tenant, kind=life.ADVANCE) == [], "what was done at once needs no job"
