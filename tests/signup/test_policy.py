"""The part `sign_up` of a tenant's settings: what it takes, and that it is versioned as the others are."""

from __future__ import annotations

from typing import Any

from tenants.models import Tenant
from tenants.repository import to_settings
from tenants.sign_up import MAX_DOMAINS
from tests.factories import Client, World, ok, problem

SETTINGS = "/api/v1/tenant/settings"


def change(client: Client, **policy: Any) -> Any:
    return ok(client.patch(SETTINGS, json={"sign_up": policy}))["sign_up"]


def test_it_begins_closed(client: Client) -> None:
    assert ok(client.get(SETTINGS))["sign_up"] == {"mode": "closed", "domains": [], "role": "member"}
    assert to_settings({}).sign_up.mode == "closed"


def test_domains_are_kept_in_the_form_in_which_they_are_compared(client: Client) -> None:
    typed = [" Example.COM. ", "MÜLLER.example", "xn--mller-kva.example", "example.com", "a.b.c.example.co.uk"]
    found = change(client, mode="domains", domains=typed)
    assert found["domains"] == ["example.com", "xn--mller-kva.example", "a.b.c.example.co.uk"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"mode": "domains"}, "domains"),
    ({"mode": "domains", "domains": []}, "domains"),
    ({"domains": ["*.example.com"]}, "domains"),
    ({"domains": ["com"]}, "domains"),
    ({"domains": ["ada@example.com"]}, "domains"),
    ({"domains": ["192.0.2.1"]}, "domains"),
    ({"domains": ["a\r\nb.example.com"]}, "domains"),
    ({"domains": "example.com"}, "domains"),
    ({"domains": [f"d{n}.example.com" for n in range(MAX_DOMAINS + 1)]}, "domains"),
    ({"mode": "everybody"}, "mode"),
    ({"role": "admin"}, "role"),
    ({"role": "owner"}, "role"),
    ({"password": "x"}, "password"),
]


def test_what_is_refused_says_where(client: Client) -> None:
    for policy, field in REFUSED:
        told = problem(client.patch(SETTINGS, json={"sign_up": policy}), 422, "validation_failed")
        assert set(told["errors"]["sign_up"]) == {field}, policy
    assert ok(client.get(SETTINGS))["version"] == 1


def test_as_many_domains_as_there_may_be(client: Client) -> None:
    names = [f"d{n}.example.com" for n in range(MAX_DOMAINS)]
    assert change(client, mode="domains", domains=[*names, *names])["domains"] == names


def test_the_last_domain_goes_with_the_mode(client: Client) -> None:
    change(client, mode="domains", domains=["example.com"])
    problem(client.patch(SETTINGS, json={"sign_up": {"domains": None}}), 422, "validation_failed")
    assert change(client, mode=None, domains=None) == {"mode": "closed", "domains": [], "role": "member"}


def test_each_change_is_a_version_that_can_be_gone_back_to(client: Client) -> None:
    change(client, mode="domains", domains=["example.com"], role="viewer")
    change(client, mode="open")
    newest = ok(client.get(f"{SETTINGS}/versions"))["items"][0]
    assert newest["changes"] == {"sign_up.mode": {"from": "domains", "to": "open"}}
    restored = ok(client.post(f"{SETTINGS}/versions/2/restore"))
    assert restored["sign_up"] == {"mode": "domains", "domains": ["example.com"], "role": "viewer"}
    assert ok(client.post(f"{SETTINGS}/versions/1/restore"))["sign_up"]["mode"] == "closed"


def test_former_versions_know_nothing_of_it(world: World, client: Client, tenant: Tenant) -> None:
    """Settings of before there was such a part."""
    change(client, mode="open")
    world.sql("UPDATE strongroom.settings_versions SET settings = settings - 'sign_up' WHERE tenant_id = %(id)s", id=tenant.id)
    assert ok(client.get(f"{SETTINGS}/versions/1"))["settings"]["sign_up"]["mode"] == "closed"
    assert ok(client.post(f"{SETTINGS}/versions/1/restore"))["sign_up"]["mode"] == "closed"
