"""Probes, metrics, and the API's description of itself."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tenants.models import Tenant
from tests.factories import Client, World, host_of, ok, problem
from tests.permissions.rows import ROWS

METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(params=["/api/v1", "/operator/api/v1"])
def spec(request: pytest.FixtureRequest, world: World) -> dict[str, Any]:
    response = Client(world.app, "localhost").get(f"{request.param}/openapi.json")
    assert response.content_type == "application/json"
    return {**ok(response), "prefix": request.param}


def operations(spec: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(path, method): item for path, items in spec["paths"].items() for method, item in items.items() if method in METHODS}


def test_it_is_openapi_3_1(spec: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d", spec["openapi"])
    assert spec["info"]["title"]
    assert spec["info"]["version"]
    assert spec["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_every_route_is_described(spec: dict[str, Any], world: World) -> None:
    described = set(operations(spec))
    routes = set()
    for rule in world.app.url_map.iter_rules():
        if rule.rule.startswith(f"{spec['prefix']}/"):
            path = re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", rule.rule)
            routes |= {(path, method.lower()) for method in rule.methods or () if method.lower() in METHODS}
    assert described == routes


def test_every_operation_says_what_it_does_and_answers(spec: dict[str, Any]) -> None:
    for (path, method), item in operations(spec).items():
        assert item.get("summary") or item.get("description"), (method, path)
        assert item["responses"], (method, path)
        named = {
            each["name"] for each in item.get("parameters", []) + spec["paths"][path].get("parameters", []) if each.get("in") == "path"
        }
        assert named == set(re.findall(r"{([a-z_]+)}", path)), (method, path)
        if method in {"post", "patch"} and item.get("requestBody"):
            assert item["requestBody"]["content"]


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own | {each for item in value.values() for each in references(item)}
    if isinstance(value, list):
        return {each for item in value for each in references(item)}
    return set()


def test_every_reference_leads_somewhere(spec: dict[str, Any]) -> None:
    for reference in references(spec["paths"]) | references(spec["components"]):
        here: Any = spec
        for part in reference.removeprefix("#/").split("/"):
            assert part in here, reference
            here = here[part]


def test_schemas_are_json_schema_2020_12(spec: dict[str, Any]) -> None:
    """What OpenAPI 3.0 had of its own (`nullable`, boolean `exclusiveMinimum`, `example`) is gone in 3.1."""
    types = {"string", "integer", "number", "boolean", "array", "object", "null"}

    def walk(value: Any, where: str) -> None:
        if isinstance(value, list):
            for number, item in enumerate(value):
                walk(item, f"{where}/{number}")
        elif isinstance(value, dict):
            assert "nullable" not in value, where
            assert not isinstance(value.get("exclusiveMinimum"), bool), where
            found = value.get("type")
            if isinstance(found, str | list) and "properties" not in where.rsplit("/", 1)[-1:]:
                assert set([found] if isinstance(found, str) else found) <= types, where
            for name, item in value.items():
                walk(item, f"{where}/{name}")

    walk(spec["components"]["schemas"], "schemas")


def test_descriptions_are_where_they_belong(world: World, tenant: Tenant) -> None:
    door = Client(world.app, host_of(tenant))
    assert all(path.startswith("/api/v1") for path in ok(door.get("/api/v1/openapi.json"))["paths"])
    problem(door.get("/operator/api/v1/openapi.json"), 404, "not_found")
    for path in ("/api/v1/docs", "/operator/api/v1/docs"):
        page = Client(world.app, "localhost").get(path)
        assert page.status_code == 200
        text = page.get_data(as_text=True)
        assert not re.search(r'(src|href)="(https?:)?//', text), "assets are served locally"
        for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
            assert Client(world.app, "localhost").get(address).status_code == 200


def test_error_answers_are_problem_documents_in_the_description(spec: dict[str, Any]) -> None:
    for (path, method), item in operations(spec).items():
        for status, answer in item["responses"].items():
            if status.startswith(("4", "5")) or status == "default":
                resolved = answer if "$ref" not in answer else spec["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
                assert set(resolved.get("content", {"application/problem+json": 1})) == {"application/problem+json"}, (method, path, status)


def test_ready(world: World) -> None:
    client = Client(world.app, "localhost")
    assert ok(client.get("/healthz")) == {"status": "ok"}
    ready = ok(client.get("/readyz"))
    assert ready["status"] == "ready"
    assert set(ready["parts"].values()) == {"ok"}


def test_not_ready_before_the_migration(world: World) -> None:
    """A process that starts before its database was migrated says so, and does not break."""
    bare = world.again(database_url=world.database.cluster.dsn("strongroom_app", "postgres"))
    response = Client(bare.app, "localhost").get("/readyz")
    assert response.status_code == 503
    assert response.get_json()["status"] == "not ready"


def test_metrics(world: World) -> None:
    tenant = world.create_tenant()
    client = Client(world.app, "localhost")
    text = client.get("/metrics").get_data(as_text=True)
    assert f'strongroom_tenant_stored_bytes{{tenant="{tenant.slug}",tenant_id="{tenant.id}"}} 0.0' in text
    assert 'strongroom_jobs{state="queued"}' in text
    for overrides in ({"REMOTE_ADDR": "10.0.0.1"}, {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}):
        problem(client.get("/metrics", environ_overrides=overrides), 404, "not_found")


def test_metrics_with_a_token(world: World) -> None:
    made = world.again(metrics_token="the token")
    for token, status in ((None, 404), ("wrong", 404), ("the token", 200), ("the tokeñ", 404)):
        response = Client(made.app, "localhost", token).get("/metrics", environ_overrides={"REMOTE_ADDR": "10.0.0.1"})
        assert response.status_code == status, token


def test_the_table_of_permissions_knows_the_same_routes(spec: dict[str, Any], world: World) -> None:
    count = sum(
        1
        for rule in world.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if (rule.endpoint, method) in ROWS and rule.rule.startswith(spec["prefix"] + "/")
    )
    assert count == len(operations(spec))
