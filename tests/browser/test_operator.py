"""The operator's console: tenants from their making to their end, jobs, providers, operators and the audit trail."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

import psycopg
import pytest
from playwright.sync_api import expect
from strongroom.cli.deployment import Deployment as Local

from tests.acceptance import content
from tests.acceptance.deployment import PASSWORD, Deployment, Tenant
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.xdist_group("browser")

Visit = Callable[..., Visitor]


def _form(operator: Visitor, slug: str, password: str = PASSWORD) -> None:
    page = operator.page
    page.get_by_label("Name", exact=True).fill("Maison Verdier")
    page.get_by_label("Slug").fill(slug)
    page.get_by_label("Owner’s email").fill("owner@verdier.test")
    page.get_by_label("Owner’s password", exact=True).fill(password)
    page.get_by_role("button", name="Create tenant").click()


def _type(operator: Visitor, dialog: str, slug: str, button: str) -> None:
    asked = operator.page.locator(f"#{dialog}")
    expect(asked.get_by_role("button", name=button)).to_be_disabled()
    asked.get_by_role("textbox").fill(slug)
    asked.get_by_role("button", name=button).click()


def test_a_tenants_life(deployment: Deployment, visit: Visit) -> None:
    known = deployment.credentials["operator"]
    operator = visit("localhost", 422).sign_in(known["email"], known["password"], "/operator")
    page, slug = operator.page, f"verdier-{secrets.token_hex(3)}"
    operator.open("/operator/tenants/")
    page.get_by_role("link", name="New tenant").click()
    _form(operator, slug)
    operator.see("Maison Verdier is ready.")
    owner = visit(f"{slug}.localhost", 403, 404).sign_in("owner@verdier.test").bring_in()
    assert owner.page.title() == "Dashboard · Maison Verdier"
    owner.open("/console/buckets/new")
    owner.page.get_by_label("Bucket name").fill("plans")
    owner.page.get_by_role("button", name="Create bucket").click()
    owner.see("The bucket plans is ready.")
    page.get_by_role("button", name="Suspend").first.click()
    _type(operator, "suspend", slug, "Suspend tenant")
    operator.see("This tenant is suspended")
    owner.reload_until(lambda: owner.page.get_by_text("This service is paused").is_visible(), "the suspension")
    page.get_by_role("button", name="Resume").click()
    operator.see("Maison Verdier is open again.")
    owner.open("/console/")
    owner.reload_until(lambda: owner.page.get_by_role("heading", name="Dashboard").is_visible(), "the resumption")
    renamed = f"{slug}-neu"
    page.get_by_label("New slug").fill("Not A Slug")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator("#new_slug-error")).to_be_visible()
    page.get_by_label("New slug").fill(renamed)
    page.get_by_role("button", name="Rename").click()
    operator.see("Maison Verdier lives at its new address now.")
    expect(page).to_have_url(re.compile(f"/operator/tenants/{renamed}$"))
    owner.reload_until(lambda: owner.page.get_by_text("Nothing lives at this address").is_visible(), "the former address to be nobody's")
    page.get_by_role("button", name="Delete tenant").click()
    _type(operator, "delete-tenant", renamed, "Delete tenant")
    operator.see("Maison Verdier is being deleted.")
    operator.see("This tenant is being deleted")
    expect(page.locator("#operation")).to_contain_text("Grace time")
    page.get_by_role("button", name="Restore").click()
    operator.see("Maison Verdier is back.")
    page.get_by_role("button", name="Delete tenant").click()
    _type(operator, "delete-tenant", renamed, "Delete tenant")
    page.get_by_role("button", name="Delete now").click()
    _type(operator, "delete-now", renamed, "Delete for good")
    operator.see("All that Maison Verdier owned is being removed.")
    operator.open("/operator/operations/?q=" + renamed)
    for text in ("Delete", "Restore"):
        operator.see(text)
    operator.open("/operator/audit/?q=" + slug)
    for text in (
        f"Created the tenant {slug}",
        f"Suspended {slug}",
        f"Resumed {slug}",
        f"Renamed {slug}",
        f"Deleted {renamed}",
        f"Restored {renamed}",
    ):
        operator.see(text)


def test_a_new_tenants_mistakes_are_told_at_their_fields(tenant: Tenant, deployment: Deployment, visit: Visit) -> None:
    known = deployment.credentials["operator"]
    operator = visit("localhost", 409, 422).sign_in(known["email"], known["password"], "/operator")
    operator.open("/operator/tenants/new")
    _form(operator, "Not A Slug")
    expect(operator.page.locator("#slug-error")).to_be_visible()
    expect(operator.page.get_by_label("Name", exact=True)).to_have_value("Maison Verdier")
    _form(operator, tenant.slug)
    expect(operator.page.locator("#slug-error")).to_contain_text("already")
    _form(operator, f"short-{secrets.token_hex(3)}", "short")
    expect(operator.page.locator("#owner_password-error")).to_be_visible()


def _park_a_job(deployment: Deployment) -> None:
    """Make a finished job look as if it had failed every try: a real one would take an hour."""
    with psycopg.connect(Local(deployment.state).settings().database_url) as connection:
        done = "SELECT id FROM strongroom.jobs WHERE state = 'done' AND kind = 'files.check' ORDER BY created_at DESC LIMIT 1"
        connection.execute(
            f"UPDATE strongroom.jobs SET state = 'parked', error = 'The provider did not answer', attempts = 8 WHERE id = ({done})"  # noqa: S608 - a constant
        )


def test_a_parked_job_is_seen_and_retried(tenant: Tenant, operator: Visitor) -> None:
    tenant.owner.store("media", "a.txt", content.TEXT)
    page = operator.page
    operator.open("/operator/jobs/?state=done")
    operator.reload_until(operator.row("files.check").first.is_visible, "the job")
    _park_a_job(operator.deployment)
    operator.open("/operator/jobs/?state=parked")
    row = operator.row("The provider did not answer")
    expect(row).to_contain_text("8 of 8")
    expect(row.get_by_role("link")).to_be_visible()
    row.get_by_role("button", name="Retry").click()
    operator.see("is waiting for a worker again")
    page.get_by_role("link", name="Parked").click()
    operator.see("No job is in this state.")


def test_a_provider_is_tried(operator: Visitor) -> None:
    operator.open("/operator/providers/")
    operator.page.get_by_role("button", name="Test connection").first.click()
    operator.see("The connection works")
    operator.see("Read it back")


def test_an_operator_that_only_looks(operator: Visitor, visit: Visit, tenant: Tenant) -> None:
    page, email = operator.page, f"viewer-{secrets.token_hex(3)}@platform.test"
    operator.open("/operator/operators/")
    page.get_by_role("button", name="New operator").click()
    page.get_by_label("Name").fill("Lena Brandt")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Viewer").check()
    page.get_by_role("button", name="Create operator").click()
    operator.see("Lena Brandt can sign in now.")
    viewer = visit("localhost", 403).sign_in(email, PASSWORD, "/operator")
    viewer.open(f"/operator/tenants/{tenant.slug}")
    expect(viewer.page.get_by_role("button", name="Suspend")).to_have_count(0)
    assert viewer.open("/operator/tenants/new") == 403
    operator.row(email).get_by_role("button", name="Disable").click()
    operator.confirm("Disable")
    operator.see("was disabled")
    viewer.open("/operator/")
    assert viewer.page.url.startswith(viewer.origin + "/operator/login")
