"""Wrong input around requests: hosts, tokens, routes, JSON. Each has its own problem document."""

from __future__ import annotations

import json

import pytest

from tests.acceptance import wire
from tests.acceptance.client import Client, assert_problem
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.waiting import wait_until

BUCKETS = "/api/v1/buckets"


@pytest.mark.parametrize(
    "host",
    ["nobody.localhost", "a.b.localhost", "example.com", "xlocalhost", "localhost.evil.test", "127.0.0.1.evil.test", "_.localhost", "%"],
)
def test_unknown_host(deployment: Deployment, host: str) -> None:
    platform = deployment.client()
    for path in ("/console", "/operator"):
        page = platform.get(path, headers={"Host": host}, allow_redirects=False)
        assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    for path in (BUCKETS, "/api/v1/auth/login", "/operator/api/v1/tenants", "/api/v1/openapi.json", "/nonsense"):
        answer = platform.get(path, headers={"Host": host})
        problem = assert_problem(answer, 404, "unknown_host", resolve=platform.get)
        assert problem["instance"] == path


@pytest.mark.parametrize("slug_of", ["{}.", "{}..", ".{}", "{}-", "{}_", "{}%00", "{}/", "{}@evil", "{} "])
def test_hosts_that_only_resemble(tenant: Tenant, deployment: Deployment, slug_of: str) -> None:
    slug = slug_of.format(tenant.slug)
    head = wire.head(
        "GET", BUCKETS, [f"Host: {slug}.localhost:{deployment.port}", f"Authorization: Bearer {tenant.owner.token}", "Connection: close"]
    )
    answer = wire.exchange(deployment.port, head)
    assert answer.status_code in {400, 404}
    assert b"items" not in answer.content


def test_case_port_and_final_dot_of_a_host_do_not_matter(tenant: Tenant) -> None:
    for host in (f"{tenant.slug.upper()}.LocalHost", f"{tenant.slug}.localhost.", f"{tenant.slug}.localhost:1"):
        assert tenant.owner.get(BUCKETS, headers={"Host": host}).status_code == 200


def test_doubled_host_header(tenant: Tenant, deployment: Deployment) -> None:
    own, acme = f"Host: {tenant.slug}.localhost", "Host: acme.localhost"
    credential = f"Authorization: Bearer {tenant.owner.token}"
    for hosts in ([own, acme], [acme, own], [own, own], [f"Host: acme.localhost, {tenant.slug}.localhost"]):
        answer = wire.exchange(deployment.port, wire.head("GET", BUCKETS, [*hosts, credential, "Connection: close"]))
        assert answer.status_code in {400, 404}, hosts
        assert_problem(answer, answer.status_code, "unknown_host" if answer.status_code == 404 else "bad_request")
    missing = wire.exchange(deployment.port, wire.head("GET", BUCKETS, [credential, "Connection: close"]))
    assert_problem(missing, missing.status_code, "unknown_host" if missing.status_code == 404 else "bad_request")


def test_forwarded_headers_of_a_client_are_not_believed(tenant: Tenant) -> None:
    forged = {
        "X-Forwarded-Host": "acme.localhost",
        "Forwarded": "host=acme.localhost",
        "X-Host": "acme.localhost",
        "X-Original-Host": "acme.localhost",
    }
    tenant.owner.bucket("mine")
    answer = tenant.owner.get(BUCKETS, headers=forged)
    assert [each["name"] for each in answer.json()["items"]] == ["mine"]


def test_absolute_form_names_the_host_of_its_uri(tenant: Tenant, deployment: Deployment) -> None:
    head = wire.head(
        "GET",
        f"http://acme.localhost:{deployment.port}{BUCKETS}",
        [f"Host: {tenant.slug}.localhost", f"Authorization: Bearer {tenant.owner.token}", "Connection: close"],
    )
    answer = wire.exchange(deployment.port, head)
    assert answer.status_code in {200, 400, 401, 404}
    if answer.status_code == 200:
        assert answer.json()["items"] == [], "the answer of another tenant"


def test_suspended_tenant(tenant: Tenant, deployment: Deployment) -> None:
    owner = tenant.owner
    owner.bucket("media")
    owner.store("media", "a.txt", b"kept")
    assert deployment.operator().post(f"/operator/api/v1/tenants/{tenant.slug}/suspend").status_code == 200
    wait_until(lambda: owner.get(BUCKETS).status_code == 403, 5, "the suspension to be seen")
    for method, path in (
        ("GET", BUCKETS),
        ("PUT", "/api/v1/objects/media/b.txt"),
        ("GET", "/api/v1/objects/media/a.txt"),
        ("POST", "/api/v1/auth/login"),
    ):
        answer = owner.request(method, path, json={})
        assert_problem(answer, 403, "tenant_suspended", resolve=deployment.client().get)
    assert deployment.operator().post(f"/operator/api/v1/tenants/{tenant.slug}/resume").status_code == 200
    wait_until(lambda: owner.get(BUCKETS).status_code == 200, 5, "the tenant to be open again")
    assert owner.download("media", "a.txt").content == b"kept"
    assert [each["path"] for each in owner.files("media")] == ["a.txt"]


def test_missing_and_garbage_tokens(tenant: Tenant) -> None:
    owner = tenant.owner
    answer = owner.get(BUCKETS, token="")
    assert_problem(answer, 401, "unauthenticated", resolve=owner.get)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for garbage in (
        "x",
        "a.b.c",
        "null",
        "e30.e30.",
        "sr_x_y_z",
        f"sr_{tenant.slug}_{'0' * 12}_{'0' * 64}",
        "\u00e9",
        "x" * 5000,
        "." * 100,
        str(owner.token)[:-4] + "AAAA",
    ):
        assert_problem(owner.get(BUCKETS, token=garbage.encode().decode("latin-1")), 401, "token_invalid")
    for scheme in ("Basic YTpi", "Bearer", "Bearer ", "Token x", str(owner.token)):
        assert_problem(owner.get(BUCKETS, headers={"Authorization": scheme}), 401, "unauthenticated")


def test_unknown_bucket_and_file(owner: Client) -> None:
    for bucket in ("nowhere", "Media", "media.", "%2e%2e", "a" * 300):
        for answer in (owner.get(f"{BUCKETS}/{bucket}"), owner.get(f"{BUCKETS}/{bucket}/files"), owner.put(bucket, "x", b"x")):
            assert_problem(answer, 404, "not_found", resolve=owner.get)
    for file_id in ("x", "0" * 36, "00000000-0000-7000-8000-000000000000", "../buckets"):
        assert_problem(owner.get(f"/api/v1/files/{file_id}/content"), 404, "not_found")
    assert owner.quota()["reserved_files"] == 0


def test_unknown_routes_and_wrong_methods(owner: Client, deployment: Deployment) -> None:
    for path in ("/nonsense", "/api/v1/nonsense", "/api/v2/buckets", "/api/v1/files", "/.env", "/api/v1/buckets/media/nonsense"):
        assert_problem(owner.get(path), 404, "not_found", resolve=owner.get)
    for method, path, allowed in (
        ("DELETE", BUCKETS, {"GET", "POST"}),
        ("POST", "/api/v1/trash", {"GET"}),
        ("GET", "/api/v1/auth/login", {"POST"}),
    ):
        answer = owner.request(method, path)
        assert_problem(answer, 405, "method_not_allowed", resolve=owner.get)
        assert allowed <= {name.strip() for name in answer.headers["Allow"].split(",")}
    assert_problem(deployment.operator().get("/operator/api/v1/nonsense"), 404, "not_found")
    assert_problem(owner.request("BREW", BUCKETS), 405, "method_not_allowed")


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"null", b"1", b"\xff\xfe", b"", b"{'name': 1}", b"NaN", b"[" * 10000])
def test_garbage_json(owner: Client, body: bytes) -> None:
    answer = owner.post(BUCKETS, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert_problem(answer, answer.status_code, {400: "bad_request", 422: "validation_failed"}[answer.status_code], resolve=owner.get)


def test_wrong_types_are_told_field_by_field(owner: Client) -> None:
    problem = assert_problem(
        owner.post(BUCKETS, json={"name": 1, "versioning": [], "trash_days": "x", "nonsense": 1}), 422, "validation_failed"
    )
    assert set(problem["errors"]) == {"name", "versioning", "trash_days", "nonsense"}
    assert all(isinstance(texts, list) and texts for texts in problem["errors"].values())
    login = assert_problem(owner.post("/api/v1/auth/login", json={"email": None}, token=""), 422, "validation_failed")
    assert set(login["errors"]) == {"email", "password"}
    made = owner.post("/api/v1/api-keys", json={"name": "k", "scopes": ["everything"]})
    assert "scopes" in assert_problem(made, 422, "validation_failed")["errors"]


def test_text_that_a_database_cannot_hold(owner: Client) -> None:
    for answer in (
        owner.post(BUCKETS, json={"name": "a\x00b"}),
        owner.post("/api/v1/auth/login", json={"email": "a\x00b", "password": "x"}, token=""),
        owner.post("/api/v1/users", json={"email": "a\x00@b.test", "password": "long enough to be one"}),
        owner.post("/api/v1/users", json={"email": "ok@b.test", "name": "\x00", "password": "long enough to be one"}),
        owner.post("/api/v1/api-keys", json={"name": "a\x00", "scopes": ["files:read"]}),
        owner.post(
            "/api/v1/users",
            data=json.dumps({"email": "\ud800@b.test", "password": "long enough to be one"})[:-1] + "}",
            headers={"Content-Type": "application/json"},
        ),
        owner.get(f"{BUCKETS}/media/files?q=%00"),
        owner.get(f"{BUCKETS}/media/files?prefix=%00"),
        owner.get(f"{BUCKETS}/media/files?prefix=%ff"),
        owner.request("PATCH", "/api/v1/tenant/branding", json={"name": "\x00"}),
    ):
        assert 400 <= answer.status_code < 500, (answer.request.url, answer.request.body, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
    for answer in (owner.request("PATCH", "/api/v1/account", json={"name": "\ud800"}), owner.put("media", "x", b"x", "a/b\x0b")):
        assert answer.status_code < 500, answer.text


def test_a_json_body_has_a_limit_and_a_type(owner: Client) -> None:
    assert_problem(owner.post(BUCKETS, json={"name": "x" * (2 << 20)}), 413, "body_too_large", resolve=owner.get)
    answer = owner.post(BUCKETS, data=b"name=x", headers={"Content-Type": "text/plain"})
    assert answer.status_code in {415, 422}
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_requests_that_are_no_http(owner: Client, deployment: Deployment) -> None:
    fixed = [f"Host: {owner.host_header}", f"Authorization: Bearer {owner.token}", "Connection: close"]
    cases = {
        "both lengths": wire.head("PUT", "/api/v1/objects/media/x", [*fixed, "Content-Length: 1", "Transfer-Encoding: chunked"]) + b"x",
        "two lengths": wire.head("PUT", "/api/v1/objects/media/x", [*fixed, "Content-Length: 1", "Content-Length: 2"]) + b"xx",
        "negative": wire.head("PUT", "/api/v1/objects/media/x", [*fixed, "Content-Length: -1"]),
        "no number": wire.head("PUT", "/api/v1/objects/media/x", [*fixed, "Content-Length: 0x10"]),
        "sign": wire.head("PUT", "/api/v1/objects/media/x", [*fixed, "Content-Length: +5"]) + b"12345",
        "space in name": wire.head("GET", BUCKETS, [*fixed, "X Y: 1"]),
        "huge header": wire.head("GET", BUCKETS, [*fixed, "X-Y: " + "y" * 20000]),
        "many headers": wire.head("GET", BUCKETS, [*fixed, *[f"X-{number}: 1" for number in range(500)]]),
        "long line": wire.head("GET", BUCKETS + "?" + "x" * 20000, fixed),
        "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
    }
    for name, payload in cases.items():
        answer = wire.exchange(deployment.port, payload)
        assert 400 <= answer.status_code < 500, name
        assert answer.headers["Content-Type"] == "application/problem+json", (name, answer.content[:200])
    assert owner.files("media") == []
    assert owner.quota()["reserved_files"] == 0


def test_one_request_cannot_hide_in_another(owner: Client, deployment: Deployment) -> None:
    """Request smuggling: what follows a refused upload on the same connection is never taken for a request."""
    hidden = (
        wire.head(
            "PUT",
            "/api/v1/objects/media/smuggled",
            [f"Host: {owner.host_header}", f"Authorization: Bearer {owner.token}", "Content-Length: 1"],
        )
        + b"x"
    )
    outer = wire.head(
        "PUT",
        "/api/v1/objects/nowhere/x",
        [f"Host: {owner.host_header}", f"Authorization: Bearer {owner.token}", f"Content-Length: {len(hidden)}"],
    )
    with wire.connect(deployment.port) as sock:
        sock.sendall(outer + hidden)
        assert wire.read_reply(sock).status_code == 404
        sock.settimeout(3)
        rest = b""
        try:
            while piece := sock.recv(65536):
                rest += piece
        except OSError:
            pass
    assert b"201" not in rest
    assert owner.files("media") == []


def test_every_code_has_a_page(deployment: Deployment) -> None:
    platform = deployment.client()
    assert platform.get("/problems").status_code == 200
    assert_problem(platform.get("/problems/nonsense"), 404, "not_found")
    spec = platform.get("/api/v1/openapi.json").json()
    assert spec["openapi"].startswith("3.1")
    assert platform.get("/api/v1/docs").status_code == 200
