"""Plans and use in both consoles."""

from __future__ import annotations

import pytest

from tests.factories import Client, World, number, put_object

PLANS = "/operator/plans/"


@pytest.fixture
def console(world: World) -> Client:
    """The operators' console."""
    return world.browser(world.create_operator())


def limits(**changes: int) -> dict[str, str]:
    form = {
        "quota_bytes": 1000, "quota_files": 10, "quota_users": 5, "quota_buckets": 2, "quota_transfer_bytes": 5000,
        "max_file_size_bytes": 100, "requests_per_s": 50, "parallel_uploads": 4,
    }  # fmt: skip
    return {name: str(value) for name, value in {**form, **changes}.items()}


def test_operators_make_change_and_delete_plans(world: World, console: Client) -> None:
    name = f"small-{number()}"
    assert 'name="quota_transfer_bytes"' in console.get(f"{PLANS}new").text
    assert console.post(f"{PLANS}new", data={"name": name, **limits(), "own_providers": "1"}).status_code == 303
    (row,) = world.sql("SELECT * FROM strongroom.plans WHERE name = %(name)s", name=name)
    assert (row["quota_bytes"], row["quota_users"], row["own_providers"]) == (1000, 5, True)
    assert console.post(f"{PLANS}{name}/edit", data=limits(quota_bytes=2000)).status_code == 303
    (row,) = world.sql("SELECT * FROM strongroom.plans WHERE name = %(name)s", name=name)
    assert (row["quota_bytes"], row["own_providers"]) == (2000, False)
    assert name in console.get(PLANS).text
    assert console.post(f"{PLANS}{name}/delete").status_code == 303
    assert world.sql("SELECT 1 FROM strongroom.plans WHERE name = %(name)s", name=name) == []
    assert console.get(f"{PLANS}{name}/edit").status_code == 404


def test_what_is_wrong_is_said_beside_its_field(world: World, console: Client) -> None:
    name = f"wrong-{number()}"
    answer = console.post(f"{PLANS}new", data={"name": name, **limits(quota_users=0)})
    assert answer.status_code == 422
    assert 'id="quota_users-error"' in answer.text
    assert 'id="quota_bytes-error"' in console.post(f"{PLANS}new", data={"name": name, **limits(), "quota_bytes": "many"}).text
    assert 'id="name-error"' in console.post(f"{PLANS}new", data={"name": "standard", **limits()}).text
    assert world.sql("SELECT 1 FROM strongroom.plans WHERE name = %(name)s", name=name) == []


def test_both_consoles_say_that_a_limit_is_nearly_used_up(world: World, console: Client) -> None:
    tenant = world.create_tenant(quota_bytes=100, quota_buckets=40)
    world.create_bucket(tenant)
    owner, viewer = world.create_user(tenant), world.create_user(tenant, "viewer")
    pages = [
        (world.browser(owner), "/console/"),
        (world.browser(owner), "/console/files/media/"),
        (console, f"/operator/tenants/{tenant.slug}"),
    ]
    assert not any("data-quota" in client.get(path).text for client, path in pages)
    assert put_object(world.client(owner), "media", "a.txt", b"x" * 85).status_code == 201
    world.run_jobs()
    for client, path in pages:
        text = client.get(path).text
        assert 'data-quota="bytes"' in text
        assert "85 % used" in text
    assert "1 of 40" in world.browser(owner).get("/console/").text
    assert '<span class="strong">40</span>' in console.get(f"/operator/tenants/{tenant.slug}").text, "what was agreed is told"
    assert "data-quota" not in world.browser(viewer).get("/console/files/media/").text, "who cannot do anything about it is not told"
