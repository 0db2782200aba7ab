"""A tenant's page in the operator's console: what its plan allows, what was agreed beside it, what is used; and its settings' versions."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.factories import Client, World, ok

SETTINGS = "/api/v1/tenant/settings"


@pytest.fixture
def browser(world: World) -> Client:
    return world.browser(world.create_operator())


def cells_of(page: str, label: str) -> dict[str, str]:
    """A row of a table by its first cell, as text by the names of its columns."""
    row = re.search(rf'<tr><td class="main-cell">(?:<span[^>]*>)?{re.escape(label)}<.*?</tr>', page, re.DOTALL)
    assert row, label
    found = re.findall(r'data-label="([^"]+)">(.*?)</td>', row[0], re.DOTALL)
    return {name: " ".join(re.sub(r"<[^>]+>", " ", text).split()) for name, text in found}


def test_its_limits_beside_what_is_used(world: World, browser: Client) -> None:
    tenant = world.create_tenant(quota_files=4, requests_per_s=7)
    world.create_bucket(tenant)
    world.upload(world.client(world.create_user(tenant)), "a.txt")
    page = unescape(browser.get(f"/operator/tenants/{tenant.slug}").get_data(as_text=True))
    assert cells_of(page, "Files") == {"Plan": "10,000,000", "Agreed": "4", "Holds": "4", "Used": "1 25%"}
    assert cells_of(page, "Requests per second") == {"Plan": "500", "Agreed": "7", "Holds": "7", "Used": ""}
    assert cells_of(page, "Buckets") == {"Plan": "1,000", "Agreed": "–", "Holds": "1,000", "Used": "1 0%"}
    assert cells_of(page, "Storage of its own") == {"Plan": "No", "Agreed": "–", "Holds": "No", "Used": ""}


def test_the_versions_of_its_settings(world: World, browser: Client) -> None:
    account = world.create_user(world.create_tenant())
    client = world.client(account)
    ok(client.patch(SETTINGS, json={"sessions": {"session_lifetime_s": 7200}}))
    ok(client.patch(SETTINGS, json={"sessions": {"session_lifetime_s": None}}))
    page = unescape(browser.get(f"/operator/tenants/{account.tenant.slug}").get_data(as_text=True))
    assert "version 3 holds" in page
    assert cells_of(page, "3")["What changed"] == "sessions.session_lifetime_s : 7200 → default"
    assert cells_of(page, "2")["Who"] == account.email
    assert cells_of(page, "1")["What changed"] == "As it began"


def test_one_that_is_leaving_shows_neither(world: World, browser: Client) -> None:
    tenant = world.create_tenant()
    ok(world.client(world.create_operator()).delete(f"/operator/api/v1/tenants/{tenant.slug}"), 202)
    page = browser.get(f"/operator/tenants/{tenant.slug}").get_data(as_text=True)
    assert 'id="limits-title"' not in page
    assert 'id="versions-title"' not in page
