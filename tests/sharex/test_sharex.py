"""The ShareX uploader, used as ShareX uses it: read the file, send a form, resolve the templates against the answer."""

from __future__ import annotations

import io
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from strongroom.access import Scope
from werkzeug.test import TestResponse

from tests.factories import PNG, Account, Client, World, host_of, ok, problem

pytestmark = pytest.mark.usefixtures("bucket")


def resolve(template: str, answer: dict[str, Any]) -> str:
    """What ShareX makes of a template: `{json:path}` is looked up in the answer, a backslash makes the next character plain."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match["escaped"]
        found: Any = answer
        for step in re.findall(r"[^.\[\]]+", match["path"]):
            found = found[int(step)] if step.isdigit() else found[step]
        return str(found)

    return re.sub(r"\\(?P<escaped>.)|\{json:(?P<path>[^{}]+)\}", value, template)


class ShareX:
    """As much of it as matters here."""

    def __init__(self, world: World, sxcu: bytes) -> None:
        self.config: dict[str, Any] = json.loads(sxcu)
        self._world = world
        assert set(self.config) >= {
            "Version",
            "Name",
            "DestinationType",
            "RequestMethod",
            "RequestURL",
            "Headers",
            "Body",
            "FileFormName",
            "URL",
        }
        assert self.config["Body"] == "MultipartFormData"
        assert set(self.config["DestinationType"].split(", ")) == {"ImageUploader", "TextUploader", "FileUploader"}

    def ask(self, method: str, url: str, **options: Any) -> TestResponse:
        parts = urlsplit(url)
        assert parts.scheme == "http"
        return Client(self._world.app, parts.netloc, headers=dict(self.config["Headers"])).open(method, parts.path, **options)

    def upload(self, name: str, data: bytes) -> TestResponse:
        fields = {key: resolve(value, {}) for key, value in self.config.get("Arguments", {}).items()}
        form = {**fields, self.config["FileFormName"]: (io.BytesIO(data), name)}
        return self.ask(self.config["RequestMethod"], resolve(self.config["RequestURL"], {}), data=form, content_type="multipart/form-data")

    def link(self, name: str, answer: dict[str, Any]) -> str:
        return resolve(self.config[name], answer)


def sxcu(client: Client, **query: str) -> TestResponse:
    return client.get("/api/v1/sharex.sxcu", query_string={"bucket": "media", **query})


@pytest.mark.parametrize("prefix", ["", "screenshots", "/2026/may/", "a {b} |c\u00e4"])
def test_what_sharex_does_with_it(world: World, client: Client, prefix: str) -> None:
    sharex = ShareX(world, sxcu(client, prefix=prefix).data)
    answer = ok(sharex.upload("shot.png", PNG), 201)
    bare = prefix.strip("/")
    assert answer["items"][0]["path"] == (f"{bare}/shot.png" if bare else "shot.png")
    world.run_jobs()
    for link in ("URL", "ThumbnailURL"):
        assert sharex.ask("GET", sharex.link(link, answer)).data == PNG
    refused = sharex.upload("virus.png", b"no picture at all")
    assert sharex.link("ErrorMessage", json.loads(refused.data)) == json.loads(refused.data)["detail"]
    assert ok(sharex.ask("DELETE", sharex.link("DeletionURL", answer)), 204) is None
    problem(client.get(f"/api/v1/files/{answer['items'][0]['id']}"), 404, "not_found")


def test_how_it_is_sent(client: Client, owner: Account) -> None:
    response = sxcu(client)
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{owner.tenant.slug}.sxcu"'
    assert response.headers["Cache-Control"] == "no-store"
    assert json.loads(response.data)["RequestURL"] == f"http://{host_of(owner.tenant)}/api/v1/objects/media"


def test_asked_with_a_key_it_has_that_key(world: World, owner: Account) -> None:
    key = world.create_api_key(owner, Scope.FILES_WRITE)
    made = json.loads(sxcu(world.client(owner.tenant, key)).data)
    assert made["Headers"] == {"Authorization": f"Bearer {key.text}"}
    assert len(world.rows(owner.tenant, "api_keys")) == 1


def test_asked_in_a_session_it_has_a_new_key_for_files_alone(world: World, client: Client, owner: Account) -> None:
    first, second = (json.loads(sxcu(client).data)["Headers"]["Authorization"] for _ in range(2))
    assert first != second
    rows = world.rows(owner.tenant, "api_keys")
    assert [(row["name"], sorted(row["scopes"]), row["created_by"]) for row in rows] == [
        ("ShareX", ["files:read", "files:write"], owner.id)
    ] * 2
    problem(client.as_(first.removeprefix("Bearer ")).get("/api/v1/users"), 403, "forbidden")


def test_looking_makes_no_key(world: World, client: Client, owner: Account) -> None:
    assert client.head("/api/v1/sharex.sxcu", query_string={"bucket": "media"}).status_code == 200
    problem(sxcu(client, bucket="elsewhere"), 404, "not_found")
    problem(sxcu(client, prefix="../x"), 400, "invalid_path")
    problem(client.get("/api/v1/sharex.sxcu"), 422, "validation_failed")
    problem(sxcu(world.browser(owner).with_headers({"Sec-Fetch-Site": "cross-site"})), 403, "csrf_failed")
    assert world.rows(owner.tenant, "api_keys") == []
    assert sxcu(world.browser(owner).with_headers({"Sec-Fetch-Site": "same-origin"})).status_code == 200
