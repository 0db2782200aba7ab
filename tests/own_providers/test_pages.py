"""The pages of both consoles on which providers are added, tried, changed, used and moved to."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from strongroom.storage import gcs_config, opendal_schemes, s3_config
from strongroom.storage.providers import KINDS, TENANTS_FIELDS

from admin import provider_forms, provider_kinds
from admin.provider_kinds import fields_of
from tenants import repository
from tenants.provider_secrets import open_secrets
from tests.factories import Account, Client, World, number
from tests.services.s3server import S3Server
from tests.services.webdav import rclone_serve

BUILT_IN = frozenset(KINDS)  # before the tests add some of their own
STORAGE, PROVIDERS = "/console/storage/", "/operator/providers/"
WORKS, FAILS = b"The connection works", b"The connection does not work"


@pytest.fixture
def server(rclone_server: S3Server) -> S3Server:
    return rclone_server


def form_of(server: S3Server, **more: str) -> dict[str, Any]:
    place = {"bucket": server.bucket, "endpoint_url": server.endpoint_url, "addressing": "path"}
    return {"name": f"s3-{number()}", "kind": "s3", **place, **server.secrets(), **more}


def kept(world: World, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and secrets of a provider as they are in the registry."""
    (row,) = world.sql("SELECT id FROM strongroom.providers WHERE name = %(name)s", name=name)
    with world.runtime.databases.control() as connection:
        info = repository.get_provider(connection, provider_id=row["id"])
    return dict(info.config), open_secrets(world.runtime.keys, info)


def config_of(server: S3Server, **more: Any) -> dict[str, Any]:
    """What the form makes of it: what is not said is left out."""
    return {name: value for name, value in server.config().items() if name != "region"} | more


# The forms


def test_every_field_of_every_kind_is_in_its_form() -> None:
    named = {name: {each.name for each in fields_of(kind)} for name, kind in provider_kinds.KINDS.items()}
    assert set(named) == BUILT_IN
    assert named["s3"] == (s3_config.NAMES - {"sts"}) | {f"sts_{name}" for name in s3_config.STS_NAMES} | s3_config.SECRETS
    assert named["gcs"] == gcs_config.FIELDS | {"service_account"}
    assert named["opendal"] | {"scheme", "options"} == opendal_schemes.FIELDS
    assert named["filesystem"] == {"root"}


def test_a_tenants_forms_have_what_a_tenant_may_say() -> None:
    assert set(provider_kinds.TENANTS_KINDS) == set(TENANTS_FIELDS)
    for name, kind in provider_kinds.TENANTS_KINDS.items():
        assert {each.name for each in fields_of(kind) if not each.secret} == TENANTS_FIELDS[name]


# The tenant's console


@pytest.fixture
def open_world(world: World, server: S3Server) -> World:
    """A deployment whose operator allows tenants to reach the test's S3 server."""
    return world.again(outbound_allow=["127.0.0.1/32"], outbound_ports=[urlsplit(server.endpoint_url).port])


@pytest.fixture
def admin(open_world: World) -> Account:
    return open_world.create_user(open_world.create_tenant(own_providers=1), "admin")


@pytest.fixture
def browser(open_world: World, admin: Account) -> Client:
    return open_world.browser(admin)


def test_a_tenants_page(open_world: World, admin: Account, browser: Client, server: S3Server) -> None:
    form = form_of(server)
    wrong = browser.post(f"{STORAGE}new", data={**form, "secret_access_key": "wrong-secret"})
    assert wrong.status_code == 503
    assert b"wrong-secret" not in wrong.data
    assert server.endpoint_url.encode() in wrong.data, "what is no secret need not be typed again"
    assert browser.post(f"{STORAGE}new", data=form).status_code == 303
    (row,) = open_world.sql("SELECT id FROM strongroom.providers WHERE tenant_id = %(id)s", id=admin.tenant.id)
    shown = browser.get(STORAGE)
    assert form["name"].encode() in shown.data
    assert server.secret_access_key.encode() not in shown.data
    tested = browser.post(f"{STORAGE}{row['id']}/test")
    assert WORKS in tested.data
    assert b"List it" in tested.data
    assert browser.post(f"{STORAGE}{row['id']}/use").status_code == 303
    assert b"New files go here" in browser.get(STORAGE).data
    browser.post(f"{STORAGE}{row['id']}/delete")
    assert open_world.sql("SELECT id FROM strongroom.providers WHERE id = %(id)s", id=row["id"]), "it is in use"


def test_a_tenant_changes_and_removes_its_own(open_world: World, admin: Account, browser: Client, server: S3Server) -> None:
    form = form_of(server)
    assert browser.post(f"{STORAGE}new", data=form).status_code == 303
    (row,) = open_world.sql("SELECT id FROM strongroom.providers WHERE tenant_id = %(id)s", id=admin.tenant.id)
    url, changed = f"{STORAGE}{row['id']}/edit", {**form, "timeout_s": "12", "access_key_id": "", "secret_access_key": ""}
    page = browser.get(url)
    assert server.bucket.encode() in page.data
    assert not [secret for secret in server.secrets().values() if secret.encode() in page.data]
    assert WORKS in browser.post(f"{url}/try", data=changed).data
    wrong = browser.post(f"{url}/try", data={**changed, "secret_access_key": "wrong"})
    assert FAILS in wrong.data
    assert kept(open_world, form["name"])[0].get("timeout_s") is None, "a test keeps nothing"
    assert browser.post(url, data={**changed, "secret_access_key": "wrong"}).status_code == 503
    assert browser.post(url, data=changed).status_code == 303
    assert kept(open_world, form["name"]) == (config_of(server, timeout_s=12), server.secrets()), "an empty field leaves a secret as it is"
    assert browser.post(f"{STORAGE}{row['id']}/delete").status_code == 303
    assert open_world.sql("SELECT id FROM strongroom.providers WHERE id = %(id)s", id=row["id"]) == []


def test_a_tenants_mistakes_are_told_at_their_fields(browser: Client, server: S3Server) -> None:
    form = form_of(server)
    for change, field in (
        ({"name": "No Name"}, "name"),
        ({"bucket": "x"}, "bucket"),
        ({"timeout_s": "soon"}, "timeout_s"),
        ({"endpoint_url": "s3"}, "endpoint_url"),
    ):
        refused = browser.post(f"{STORAGE}new", data={**form, **change})
        assert (refused.status_code, f'id="{field}-error"' in refused.get_data(as_text=True)) == (422, True), field
    key = browser.post(f"{STORAGE}new", data={"name": "g", "kind": "gcs", "bucket": "some-bucket", "service_account": "no json"})
    assert (key.status_code, b"service_account-error" in key.data, b"no json" in key.data) == (422, True, False)
    assert browser.post(f"{STORAGE}new", data={**form, "kind": "filesystem", "root": "/"}).status_code == 422
    assert FAILS in browser.post(f"{STORAGE}new/try", data={**form, "ca_file": "/etc/passwd", "bucket": "x"}).data


def test_what_a_tenant_may_not_say_is_not_read(open_world: World, browser: Client, server: S3Server) -> None:
    form = form_of(server, credentials="environment", sts_role_arn="arn:aws:iam:::role/tenants", ca_file="/etc/passwd")
    assert browser.post(f"{STORAGE}new", data=form).status_code == 303
    assert kept(open_world, form["name"]) == (config_of(server), server.secrets())


def test_only_where_the_plan_says_so(open_world: World, server: S3Server) -> None:
    plain = open_world.browser(open_world.create_user(open_world.create_tenant(), "owner"))
    assert b"Your plan has no storage" in plain.get(STORAGE).data
    assert plain.get(f"{STORAGE}new").headers["Location"] == STORAGE
    for path in ("new", "new/try"):
        assert plain.post(STORAGE + path, data=form_of(server)).status_code == 403


# The operator's console


def test_an_operators_pages(world: World, tmp_path: Path) -> None:
    browser = world.browser(world.create_operator("admin"))
    tenant, name = world.create_tenant(), f"folder-{number()}"
    refused = browser.post(f"{PROVIDERS}new", data={"name": name, "kind": "filesystem", "root": "not/absolute"})
    assert (refused.status_code, b"root-error" in refused.data) == (422, True)
    form = {"name": name, "kind": "filesystem", "root": str(tmp_path)}
    assert WORKS in browser.post(f"{PROVIDERS}new/try", data=form).data
    assert world.sql("SELECT id FROM strongroom.providers WHERE name = %(name)s", name=name) == [], "a test keeps nothing"
    assert browser.post(f"{PROVIDERS}new", data=form).status_code == 303
    assert name.encode() in browser.get(PROVIDERS).data
    assert WORKS in browser.post(f"{PROVIDERS}{name}/test").data
    assert browser.post(f"/operator/tenants/{tenant.slug}/move", data={"provider": name}).status_code == 303
    page = browser.get(f"/operator/tenants/{tenant.slug}").get_data(as_text=True)
    assert 'hx-trigger="every 3s"' in page, "while it runs, the page asks again"
    world.run_jobs()
    page = browser.get(f"/operator/tenants/{tenant.slug}").get_data(as_text=True)
    assert ("Moved" in page, 'hx-trigger="every 3s"' in page) == (True, False)
    browser.post(f"{PROVIDERS}{name}/delete")
    assert world.sql("SELECT id FROM strongroom.providers WHERE name = %(name)s", name=name), "it is in use"


def test_every_kind_has_its_form(world: World) -> None:
    browser = world.browser(world.create_operator("admin"))
    for kind in BUILT_IN:
        page = browser.get(f"{PROVIDERS}new?kind={kind}")
        assert page.status_code == 200
        for each in fields_of(provider_kinds.KINDS[kind]):
            assert f'name="{each.name}"'.encode() in page.data, each.name
    azure = browser.get(f"{PROVIDERS}new?kind=opendal&service=azblob").get_data(as_text=True)
    assert "<option>container</option>" in azure
    assert "<option>account_key</option>" in azure


def test_an_s3_providers_form(world: World, server: S3Server) -> None:
    browser, form = world.browser(world.create_operator("admin")), form_of(server, region="eu-central-1")
    refused = browser.post(f"{PROVIDERS}new", data={**form, "sts_role_arn": "tenants"})
    assert (refused.status_code, b"sts_role_arn-error" in refused.data) == (422, True)
    assert browser.post(f"{PROVIDERS}new", data=form).status_code == 303
    assert kept(world, form["name"]) == (server.config(region="eu-central-1"), server.secrets())
    url, empty = f"{PROVIDERS}{form['name']}/edit", {"access_key_id": "", "secret_access_key": ""}
    page = browser.get(url).get_data(as_text=True)
    assert 'value="eu-central-1"' in page
    assert not [secret for secret in server.secrets().values() if secret in page]
    assert WORKS in browser.post(f"{url}/try", data={**form, **empty}).data
    assert browser.post(url, data={**form, **empty, "region": "", "timeout_s": "7.5"}).status_code == 303
    assert kept(world, form["name"]) == (config_of(server, timeout_s=7.5), server.secrets())
    failed = browser.post(f"{url}/try", data={**form, "secret_access_key": "wrong"})
    assert (FAILS in failed.data, b"Reach it" in failed.data) == (True, True)
    assert browser.post(f"{PROVIDERS}{form['name']}/delete").status_code == 303


def test_new_keys_take_an_old_session_token_away(app: Flask) -> None:
    present = frozenset({"access_key_id", "secret_access_key", "session_token"})
    s3 = provider_kinds.KINDS["s3"]
    for sent, keep in (({}, present), ({"access_key_id": "new"}, {"secret_access_key"}), ({"credentials": "environment"}, set())):
        with app.test_request_context(method="POST", data=sent):
            assert provider_forms.read(s3, present).keep == keep


def test_names_and_values_of_a_webdav_server(world: World, tmp_path: Path) -> None:
    browser, name = world.browser(world.create_operator("admin")), f"dav-{number()}"
    with rclone_serve("webdav", tmp_path) as server:
        place = server.config()
        form = {
            "name": name,
            "kind": "opendal",
            "scheme": "webdav",
            "option_name": [*place["options"], ""],
            "option_value": [*place["options"].values(), ""],
        }
        none = browser.post(f"{PROVIDERS}new/try", data=form)
        assert FAILS in none.data
        form |= {"secret_name": ["password", ""], "secret_value": [server.password, ""]}
        assert WORKS in browser.post(f"{PROVIDERS}new/try", data=form).data
        assert browser.post(f"{PROVIDERS}new", data=form).status_code == 303
        assert kept(world, name) == (place, {"password": server.password})
        page = browser.get(f"{PROVIDERS}{name}/edit").get_data(as_text=True)
        assert place["options"]["endpoint"] in page
        assert "<option selected>password</option>" in page
        assert server.password not in page
        assert browser.post(f"{PROVIDERS}{name}/edit", data={**form, "secret_value": ["", ""], "timeout_s": "20"}).status_code == 303
        assert kept(world, name) == ({**place, "timeout_s": 20}, {"password": server.password})
        assert browser.post(f"{PROVIDERS}{name}/edit", data={**form, "secret_name": ["", ""]}).status_code == 503, "it is taken away"
    assert browser.post(f"{PROVIDERS}{name}/delete").status_code == 303
