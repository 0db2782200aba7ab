"""Moving a tenant by command and in the operator's console."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result
from strongroom.cli.main import main

from tests.acceptance.waiting import wait_until
from tests.factories import Account
from tests.relocation.cells import NEW, OLD, TwoCells
from tests.slow import InBackground


def command(two: TwoCells, *args: str) -> Result:
    settings = two.settings
    values = {"DATABASE_URL": settings.database_url, "MASTER_KEY": settings.master_key.get_secret_value(), "BROKER_URL": "memory://",
              "CELLS": json.dumps(settings.cells)}  # fmt: skip
    return CliRunner().invoke(main, list(args), env={**{f"STRONGROOM_{k}": v for k, v in values.items()}, "STRONGROOM_TEST_POSTGRES": None})


def test_by_command(two: TwoCells, full: Account) -> None:
    slug = full.tenant.slug
    begun = command(two, "tenant", "move", slug, "--cell", NEW, "--no-wait", "--json")
    assert begun.exit_code == 0, begun.output
    shown = json.loads(begun.stdout)
    assert (shown["cell"], shown["operation"]["kind"], shown["operation"]["state"]) == (OLD, "move", "open")
    again = command(two, "tenant", "move", slug, "--cell", NEW)
    assert again.exit_code == 1
    assert "under way: move" in again.stderr
    aborted = command(two, "tenant", "move", slug, "--abort", "--no-wait")
    assert aborted.exit_code == 0, aborted.output
    two.work()
    assert command(two, "tenant", "move", slug, "--cell", NEW, "--no-wait").exit_code == 0
    two.work()
    assert "settle done" in command(two, "tenant", "operations", slug).stdout
    assert two.where(full.tenant) == NEW
    wrong = command(two, "tenant", "move", slug, "--cell", "nowhere", "--json")
    assert json.loads(wrong.stderr)["code"] == "not_found"
    for args in ((), ("--cell", OLD, "--abort")):
        assert command(two, "tenant", "move", slug, *args).exit_code == 2


def test_the_command_waits_for_the_end(two: TwoCells, full: Account) -> None:
    waiting = InBackground(lambda: command(two, "tenant", "move", full.tenant.slug, "--cell", NEW))
    try:
        wait_until(lambda: two.sql("SELECT 1 FROM strongroom.operations WHERE slug = %(s)s", s=full.tenant.slug), 30)
        wait_until(two.work, 30)
    finally:
        done = waiting.result()
    assert done.exit_code == 0, done.output
    assert f"lives in the cell '{NEW}'" in done.stdout


def test_in_the_console(two: TwoCells, full: Account) -> None:
    browser, page = two.browser(two.create_operator()), f"/operator/tenants/{full.tenant.slug}"
    assert f'<option value="{NEW}"' in browser.get(page).get_data(as_text=True)
    assert browser.post(f"{page}/move-cell", data={"cell": NEW}).status_code == 303
    shown = browser.get(page).get_data(as_text=True)
    assert "Move to another cell" in shown
    assert "Abort the move" in shown
    assert browser.post(f"{page}/move-cell", data={"abort": "1"}).status_code == 303
    two.work()
    assert "Move aborted" in browser.get("/operator/operations/").get_data(as_text=True)
    browser.post(f"{page}/move-cell", data={"cell": NEW})
    two.go_to(full.tenant, "switch")
    assert "Abort the move" not in browser.get(page).get_data(as_text=True)
    two.go_on(full.tenant)
    assert two.where(full.tenant) == NEW
    assert browser.post(f"{page}/move-cell", data={"cell": NEW}).status_code == 303  # told why not, in a notice
    assert browser.post("/operator/tenants/nobody/move-cell", data={"cell": NEW}).status_code == 404
