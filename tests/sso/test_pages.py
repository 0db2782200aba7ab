"""The console's pages about single sign-on, without a browser: what is shown, what a wrong form says."""

from __future__ import annotations

from strongroom.access import Role
from strongroom.users import service as users

from tests.factories import Account, World, ok
from tests.services.oidc import OidcProvider
from tests.sso.conftest import OIDC, Setup

HERE = "/console/sso/"
FORM = {
    "name": "okta", "label": "Okta", "issuer": "https://id.example.com", "client_id": "c1", "client_secret": "s", "scopes": "openid email",
    "domains": "a.example, b.example\nc.example", "role": "viewer", "enabled": "1",
}  # fmt: skip
ONLY_OWNERS = {"sso": {"password_sign_in": "owners"}}


def test_set_up_changed_and_removed(world: World, owner: Account) -> None:
    browser = world.browser(owner)
    assert b"No identity provider yet" in browser.get(HERE).data
    assert browser.get(f"{HERE}new").status_code == 200
    assert browser.post(HERE, data=FORM).headers["Location"] == HERE
    (made,) = ok(world.client(owner).get("/api/v1/tenant/sso"))["items"]
    assert (made["domains"], made["scopes"], made["role"]) == (["a.example", "b.example", "c.example"], ["openid", "email"], "viewer")
    assert (made["create_users"], made["client_secret_set"]) == (False, True)
    assert b"There is one of that name already" in browser.post(HERE, data=FORM).data
    page = browser.get(f"{HERE}okta/edit").data
    assert b'value="https://id.example.com"' in page
    assert b'value="s"' not in page
    changed = browser.post(f"{HERE}okta/edit", data={**FORM, "label": "Our ID", "client_secret": ""})
    assert changed.headers["Location"] == HERE
    page = browser.get(HERE).data
    assert b"Our ID" in page
    assert b"Ready" in page
    assert browser.post(f"{HERE}okta/remove").status_code == 303
    for path in ("okta/edit", "nothing/edit"):
        assert browser.get(HERE + path).status_code == 404


def test_what_is_wrong_stands_beside_its_field(world: World, owner: Account) -> None:
    browser = world.browser(owner)
    for name, value in {"name": "Okta!", "issuer": "http://id.example.com", "scopes": "email", "domains": "nonsense", "label": ""}.items():
        page = browser.post(HERE, data={**FORM, name: value})
        assert page.status_code == 422
        assert f'id="{name}-error"'.encode() in page.data, name
    page = browser.post(f"{HERE}passwords", data={"password_sign_in": "owners"})
    assert page.status_code == 422


def test_the_doors_of_a_tenant_without_passwords(setup: Setup, provider: OidcProvider) -> None:
    world, tenant = setup.world, setup.tenant
    assert b"Sign in with Corp" in world.client(tenant).get("/console/login?next=/console/trash/").data
    invited = users.invite_user(world.runtime, tenant, setup.owner.principal, email="new@example.com", role=Role.MEMBER)
    member = world.create_user(tenant, "member", email="ida@example.com")
    ok(setup.client.patch("/api/v1/tenant/settings", json=ONLY_OWNERS))
    login = world.client(tenant).get("/console/login").data
    assert b"Owners can sign in with a password" in login
    form = {"email": member.email, "password": member.password}
    refused = world.client(tenant).post("/console/login", data=form)
    assert refused.status_code == 403
    assert b"Only owners sign in with a password here" in refused.data
    assert world.client(tenant).post("/console/login", data={**form, "email": setup.owner.email}).status_code == 303
    page = world.client(tenant).get(f"/console/invite/{invited.token}").data
    assert b"Sign in with Corp" in page
    assert b'name="password"' not in page
    accepted = world.client(tenant).post(f"/console/invite/{invited.token}", data={"name": "New", "password": "a password of some length"})
    assert accepted.headers.get("Location") is None
    window = setup.window()
    window.sign_in(provider, "ida@example.com")
    assert b'name="new_password"' not in window.get("/console/account/").data


def test_failures_are_pages_for_people_and_documents_for_apps(setup: Setup, provider: OidcProvider) -> None:
    html = {"Accept": "text/html,application/xhtml+xml"}
    window = setup.window()
    page = window.come_back(provider.sign_in(window.start(), "eve@elsewhere.example"), **html)
    assert (page.status_code, page.mimetype) == (403, "text/html")
    assert b'href="/api/v1/auth/oidc/corp/start?prompt=login"' in page.data
    assert "nonce-" in page.headers["Content-Security-Policy"]
    again = window.get(f"{OIDC}/corp/start?prompt=login")
    assert "prompt=login" in again.headers["Location"]
    page = window.get(f"{OIDC}/corp/callback?state=x", **html)
    assert (page.status_code, page.mimetype) == (400, "text/html")
    assert b"Back to sign in" in page.data
    window = setup.window()
    told = window.come_back(provider.sign_in(window.start(mode="token"), "eve@elsewhere.example"), **html)
    assert told.mimetype == "application/problem+json"
    assert window.get(f"{OIDC}/nothing/start", **html).mimetype == "text/html"
