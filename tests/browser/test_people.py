"""Users, roles, invitations, one's own account, and keys for programs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.acceptance import content
from tests.acceptance.client import Client
from tests.acceptance.deployment import PASSWORD, Tenant
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.xdist_group("browser")

Visit = Callable[..., Visitor]


def _invite(owner: Visitor, email: str, role: str) -> str:
    owner.open("/console/users/invite")
    owner.page.get_by_label("Email").fill(email)
    owner.page.get_by_label(role).check()
    owner.page.get_by_role("button", name="Make invitation").click()
    return owner.page.locator(".secret code").inner_text()


def _labels(visitor: Visitor) -> list[str]:
    return visitor.page.locator(".side-column .nav-item > span:first-of-type").all_inner_texts()


def test_an_invited_user_comes_in_and_sees_what_its_role_allows(tenant: Tenant, owner: Visitor, visit: Visit) -> None:
    link = _invite(owner, "mina@example.test", "Member")
    assert link.startswith(owner.origin + "/console/invite/")
    owner.page.reload()
    expect(owner.page.locator(".secret")).to_have_count(0)
    owner.see("mina@example.test")
    guest = visit(f"{tenant.slug}.localhost", 422, 404, 403)
    guest.page.goto(link)
    guest.page.get_by_label("Your name").fill("Mina Murray")
    guest.page.get_by_label("Password", exact=True).fill("short")
    guest.page.get_by_role("button", name="Accept and sign in").click()
    expect(guest.page.locator("#password-error")).to_be_visible()
    expect(guest.page.get_by_label("Your name")).to_have_value("Mina Murray")
    guest.page.get_by_label("Password", exact=True).fill(PASSWORD)
    guest.page.get_by_role("button", name="Accept and sign in").click()
    expect(guest.page).to_have_url(f"{guest.origin}/console/files/media/")
    assert _labels(guest) == ["Files", "Trash", "API keys"]
    expect(guest.page.get_by_role("button", name="Upload files").first).to_be_visible()
    assert guest.open("/console/users/") == 403
    guest.see("You may not do this")
    assert visit(f"{tenant.slug}.localhost", 404).open(link.removeprefix(owner.origin)) == 404


def test_a_viewer_only_looks(tenant: Tenant, visit: Visit) -> None:
    tenant.owner.store("media", "a.txt", content.TEXT)
    viewer = visit(f"{tenant.slug}.localhost").sign_in(tenant.user("viewer").email).bring_in()
    assert _labels(viewer) == ["Files"]
    expect(viewer.page.get_by_text("Upload files")).to_have_count(0)
    viewer.row("a.txt").get_by_label("Actions for a.txt").click()
    expect(viewer.row("a.txt").get_by_role("link", name="Download")).to_be_visible()
    expect(viewer.row("a.txt").get_by_role("button", name="Move to trash")).to_have_count(0)


def test_users_are_changed_disabled_and_removed(tenant: Tenant, owner: Visitor, visit: Visit) -> None:
    email = tenant.user("member").email
    member = visit(f"{tenant.slug}.localhost").sign_in(email)
    owner.open("/console/users/")

    def act(name: str) -> None:
        owner.row(email).get_by_label("Actions for").click()
        owner.row(email).get_by_text(name, exact=True).click()

    act("Edit")
    owner.page.get_by_label("Name", exact=True).fill("Lucy Westenra")
    owner.page.get_by_label("Admin").check()
    owner.page.get_by_role("button", name="Save changes").click()
    expect(owner.row("Lucy Westenra")).to_contain_text("Admin")
    act("Disable")
    owner.confirm("Disable")
    expect(owner.row(email)).to_contain_text("Disabled")
    member.open("/console/files/")
    assert member.page.url.startswith(member.origin + "/console/login")
    act("Enable")
    owner.see("can sign in again")
    act("Remove")
    owner.confirm("Remove")
    owner.see("The user was removed.")
    expect(owner.row(email)).to_have_count(0)


def test_an_api_key_is_shown_once_and_works(tenant: Tenant, owner: Visitor) -> None:
    page = owner.page
    owner.open("/console/api-keys/")
    page.get_by_role("button", name="New API key").first.click()
    page.get_by_label("Name").fill("Nightly backup")
    page.get_by_label("Write files").check()
    page.get_by_role("button", name="Create key").click()
    key = page.locator(".secret code").inner_text()
    assert key.startswith(f"sr_{tenant.slug}_")
    with Client(owner.deployment.port, owner.host, key) as program:
        program.upload("media", "by-key.txt", content.TEXT)
        page.reload()
        assert key not in page.content()
        expect(owner.row("Nightly backup")).to_contain_text(key.rsplit("_", 1)[0])
        owner.row("Nightly backup").get_by_role("button", name="Revoke").click()
        owner.confirm("Revoke")
        owner.see("The key was revoked.")
        assert program.get("/api/v1/buckets").status_code == 401


def test_a_key_without_a_scope_is_told_at_its_field(tenant: Tenant, visit: Visit) -> None:
    owner = visit(f"{tenant.slug}.localhost", 422).sign_in(f"owner@{tenant.slug}.test")
    owner.open("/console/api-keys/")
    owner.page.get_by_role("button", name="New API key").first.click()
    owner.page.get_by_label("Name").fill("No scopes")
    owner.page.get_by_label("Read files").uncheck()
    owner.page.get_by_role("button", name="Create key").click()
    expect(owner.page.locator("#scopes-error")).to_be_visible()
    expect(owner.page.get_by_label("Name")).to_have_value("No scopes")


def test_ones_own_name_password_and_sessions(tenant: Tenant, visit: Visit) -> None:
    email = tenant.user("member").email
    host = f"{tenant.slug}.localhost"
    here, there = visit(host, 401), visit(host).sign_in(email)
    here.open("/console/account/")
    here.fill_in(email, PASSWORD)
    here.page.get_by_label("Name").fill("Jonathan Harker")
    here.page.get_by_role("button", name="Save name").click()
    expect(here.page.locator(".side-column .who-name")).to_have_text("Jonathan Harker")
    here.see("Chrome on Linux")
    here.page.get_by_label("Current password").fill("not the password")
    here.page.get_by_label("New password").fill("another horse battery")
    here.page.get_by_role("button", name="Change password").click()
    expect(here.page.locator("#current_password-error")).to_be_visible()
    here.page.get_by_label("Current password").fill(PASSWORD)
    here.page.get_by_label("New password").fill("another horse battery")
    here.page.get_by_role("button", name="Change password").click()
    here.see("Your password was changed.")
    there.open("/console/files/")
    assert there.page.url.startswith(there.origin + "/console/login")
    there.fill_in(email, "another horse battery")
    expect(there.page).to_have_url(f"{there.origin}/console/files/media/")
    here.page.reload()
    here.page.get_by_role("button", name="Sign out everywhere else").click()
    here.confirm("Sign out everywhere else")
    here.see("You are signed out everywhere else.")
    there.open("/console/files/")
    assert there.page.url.startswith(there.origin + "/console/login")
