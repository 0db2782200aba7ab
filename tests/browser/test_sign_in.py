"""Signing in and out, in both consoles, and addresses where nobody can."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.acceptance.deployment import Deployment, Tenant
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.xdist_group("browser")

Visit = Callable[..., Visitor]


def test_a_tenants_owner_signs_in_and_out(deployment: Deployment, visit: Visit) -> None:
    known = deployment.credentials["tenant"]
    visitor = visit(f"{known['slug']}.localhost", 401)
    visitor.open("/console/buckets/")
    expect(visitor.page).to_have_url(re.compile(r"/console/login\?next="))
    visitor.fill_in(known["email"], "not the password")
    visitor.see("Email and password do not match.")
    expect(visitor.page.get_by_label("Email")).to_have_value(known["email"])
    visitor.fill_in(known["email"], known["password"])
    expect(visitor.page).to_have_url(re.compile(r"/console/buckets/$"))
    expect(visitor.page.get_by_role("heading", name="Buckets", level=1)).to_be_visible()
    visitor.page.locator(".side-column summary.who").click()
    visitor.page.locator(".side-column").get_by_role("button", name="Sign out").click()
    expect(visitor.page).to_have_url(re.compile(r"/console/login$"))
    visitor.open("/console/")
    expect(visitor.page).to_have_url(re.compile(r"/console/login"))


def test_an_operator_signs_in_and_out(deployment: Deployment, visit: Visit) -> None:
    known = deployment.credentials["operator"]
    visitor = visit("localhost", 401)
    visitor.open("/")
    expect(visitor.page).to_have_url(re.compile(r"/operator/login$"))
    visitor.fill_in(known["email"], "not the password")
    visitor.see("Email and password do not match.")
    visitor.fill_in(known["email"], known["password"])
    expect(visitor.page.get_by_role("heading", name="Platform")).to_be_visible()
    visitor.page.locator(".side-column summary.who").click()
    visitor.page.locator(".side-column").get_by_role("button", name="Sign out").click()
    expect(visitor.page).to_have_url(re.compile(r"/operator/login$"))


def test_after_ten_wrong_passwords_one_has_to_wait(tenant: Tenant, visit: Visit) -> None:
    visitor = visit(f"{tenant.slug}.localhost", 401, 429)
    visitor.open("/console/login")
    for _ in range(25):  # each of two processes counts for itself
        visitor.fill_in("nobody@example.test", "not the password")
        visitor.page.wait_for_load_state()
        if visitor.page.get_by_text("tried too often").count():
            break
    visitor.see("That was tried too often.")


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example/", "/\\evil.example", "/api/v1/docs"])
def test_signing_in_leads_nowhere_else(deployment: Deployment, visit: Visit, next_page: str) -> None:
    known = deployment.credentials["tenant"]
    visitor = visit(f"{known['slug']}.localhost")
    visitor.open(f"/console/login?next={next_page}")
    visitor.fill_in(known["email"], known["password"])
    expect(visitor.page).to_have_url(f"{visitor.origin}/console/")


def test_a_form_of_another_site_does_not_sign_anybody_in(deployment: Deployment, visit: Visit) -> None:
    known = deployment.credentials["tenant"]
    elsewhere = visit("localhost", 403)
    elsewhere.open("/api/v1/openapi.json")
    form = f'<form method="post" action="http://{known["slug"]}.localhost:{deployment.port}/console/login">'
    fields = f'<input name="email" value="{known["email"]}"><input name="password" value="{known["password"]}">'
    elsewhere.page.route("**/evil", lambda route: route.fulfill(body=f"{form}{fields}<button>Go</button></form>", content_type="text/html"))
    elsewhere.open("/evil")
    elsewhere.page.get_by_role("button").click()
    elsewhere.see("This form is out of date")
    assert not elsewhere.context.cookies(f"http://{known['slug']}.localhost:{deployment.port}")


def test_addresses_where_nobody_signs_in(deployment: Deployment, visit: Visit) -> None:
    nowhere = visit("nobody.localhost", 404)
    assert nowhere.open("/console/") == 404
    nowhere.see("Nothing lives at this address")
    platform = visit("localhost", 404)
    assert platform.open("/console") == 404
    platform.see("Sign in at your own company’s address")
    tenant = visit(f"{deployment.credentials['tenant']['slug']}.localhost", 404)
    assert tenant.open("/operator/") == 404
    assert "strongroom" not in tenant.page.content().lower()
