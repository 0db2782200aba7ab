"""Every page, on a desk and on a phone: nothing fails, nothing breaks the security policy, nothing scrolls sideways."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.acceptance import content
from tests.acceptance.deployment import Deployment, Tenant
from tests.browser.visitor import DESK, PHONE, Visitor

pytestmark = pytest.mark.xdist_group("browser")

CONSOLE = (
    "/", "/?range=24h", "/files/", "/files/media/", "/files/media/?prefix=a+rather+long+name+of+a+folder/", "/files/media/?q=zzz",
    "/trash/", "/quarantine/", "/buckets/", "/buckets/new", "/buckets/media/edit", "/users/", "/users/invite", "/api-keys/", "/branding/",
    "/account/",
)  # fmt: skip
OPERATOR = (
    "/", "/?range=7d", "/tenants/", "/tenants/?state=suspended", "/tenants/new", "/tenants/{slug}", "/tenants/{slug}?range=90d", "/jobs/",
    "/jobs/?state=done", "/plans/", "/plans/new", "/plans/standard/edit", "/providers/", "/operators/", "/audit/",
)  # fmt: skip
LONG = "a rather long name of a folder/" + "and-a-file-whose-name-has-no-place-to-break-" * 3 + ".txt"


def _look(visitor: Visitor, paths: tuple[str, ...], root: str) -> None:
    for path in paths:
        response = visitor.page.goto(visitor.origin + root + path)
        assert response is not None
        assert response.status == 200, path
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self' 'nonce-"), path
        assert response.headers["cache-control"] == "no-store"
        for viewport in (PHONE, DESK):
            visitor.page.set_viewport_size(viewport)  # type: ignore[arg-type]  # a dict is what it takes
            assert visitor.fits(), f"{path} scrolls sideways at {viewport}"


def test_every_page_of_the_tenants_console(tenant: Tenant, visit: Callable[..., Visitor]) -> None:
    uploaded = [
        tenant.owner.upload("media", *each) for each in ((LONG, content.TEXT), ("bad.txt", content.EICAR), ("gone.txt", content.TEXT))
    ]
    file, bad, gone = [tenant.owner.checked(each) for each in uploaded]
    assert tenant.owner.request("DELETE", f"/api/v1/files/{gone['id']}").status_code == 204
    tenant.user("viewer")
    visitor = visit(f"{tenant.slug}.localhost").sign_in(f"owner@{tenant.slug}.test")
    _look(visitor, (*CONSOLE, f"/file/{file['id']}", f"/file/{bad['id']}"), "/console")
    visitor.context.clear_cookies()
    _look(visitor, ("/login",), "/console")


def test_every_page_of_the_operators_console(tenant: Tenant, deployment: Deployment, visit: Callable[..., Visitor]) -> None:
    known = deployment.credentials["operator"]
    visitor = visit("localhost").sign_in(known["email"], known["password"], "/operator")
    _look(visitor, tuple(path.format(slug=tenant.slug) for path in OPERATOR), "/operator")
    visitor.context.clear_cookies()
    _look(visitor, ("/login",), "/operator")


def test_on_a_phone_the_navigation_is_in_a_drawer(tenant: Tenant, visit: Callable[..., Visitor]) -> None:
    visitor = visit(f"{tenant.slug}.localhost", viewport=PHONE).sign_in(f"owner@{tenant.slug}.test").bring_in()
    visitor.page.get_by_role("button", name="Menu").click()
    visitor.page.locator("#drawer").get_by_role("link", name="Files").click()
    expect(visitor.page.get_by_role("heading", name="Files")).to_be_visible()
    assert visitor.fits()
