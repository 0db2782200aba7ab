"""A tenant's own look: name, colours and logo, also where nobody has signed in yet, and no other name anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance import content
from tests.acceptance.deployment import Tenant
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.xdist_group("browser")

BRAND = "getComputedStyle(document.documentElement).getPropertyValue('--brand').trim()"
LOGO_IS_SHOWN = "[...document.querySelectorAll('.mark-logo img')].some((image) => image.complete && image.naturalWidth === 64)"


def _logo(folder: Path) -> str:
    path = folder / "logo.png"
    path.write_bytes(content.png(64, 32))
    return str(path)


def test_name_colours_and_logo_show_everywhere(tenant: Tenant, owner: Visitor, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    page = owner.page
    owner.open("/console/branding/")
    page.get_by_label("Name").fill("Solaris & Töchter")
    page.get_by_label("Primary colour", exact=True).fill("#ffcf1a")
    expect(page.locator("[data-preview-name]")).to_have_text("Solaris & Töchter")
    (tmp_path / "huge.png").write_bytes(content.png() + bytes(600_000))
    page.locator("#logo").set_input_files(str(tmp_path / "huge.png"))
    owner.see("This picture is larger than 512 KB.")
    page.locator("#logo").set_input_files(_logo(tmp_path))
    expect(page.locator("[data-preview-logo]")).to_be_visible()
    page.get_by_role("button", name="Save branding").click()
    owner.see("The branding was saved.")
    expect(page.get_by_label("Name")).to_have_value("Solaris & Töchter")
    owner.open("/console/")
    owner.reload_until(lambda: page.title() == "Dashboard · Solaris & Töchter" and page.evaluate(LOGO_IS_SHOWN), "the new brand")
    assert page.evaluate(BRAND) == "#ffcf1a"
    guest = visit(f"{tenant.slug}.localhost")
    guest.open("/console/login")
    guest.reload_until(lambda: guest.page.title() == "Sign in · Solaris & Töchter", "the new brand")
    assert guest.page.evaluate(LOGO_IS_SHOWN)
    assert guest.page.evaluate(BRAND) == "#ffcf1a"
    assert guest.page.get_by_role("button", name="Sign in").evaluate("(button) => getComputedStyle(button).color") == "rgb(16, 21, 31)"


def test_a_wrong_colour_or_logo_is_told_at_its_field(tenant: Tenant, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    owner = visit(f"{tenant.slug}.localhost", 422).sign_in(f"owner@{tenant.slug}.test")
    page = owner.page
    owner.open("/console/branding/")
    page.get_by_label("Name").fill("Kept as typed")
    (tmp_path / "logo.png").write_bytes(content.TEXT)
    page.locator("#logo").set_input_files(str(tmp_path / "logo.png"))
    page.get_by_role("button", name="Save branding").click()
    expect(page.locator("#logo-error")).to_contain_text("PNG, JPEG or WebP")
    expect(page.get_by_label("Name")).to_have_value("Kept as typed")
    owner.open("/console/branding/")
    expect(page.get_by_label("Name")).not_to_have_value("Kept as typed")


def test_no_page_of_a_tenant_names_the_platform(tenant: Tenant, owner: Visitor, visit: Callable[..., Visitor]) -> None:
    tenant.owner.store("media", "a.txt", content.TEXT)
    guest = visit(f"{tenant.slug}.localhost", 404)
    for visitor, paths in (
        (owner, ["", "files/media/", "buckets/", "users/", "api-keys/", "branding/", "account/"]),
        (guest, ["login", "invite/x"]),
    ):
        for path in paths:
            visitor.open(f"/console/{path}")
            assert not re.search("strongroom", visitor.page.content(), re.IGNORECASE), path
