"""The API's description is valid, knows every route and method, and what they really answer."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from strongroom.errors import CATALOGUE
from werkzeug.test import TestResponse

from tests.factories import Client, World, object_url, ok
from tests.tus.talk import CHUNK, VERSION, Talk, meta
from tests.uploads.direct_client import Sender

PREFIXES = ("/api/v1", "/operator/api/v1")
VARIABLE = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
SAID_ONCE = {
    "Cache-Control", "Content-Length", "Content-Security-Policy", "Content-Type", "Cross-Origin-Resource-Policy", "Referrer-Policy",
    "X-Content-Type-Options", "X-Frame-Options",
}  # fmt: skip
"""Headers of every answer, which the description tells at its head; and those that OpenAPI describes in other ways."""


def description(world: World, prefix: str) -> Any:
    return ok(Client(world.app, "localhost").get(f"{prefix}/openapi.json"))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_it_is_valid(world: World, prefix: str) -> None:
    spec = description(world, prefix)
    assert [error.message for error in OpenAPIV31SpecValidator(spec).iter_errors()] == []
    names = [each["operationId"] for item in spec["paths"].values() for each in item.values() if "operationId" in each]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_route_and_method_is_described(world: World, prefix: str) -> None:
    rules = [rule for rule in world.app.url_map.iter_rules() if rule.rule.startswith(f"{prefix}/")]
    routes = {(VARIABLE.sub(r"{\1}", rule.rule), method) for rule in rules for method in rule.methods or ()}
    paths = description(world, prefix)["paths"]
    assert {(path, method.upper()) for path, item in paths.items() for method in item if method != "parameters"} == routes
    assert len(routes) > 50


@pytest.mark.parametrize("prefix", PREFIXES)
def test_failures_are_those_of_the_catalogue(world: World, prefix: str) -> None:
    spec = description(world, prefix)
    for name, failure in spec["components"]["responses"].items():
        if name[0].isdigit():
            status = int(name.partition(".")[0])
            assert list(failure["content"]) == ["application/problem+json"]
            codes = re.findall(r"`([a-z_]+)`", failure["description"])
            assert codes
            assert {CATALOGUE[code].status for code in codes} == {status}


def test_keys_of_idempotency_are_described_where_they_are_taken(world: World) -> None:
    for prefix in PREFIXES:
        for path, item in description(world, prefix)["paths"].items():
            for method, operation in item.items():
                if method == "parameters":
                    continue
                named = {each["name"] for each in operation.get("parameters", [])}
                changes = method in {"post", "put", "patch", "delete"}
                signed_in = prefix == "/api/v1" and operation.get("security") != []
                assert ("Idempotency-Key" in named) == (changes and signed_in), (method, path)


class Watched:
    """A client each of whose answers is held against the description."""

    def __init__(self, client: Client, spec: Any) -> None:
        self._client, self._spec = client, spec
        self.seen: set[tuple[str, str, int]] = set()
        self.app, self.host, self.token = client.app, client.host, client.token

    def open(self, method: str, path: str, **options: Any) -> TestResponse:
        response = self._client.open(method, path, **options)
        self._check(method, response)
        return response

    def __getattr__(self, name: str) -> Any:
        return lambda path, **options: self.open(name.upper(), path, **options)

    def as_(self, token: str | None) -> Watched:
        other = Watched(self._client.as_(token), self._spec)
        other.seen = self.seen
        return other

    def _check(self, method: str, response: TestResponse) -> None:
        adapter = self.app.url_map.bind(self.host.partition(":")[0])
        rule, _ = adapter.match(urlsplit(response.request.path).path, method, return_rule=True)
        path = VARIABLE.sub(r"{\1}", rule.rule)
        operation = self._spec["paths"][path][method.lower()]
        where = (method, path, response.status_code)
        self.seen.add(where)
        assert str(response.status_code) in operation["responses"], (where, response.data[:300])
        told = self._resolved(operation["responses"][str(response.status_code)])
        assert set(response.headers.keys()) - SAID_ONCE <= set(told.get("headers", {})), where
        self._check_body(where, told, response)

    def _check_body(self, where: Any, told: Any, response: TestResponse) -> None:
        content = told.get("content", {})
        if response.data:
            assert response.mimetype in content or "*/*" in content or f"{response.mimetype.partition('/')[0]}/*" in content, where
        if response.mimetype == "application/problem+json" and response.data:
            assert f"`{response.get_json()['code']}`" in told["description"], (where, response.data)

    def _resolved(self, value: Any) -> Any:
        while "$ref" in value:
            reference, value = value["$ref"], self._spec
            for part in reference.removeprefix("#/").split("/"):
                value = value[part]
        return value


@pytest.fixture
def watched(world: World, client: Client, bucket: object) -> Watched:  # noqa: ARG001 - the bucket `media`
    return Watched(client, description(world, "/api/v1"))


URL = object_url("media", "a.txt")


def test_objects_answer_as_described(world: World, watched: Watched) -> None:
    made = watched.put(URL, data=b"some text" * 300, headers={"Idempotency-Key": "one"})
    watched.put(URL, data=b"some text" * 300, headers={"Idempotency-Key": "one"})
    watched.put(URL, data=b"other text", headers={"Idempotency-Key": "one"})
    tag, date = made.headers["ETag"], watched.head(URL).headers["Last-Modified"]
    for headers in (
        {}, {"Range": "bytes=0-1"}, {"Range": "bytes=0-1,5-6"}, {"Range": "bytes=99999-"}, {"If-None-Match": tag}, {"If-Match": '"x"'},
        {"If-Modified-Since": date}, {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity;q=0, x;q=0"},
        {"If-Range": tag, "Range": "bytes=0-1"},
    ):  # fmt: skip
        for method in ("GET", "HEAD"):
            for url in (URL, f"/api/v1/files/{made.get_json()['id']}/content"):
                watched.open(method, url, headers=headers)
    watched.put(URL, data=b"x", headers={"If-None-Match": "*"})
    watched.put(URL, data=b"x", headers={"If-None-Match": "x"})
    watched.put(object_url("media", "a.png"), data=b"\x7fELF" + bytes(100))
    watched.put(object_url("none", "a.txt"), data=b"x")
    watched.get(object_url("media", "none"))
    watched.post("/api/v1/objects/media", data=b"no form")
    watched.open("OPTIONS", URL)
    watched.as_(None).get(URL)
    link = ok(watched.post(f"/api/v1/files/{made.get_json()['id']}/presign", json={"single_use": True}))["url"]
    world.run_jobs()
    for _ in range(2):
        watched.as_(None).get(urlsplit(link).path)
    watched.get("/api/v1/buckets/media/archive")
    watched.delete(URL, headers={"If-Match": '"x"'})
    watched.delete(URL)
    watched.post(f"/api/v1/files/{made.get_json()['id']}/undelete")
    statuses = {status for _, path, status in watched.seen if path == "/api/v1/objects/{bucket}/{path}"}
    assert statuses == {200, 201, 204, 206, 304, 400, 401, 404, 406, 409, 412, 415, 416}


def test_tus_answers_as_described(watched: Watched) -> None:
    talk: Any = Talk(watched)  # type: ignore[arg-type]  # it answers as a client does
    watched.open("OPTIONS", "/api/v1/tus")
    made = talk.create(10, Idempotency_Key="one")
    url = urlsplit(made.headers["Location"]).path
    watched.open("OPTIONS", url)
    talk.create(10, Idempotency_Key="one")
    talk.create(10, Upload_Concat="nonsense")
    talk.create(None)
    talk.head(url)
    talk.patch(url, 5, b"12345")
    talk.patch(url, 0, b"12345", Upload_Checksum="sha1 AAAA")
    talk.patch(url, 0, b"12345678901")
    talk.patch(url, 0, b"12345")
    watched.patch(url, headers={**CHUNK, "Upload-Offset": "5"}, data=b"x")
    watched.patch(url, headers={**VERSION, "Upload-Offset": "5"}, data=b"x")
    watched.post(url, headers={**VERSION, **CHUNK, "Upload-Offset": "5", "X-HTTP-Method-Override": "PATCH"}, data=b"67890")
    watched.post(url, headers=VERSION)
    talk.terminate(url)
    talk.head(url)
    whole = urlsplit(talk.create(3, data=b"one", Upload_Concat="partial").headers["Location"]).path
    half = urlsplit(talk.create(3, data=b"o", Upload_Concat="partial").headers["Location"]).path
    for parts in (f"{whole} {half}", whole, whole):
        headers = {**VERSION, "Upload-Concat": f"final;{parts}", "Upload-Metadata": meta(bucket="media", path="b.txt")}
        last = watched.post("/api/v1/tus?bucket=media", headers=headers)
    final = urlsplit(last.headers["Location"]).path
    talk.head(final)
    talk.patch(final, 3, b"x")
    watched.as_(None).patch(url)
    statuses = {status for _, path, status in watched.seen if path.startswith("/api/v1/tus")}
    assert statuses == {200, 201, 204, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 460}


def test_direct_uploads_answer_as_described(watched: Watched) -> None:
    sender: Any = Sender(watched)  # type: ignore[arg-type]  # it answers as a client does
    begun = ok(sender.post(b"some"), 201)
    part = urlsplit(begun["parts"][0]["url"])
    sender.complete(begun)
    nobody = watched.as_(None)
    for data in (b"other", b"some"):
        nobody.put(f"{part.path}?{part.query}", data=data)
    nobody.put(f"{part.path}?token=x", data=b"some")
    nobody.put(part.path, data=b"some")
    sender.state(begun)
    watched.get("/api/v1/uploads")
    watched.post(f"/api/v1/uploads/{begun['id']}/parts", json={"numbers": [7]})
    sender.complete(begun, {1: "wrong"})
    ok(sender.complete(begun), 201)
    sender.complete(begun)
    watched.delete(f"/api/v1/uploads/{begun['id']}")
    watched.post("/api/v1/uploads", json={"bucket": "none", "path": "a", "size_bytes": 1})
    watched.post("/api/v1/uploads", json={"bucket": "media"})
    watched.post("/api/v1/uploads", data=b"{", headers={"Content-Type": "application/json"})
    watched.post("/api/v1/uploads", data=b"x", headers={"Content-Type": "text/plain"})
    watched.post("/api/v1/uploads/from-url", json={"url": "http://10.0.0.1/", "bucket": "media"})
    assert {status for _, _, status in watched.seen} == {200, 201, 400, 404, 409, 415, 422}


def test_the_rest_answers_as_described(world: World, watched: Watched) -> None:
    for path in ("account", "account/sessions", "api-keys", "buckets", "buckets/media", "users", "trash", "tenant", "tenant/branding",
                 "tenant/branding/logo", "tenant/quota", "stats/usage", "sharex.sxcu?bucket=media", "openapi.json", "docs",
                 "tenant/providers", "buckets/none", "users/none", "trash?limit=0", "trash?cursor=x"):  # fmt: skip
        for method in ("GET", "HEAD", "OPTIONS"):
            watched.open(method, f"/api/v1/{path}")
    watched.post("/api/v1/buckets", json={"name": "media"})
    watched.post("/api/v1/buckets", json={"name": "other"})
    watched.patch("/api/v1/buckets/other", json={"public": True})
    watched.put(object_url("other", "a.txt"), data=b"some")
    watched.delete("/api/v1/buckets/other")
    watched.as_(None).post("/api/v1/auth/login", json={"email": "a@b.c", "password": "x"})
    watched.as_("nonsense").get("/api/v1/account")
    key = ok(watched.post("/api/v1/api-keys", json={"name": "k", "scopes": ["files:read"]}), 201)
    watched.as_(key["key"]).get("/api/v1/users")
    watched.delete(f"/api/v1/api-keys/{key['id']}")
    world.run_jobs()
    watched.as_(None).get(object_url("other", "a.txt"))
    assert {status for _, _, status in watched.seen} >= {200, 201, 204, 400, 401, 403, 404, 409, 422}
