"""Whatever another tenant has, tried wherever a route takes a name: in the path, the query, the body, the headers.

The answer must be, byte for byte, the one for something of the same shape that nobody has, and must take the same statements
of the database to come by: so its time tells no more than its text. A route or a field that is not covered fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom.db.ids import new_id
from strongroom.probe import things
from strongroom.probe.door import NOBODY, Credential, holds, told
from strongroom.probe.routes import NAMELESS, Route, address, routes
from strongroom.probe.stage import Stage, planted, staged
from werkzeug.test import TestResponse

from tests.factories import Client, Statements, World, ok

REGISTRY = re.compile(r"strongroom\.(tenants|plans|domains)|UPDATE (api_keys|sessions) SET used_at")
"""What is done now and then: a tenant looked up anew, a credential's use noted. It has nothing to do with what is asked for."""
PROVIDERS = re.compile(r"strongroom\.providers")
RANDOM_ETAG = '"00000000000000000000000000000000"'


@pytest.fixture(scope="module")
def stage(shared_world: World) -> Iterator[Stage]:
    """Two tenants with one of everything each: the attacker and the victim."""
    with (
        planted(shared_world.runtime, shared_world.create_tenant()) as target,
        staged(shared_world.runtime, shared_world.app, target) as made,
    ):
        for party in (made.attacker, made.victim):
            things.furnish(made.runtime, made.door, party)
        yield made
        victim = made.victim
        content = made.door.ask("GET", made.door.host(victim.tenant), f"/api/v1/files/{victim.things['file_id']}/content", victim.owner)
        assert content.data == victim.canary.encode()
        for kind, count in (("users", 2), ("buckets", 2), ("uploads", 2), ("trash", 1)):
            listed = made.door.ask("GET", made.door.host(victim.tenant), f"/api/v1/{kind}", victim.owner)
            assert len(ok(listed)["items"]) == count, kind


@dataclass(frozen=True)
class Answer:
    """An answer and the statements that it took."""

    response: TestResponse
    statements: list[str]


def asked(world: World, stage: Stage, method: str, path: str, who: Credential, **options: Any) -> Answer:
    """Ask at the attacker's own address."""
    with Statements(world.runtime) as counted:
        response = stage.door.ask(method, stage.door.host(stage.attacker.tenant), path, who, **options)
    ignored = REGISTRY if "/providers" in path or "/storage" in path else re.compile(f"{REGISTRY.pattern}|{PROVIDERS.pattern}")
    return Answer(response, [each for each in counted.texts if not ignored.search(each)])


def is_the_same(stage: Stage, theirs: Answer, nobodys: Answer, *typed: str) -> None:
    """Nothing tells what somebody has from what nobody has."""
    assert not holds(theirs.response, [each for each in stage.victim.secrets if each not in typed])
    assert told(theirs.response, typed) == told(nobodys.response, typed)
    assert theirs.statements == nobodys.statements


# In the path


def named_routes(app: Any) -> list[Route]:
    return [each for each in routes(app) if each.arguments - NAMELESS]


def pick(data: st.DataObject, stage: Stage, route: Route, argument: str) -> str:
    """One of the victim's things that such an argument could name: ids of every kind for an id."""
    mine = things.find(stage.victim.things, route.endpoint, argument)
    assert mine is not None, f"{route.name}: nothing is made that {argument} could name; see strongroom/probe/things.py"
    if not is_id(mine):
        return mine
    ids = sorted({each for each in stage.victim.things.values() if is_id(each)})
    return data.draw(st.sampled_from([mine, mine, *ids]), label=argument)


def is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def ways(stage: Stage, route: Route) -> list[Credential]:
    if route.realm == "public":
        return [NOBODY]
    return [stage.attacker.cookie] if route.realm == "console" else [stage.attacker.owner, stage.attacker.key]


def headers_of(stage: Stage) -> list[dict[str, str]]:
    return [
        {}, {"If-Match": f'"{stage.victim.things["etag"]}"'}, {"If-None-Match": f'"{stage.victim.things["etag"]}"'}, {"Range": "bytes=0-0"},
        {"Idempotency-Key": stage.victim.things["file_id"]}, {"If-Match": "*"}, {"X-Tenant": stage.victim.tenant.slug},
    ]  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each route of the application's own table of addresses."""
    if "route" in metafunc.fixturenames:
        from tests.permissions.rows import ROWS  # noqa: PLC0415 - the application is not made yet when tests are collected
        from tests.permissions.rows_consoles import ROWS as PAGES  # noqa: PLC0415 - as above

        named = sorted(name for name, row in {**ROWS, **PAGES}.items() if set(row.args) - NAMELESS and row.who.realm in OF_TENANTS)
        metafunc.parametrize("route", named, ids=lambda each: f"{each[1]} {each[0]}")


OF_TENANTS = {"tenant", "console", "public"}
CHOSEN = {"sso.put_connection"}
"""Where the caller gives a name of its own choice to what it makes."""


def test_every_route_that_names_something_is_tried(world: World) -> None:
    from tests.permissions.test_matrix import ALL_ROWS  # noqa: PLC0415 - see above

    listed = {name for name, row in ALL_ROWS.items() if set(row.args) - NAMELESS and row.who.realm in OF_TENANTS}
    assert {(each.endpoint, each.method) for each in named_routes(world.app)} == listed


def test_anothers_thing_is_as_unknown_as_nobodys(shared_world: World, stage: Stage, route: tuple[str, str]) -> None:
    (found,) = [each for each in named_routes(shared_world.app) if (each.endpoint, each.method) == route]

    @settings(max_examples=4)
    @given(st.data())
    def holds_for(data: st.DataObject) -> None:
        theirs = {name: pick(data, stage, found, name) for name in sorted(found.arguments)}
        nobodys = {name: value if name in NAMELESS else things.unlike(value, name) for name, value in theirs.items()}
        who = data.draw(st.sampled_from(ways(stage, found)), label="who")
        headers = data.draw(st.sampled_from(headers_of(stage)), label="headers")
        sent = {**found.send, "headers": {**found.send.get("headers", {}), **headers}}
        pair = [asked(shared_world, stage, found.method, address(shared_world.app, found, each), who, **sent) for each in (theirs, nobodys)]
        is_the_same(stage, *pair, *theirs.values(), *nobodys.values())
        assert pair[0].response.status_code in {303, 400, 401, 403, 404, 410, 422}, pair[0].response.data
        if found.realm == "tenant" and not headers:
            assert pair[0].response.status_code == (422 if found.endpoint in CHOSEN else 404)

    holds_for()


# In the query, the body, the headers

Build = Callable[[Stage, str], dict[str, Any]]
NAMING = {"cursor", "version", "bucket", "token", "refresh_token", "file_ids", "paths", "block_hashes", "if_match", "provider_id"}
"""Fields of queries and bodies that name what a tenant has."""
OWN_CHOICE = {"path", "prefix", "q", "name", "email", "parts", "numbers"}
"""Those that mean something in a bucket or upload that is named beside them."""
ELSEWHERE = {"client_id"}
"""Those that name what another service has."""


def query(name: str) -> Build:
    return lambda _, each: {"query_string": {name: each}}


def upload(**more: str) -> Build:
    """Of a file in the attacker's own bucket, the other's name being in one field."""

    def build(stage: Stage, each: str) -> dict[str, Any]:
        body = {"bucket": stage.attacker.things["bucket"], "path": "new.txt", "size_bytes": 1}
        return {"json": {**body, **dict.fromkeys(more, each)}}

    return build


def known_blocks(stage: Stage, digest: str) -> dict[str, Any]:
    """What the victim has, announced as the attacker's own: it is not there at once."""
    body = {"bucket": stage.attacker.things["bucket"], "path": "known.txt", "size_bytes": len(stage.victim.canary)}
    return {"json": {**body, "block_hashes": [digest]}}


@dataclass(frozen=True)
class Field:
    """A field in which a name stands: which of the victim's things it is, and the request."""

    thing: str
    build: Build


CURSOR = Field("cursor", query("cursor"))
VERSION = Field("version_id", query("version"))
FIELDS: dict[tuple[str, str, str], Field] = {
    ("get", "/api/v1/users", "cursor"): CURSOR,
    ("get", "/api/v1/buckets", "cursor"): CURSOR,
    ("get", "/api/v1/buckets/{bucket}/files", "cursor"): CURSOR,
    ("get", "/api/v1/trash", "cursor"): CURSOR,
    ("get", "/api/v1/tenant/settings/versions", "cursor"): CURSOR,
    ("get", "/api/v1/uploads", "cursor"): CURSOR,
    ("get", "/api/v1/files/{file_id}/blocks", "cursor"): CURSOR,
    ("get", "/api/v1/files/{file_id}/blocks", "version"): VERSION,
    ("get", "/api/v1/files/{file_id}/content", "version"): VERSION,
    ("get", "/api/v1/objects/{bucket}/{path}", "version"): VERSION,
    ("get", "/api/v1/sharex.sxcu", "bucket"): Field("bucket", query("bucket")),
    ("post", "/api/v1/tus", "bucket"): Field(
        "bucket", lambda _, each: {"query_string": {"bucket": each, "path": "a"}, "headers": {**things.TUS, "Upload-Length": "1"}}
    ),
    ("post", "/api/v1/files/{file_id}/presign", "version"): Field("version_id", lambda _, each: {"json": {"version": each}}),
    ("post", "/api/v1/buckets/{bucket}/archive", "file_ids"): Field("file_id", lambda _, each: {"json": {"file_ids": [each]}}),
    ("post", "/api/v1/buckets/{bucket}/archive", "paths"): Field("only there", lambda _, each: {"json": {"paths": [each]}}),
    ("post", "/api/v1/uploads", "bucket"): Field("bucket", upload(bucket="")),
    ("post", "/api/v1/uploads", "if_match"): Field("etag", upload(if_match="")),
    ("post", "/api/v1/uploads", "block_hashes"): Field("blake3", known_blocks),
    ("post", "/api/v1/uploads/from-url", "bucket"): Field("bucket", lambda _, each: {"json": {"bucket": each, "url": "http://example.com/"}}),
    ("put", "/api/v1/uploads/{upload_id}/parts/{number}", "token"): Field(
        "part_token", lambda _, each: {"query_string": {"token": each}, "data": b"x"}
    ),
    ("post", "/api/v1/auth/invite/accept", "token"): Field(
        "console_door.token", lambda _, each: {"json": {"token": each, "password": "of some length", "name": "x"}}
    ),
    ("post", "/api/v1/auth/signup/complete", "token"): Field(
        "console_signup.token", lambda _, each: {"json": {"token": each, "password": "of some length", "name": "x"}}
    ),
    ("post", "/api/v1/hosts", "provider_id"): Field("provider_id", lambda _, each: {"json": {"name": "x", "provider_id": each}}),
    ("post", "/api/v1/auth/refresh", "refresh_token"): Field("refresh", lambda _, each: {"json": {"refresh_token": each}}),
}  # fmt: skip
HEADERS: dict[str, Field] = {
    "If-Match": Field("etag", lambda _, each: {"headers": {"If-Match": f'"{each}"'}}),
    "If-None-Match": Field("etag", lambda _, each: {"headers": {"If-None-Match": f'"{each}"'}}),
    "If-Range": Field("etag", lambda _, each: {"headers": {"If-Range": f'"{each}"', "Range": "bytes=0-0"}}),
    "Idempotency-Key": Field("file_id", lambda _, each: {"headers": {"Idempotency-Key": each}}),
}


def fields(world: World) -> set[tuple[str, str, str]]:
    """The naming fields of all routes, as the API describes itself."""
    spec = ok(Client(world.app, "localhost").get("/api/v1/openapi.json"))

    def resolved(value: Any) -> Any:
        while "$ref" in value:
            reference, value = value["$ref"], spec
            for part in reference.removeprefix("#/").split("/"):
                value = value[part]
        return value

    found = set()
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            if method in {"parameters", "head"}:
                continue
            named = {each["name"] for each in map(resolved, operation.get("parameters", [])) if each["in"] == "query"}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                named |= set(resolved(content.get("schema", {})).get("properties", {}))
            unknown = {each for each in named if each.endswith(("_id", "_ids", "cursor", "token")) and each not in NAMING | ELSEWHERE}
            assert not unknown, f"{method} {path}: does {unknown} name what a tenant has?"
            found |= {(method, path, name) for name in named & NAMING}
    return found


def test_every_field_that_names_something_is_tried(world: World) -> None:
    assert fields(world) == set(FIELDS)


def thing_of(stage: Stage, field: Field, path: str) -> tuple[str, str]:
    """The victim's thing, and nobody's of the same shape."""
    victim = stage.victim
    if field.thing == "cursor":
        own = path.replace("{bucket}", victim.things["bucket"]).replace("{file_id}", victim.things["file_id"])
        host = stage.door.host(victim.tenant)
        listed = [stage.door.ask("GET", host, each, victim.owner, query_string={"limit": 1}) for each in (own, "/api/v1/buckets")]
        cursor = next(each for each in (ok(answer)["next_cursor"] for answer in listed) if each)
        return cursor, cursor[:-4] + ("AAAA" if not cursor.endswith("AAAA") else "BBBB")
    if field.thing == "only there":
        return "probe/unchecked.txt", "probe/uncheckeb.txt"
    if field.thing == "refresh":
        token = victim.refresh.headers["Authorization"].removeprefix("Bearer ")
        return token, things.unlike(token, "token")
    if field.thing == "blake3":
        host = stage.door.host(victim.tenant)
        known = ok(stage.door.ask("GET", host, f"/api/v1/files/{victim.things['file_id']}", victim.owner))["blake3"]
        return known, "0" * len(known)
    mine = victim.things[field.thing]
    return mine, things.unlike(mine, "token" if "token" in field.thing else "")


@pytest.mark.parametrize("name", FIELDS, ids=" ".join)
def test_anothers_name_in_a_field(shared_world: World, stage: Stage, name: tuple[str, str, str]) -> None:
    method, path, _ = name
    field = FIELDS[name]
    own = {**stage.attacker.things, "upload_id": stage.victim.things["upload_id"]}
    if field.thing == "only there":  # a bucket that the victim has too, by name
        own["bucket"] = stage.victim.things["bucket"]
    theirs, nobodys = thing_of(stage, field, path)
    url = path.format(**own)
    who = NOBODY if "token" in name[2] else stage.attacker.owner
    pair = [asked(shared_world, stage, method.upper(), url, who, **field.build(stage, each)) for each in (theirs, nobodys)]
    if field.thing == "blake3":
        answers = [ok(each.response, 201) for each in pair]
        assert [each["mode"] for each in answers] == ["direct", "direct"]
        assert set(answers[0]) == set(answers[1])
        return
    is_the_same(stage, *pair, theirs, nobodys)
    assert 400 <= pair[0].response.status_code < 500


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_anothers_tag_in_a_header(shared_world: World, stage: Stage, name: str, method: str) -> None:
    """At a path that both have, with other bytes in it."""
    field = HEADERS[name]
    url = f"/api/v1/objects/{stage.attacker.things['bucket']}/{things.PATH}"
    theirs = stage.victim.things[field.thing]
    nobodys = str(new_id()) if is_id(theirs) else RANDOM_ETAG.strip('"')
    given = {"data": stage.attacker.canary.encode()} if method == "PUT" else {}
    pair = [
        asked(shared_world, stage, method, url, stage.attacker.owner, **given, **field.build(stage, each)) for each in (theirs, nobodys)
    ]
    assert pair[0].response.status_code == pair[1].response.status_code
    assert not holds(pair[0].response, stage.victim.secrets)
    assert "Idempotency-Replayed" not in pair[0].response.headers
    if method == "GET":
        is_the_same(stage, *pair, theirs, nobodys)


def test_anothers_uploads_joined_to_ones_own(shared_world: World, stage: Stage) -> None:
    """`Upload-Concat` names uploads by their addresses."""
    theirs = stage.victim.things["tus.upload_id"]
    nobodys = str(new_id())

    def build(each: str) -> dict[str, Any]:
        return {"headers": {**things.TUS, "Upload-Concat": f"final;/api/v1/tus/{each}"}, "query_string": query_of(stage)}

    pair = [asked(shared_world, stage, "POST", "/api/v1/tus", stage.attacker.owner, **build(each)) for each in (theirs, nobodys)]
    is_the_same(stage, *pair, theirs, nobodys)
    assert 400 <= pair[0].response.status_code < 500


def query_of(stage: Stage) -> dict[str, str]:
    return {"bucket": stage.attacker.things["bucket"], "path": "joined.txt"}
