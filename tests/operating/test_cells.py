"""The operator's side of cells: made ready, listed with their room, closed and opened; and where a new tenant is put."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from strongroom.cli.main import main
from strongroom.db import bootstrap
from strongroom.errors import CellsFull

from tenants.placement import Room, roomiest
from tests.factories import Database, OperatorAccount, World, create_database, ok, problem
from workers import housekeeping, runner

API = "/operator/api/v1"


@pytest.fixture
def boss(empty_world: World) -> OperatorAccount:
    return empty_world.create_operator()


@pytest.fixture
def second(empty_world: World) -> Database:
    """A database that is locked down, but no cell yet."""
    return create_database(empty_world.database.cluster, f"{empty_world.database.name}_b")


@pytest.fixture
def two(empty_world: World, second: Database) -> World:
    """The deployment with settings that name a second cell."""
    first = empty_world.database
    return empty_world.again(
        cells={"default": first.app_url, "second": second.app_url}, migration_cells={"default": first.owner_url, "second": second.owner_url}
    )


def command(world: World, *args: str) -> Result:
    settings = world.settings
    values = {"DATABASE_URL": settings.database_url, "MIGRATION_DATABASE_URL": settings.migration_database_url,
              "MASTER_KEY": settings.master_key.get_secret_value(), "BROKER_URL": "memory://", "CELLS": json.dumps(settings.cells),
              "MIGRATION_CELLS": json.dumps(settings.migration_cells)}  # fmt: skip
    return CliRunner().invoke(main, list(args), env={**{f"STRONGROOM_{k}": v for k, v in values.items()}, "STRONGROOM_TEST_POSTGRES": None})


def test_the_least_full_cell_takes_the_next() -> None:
    rooms = {"a": Room("a", 30, 100, closed=False), "b": Room("b", 10, 20, closed=False), "c": Room("c", 0, 9, closed=True)}
    assert roomiest(["a", "b", "c"], rooms) == "a"
    assert roomiest(["b", "unprepared"], rooms) == "b"
    assert roomiest(["x", "y"], {"y": Room("y", 1, 5, closed=False), "x": Room("x", 1, 5, closed=False)}) == "x"
    for names in ([], ["c"], ["d"]):
        with pytest.raises(CellsFull):
            roomiest(names, {**rooms, "d": Room("d", 5, 5, closed=False)})


def test_a_cell_is_added_and_takes_tenants(empty_world: World, two: World, boss: OperatorAccount) -> None:
    assert two.create_tenant().cell == "default"
    assert [each["prepared"] for each in ok(two.client(boss).get(f"{API}/cells"))["items"]] == [True, False]
    assert two.create_tenant().cell == "default"  # the second is named, but not ready
    added = command(two, "cell", "add", "second", "--max-tenants", "4", "--json")
    assert added.exit_code == 0, added.output
    assert [json.loads(added.stdout)[key] for key in ("name", "tenants", "max_tenants", "configured")] == ["second", 0, 4, True]
    assert [two.create_tenant().cell for _ in range(3)] == ["second", "default", "default"]  # 1 of 4 is more than 4 of 10000
    items = ok(two.client(boss).get(f"{API}/cells"))["items"]
    assert [(each["name"], each["tenants"], each["share"], each["takes_new"]) for each in items] == [
        ("default", 4, 0.0004, True), ("second", 1, 0.25, False),
    ]  # fmt: skip
    assert all(each["size_bytes"] > 0 and each["server_version"] for each in items)
    account = two.create_user(empty_world.create_tenant())
    two.create_bucket(account.tenant)
    assert two.upload(two.client(account), "a.txt")["path"] == "a.txt"


def test_closed_and_full_cells_take_nobody(two: World, boss: OperatorAccount) -> None:
    assert command(two, "cell", "add", "second").exit_code == 0
    client = two.client(boss)
    assert ok(client.patch(f"{API}/cells/default", json={"closed": True}))["closed"] is True
    assert ok(client.patch(f"{API}/cells/second", json={"max_tenants": 1}))["max_tenants"] == 1
    assert two.create_tenant().cell == "second"
    body = {"slug": "late", "owner_email": "a@b.example", "owner_password": "correct horse battery"}
    problem(client.post(f"{API}/tenants", json=body), 507, "cells_full")
    assert json.loads(command(two, "cell", "set", "default", "--open", "--json").stdout)["takes_new"] is True
    assert ok(client.post(f"{API}/tenants", json=body), 201)["cell"] == "default"
    problem(client.patch(f"{API}/cells/nowhere", json={"closed": True}), 404, "not_found")
    problem(client.patch(f"{API}/cells/default", json={"max_tenants": -1}), 422, "validation_failed")
    actions = [each["action"] for each in ok(client.get(f"{API}/audit"))["items"]]
    assert {"cell.add", "cell.set"} <= set(actions)


def test_cells_in_the_console(two: World, boss: OperatorAccount) -> None:
    command(two, "cell", "add", "second")
    browser = two.browser(boss)
    assert browser.post("/operator/cells/second", data={"max_tenants": "7", "closed": "1"}).status_code == 303
    page = browser.get("/operator/cells/").get_data(as_text=True)
    assert "0 of 7" in page
    assert "Closed" in page
    assert browser.post("/operator/cells/second", data={"max_tenants": "many"}).status_code == 303
    assert "0 of 7" in browser.get("/operator/cells/").get_data(as_text=True)
    assert browser.post("/operator/cells/nowhere", data={"max_tenants": "1"}).status_code == 404


def test_a_superuser_is_enough(empty_world: World) -> None:
    name = f"{empty_world.database.name}_made"
    added = command(empty_world, "cell", "add", "made", "--superuser-url", empty_world.database.superuser_url, "--database", name, "--json")
    assert added.exit_code == 0, added.output
    shown = json.loads(added.stdout)
    assert (shown["configured"], shown["takes_new"]) == (False, False)
    assert list(shown["settings"]["STRONGROOM_CELLS"]) == ["default", "made"]
    passwords = empty_world.database.cluster.passwords
    assert not any(password in added.output for password in passwords.values())
    made = Database(empty_world.database.cluster, name)
    with psycopg.connect(made.superuser_url) as connection:
        role = connection.execute("SELECT rolinherit, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = %s", [bootstrap.APP_ROLE])
        assert role.fetchone() == (False, False, False)
        allowed = "SELECT has_function_privilege(%s, 'pg_catalog.set_config(text, text, boolean)', 'EXECUTE')"
        assert connection.execute(allowed, [bootstrap.APP_ROLE]).fetchone() == (False,)
    assert (
        "restart all processes"
        in command(empty_world, "cell", "add", "made", "--superuser-url", made.superuser_url, "--database", name).stdout
    )
    grown = empty_world.again(cells={"default": empty_world.database.app_url, "made": made.app_url})
    grown.create_tenant()
    assert grown.create_tenant().cell == "made"


def test_what_keeps_a_cell_from_being_added(empty_world: World, two: World, second: Database, tmp_path: Path) -> None:
    def refused(*args: str, world: World = empty_world) -> str:
        result = command(world, "cell", "add", *args, "--json")
        assert result.exit_code == 1
        return str(json.loads(result.stderr)["detail"])

    assert "--superuser-url" in refused("unheard-of")
    assert "small letters" in refused("No Good")
    assert "not a superuser" in refused("b", "--superuser-url", second.owner_url)
    assert "does not let us in" in refused("b", "--superuser-url", f"postgresql://postgres:x@/postgres?host={tmp_path}")
    with psycopg.connect(second.superuser_url, autocommit=True) as connection:
        connection.execute("GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC")
    assert "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config" in refused("second", world=two)
    assert [each["name"] for each in empty_world.sql("SELECT name FROM strongroom.cells")] == ["default"]


# The settings and the registry name other cells

PAGES = ("", "tenants/", "tenants/new", "cells/", "jobs/", "operations/", "migrations/", "plans/", "domains/", "providers/", "audit/")


def works(world: World, boss: OperatorAccount, *pages: str) -> str:
    """The operator's pages, figures and background work, none of which may break; the page of cells."""
    browser = world.browser(boss)
    for page in (*PAGES, *pages):
        assert browser.get(f"/operator/{page}").status_code == 200, page
    ok(world.client(boss).get(f"{API}/jobs"))
    assert world.client().get("/metrics").status_code == 200
    housekeeping.enqueue_due(world.runtime)
    runner.dispatch_all(world.runtime)
    return unescape(browser.get("/operator/cells/").get_data(as_text=True))


def findings(world: World) -> dict[str, dict[str, Any]]:
    found = json.loads(command(world, "doctor", "--json").stdout)
    return {each["part"]: each for each in found["findings"]}


def test_a_cell_that_is_named_but_not_added_yet(two: World, boss: OperatorAccount) -> None:
    account = two.create_user(two.create_tenant())
    what_to_do = "run 'strongroom cell add second'"
    assert what_to_do in works(two, boss, f"tenants/{account.tenant.slug}")
    ready = ok(two.client().get("/readyz"))
    assert (ready["status"], what_to_do in ready["parts"]["cell second"]) == ("ready", True)  # it holds nobody: all are served
    assert what_to_do in command(two, "cell", "list").stdout
    found = findings(two)
    assert [name for name, each in found.items() if not each["ok"] and name in {"cells", "walls", "jobs"}] == ["cells"]
    assert what_to_do in found["cells"]["text"]


def test_a_cell_that_is_known_but_not_in_the_settings(empty_world: World, two: World, boss: OperatorAccount) -> None:
    assert command(two, "cell", "add", "second").exit_code == 0
    assert findings(empty_world)["cells"]["ok"]  # it is empty: nobody misses it
    ok(two.client(boss).patch(f"{API}/cells/default", json={"closed": True}))
    lost = two.create_user(two.create_tenant())
    assert lost.tenant.cell == "second"
    ok(two.client(boss).patch(f"{API}/cells/default", json={"closed": False}))
    page = works(empty_world, boss, f"tenants/{lost.tenant.slug}")
    what_to_do = "add it to STRONGROOM_CELLS"
    assert what_to_do in page
    assert "holds tenants (1)" in page
    assert what_to_do in unescape(empty_world.browser(boss).get(f"/operator/tenants/{lost.tenant.slug}").get_data(as_text=True))
    refused = empty_world.client(lost.tenant).post("/api/v1/auth/login", json={"email": lost.email, "password": lost.password})
    assert "second" not in problem(refused, 503, "database_unavailable")["detail"]
    assert what_to_do in command(empty_world, "cell", "list").stdout
    assert what_to_do in findings(empty_world)["cells"]["text"]
    served = two.client(lost)  # by a process whose settings name it
    assert ok(served.get("/api/v1/account"))["email"] == lost.email
