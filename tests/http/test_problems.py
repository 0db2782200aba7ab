"""Problems: every error is a document of the catalogue, with a page, and tells nothing that it should not."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from strongroom import errors
from strongroom.buckets import service as buckets
from strongroom.errors import CATALOGUE, DomainError

from tenants.models import Tenant
from tests.factories import Client, World, host_of, ok, problem

SECRET = "the text of an unknown error, with a password in it"


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_has_a_page(world: World, tenant: Tenant, code: str) -> None:
    error = CATALOGUE[code]
    for host in ("localhost", host_of(tenant)):
        page = Client(world.app, host).get(f"/problems/{code}")
        assert page.status_code == 200
        assert page.content_type.startswith("text/html")
        text = page.get_data(as_text=True)
        assert code in text
        assert str(error.status) in text


def test_the_catalogue_is_whole() -> None:
    assert len(CATALOGUE) == len(DomainError.__subclasses__())
    for code, error in CATALOGUE.items():
        assert code == error.code
        assert 400 <= error.status <= 599
        assert error.title
        assert error.hint
        assert error.title[-1] != "."
    assert CATALOGUE["not_found"] is errors.NotFound


def test_index_and_unknown_code(world: World) -> None:
    client = Client(world.app, "localhost")
    index = client.get("/problems").get_data(as_text=True)
    assert all(f"/problems/{code}" in index for code in CATALOGUE)
    problem(client.get("/problems/nothing"), 404, "not_found")
    problem(client.get("/problems/<script>"), 404, "not_found")


@pytest.mark.parametrize(
    "error", [RuntimeError(SECRET), KeyError(SECRET), OSError(13, SECRET), AssertionError(SECRET)], ids=lambda each: type(each).__name__
)
def test_an_unknown_error_is_a_plain_500(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(buckets, "list_buckets", fail)
    response = client.get("/api/v1/buckets")
    answer = problem(response, 500, "internal_error")
    assert SECRET not in response.get_data(as_text=True)
    assert SECRET not in str(response.headers)
    assert "Traceback" not in response.get_data(as_text=True)
    assert answer["detail"]
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.exc_info
    assert SECRET in str(record.exc_info[1])


@pytest.mark.parametrize(("method", "path", "status", "code"), [
    ("GET", "/nothing", 404, "not_found"), ("GET", "/api/v1/nothing", 404, "not_found"), ("GET", "/api/v1", 404, "not_found"),
    ("GET", "/api/v1/../v1/account", 404, "not_found"),
    ("GET", "/API/V1/account", 404, "not_found"),
    ("PUT", "/api/v1/account", 405, "method_not_allowed"), ("DELETE", "/api/v1/buckets", 405, "method_not_allowed"),
    ("POST", "/healthz", 405, "method_not_allowed"), ("TRACE", "/api/v1/account", 405, "method_not_allowed"),
])  # fmt: skip
def test_addresses_and_methods(client: Client, method: str, path: str, status: int, code: str) -> None:
    response = client.open(method, "/", environ_overrides={"PATH_INFO": path})
    problem(response, status, code)
    if status == 405:
        assert response.headers["Allow"]


def test_a_body_that_is_too_large(client: Client) -> None:
    body = b'{"name": "' + b"x" * (1 << 20) + b'"}'
    problem(client.post("/api/v1/buckets", data=body, headers={"Content-Type": "application/json"}), 413, "body_too_large")


@pytest.mark.parametrize(
    "data",
    [b"{", b"", b"\xff", b"[1,", b"nul", b'{"name": "\\ud800"}', b'{"name": "\\u0000"}', b"[" * 5000, b'{"name": 1e999}', b"NaN"],
    ids=lambda each: ascii(each)[:20],
)
def test_json_that_is_none(client: Client, data: bytes) -> None:
    response = client.post("/api/v1/buckets", data=data, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}, response.data
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize(
    "query", ["limit=%00", "cursor=%00", "q=%00", "limit=1&limit=x", "%00=1", "limit=9" + "9" * 5000, "limit=%ff", "cursor=%ff%fe"]
)
def test_queries_of_no_text(client: Client, query: str) -> None:
    for path in ("/api/v1/buckets", "/api/v1/users", "/api/v1/trash", "/api/v1/stats/usage"):
        response = client.get(f"{path}?{query}")
        assert response.status_code in {200, 400, 422}, response.data


def test_operators_queries_of_no_text(operator: Client) -> None:
    for path in (
        "tenants?q=%00",
        "tenants?cursor=%00",
        "tenants?cursor=%ff",
        "jobs?cursor=%00",
        "audit?cursor=x",
        "stats?from=%00",
        "tenants/%00",
        "tenants/%ff",
        "tenants?q=%25_",
        "stats?from=9999-12-31&to=0001-01-01",
    ):
        response = operator.get(f"/operator/api/v1/{path}")
        assert response.status_code in {200, 400, 404, 422}, (path, response.data)


def test_ranges_without_end(operator: Client) -> None:
    """A list of every day since the year one is nobody's wish."""
    problem(operator.get("/operator/api/v1/stats?from=0001-01-01"), 422, "validation_failed")


def test_fields_are_named(client: Client) -> None:
    answer = problem(client.post("/api/v1/buckets", json={"name": "x", "trash_days": "x", "unknown": 1}), 422, "validation_failed")
    assert set(answer["errors"]) == {"trash_days", "unknown"}


def test_every_answer_is_guarded(world: World, client: Client, tenant: Tenant) -> None:
    answers = [
        client.get("/api/v1/account"),
        client.get("/nothing"),
        client.as_(None).get("/api/v1/account"),
        Client(world.app, "evil.com").get("/x"),
        Client(world.app, host_of(tenant)).get("/problems"),
    ]
    for response in answers:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Content-Security-Policy" in response.headers
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"] or response.headers["X-Frame-Options"] == "DENY"
        assert "Server" not in response.headers
        assert response.headers["X-Request-Id"]
    assert answers[0].headers["Cache-Control"] == "no-store"
    assert answers[1].headers["Cache-Control"] == "no-store"


def test_https_is_remembered(world: World) -> None:
    secure = world.again(public_scheme="https")
    assert "max-age=" in Client(secure.app, "localhost").get("/healthz").headers["Strict-Transport-Security"]
    assert "Strict-Transport-Security" not in Client(world.app, "localhost").get("/healthz").headers


def test_request_ids_are_ours(client: Client) -> None:
    """What a client sends as one is not taken over: it would be written into logs."""
    response = client.get("/api/v1/account", headers={"X-Request-Id": "evil\tid"})
    assert response.headers["X-Request-Id"] != "evil\tid"
    assert len({ok(client.get("/healthz")) and client.get("/healthz").headers["X-Request-Id"] for _ in range(5)}) == 5
