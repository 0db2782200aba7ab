"""Making an account of one's own, from the owner's switch to one's files."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.acceptance.deployment import PASSWORD, Tenant
from tests.acceptance.waiting import wait_until
from tests.browser.visitor import PHONE, Visitor
from tests.services.mail import MailServer

pytestmark = pytest.mark.xdist_group("browser")

Visit = Callable[..., Visitor]


def test_from_the_owners_switch_to_ones_own_files(tenant: Tenant, owner: Visitor, visit: Visit, mail_server: MailServer) -> None:
    host, email = f"{tenant.slug}.localhost", f"ada@{tenant.slug}.test"
    stranger = visit(host, 403, 409, 422)
    stranger.open("/console/login")
    expect(stranger.page.get_by_role("link", name="Create an account")).to_have_count(0)
    owner.open("/console/settings/")
    expect(owner.page.get_by_role("textbox", name="Domains")).to_be_hidden()
    owner.page.get_by_label("People with an email address of these domains").check()
    owner.page.get_by_role("textbox", name="Domains").fill(f"{tenant.slug}.test")
    owner.page.get_by_role("button", name="Save settings").click()
    owner.see("The settings were saved.")
    assert owner.fits()
    stranger.reload_until(lambda: stranger.page.get_by_role("link", name="Create an account").count(), "the way to sign up")
    stranger.page.get_by_role("link", name="Create an account").click()
    stranger.page.get_by_label("Email").fill("ada@evil.test")
    stranger.page.get_by_label("Your name").fill("Ada")
    stranger.page.get_by_role("button", name="Send me the link").click()
    expect(stranger.page.locator("#email-error")).to_be_visible()
    expect(stranger.page.get_by_label("Your name")).to_have_value("Ada")
    stranger.page.get_by_label("Email").fill(email)
    stranger.page.get_by_role("button", name="Send me the link").click()
    expect(stranger.page).to_have_url(f"{stranger.origin}/console/signup/sent")
    stranger.see(email)
    mail = wait_until(lambda: next((each for each in mail_server.mails if each.to == email), None), 60, "the mail")
    link = next(line for line in str(mail.message.get_content()).splitlines() if "/console/signup/" in line)
    assert link.startswith(f"{stranger.origin}/console/signup/")
    stranger.page.goto(link)
    expect(stranger.page.get_by_label("Your name")).to_have_value("Ada")
    stranger.page.get_by_label("Password", exact=True).fill("short")
    stranger.page.get_by_role("button", name="Create account").click()
    expect(stranger.page.locator("#password-error")).to_be_visible()
    stranger.page.get_by_label("Your name").fill("Ada Lovelace")
    stranger.page.get_by_label("Password", exact=True).fill(PASSWORD)
    stranger.page.get_by_role("button", name="Create account").click()
    expect(stranger.page).to_have_url(f"{stranger.origin}/console/files/media/")
    expect(stranger.page.locator(".side-column .who-name")).to_have_text("Ada Lovelace")
    owner.open("/console/users/")
    expect(owner.row(email)).to_contain_text("Member")
    later = visit(host, 409, viewport=PHONE)
    later.page.goto(link)
    later.see("Your account is there already")
    later.open("/console/signup")
    assert later.fits()


def test_it_works_without_a_script(tenant: Tenant, visit: Visit) -> None:
    tenant.owner.request("PATCH", "/api/v1/tenant/settings", json={"sign_up": {"mode": "open"}})
    plain = visit(f"{tenant.slug}.localhost", 404, script=False)
    plain.open("/console/signup")
    plain.page.get_by_label("Email").fill("ada@example.test")
    plain.page.get_by_role("button", name="Send me the link").click()
    expect(plain.page).to_have_url(f"{plain.origin}/console/signup/sent")
    plain.open("/console/signup/no.such.link")
    plain.see("This link no longer works")
    plain.page.get_by_role("link", name="Ask for a new link").click()
    expect(plain.page.get_by_role("heading", name="Create an account")).to_be_visible()
