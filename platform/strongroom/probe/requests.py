"""The walls that requests meet: identity, another's ids and names, links, shared state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jwt
from werkzeug.test import TestResponse

from strongroom.access import Realm
from strongroom.auth import cookies
from strongroom.db.ids import new_id
from strongroom.errors import DomainError
from strongroom.isolation.models import Wall
from strongroom.probe import things
from strongroom.probe.door import NOBODY, Credential, holds, is_refused, told
from strongroom.probe.routes import NAMELESS, ONLY_READING, Route, address, routes
from strongroom.probe.stage import Party, Stage
from strongroom.probe.tally import HERE, STAND_IN, Tally
from strongroom.security import tokens
from tenants.models import Tenant

ACCOUNT = "/api/v1/account"
PURPOSES = ("session", "download", "export", "invite", "oidc", "csrf", cookies.CONSOLE)
COOLS_DOWN = 429


def identity(stage: Stage, tally: Tally) -> None:
    """Every credential of others at every route: at the tenant itself only such as read, at the stand-in all."""
    door, victim = stage.door, stage.victim
    tally.control(Wall.IDENTITY, STAND_IN, f"GET {ACCOUNT}", lambda: holds(_at_home(stage, victim), [victim.canary]))
    named = {name: str(new_id()) for name in ("bucket", "path", "token")}
    for who in (*stage.attacker.credentials, stage.operator, NOBODY):
        for route in routes(door.app):
            if tally.is_over:
                return
            if route.realm == Realm.PUBLIC:
                continue
            if route.method in ONLY_READING:
                _enter(stage, tally, who, route, stage.target.tenant, {**dict.fromkeys(route.arguments, str(new_id())), **named})
            if route.method in ONLY_READING or who is stage.attacker.owner:
                _enter(stage, tally, who, route, victim.tenant, _names(stage, route))
    _by_header(stage, tally)
    _forged(stage, tally)
    _keys(stage, tally)


def _by_header(stage: Stage, tally: Tally) -> None:
    """On the platform's host, with the tenant named beside a credential of somebody else; and at the attacker's own host."""
    door, slug = stage.door, stage.target.tenant.slug
    headers = {"X-Tenant": slug, "X-Forwarded-Host": door.host(stage.target.tenant), "Forwarded": f"host={door.host(stage.target.tenant)}"}
    for who in (*stage.attacker.credentials, stage.operator, NOBODY):
        answer = door.ask("GET", door.platform_host, "/api/v1/tenant", who, headers=headers)
        found = "" if is_refused(answer) or not holds(answer, [str(stage.target.tenant.id)]) else "the tenant named beside it was entered"
        tally.attempt(Wall.IDENTITY, who.name, HERE, "GET tenant.get_tenant on the platform's host, naming the tenant", found)
    answer = door.ask("GET", door.host(stage.attacker.tenant), "/api/v1/tenant", stage.attacker.owner, headers=headers)
    found = "the tenant named beside it was entered" if holds(answer, [str(stage.target.tenant.id)]) else ""
    tally.attempt(Wall.IDENTITY, stage.attacker.owner.name, HERE, "GET tenant.get_tenant on its own host, naming the tenant", found)


def _at_home(stage: Stage, party: Party) -> TestResponse:
    return stage.door.ask("GET", stage.door.host(party.tenant), ACCOUNT, party.owner)


def _names(stage: Stage, route: Route) -> dict[str, str]:
    found = {name: things.find(stage.victim.things, route.endpoint, name) for name in route.arguments}
    return {name: value or str(new_id()) for name, value in found.items()}


def _enter(stage: Stage, tally: Tally, who: Credential, route: Route, tenant: Tenant, names: dict[str, str]) -> None:
    at = HERE if tenant is stage.target.tenant else STAND_IN
    answer = stage.door.ask(route.method, stage.door.host(tenant), address(stage.door.app, route, names), who, **route.send)
    found = "" if is_refused(answer) else f"let in with status {answer.status_code}"
    if holds(answer, _secrets(stage)):
        found = "the answer holds a secret"
    tally.attempt(Wall.IDENTITY, who.name, at, route.name, found)


def _secrets(stage: Stage) -> list[str]:
    return [stage.target.canary, *stage.victim.secrets]


def _forged(stage: Stage, tally: Tally) -> None:
    """Tokens that say they are the victim's, each with one thing wrong."""
    victim, attacker, keys = stage.victim, stage.attacker, stage.runtime.keys
    good = jwt.decode(victim.owner.headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    mine, its = (keys.tenant_key(party.tenant.id, "session") for party in (attacker, victim))
    forged = {
        "with another tenant's key": jwt.encode(good, mine, "HS256"),
        "with another tenant's key under its own kid": jwt.encode(good, mine, "HS256", headers={"kid": str(victim.tenant.id)}),
        "with another tenant's name and its own key": jwt.encode({**good, "tenant": attacker.tenant.slug}, its, "HS256"),
        "with the operators' key": jwt.encode(good, keys.operator_key("session"), "HS256"),
        "with the key of another purpose": jwt.encode(good, keys.tenant_key(victim.tenant.id, "download"), "HS256"),
        "for another purpose": jwt.encode({**good, "type": "refresh"}, its, "HS256"),
        "that has ended": jwt.encode({**good, "exp": int(time.time()) - 60}, its, "HS256"),
        "without a signature": jwt.encode(good, "", "none"),
    }
    real = jwt.encode(good, its, "HS256")
    tally.control(Wall.IDENTITY, STAND_IN, "a token made with its own key", lambda: not is_refused(_with(stage, real)))
    for name, token in forged.items():
        found = "" if is_refused(_with(stage, token)) else "the token was taken"
        tally.attempt(Wall.IDENTITY, f"forged token {name}", STAND_IN, f"GET {ACCOUNT}", found)


def _with(stage: Stage, token: str) -> TestResponse:
    credential = Credential("forged", {"Authorization": f"Bearer {token}"})
    return stage.door.ask("GET", stage.door.host(stage.victim.tenant), ACCOUNT, credential)


def _keys(stage: Stage, tally: Tally) -> None:
    """What others' keys have signed verifies with none of the tenant's own, whatever its purpose."""
    keys, tenant = stage.runtime.keys, stage.target.tenant
    for other in (stage.attacker.tenant, stage.victim.tenant, *stage.others):
        for purpose in PURPOSES:
            token = tokens.sign(keys.tenant_key(other.id, purpose), purpose, str(new_id()), 60)
            found = "" if _fails(keys.tenant_key(tenant.id, purpose), purpose, token) else "another tenant's signature is good here"
            tally.attempt(Wall.IDENTITY, "another tenant's signing key", HERE, f"a token for {purpose}", found)


def _fails(key: bytes, purpose: str, token: str) -> bool:
    try:
        tokens.verify(key, purpose, token)
    except DomainError:
        return True
    return False


def objects(stage: Stage, tally: Tally) -> None:
    """At every route that names something: another's name gets what a random one gets, and nothing else."""
    door, attacker = stage.door, stage.attacker
    for route in routes(door.app):
        if not route.arguments - NAMELESS or route.realm == Realm.PUBLIC:
            continue
        for who in (attacker.cookie,) if route.realm == Realm.CONSOLE else (attacker.owner, attacker.key):
            if tally.is_over:
                return
            compare(stage, tally, who, route)
    for method, path, options, thing in in_bodies(stage):
        both = (thing, things.unlike(thing, ""))
        pair = [door.ask(method, door.host(attacker.tenant), path, attacker.owner, **options(each)) for each in both]
        _judge(stage, tally, attacker.owner, f"{method} {path.replace(attacker.things['file_id'], '…')}", pair, both)
    tally.control(Wall.OBJECTS, STAND_IN, "its own file", lambda: holds(_own_file(stage), [stage.victim.canary]))


def _own_file(stage: Stage) -> TestResponse:
    victim = stage.victim
    return stage.door.ask("GET", stage.door.host(victim.tenant), f"/api/v1/files/{victim.things['file_id']}/content", victim.owner)


def compare(stage: Stage, tally: Tally, who: Credential, route: Route) -> tuple[int, int]:
    """Ask for another's thing and for nobody's, and hold the answers against each other; return their statuses."""
    door = stage.door
    theirs = {name: things.find(stage.victim.things, route.endpoint, name) for name in route.arguments}
    missing = sorted(name for name, value in theirs.items() if value is None)
    if missing:
        tally.attempt(Wall.OBJECTS, who.name, STAND_IN, route.name, f"not covered: the probe makes nothing that {', '.join(missing)} names")
        return 0, 0
    named = {name: value for name, value in theirs.items() if value is not None}
    nobodys = {name: value if name in NAMELESS else things.unlike(value, name) for name, value in named.items()}
    pair = [
        door.ask(route.method, door.host(stage.attacker.tenant), address(door.app, route, each), who, **route.send)
        for each in (named, nobodys)
    ]
    _judge(stage, tally, who, route.name, pair, (*named.values(), *nobodys.values()))
    return pair[0].status_code, pair[1].status_code


def _judge(stage: Stage, tally: Tally, who: Credential, name: str, pair: list[TestResponse], typed: tuple[str, ...]) -> None:
    theirs, nobodys = pair
    found = ""
    if holds(theirs, [each for each in _secrets(stage) if each not in typed]):
        found = "the answer holds a secret"
    elif told(theirs, typed) != told(nobodys, typed):
        found = f"answered otherwise than a random one: {theirs.status_code}, not {nobodys.status_code}"
    tally.attempt(Wall.OBJECTS, who.name, STAND_IN, name, found)


def in_bodies(stage: Stage) -> Iterator[tuple[str, str, Any, str]]:
    """Yield requests that name a thing elsewhere than in the path, as (method, path, what to send for a name, another's name)."""
    bucket = stage.victim.things["bucket"]
    yield "GET", "/api/v1/sharex.sxcu", lambda each: {"query_string": {"bucket": each}}, bucket
    yield "POST", "/api/v1/uploads", lambda each: {"json": {"bucket": each, "path": "a", "size_bytes": 1}}, bucket
    yield "POST", "/api/v1/uploads/from-url", lambda each: {"json": {"bucket": each, "url": "http://example.com/"}}, bucket
    own = stage.attacker.things["file_id"]
    yield "GET", f"/api/v1/files/{own}/content", lambda each: {"query_string": {"version": each}}, stage.victim.things["version_id"]


def links(stage: Stage, tally: Tally) -> None:
    """Links of the victim at everybody else's address, by anybody: as unknown as an altered one."""
    door, victim = stage.door, stage.victim
    for route in (each for each in routes(door.app) if each.realm == Realm.PUBLIC and "token" in each.arguments):
        token = things.find(victim.things, route.endpoint, "token")
        if token is None:
            tally.attempt(Wall.LINKS, NOBODY.name, STAND_IN, route.name, "not covered: the probe makes no such link")
            continue
        for at, tenant in ((STAND_IN, stage.attacker.tenant), (HERE, stage.target.tenant)):
            if at == HERE and route.method not in ONLY_READING:
                continue
            urls = [address(door.app, route, {"token": each}) for each in (token, things.unlike(token, "token"))]
            _same(stage, tally, NOBODY, at, route, [door.ask(route.method, door.host(tenant), url, **route.send) for url in urls])
    _parts(stage, tally)
    content = f"/api/v1/links/{victim.things['files.token']}"
    tally.control(Wall.LINKS, STAND_IN, "its own link", lambda: holds(door.ask("GET", door.host(victim.tenant), content), [victim.canary]))


def _same(stage: Stage, tally: Tally, who: Credential, at: str, route: Route, pair: list[TestResponse]) -> None:
    found = ""
    if holds(pair[0], _secrets(stage)) or pair[0].status_code == 200:  # noqa: PLR2004 - HTTP
        found = "the link was followed"
    elif COOLS_DOWN not in {each.status_code for each in pair} and pair[0].status_code != pair[1].status_code:
        found = f"answered otherwise than an altered one: {pair[0].status_code}, not {pair[1].status_code}"
    tally.attempt(Wall.LINKS, who.name, at, route.name, found)


def _parts(stage: Stage, tally: Tally) -> None:
    """The signed address of a part of an upload."""
    door, made = stage.door, stage.victim.things
    if not made["part_token"]:
        tally.left_out.append("links: signed addresses of parts are the provider's own here")
        return
    route = next(each for each in routes(door.app) if each.endpoint == "uploads.put_part")
    url = address(door.app, route, made)
    pair = [
        door.ask("PUT", door.host(stage.attacker.tenant), url, data=b"x", query_string={"token": token})
        for token in (made["part_token"], things.unlike(made["part_token"], "token"))
    ]
    _same(stage, tally, NOBODY, STAND_IN, route, pair)
