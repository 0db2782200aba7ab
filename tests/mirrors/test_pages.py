"""The pages on which mirrors are added, watched, paused and removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenants.models import ProviderInfo, Tenant
from tests.factories import Account, Client, World, ok
from tests.mirrors.conftest import HOSTS, at, settle

pytestmark = pytest.mark.usefixtures("bucket")
PAGE = "/console/hosts/"


@pytest.fixture
def browser(world: World, owner: Account) -> Client:
    return world.browser(owner)


def hosts(client: Client) -> list[Any]:
    return list(ok(client.get(HOSTS))["items"])


def test_the_whole_life(world: World, tenant: Tenant, client: Client, browser: Client, place: ProviderInfo) -> None:
    assert b"No mirrors" in browser.get(PAGE).data
    assert place.name.encode() in browser.get(f"{PAGE}new").data
    form = {"name": "Second copy", "provider_id": str(place.id), "which": "all"}
    assert browser.post(f"{PAGE}new", data=form).status_code == 303
    (host,) = hosts(client)
    file = world.upload(client)
    settle(world)
    page = browser.get(PAGE).data
    assert b"Second copy" in page
    assert b"Up to date" in page
    assert b"Second copy" in browser.get(f"/console/file/{file['id']}").data
    assert b"Copied" in browser.get(f"/console/file/{file['id']}").data
    mine = f"{PAGE}{host['id']}"
    assert browser.post(f"{mine}/pause").status_code == 303
    assert b"Paused" in browser.get(PAGE).data
    assert browser.post(f"{mine}/resume").status_code == 303
    bucket = ok(client.get("/api/v1/buckets"))["items"][0]["id"]
    assert browser.post(f"{mine}/edit", data={"name": "Other", "which": "some", "buckets": [bucket]}).status_code == 303
    assert (hosts(client)[0]["name"], hosts(client)[0]["buckets"], hosts(client)[0]["enabled"]) == ("Other", [bucket], True)
    assert b"media" in browser.get(PAGE).data
    assert b"checked" in browser.get(f"{mine}/edit").data
    assert b"Leave the copies there" not in browser.get(PAGE).data, "the platform's: refused"
    assert browser.post(f"{mine}/remove", data={"keep_copies": "1"}).status_code == 303
    assert len(hosts(client)) == 1
    assert browser.post(f"{mine}/remove").status_code == 303
    assert hosts(client) == []
    settle(world)
    assert at(world, tenant, place) == set()


def test_what_is_wrong_stands_beside_its_field(client: Client, browser: Client, place: ProviderInfo) -> None:
    for form in ({"name": "", "provider_id": str(place.id)}, {"name": "x", "provider_id": "x"}, {"name": "x", "which": "some"}):
        answer = browser.post(f"{PAGE}new", data=form)
        assert answer.status_code == 422
        assert b"field-error" in answer.data
    Path(place.config["root"]).rmdir()
    answer = browser.post(f"{PAGE}new", data={"name": "x", "provider_id": str(place.id), "which": "all"})
    assert (answer.status_code, b"field-error" in answer.data) == (503, True)
    assert hosts(client) == []


def test_failures_are_shown(world: World, tenant: Tenant, client: Client, browser: Client, place: ProviderInfo) -> None:
    ok(client.post(HOSTS, json={"name": "Second copy", "provider_id": str(place.id)}), 201)
    file = world.upload(client)
    settle(world)
    world.tenant_sql(tenant, "UPDATE {t}.mirrors SET state = 'failed', problem = 'At the host: No room.'")
    assert b"At the host: No room." in browser.get(PAGE).data
    assert b"At the host: No room." in browser.get(f"/console/file/{file['id']}").data
    (host,) = hosts(client)
    assert browser.post(f"{PAGE}{host['id']}/retry").status_code == 303
    assert hosts(client)[0]["failed"] == 0


def test_an_operator_offers_a_provider(world: World, client: Client, place: ProviderInfo) -> None:
    console = world.browser(world.create_operator())
    assert b"Offered for mirrors" in console.get("/operator/providers/").data
    assert console.post(f"/operator/providers/{place.name}/offer", data={"offered": ""}).status_code == 303
    assert place.name not in {each["name"] for each in ok(client.get(f"{HOSTS}/providers"))["items"]}
