"""Mirrors in the console: a place that the operator offers, copies that real workers make, and what a file's page tells of them."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance import content
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.waiting import wait_until
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.xdist_group("browser")
COPIED_S = 60.0


def test_a_mirror_from_beginning_to_end(tenant: Tenant, owner: Visitor, deployment: Deployment, tmp_path: Path) -> None:
    name = f"second-{secrets.token_hex(3)}"
    (tmp_path / name).mkdir()
    body = {"name": name, "kind": "filesystem", "config": {"root": str(tmp_path / name)}}
    assert deployment.operator().post("/operator/api/v1/providers", json=body).status_code == 201
    offered = deployment.operator().request("PATCH", f"/operator/api/v1/providers/{name}", json={"offered_as_host": True})
    assert offered.status_code == 200, offered.text
    file = tenant.owner.store("media", "a.txt", content.TEXT)
    page = owner.page
    owner.open("/console/hosts/")
    owner.see("No mirrors")
    page.get_by_role("link", name="Add mirror").click()
    page.get_by_role("radio", name=name).check()
    page.get_by_label("Name", exact=True).fill("Second site")
    assert owner.fits()
    page.get_by_role("button", name="Try it and add").click()
    owner.see("Second site works.")

    def copied() -> bool:
        (host,) = tenant.owner.get("/api/v1/hosts").json()["items"]
        return bool(host["stored"] == 1)

    wait_until(copied, COPIED_S, "the file to be mirrored")
    owner.open("/console/hosts/")
    owner.see("Up to date")
    assert owner.fits()
    owner.open(f"/console/file/{file['id']}")
    owner.see("Copied")
    assert owner.fits()
    owner.open("/console/hosts/")
    page.get_by_role("button", name="Pause").click()
    owner.see("Second site is paused.")
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove mirror").click()
    owner.see("Its copies are being deleted.")
    expect(page.get_by_role("heading", name="No mirrors")).to_be_visible()
    wait_until(lambda: not [each for each in (tmp_path / name).rglob("*") if each.is_file()], COPIED_S, "the copies to be removed")
