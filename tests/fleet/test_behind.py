"""A tenant that is behind at its first request: migrated then and there, or answered with 503 and the time to come again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from strongroom.db import revisions
from strongroom.fleet.behind import catch_up
from strongroom.operating import fleet as operated

from tests.acceptance.waiting import wait_until
from tests.factories import Account, Client, World, host_of, ok, problem
from tests.fleet.chains import ADD_COLUMN, release
from tests.fleet.test_migrating import WAIT, children, has_column, held_up, stand

ACCOUNT = "/api/v1/account"


@pytest.fixture
def account(empty_world: World) -> Account:
    return empty_world.create_user(empty_world.create_tenant("late"))


def at(new: World, old: World, account: Account) -> Client:
    return Client(new.app, host_of(account.tenant), old.client(account).token)


def idle() -> bool:
    return not children() and not any(each.name == "migration" for each in threading.enumerate())


def test_it_is_migrated_at_its_first_request(empty_world: World, account: Account, tmp_path: Path) -> None:
    other = empty_world.create_tenant("other")
    new = release(empty_world, tmp_path, migration_wait_s=60)
    client = at(new, empty_world, account)
    with ThreadPoolExecutor(3) as pool:  # all of them at once: it is done once
        assert {each.status_code for each in pool.map(lambda _: client.get(ACCOUNT), range(3))} == {200}
    assert has_column(empty_world, account.tenant)
    assert not has_column(empty_world, other)
    assert stand(new)["late"].attempts == 1
    ok(empty_world.client(account).get(ACCOUNT))  # the code before goes on with the newer schema
    wait_until(idle, 20)


def test_what_takes_longer_is_503_and_goes_on(empty_world: World, account: Account, tmp_path: Path) -> None:
    new = release(empty_world, tmp_path, WAIT + ADD_COLUMN, migration_wait_s=0.1, migration_lock_timeout_s=60)
    client = at(new, empty_world, account)
    with held_up(empty_world):
        response = client.get(ACCOUNT)
        problem(response, 503, "tenant_behind")
        assert int(response.headers["Retry-After"]) > 0
    wait_until(lambda: client.get(ACCOUNT).status_code == 200, 30)
    wait_until(idle, 20)


def test_without_room_it_waits_for_whoever_migrates(empty_world: World, account: Account, tmp_path: Path) -> None:
    new = release(empty_world, tmp_path, migration_wait_s=0.1, migrations_at_once=0)
    problem(at(new, empty_world, account).get(ACCOUNT), 503, "tenant_behind")
    assert stand(new)["late"].state == "pending"
    assert empty_world.sql("SELECT urgent FROM strongroom.tenant_migrations") == [{"urgent": True}]
    assert children() == []


def test_frozen_it_is_503_at_once(empty_world: World, account: Account, tmp_path: Path) -> None:
    new = release(empty_world, tmp_path, migration_wait_s=60)
    operated.set_frozen(new.runtime, "op@example.com", frozen=True)
    problem(at(new, empty_world, account).get(ACCOUNT), 503, "tenant_behind")
    wait_until(idle, 20)
    assert not has_column(empty_world, account.tenant)


def test_what_failed_waits_for_the_operator(empty_world: World, account: Account, tmp_path: Path) -> None:
    new = release(empty_world, tmp_path, "SELECT 1 / 0", migration_wait_s=60)
    client = at(new, empty_world, account)
    problem(client.get(ACCOUNT), 503, "tenant_behind")
    assert stand(new)["late"].state == "failed"
    wait_until(idle, 20)
    problem(client.get(ACCOUNT), 503, "tenant_behind")
    assert stand(new)["late"].attempts == 1
    assert "division by zero" in str(operated.retry(new.runtime, "op@example.com", "late").error or "division by zero")
    wait_until(lambda: stand(new)["late"].state == "failed" and idle(), 30)


def test_a_schema_with_which_the_code_works_holds_nobody_up(
    empty_world: World, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions, "OLDEST", "0001")
    new = release(empty_world, tmp_path, WAIT + ADD_COLUMN, migration_wait_s=0, migration_lock_timeout_s=60)
    client = at(new, empty_world, account)
    with held_up(empty_world):
        ok(client.get(ACCOUNT))
        wait_until(lambda: stand(new)["late"].state == "running", 30)
        ok(client.get(ACCOUNT))
        assert not revisions.has_revision(new.runtime.registry.by_slug("late").schema_revision, "t002", new.settings)  # type: ignore[union-attr]
    wait_until(lambda: has_column(empty_world, account.tenant), 30)
    wait_until(idle, 20)


def test_jobs_of_a_tenant_that_is_behind_catch_up_too(empty_world: World, account: Account, tmp_path: Path) -> None:
    empty_world.create_bucket(account.tenant)
    empty_world.upload(empty_world.client(account), "a.txt")
    new = release(empty_world, tmp_path, migration_wait_s=60)
    empty_world.run_jobs(new)
    assert has_column(empty_world, account.tenant)
    assert [each["status"] for each in empty_world.rows(account.tenant, "versions")] == ["available"]
    found = new.runtime.registry.by_slug("late")
    assert found is not None
    assert catch_up(new.runtime, found) is found
    wait_until(idle, 20)
