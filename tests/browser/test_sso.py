"""Single sign-on as people see it: set up at the console, tested, used, and what is said when it fails."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.acceptance.deployment import Tenant
from tests.browser.visitor import PHONE, Visitor
from tests.services.oidc import OidcProvider

pytestmark = pytest.mark.xdist_group("browser")

Visit = Callable[..., Visitor]
SHOTS = os.environ.get("SR_SCREENSHOTS")


def shot(visitor: Visitor, name: str) -> None:
    """Keep what is seen, where somebody wants to look at it."""
    if SHOTS:
        visitor.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def set_up(owner: Visitor, oidc: OidcProvider) -> None:
    """Add the provider by the form, as the tenant's owner."""
    owner.open("/console/sso/new")
    shot(owner, "new")
    registered = oidc.register(f"{owner.origin}/api/v1/auth/oidc/corp/callback")
    for label, text in {
        "Sign in with …": "Acme ID", "Name in addresses": "corp", "Issuer": oidc.issuer, "Client ID": registered.client_id,
        "Client secret": registered.client_secret, "Email domains": "acme.example",
    }.items():  # fmt: skip
        owner.page.get_by_label(label).fill(text)
    owner.page.get_by_text("Give whoever is unknown an account").click()
    owner.page.get_by_role("button", name="Save").click()
    owner.see("Acme ID was saved.")


def come_in(visitor: Visitor, who: str) -> None:
    visitor.page.get_by_role("link", name="Sign in with Acme ID").click()
    tell(visitor, who)


def tell(visitor: Visitor, who: str) -> None:
    visitor.page.get_by_label("Who are you?").fill(who)
    visitor.page.get_by_role("button", name="Continue").click()


def test_set_up_by_an_owner_and_used_by_its_people(tenant: Tenant, owner: Visitor, visit: Visit, oidc: OidcProvider) -> None:
    set_up(owner, oidc)
    owner.see(f"{owner.origin}/api/v1/auth/oidc/corp/callback")
    owner.page.get_by_role("button", name="Test").click()
    owner.see("The connection works")
    shot(owner, "list")
    guest = visit(f"{tenant.slug}.localhost", 403)
    guest.open("/console/files/media/")
    expect(guest.page).to_have_url(re.compile(r"/console/login\?next="))
    shot(guest, "login")
    come_in(guest, "sub=1&email=mina@acme.example&name=Mina")
    expect(guest.page).to_have_url(f"{guest.origin}/console/files/media/")
    stranger = visit(f"{tenant.slug}.localhost", 403)
    stranger.open("/console/login")
    come_in(stranger, "lucy@elsewhere.example")
    stranger.see("You cannot come in this way")
    stranger.see("Your e-mail address is of a domain that may not come in this way.")
    shot(stranger, "refused")
    stranger.page.get_by_role("link", name="Use another account").click()
    tell(stranger, "cancel")
    stranger.see("The sign-in was cancelled")
    stranger.page.get_by_role("link", name="Back to sign in").click()
    expect(stranger.page).to_have_url(f"{stranger.origin}/console/login")


def test_passwords_for_owners_alone(tenant: Tenant, owner: Visitor, visit: Visit, oidc: OidcProvider) -> None:
    set_up(owner, oidc)
    owner.page.get_by_label("Only owners").check()
    owner.page.get_by_role("button", name="Save").click()
    owner.see("Whoever is signed in stays so.")
    guest = visit(f"{tenant.slug}.localhost", viewport=PHONE)
    guest.reload_until(lambda: guest.open("/console/login") and guest.page.get_by_text("Owners can sign in").count(), "the sign-in page")
    assert guest.fits()
    shot(guest, "login-phone")
    expect(guest.page.get_by_label("Email")).not_to_be_visible()
    guest.page.get_by_text("Owners can sign in with a password").click()
    guest.fill_in(f"owner@{tenant.slug}.test", "correct horse battery staple")
    expect(guest.page).to_have_url(f"{guest.origin}/console/")
    owner.page.get_by_role("button", name="Remove").click()
    owner.confirm("Remove")
    owner.see("Nobody but owners could sign in")
