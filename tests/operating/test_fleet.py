"""The operator's side of migrations: API, console and commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from strongroom.cli.main import main
from strongroom.db.revisions import head

from tenants.models import Tenant
from tests.factories import Client, OperatorAccount, World, ok, problem
from tests.fleet.chains import release

API = "/operator/api/v1"


@pytest.fixture
def boss(empty_world: World) -> OperatorAccount:
    return empty_world.create_operator()


@pytest.fixture
def broken(empty_world: World, tmp_path: Path) -> World:
    """A release whose migration fails at one of three tenants."""
    for number in range(3):
        empty_world.create_tenant(f"t-{number}")
    empty_world.create_user(ok_tenant(empty_world), name="broken")
    return release(empty_world, tmp_path, BROKEN)


BROKEN = """
DO $$ BEGIN IF EXISTS (SELECT FROM users WHERE name = 'broken') THEN RAISE EXCEPTION '<b>broken</b>'; END IF; END $$; """


def ok_tenant(world: World) -> Tenant:
    found = world.runtime.registry.by_slug("t-1")
    assert found is not None
    return found


def command(world: World, *args: str) -> Result:
    """A command of the next release."""
    values = {"DATABASE_URL": world.settings.database_url, "MIGRATION_DATABASE_URL": str(world.settings.migration_database_url),
              "MASTER_KEY": world.settings.master_key.get_secret_value(), "BROKER_URL": "memory://",
              "MIGRATIONS_DIR": world.settings.migrations_dir or ""}  # fmt: skip
    env: dict[str, str | None] = {f"STRONGROOM_{name}": value for name, value in values.items()}
    return CliRunner().invoke(main, list(args), env=env)


def test_migrating_by_command(broken: World, empty_world: World) -> None:
    status = json.loads(command(broken, "migrate", "--status", "--json").stdout)
    assert status["current"] is False
    assert [part["current"] for part in status["parts"]] == [True, True, False, False, False]
    run = command(broken, "migrate", "--workers", "2")
    assert run.exit_code == 1
    assert "broken" in run.stdout
    assert "4 of 5 parts are current." in run.stdout
    assert "Tenants" in run.stderr  # the bar
    empty_world.tenant_sql(ok_tenant(empty_world), "UPDATE {t}.users SET name = 'mended'")
    run = command(broken, "migrate", "--tenant", "t-1", "--json")
    assert run.exit_code == 0
    assert json.loads(run.stdout)["current"] is True
    assert json.loads(command(broken, "migrate", "--stop", "--json").stdout) == {"stopped": True}


def test_freezing_by_command(broken: World) -> None:
    assert json.loads(command(broken, "migrate", "freeze", "--json").stdout)["frozen_by"] == "command line"
    run = command(broken, "migrate")
    assert run.exit_code == 1
    assert "Frozen" in run.stdout
    assert json.loads(command(broken, "migrate", "--status", "--json").stdout)["frozen"] is True
    assert json.loads(command(broken, "migrate", "unfreeze", "--json").stdout) == {"frozen_at": None, "frozen_by": None}


def test_migrations_over_the_api(broken: World, boss: OperatorAccount) -> None:
    client = broken.client(boss)
    found = ok(client.get(f"{API}/migrations"))
    assert found["counts"] == {"current": 0, "pending": 3, "running": 0, "failed": 0}
    assert found["newest"] == "t002"
    command(broken, "migrate")
    found = ok(client.get(f"{API}/migrations?state=failed"))
    assert [(each["slug"], each["revision"], each["attempts"]) for each in found["items"]] == [("t-1", head("tenant"), 1)]
    assert "broken" in found["items"][0]["error"]
    first = ok(client.get(f"{API}/migrations?limit=2"))
    rest = ok(client.get(f"{API}/migrations?limit=2&cursor={first['next_cursor']}"))
    assert [each["slug"] for each in first["items"] + rest["items"]] == ["t-0", "t-1", "t-2"]
    assert rest["next_cursor"] is None
    problem(client.get(f"{API}/migrations?state=odd"), 422, "validation_failed")
    problem(client.post(f"{API}/migrations/t-0/retry"), 409, "conflict")
    problem(client.post(f"{API}/migrations/nobody/retry"), 404, "not_found")
    assert ok(client.patch(f"{API}/migrations", json={"frozen": True}))["frozen_by"] == boss.email
    assert ok(client.post(f"{API}/migrations/retry")) == {"retried": 1}
    assert ok(client.get(f"{API}/migrations"))["counts"]["pending"] == 1
    assert ok(client.patch(f"{API}/migrations", json={"frozen": False})) == {"frozen_at": None, "frozen_by": None}
    actions = [each["action"] for each in ok(client.get(f"{API}/audit"))["items"]]
    assert {"migration.freeze", "migration.unfreeze", "migration.retry_failed"} <= set(actions)


def test_migrations_in_the_console(broken: World, boss: OperatorAccount) -> None:
    command(broken, "migrate")
    browser: Client = broken.browser(boss)
    page = browser.get("/operator/migrations/").get_data(as_text=True)
    assert "&lt;b&gt;broken&lt;/b&gt;" in page
    assert "<b>broken" not in page
    assert "/operator/migrations/t-1/retry" in page
    assert "/operator/migrations/t-0/retry" not in page
    assert browser.post("/operator/migrations/freeze", data={"frozen": "1"}).status_code == 303
    assert "Unfreeze" in browser.get("/operator/migrations/?state=failed").get_data(as_text=True)
    assert browser.post("/operator/migrations/retry-failed").status_code == 303
    assert broken.sql("SELECT state FROM strongroom.tenant_migrations WHERE error IS NULL AND state = 'pending'") == [{"state": "pending"}]
    assert browser.post("/operator/migrations/freeze").status_code == 303
