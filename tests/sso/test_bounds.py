"""What is kept of providers and of addresses, by however much they try to make it."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from joserfc.jwk import ECKey, OKPKey
from strongroom.security.tokens import unverified_claims
from strongroom.sso.cache import Cache
from strongroom.sso.keys import MAX_KEYS, usable_keys
from strongroom.sso.sign_in_api import MAX_AFTER_BYTES

from tenants import sso
from tests.factories import Account, World, ok, problem
from tests.sso.conftest import COOKIE, OIDC, SSO, Setup, Window
from tests.sso.hostile import Hostile, packed

GOOD = Hostile.public(generate_private_key(public_exponent=65537, key_size=2048), "k1")
BROWSERS_TAKE_BYTES = 4096
NESTED = b'{"keys":[{"kty":"x","a":[' + b"[]," * 85_000 + b"[]]}]}"


def _curve(kind: type[ECKey | OKPKey], name: Any, **more: Any) -> dict[str, Any]:
    return {**kind.generate_key(name).as_dict(private=False), **more}


BAD_KEYS: list[Any] = [
    {**GOOD, "use": "enc"}, {**GOOD, "use": ["enc"]}, {**GOOD, "alg": "RSA-OAEP"}, {**GOOD, "alg": "ES256"}, {**GOOD, "kid": 5},
    {**GOOD, "kid": "k" * 257},
    {**GOOD, "n": GOOD["n"][:170]}, {**GOOD, "n": GOOD["n"] * 5}, {**GOOD, "n": "A" * 300 + GOOD["n"][:170]}, {**GOOD, "n": 5},
    {**GOOD, "n": "ä" * 342}, {**GOOD, "n": "\ud800" * 342}, {**GOOD, "e": GOOD["n"]}, {**GOOD, "e": ""}, {**GOOD, "e": "Ag"},
    {"kty": "RSA"}, {"kty": "EC"}, {"kty": "OKP"}, {"kty": []}, {"kty": {}}, {"kty": None}, {"kty": "new", "kid": "k1"}, {}, "x", [], None,
    {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}, _curve(OKPKey, "X25519"), _curve(ECKey, "P-256", crv=["P-256"]),
    _curve(ECKey, "P-256", y=packed(b"1" * 32)), _curve(ECKey, "P-256", crv="P-521"), _curve(ECKey, "P-256", x="x" * 88),
    _curve(OKPKey, "Ed25519", x="AA"),
]  # fmt: skip


def test_keys_that_sign_nothing() -> None:
    good = [GOOD, *(_curve(ECKey, name) for name in ("P-256", "P-384", "P-521")), *(_curve(OKPKey, each) for each in ("Ed25519", "Ed448"))]
    assert usable_keys([*BAD_KEYS, *good]) == good
    for each in BAD_KEYS:
        assert usable_keys([each]) == [], each


def test_of_keys_only_what_is_used_is_kept() -> None:
    many = [{**GOOD, "kid": str(number), "x5c": ["c" * 10_000], "a": [[]]} for number in range(90)]
    assert usable_keys(many) == [{**GOOD, "kid": str(number)} for number in range(MAX_KEYS)]


def test_a_nested_answer_leaves_nothing(victim: Window, evil: Hostile, owner: Account) -> None:
    """It would leave megabytes. Asked once before, so that modules and connections count for nothing."""
    client = victim.world.client(owner)
    assert ok(client.post(f"{SSO}/evil/test"))["ok"]
    evil.answers["/jwks"] = (200, {}, NESTED)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        (_, keys, _) = ok(client.post(f"{SSO}/evil/test"))["steps"]
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert (keys["ok"], keys["detail"]) == (False, "0 of them can sign.")
    assert kept < 1_000_000, kept


def test_trying_out_counts_keys_that_verify(victim: Window, evil: Hostile, owner: Account) -> None:
    client = victim.world.client(owner)
    for published, count in (([{"kty": []}], 0), ([{"kty": "EC"}], 0), (BAD_KEYS, 0), ([*BAD_KEYS, GOOD], 1)):
        evil.answers["/jwks"] = (200, {}, json.dumps({"keys": published}).encode())
        (_, keys, _) = ok(client.post(f"{SSO}/evil/test"))["steps"]
        assert (keys["ok"], keys["detail"]) == (count > 0, f"{count} of them can sign.")


def test_one_tenant_has_so_many_entries_as_connections(setup: Setup, world: World) -> None:
    """However often it removes and adds them at another process."""
    cache, neighbour = Cache(setup.world.runtime.outbound), world.create_tenant()
    theirs = cache.of(neighbour, _connection("corp"))
    entries = [cache.of(setup.tenant, _connection(f"n{number}")) for number in range(12)]
    assert len(cache) == sso.MAX_CONNECTIONS + 1
    assert [cache.of(setup.tenant, _connection(f"n{number}")) for number in range(7, 12)] == entries[-sso.MAX_CONNECTIONS :]
    assert cache.of(neighbour, _connection("corp")) is theirs


def test_idle_entries_leave_when_another_comes(setup: Setup, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, tenants = Cache(setup.world.runtime.outbound), [world.create_tenant() for _ in range(3)]
    for each in tenants[:2]:
        cache.of(each, _connection("corp"))
    assert len(cache) == 2
    monkeypatch.setattr("strongroom.sso.cache.LIFETIME_S", -1.0)
    entry = cache.of(tenants[2], _connection("corp"))
    assert len(cache) == 1
    assert cache.of(tenants[2], _connection("corp")) is entry


def _connection(name: str) -> sso.Connection:
    return sso.Connection(name, "Corp", "https://id.example.com", "c")


ODD = [
    "/console/" + "\u20ac" * 600, "/console/" + "\U0001f600" * 900, "/console/" + "\U0001f600" * 120, "/console/" + '"' * 1000,
    "/console/" + "a" * 1014, "/console/" + "a" * 2000, "/console/\r\nX:1", "/console/[", "//[", "http://[",
    "/console/%", "%",
    "/console/\u202e", "/console/?q=\u2100#\u2100", "//\u2100/console/", "",
]  # fmt: skip


def test_odd_addresses_to_go_to_make_no_cookie_that_browsers_drop(victim: Window) -> None:
    for each in ODD:
        answer = victim.get(f"{OIDC}/evil/start?next={quote(each)}")
        assert answer.status_code == 302, each[:20]
        assert len(answer.headers["Set-Cookie"]) < BROWSERS_TAKE_BYTES
        after = _after(victim.cookies[COOKIE])
        assert after is None or (after.isascii() and len(after) <= MAX_AFTER_BYTES)
    for raw in ("%ED%A0%80", "/console/%ED%A0%80", "/console/%ff", "/console/%00"):
        problem(victim.get(f"{OIDC}/evil/start?next={raw}"), 400, "bad_request")


def test_addresses_of_other_scripts_stay(victim: Window) -> None:
    for each, kept in {
        "/console/files/\u00e4?q=a%20b&c=\u20ac#\u00e9": "/console/files/%C3%A4?q=a%20b&c=%E2%82%AC#%C3%A9",
        "/console/?q=%2F+%25": "/console/?q=%2F+%25",
        "/console/" + "\u20ac" * 160: "/console/" + "%E2%82%AC" * 160,
        "/console/" + "\u20ac" * 170: None,
    }.items():
        victim.get(f"{OIDC}/evil/start?next={quote(each)}")
        assert _after(victim.cookies[COOKIE]) == kept


def _after(token: str) -> Any:
    """Where a cookie says that its sign-in ends."""
    return unverified_claims(token)["next"]
