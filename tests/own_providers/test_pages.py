"""The pages of both consoles on which providers are added, tried, used and moved to."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.factories import World, number
from tests.services.s3server import S3Server
from tests.storage.backends import s3_server


@pytest.fixture
def server() -> S3Server:
    return s3_server("rclone")


def test_a_tenants_page(world: World, server: S3Server) -> None:
    open_world = world.again(outbound_allow=["127.0.0.1/32"], outbound_ports=[urlsplit(server.endpoint_url).port])
    admin = open_world.create_user(open_world.create_tenant(own_providers=1), "admin")
    browser = open_world.browser(admin)
    form: dict[str, Any] = {"name": "ours", "kind": "s3", "bucket": server.bucket, "endpoint_url": server.endpoint_url, **server.secrets()}
    wrong = browser.post("/console/storage/", data={**form, "secret_access_key": "wrong-secret"})
    assert wrong.status_code == 503
    assert b"wrong-secret" not in wrong.data
    assert browser.post("/console/storage/", data=form).status_code == 303
    (row,) = open_world.sql("SELECT id FROM strongroom.providers WHERE tenant_id = %(id)s", id=admin.tenant.id)
    shown = browser.get("/console/storage/")
    assert b"ours" in shown.data
    assert server.secret_access_key.encode() not in shown.data
    tested = browser.post(f"/console/storage/{row['id']}/test")
    assert b"The connection works" in tested.data
    assert b"list" in tested.data
    assert browser.post(f"/console/storage/{row['id']}/use").status_code == 303
    assert b"New files go here" in browser.get("/console/storage/").data
    browser.post(f"/console/storage/{row['id']}/delete")
    assert open_world.sql("SELECT id FROM strongroom.providers WHERE id = %(id)s", id=row["id"]), "it is in use"


def test_an_operators_pages(world: World, tmp_path: Path) -> None:
    browser = world.browser(world.create_operator("admin"))
    tenant, name = world.create_tenant(), f"folder-{number()}"
    refused = browser.post("/operator/providers/", data={"name": name, "kind": "filesystem", "config": "no json"})
    assert (refused.status_code, b"JSON object" in refused.data) == (422, True)
    config = f'{{"root": "{tmp_path}"}}'
    assert browser.post("/operator/providers/", data={"name": name, "kind": "filesystem", "config": config}).status_code == 303
    assert name.encode() in browser.get("/operator/providers/").data
    assert b"The connection works" in browser.post(f"/operator/providers/{name}/test").data
    assert browser.post(f"/operator/tenants/{tenant.slug}/move", data={"provider": name}).status_code == 303
    page = browser.get(f"/operator/tenants/{tenant.slug}")
    assert f"New files go to {name}" in page.get_data(as_text=True)
    browser.post(f"/operator/providers/{name}/delete")
    assert world.sql("SELECT id FROM strongroom.providers WHERE name = %(name)s", name=name), "it is in use"
