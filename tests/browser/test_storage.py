"""Where bytes live, in both consoles: providers added, tried, changed and removed by their forms; a move that is watched."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.acceptance import content
from tests.acceptance.deployment import Deployment, Tenant
from tests.browser.visitor import PHONE, Visitor
from tests.services.s3server import S3Server

pytestmark = pytest.mark.xdist_group("browser")

Visit = Callable[..., Visitor]


def _fill_s3(page: Page, s3: S3Server, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Bucket", exact=True).fill(s3.bucket)
    page.get_by_label("Endpoint (optional)", exact=True).fill(s3.endpoint_url)
    page.get_by_label("Address style").select_option("path")
    page.get_by_label("Access key id").fill(s3.access_key_id)
    page.get_by_label("Secret access key").fill(s3.secret_access_key)


@contextmanager
def _nothing_works(deployment: Deployment) -> Iterator[None]:
    """No background work is done meanwhile."""
    workers = [each for pid in deployment.workers() for top in [psutil.Process(pid)] for each in [top, *top.children(recursive=True)]]
    for each in workers:
        each.suspend()
    try:
        yield
    finally:
        for each in workers:
            each.resume()


def test_an_operator_adds_changes_and_deletes_s3(deployment: Deployment, visit: Visit, rclone_server: S3Server) -> None:
    s3 = rclone_server
    known = deployment.credentials["operator"]
    operator = visit("localhost", 503).sign_in(known["email"], known["password"], "/operator")
    page, name = operator.page, f"s3-{secrets.token_hex(3)}"
    operator.open("/operator/providers/")
    page.get_by_role("link", name="New provider").click()
    _fill_s3(page, s3, name)
    page.get_by_label("Secret access key").fill("wrong")
    page.get_by_role("button", name="Test connection").click()
    operator.see("The connection does not work")
    expect(page.get_by_label("Name", exact=True)).to_have_value(name)
    page.get_by_role("button", name="Test and add").click()
    operator.see("Nothing was kept")
    expect(page.get_by_label("Secret access key")).to_have_value("")
    _fill_s3(page, s3, name)
    page.get_by_role("button", name="Test connection").click()
    operator.see("The connection works")
    operator.see("Download it by a signed address")
    page.get_by_role("button", name="Test and add").click()
    operator.see(f"{name} works and was added.")
    panel = page.locator("section.panel", has=page.get_by_role("heading", name=name, exact=True))
    expect(panel).to_contain_text(s3.bucket)
    panel.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Bucket", exact=True)).to_have_value(s3.bucket)
    expect(page.get_by_label("Access key id")).to_have_value("")
    page.get_by_label("Time limit").fill("9")
    page.get_by_role("button", name="Test and save").click()
    operator.see(f"{name} works and was changed.")
    panel.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Time limit")).to_have_value("9")
    page.get_by_role("button", name="Delete provider").click()
    operator.confirm("Forget it")
    operator.see(f"{name} is forgotten.")
    expect(panel).to_have_count(0)


def test_every_kind_on_a_phone(deployment: Deployment, visit: Visit) -> None:
    known = deployment.credentials["operator"]
    operator = visit("localhost", viewport=PHONE).sign_in(known["email"], known["password"], "/operator")
    operator.open("/operator/providers/new")
    for title, field in (
        ("Folder", "Folder"),
        ("Google Cloud Storage", "Key of the service account"),
        ("Other services", "Service"),
        ("S3", "Role (optional)"),
    ):
        operator.page.get_by_role("navigation", name="Kind").get_by_role("link", name=title).click()
        expect(operator.page.get_by_label(field, exact=True)).to_be_visible()
        assert operator.fits(), title
    operator.page.get_by_role("link", name="Other services").click()
    operator.page.get_by_label("Service").select_option("azblob")
    expect(operator.page.get_by_role("heading", name="Azure Blob Storage")).to_be_visible()
    expect(operator.page.get_by_label("Name 1 of the secrets")).to_contain_text("account_key")
    assert operator.fits()


def test_a_tenant_has_its_own(deployment: Deployment, visit: Visit, rclone_server: S3Server) -> None:
    s3 = rclone_server
    tenant = deployment.tenant(own_providers=1)
    tenant.owner.bucket("media")
    owner = visit(f"{tenant.slug}.localhost").sign_in(f"owner@{tenant.slug}.test")
    page, name = owner.page, "our-own"
    owner.open("/console/storage/")
    page.get_by_role("link", name="Add storage").click()
    _fill_s3(page, s3, name)
    page.get_by_role("button", name="Test connection").click()
    owner.see("The connection works")
    page.get_by_role("button", name="Test and add").click()
    owner.see(f"{name} works and was added.")
    page.get_by_role("button", name="Use for new files").click()
    owner.see("New files go here")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Time limit").fill("9")
    page.get_by_role("button", name="Test connection").click()
    owner.see("The connection works")
    page.get_by_role("button", name="Test and save").click()
    owner.see(f"{name} works and was changed.")
    page.get_by_role("button", name="Back to the platform").click()
    owner.see("New files go there from now on.")
    owner.open("/console/storage/")
    expect(page.get_by_role("button", name="Use for new files")).to_be_visible()


def test_a_move_is_watched_without_a_reload(tenant: Tenant, operator: Visitor, deployment: Deployment, tmp_path: Path) -> None:
    tenant.owner.store("media", "a.txt", content.TEXT)
    name = f"folder-{secrets.token_hex(3)}"
    page = operator.page
    operator.open("/operator/providers/new?kind=filesystem")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Folder", exact=True).fill(str(tmp_path))
    page.get_by_role("button", name="Test and add").click()
    operator.see(f"{name} works and was added.")
    operator.open(f"/operator/tenants/{tenant.slug}")
    with _nothing_works(deployment):
        page.get_by_label("Provider").select_option(name)
        page.get_by_role("button", name="Move all files").click()
        operator.confirm("Move all files")
        progress = page.locator("#move")
        expect(progress).to_contain_text("Moving")
        expect(progress).to_contain_text("0 objects moved, 0 bytes; 1 left")
        page.evaluate("window.stayed = true")
    expect(progress).to_contain_text("1 object moved", timeout=60_000)
    expect(progress.get_by_text("Moved", exact=True)).to_be_visible(timeout=60_000)
    assert page.evaluate("window.stayed"), "it was not loaded anew"
    expect(progress).not_to_have_attribute("hx-get", re.compile("."))
