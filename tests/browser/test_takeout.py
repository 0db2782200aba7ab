"""A tenant's take-out page: an archive is made, followed, fetched and removed."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance.deployment import Tenant
from tests.browser.visitor import PHONE, Visitor

pytestmark = pytest.mark.xdist_group("browser")


def test_an_archive_of_everything(tenant: Tenant, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    tenant.owner.upload("media", "a.txt", b"canary")
    owner = visit(f"{tenant.slug}.localhost").sign_in(tenant.owner.email).bring_in("/console/")
    page = owner.page
    page.get_by_role("link", name="Take-out").click()
    owner.see("No archive yet")
    page.get_by_role("button", name="Make an archive").click()
    owner.see("The archive is being made.")
    expect(page.get_by_text("Ready", exact=True)).to_be_visible(timeout=30_000)
    owner.see("1 of 1")
    expect(page.get_by_role("button", name="Make an archive")).to_be_visible()
    with page.expect_download() as fetched:
        page.get_by_role("button", name="Download").click()
    path = tmp_path / "archive.tar"
    fetched.value.save_as(path)
    assert fetched.value.suggested_filename.startswith(tenant.slug)
    with tarfile.open(path) as archive:
        assert "end.json" in archive.getnames()
    page.get_by_role("button", name="Remove").click()
    owner.confirm("Remove")
    owner.see("No archive yet")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a dict is what it takes
    assert owner.fits()
