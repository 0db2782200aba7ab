"""The figures of the dashboards agree with what was done."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.acceptance import content
from tests.acceptance.deployment import Tenant
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.xdist_group("browser")


def test_the_dashboard_counts_uploads_and_downloads(tenant: Tenant, owner: Visitor) -> None:
    tenant.owner.store("media", "a.txt", b"a" * 1500)
    tenant.owner.store("media", "b.png", content.png())
    tenant.owner.store("media", "c.txt", content.EICAR)
    for _ in range(3):
        assert len(tenant.owner.download("media", "a.txt").content) == 1500
    owner.open("/console/")
    owner.see_figures(Uploads_today="3", Downloads_today="3", Files="3", Need_attention="1", Downloaded="4.5KB")
    page = owner.page
    expect(page.locator("[data-chart] canvas")).to_be_visible()
    today = page.locator("[data-chart] table tr").last
    assert today.text_content() is not None
    assert (today.text_content() or "").endswith("4.5 KB")
    expect(page.locator(".panel", has_text="By bucket").last).to_contain_text("media")
    expect(page.locator(".panel", has_text="By content type").last).to_contain_text("text/plain")
    expect(page.locator(".panel", has=page.get_by_role("heading", name="Need attention"))).to_contain_text("c.txt")
    page.get_by_role("link", name="24 hours").click()
    expect(page.get_by_role("link", name="24 hours")).to_have_attribute("aria-current", "true")
    expect(page.locator("[data-chart]")).to_have_attribute("data-interval", "hour")
    expect(page.locator("[data-chart] canvas")).to_be_visible()


def test_the_operator_sees_each_tenants_figures(tenant: Tenant, operator: Visitor) -> None:
    tenant.owner.store("media", "a.txt", b"a" * 2500)
    assert len(tenant.owner.download("media", "a.txt").content) == 2500
    operator.open(f"/operator/tenants/{tenant.slug}")
    operator.see_figures(Stored="2.5KB", Files="1", Users="1", Uploads_today="1", Downloads_today="1", Uploaded="2.5KB")
    expect(operator.page.locator("[data-chart] canvas")).to_be_visible()
    operator.open("/operator/tenants/")
    operator.page.get_by_label("Search by name or slug").fill(tenant.slug)
    expect(operator.page.locator("#listing tbody tr")).to_have_count(1)
    expect(operator.row(tenant.slug)).to_contain_text("2.5 KB")
    operator.open("/operator/?range=7d")
    expect(operator.page.locator("[data-chart] canvas")).to_be_visible()
    operator.see("All parts are working.")
