"""What a hostile provider, a hostile browser or a hostile neighbour may try."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import OKPKey
from joserfc.jwt import encode
from strongroom.security.outbound import Limits
from strongroom.security.tokens import sign
from strongroom.sso import fetching
from strongroom.sso.cache import cache_of
from strongroom.sso.service import to_person

from tests.factories import Account, World, ok, problem
from tests.services.oidc import OidcProvider
from tests.sso.conftest import COOKIE, OIDC, SSO, Setup, Window, begun, come_back, query_of
from tests.sso.hostile import DISCOVERY, Hostile

Change = dict[str, Any]


def test_the_hostile_provider_can_be_good(victim: Window, evil: Hostile) -> None:
    """Else the tests below would pass whatever it says."""
    url, nonce = begun(victim)
    evil.gives(evil.signed(evil.claims("c1", nonce)))
    assert ok(come_back(victim, url, iss=evil.issuer))
    assert evil.seen == [DISCOVERY, "/token", "/jwks"]
    assert "code_verifier=" in evil.forms[0]
    url, nonce = begun(victim)
    evil.gives(evil.signed(evil.claims("c1", nonce, aud=["c1", "c2"], azp="c1", exp=int(time.time()) - 30), kid=None))
    assert ok(come_back(victim, url)), "several audiences, a clock that is half a minute behind, and one key without its name"


BAD_CLAIMS: dict[str, Change] = {
    "another issuer": {"iss": "https://id.example.com"},
    "the issuer with a slash": {"iss": "{issuer}/"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "c2"},
    "audiences without ours": {"aud": ["c2", "c3"]},
    "several audiences, nobody named": {"aud": ["c1", "c2"]},
    "meant for another party": {"azp": "c2"},
    "another nonce": {"nonce": "x"},
    "no nonce": {"nonce": None},
    "a list of nonces": {"nonce": ["x"]},
    "expired": {"exp": 1_000_000_000},
    "no end": {"exp": None},
    "an end that is no number": {"exp": "never"},
    "an end that never comes": {"exp": float("nan")},
    "of the future": {"iat": 4_000_000_000, "exp": 4_000_000_300},
    "no time": {"iat": None},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a long subject": {"sub": "s" * 256},
    "a NUL in its subject": {"sub": "s\0"},
    "a list of subjects": {"sub": ["s1"]},
    "the hash of another access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}


def test_claims_that_do_not_hold(victim: Window, evil: Hostile) -> None:
    for case, change in BAD_CLAIMS.items():
        url, nonce = begun(victim)
        changes = {name: value.format(issuer=evil.issuer) if isinstance(value, str) else value for name, value in change.items()}
        evil.gives(_signed(evil, evil.claims("c1", **{"nonce": nonce, **changes})))
        answer = come_back(victim, url)
        assert (answer.status_code, answer.get_json()["code"]) == (502, "sso_unavailable"), case
    assert victim.world.rows(victim.tenant, "identities") == []
    assert len(victim.world.rows(victim.tenant, "sessions")) == 1, "the owner's own"


def _signed(evil: Hostile, claims: dict[str, Any]) -> str:
    """A token with whatever claims: PyJWT would refuse some."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), evil.key, "RS256", headers={"kid": "k1"})


Signing = Callable[[Hostile, dict[str, Any]], Any]
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
BAD_TOKENS: dict[str, Signing] = {
    "no signature": lambda evil, claims: evil.unsigned(claims),
    "no signature, called RS256": lambda evil, claims: evil.unsigned(claims, "RS256"),
    "none in other letters": lambda evil, claims: evil.unsigned(claims, "NoNe"),
    "the public key as a secret": lambda evil, claims: evil.with_public_key(claims),
    "a key that is not published": lambda evil, claims: evil.signed(claims, key=OTHER_KEY),
    "a name of no key": lambda evil, claims: evil.signed(claims, key=OTHER_KEY, kid="k2"),
    "a key of its own in the token": lambda evil, claims: evil.signed(
        claims, key=OTHER_KEY, jwk=Hostile.public(OTHER_KEY, "k1"), jku=f"{evil.issuer}/mine"
    ),
    "a critical header that nobody knows": lambda evil, claims: evil.signed(claims, crit=["x"], x=1),
    "two tokens": lambda evil, claims: [evil.signed(claims)],
    "no token": lambda _evil, _claims: None,
    "no such text": lambda _evil, _claims: "a.b.c",
    "five parts": lambda evil, claims: evil.signed(claims) + ".x.y",
    "a long one": lambda _evil, _claims: "a" * 100_000,
}


def test_tokens_that_are_none(victim: Window, evil: Hostile) -> None:
    for case, make in BAD_TOKENS.items():
        url, nonce = begun(victim)
        evil.gives(make(evil, evil.claims("c1", nonce)))
        answer = come_back(victim, url)
        assert (answer.status_code, answer.get_json()["code"]) == (502, "sso_unavailable"), case
    assert "/mine" not in evil.seen
    assert evil.seen.count("/jwks") == 1, "names of keys that nobody published make us ask no more often"


def test_new_keys_are_looked_for_once(victim: Window, evil: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    url, nonce = begun(victim)
    evil.gives(evil.signed(evil.claims("c1", nonce)))
    assert ok(come_back(victim, url))
    monkeypatch.setattr("strongroom.sso.cache.LOOK_AGAIN_AFTER_S", 0.0)
    evil.documents["/jwks"] = {"keys": [Hostile.public(OTHER_KEY, "k2")]}
    url, nonce = begun(victim)
    evil.gives(evil.signed(evil.claims("c1", nonce), key=OTHER_KEY, kid="k2"))
    assert ok(come_back(victim, url))
    assert evil.seen.count("/jwks") == 2


def test_the_new_name_of_an_algorithm(victim: Window, evil: Hostile) -> None:
    """RFC 9864 calls it Ed25519; at_hash is as the certified provider makes it for EdDSA."""
    key = OKPKey.generate_key("Ed25519", {"kid": "e1", "use": "sig"})
    evil.documents["/jwks"] = {"keys": [key.as_dict(private=False)]}
    url, nonce = begun(victim)
    claims = evil.claims("c1", nonce, at_hash="H0DB4Rv2mBhs1MDmOGf0a7GK0XFvO4pL0vkxyQFQ3iA")
    evil.gives(encode({"alg": "Ed25519", "kid": "e1"}, claims, key, algorithms=["Ed25519"]))
    assert ok(come_back(victim, url))


def test_answers_that_are_not_to_this_sign_in(victim: Window, evil: Hostile) -> None:
    url, nonce = begun(victim)
    evil.gives(evil.signed(evil.claims("c1", nonce)))
    kept = dict(victim.cookies)
    for state in ("", "x", "0" * 32):
        problem(come_back(victim, url, state=state), 400, "sso_state_invalid")
        victim.cookies = dict(kept)
    stranger = Window(victim.world, victim.tenant)
    problem(come_back(stranger, url), 400, "sso_state_invalid")
    begun(stranger)
    problem(come_back(stranger, url), 400, "sso_state_invalid")
    problem(come_back(victim, url, iss="https://id.example.com"), 502, "sso_unavailable")
    victim.cookies = dict(kept)
    problem(come_back(victim, url), 400, "sso_state_invalid")
    assert "/token" not in evil.seen


def test_an_answer_counts_once(victim: Window, evil: Hostile) -> None:
    url, nonce = begun(victim)
    kept = dict(victim.cookies)
    evil.gives(evil.signed(evil.claims("c1", nonce)))
    assert ok(come_back(victim, url))
    problem(come_back(victim, url), 400, "sso_state_invalid")
    victim.cookies = kept
    problem(come_back(victim, url), 400, "sso_state_invalid")
    assert evil.seen.count("/token") == 1


def test_tokens_of_other_purposes_and_times_begin_nothing(victim: Window, world: World) -> None:
    keys, claims = world.runtime.keys, {"con": "evil", "iss": "i", "cid": "c1", "mode": "token", "next": None}
    good, other = (keys.tenant_key(victim.tenant.id, each) for each in ("oidc", "session"))
    subject = "0" * 32
    forged = [
        sign(good, "session", subject, 60, **claims), sign(other, "oidc", subject, 60, **claims), sign(good, "oidc", subject, -1, **claims),
        sign(good, "oidc", "no id", 60, **claims), sign(good, "oidc", subject, 60), "x", "",
    ]  # fmt: skip
    for each in forged:
        victim.cookies = {COOKIE: each}
        problem(victim.get(f"{OIDC}/evil/callback?code=c&state={subject}"), 400, "sso_state_invalid")


def test_another_tenants_connection_and_sign_in(victim: Window, evil: Hostile, world: World) -> None:
    neighbour = world.create_user(world.create_tenant())
    elsewhere = Window(victim.world, neighbour.tenant)
    problem(elsewhere.get(f"{OIDC}/evil/start"), 404, "not_found")
    client = victim.world.client(neighbour)
    problem(client.post(f"{SSO}/evil/test"), 404, "not_found")
    problem(client.patch(f"{SSO}/evil", json={"label": "Mine"}), 404, "not_found")
    assert ok(client.get(SSO))["items"] == ok(elsewhere.get(OIDC))["items"] == []
    body = {
        "label": "Mine",
        "issuer": evil.issuer,
        "client_id": "c1",
        "client_secret": "s",
        "domains": ["example.com"],
        "create_users": True,
    }
    ok(client.put(f"{SSO}/evil", json=body), 201)
    url, _nonce = begun(victim)
    elsewhere.cookies = dict(victim.cookies)
    problem(come_back(elsewhere, url), 400, "sso_state_invalid")


def test_another_connections_sign_in(victim: Window, evil: Hostile, owner: Account) -> None:
    body = {"label": "Two", "issuer": evil.issuer, "client_id": "c2", "client_secret": "s", "create_users": True}
    ok(victim.world.client(owner).put(f"{SSO}/two", json=body), 201)
    url, _nonce = begun(victim)
    problem(victim.get(f"{OIDC}/two/callback?code=c&state={query_of(url)['state']}"), 400, "sso_state_invalid")


def test_a_connection_that_was_changed_meanwhile(victim: Window, owner: Account, evil: Hostile) -> None:
    client = victim.world.client(owner)
    url, _nonce = begun(victim)
    ok(client.patch(f"{SSO}/evil", json={"client_id": "c9", "client_secret": "s"}))
    problem(come_back(victim, url), 400, "sso_state_invalid")
    url, _nonce = begun(victim)
    ok(client.patch(f"{SSO}/evil", json={"enabled": False}))
    problem(come_back(victim, url), 404, "not_found")
    problem(victim.get(f"{OIDC}/evil/start"), 404, "not_found")
    assert "/token" not in evil.seen


def test_another_issuers_subjects_are_nobody(setup: Setup, provider: OidcProvider, evil: Hostile) -> None:
    """An administrator turns a connection over to a server of its own, which claims the subjects of the former provider."""
    setup.world.create_user(setup.tenant, "admin", email="ann@example.org")
    setup.connect(domains=["example.org"])
    ann = setup.me(setup.window().sign_in(provider, "ann@example.org", mode="token"))
    near = setup.world
    body = {"label": "Corp", "issuer": evil.issuer, "client_id": "c1", "client_secret": "s", "create_users": True}
    ok(near.client(setup.owner).put(f"{SSO}/evil", json=body), 201)
    window = Window(near, setup.tenant)
    url, nonce = begun(window)
    evil.gives(evil.signed(evil.claims("c1", nonce, sub="ann@example.org", email="other@example.com")))
    tokens = ok(come_back(window, url))
    assert ok(near.client(setup.tenant).as_(tokens["access_token"]).get("/api/v1/account"))["id"] != ann["id"]


def test_userinfo_about_somebody_else(victim: Window, evil: Hostile) -> None:
    evil.documents["/me"] = {"sub": "s2", "email": "vic@example.com", "email_verified": True}
    url, nonce = begun(victim)
    evil.gives(evil.signed(evil.claims("c1", nonce, email=None)))
    problem(come_back(victim, url), 502, "sso_unavailable")
    evil.documents["/me"]["sub"] = "s1"
    url, nonce = begun(victim)
    evil.gives(evil.signed(evil.claims("c1", nonce, email=None)))
    assert ok(come_back(victim, url))


PLACES = ("http://169.254.169.254/latest", "https://169.254.169.254/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://10.0.0.1/",
          "https://metadata.internal/", "https://[::ffff:127.0.0.1]/", "https://2130706433/", "file:///etc/passwd")  # fmt: skip


def test_nothing_of_the_inside_is_asked(world: World, owner: Account) -> None:
    """Not even loopback: nobody allowed it here."""
    client, asked = world.client(owner), []
    for place in PLACES:
        answer = client.put(f"{SSO}/inside", json={"label": "In", "issuer": place, "client_id": "c", "client_secret": "s"})
        if answer.status_code == 422:
            continue
        asked.append(place)
        (step, *_) = ok(client.post(f"{SSO}/inside/test"))["steps"]
        assert not step["ok"]
        told = problem(world.client(owner.tenant).get(f"{OIDC}/inside/start"), 502, "sso_unavailable")
        assert "public" not in str(told), "visitors are told nothing of it"
    assert len(asked) >= 6


@pytest.mark.parametrize("endpoint", ["jwks_uri", "token_endpoint", "userinfo_endpoint", "authorization_endpoint"])
def test_a_document_that_leads_inside(victim: Window, evil: Hostile, endpoint: str) -> None:
    url, nonce = begun(victim)
    evil.gives(evil.signed(evil.claims("c1", nonce, email=None)))
    evil.documents[DISCOVERY] = {**evil.documents[DISCOVERY], endpoint: "https://169.254.169.254/latest"}
    cache_of(victim.world.runtime).forget(victim.tenant, "evil")
    if endpoint == "authorization_endpoint":
        assert victim.start("evil").startswith("https://169.254.169.254/"), "that is where the browser goes, not we"
    else:
        problem(come_back(victim, url), 502, "sso_unavailable")


def test_redirects_lead_nowhere(victim: Window, evil: Hostile) -> None:
    url, nonce = begun(victim)
    evil.gives(evil.signed(evil.claims("c1", nonce)))
    evil.documents["/elsewhere"] = evil.documents["/jwks"]
    for target in ("https://169.254.169.254/", f"{evil.issuer}/elsewhere"):
        evil.answers["/jwks"] = (302, {"Location": target}, b"")
        problem(come_back(victim, url), 502, "sso_unavailable")
        cache_of(victim.world.runtime).forget(victim.tenant, "evil")
        url, nonce = begun(victim)
    evil.answers["/token"] = (307, {"Location": f"{evil.issuer}/elsewhere"}, b"")
    problem(come_back(victim, url), 502, "sso_unavailable")
    assert "/elsewhere" not in evil.seen


BAD_DOCUMENTS: dict[str, Any] = {
    "another issuer": {"issuer": "https://id.example.com"},
    "a script for an address": {"authorization_endpoint": "javascript:alert(1)"},
    "no address": {"token_endpoint": None},
    "a plain address": {"jwks_uri": "http://id.example.com/jwks"},
    "a list of addresses": {"authorization_endpoint": ["https://id.example.com"]},
    "a long address": {"token_endpoint": "https://id.example.com/" + "a" * 2048},
    "a line end in an address": {"authorization_endpoint": "https://id.example.com/\r\nSet-Cookie: a=b"},
}
BAD_ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "no JSON": (200, {}, b"<html>"),
    "no object": (200, {}, b"[]"),
    "deep": (200, {}, b"[" * 100_000),
    "huge": (200, {}, b" " * (fetching.MAX_BYTES + 1)),
    "an error": (500, {}, b"{}"),
    "nothing": (204, {}, b""),
}


def test_documents_that_are_none(victim: Window, evil: Hostile, owner: Account) -> None:
    client, good = victim.world.client(owner), dict(evil.documents[DISCOVERY])
    for case, change in BAD_DOCUMENTS.items():
        evil.documents[DISCOVERY] = {**good, **change}
        assert not ok(client.post(f"{SSO}/evil/test"))["ok"], case
        problem(victim.get(f"{OIDC}/evil/start"), 502, "sso_unavailable")
    for case, answer in BAD_ANSWERS.items():
        evil.answers[DISCOVERY] = answer
        assert not ok(client.post(f"{SSO}/evil/test"))["ok"], case
    assert evil.seen.count(DISCOVERY) == len(BAD_DOCUMENTS) + len(BAD_ANSWERS), "a failure is remembered for a moment"


def test_a_slow_provider_is_not_waited_for(victim: Window, evil: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LIMITS", Limits(connect_s=1, silence_s=0.3, total_s=1, max_bytes=fetching.MAX_BYTES, redirects=0))
    evil.hangs.add(DISCOVERY)
    problem(victim.get(f"{OIDC}/evil/start"), 502, "sso_unavailable")


def test_what_a_provider_says_is_shown_as_text(victim: Window) -> None:
    url, _nonce = begun(victim)
    said = "%3Cscript%3Ealert(1)%3C/script%3E%0D%0ASet-Cookie:a=b" + "x" * 1000
    told = problem(come_back(victim, url, error="server_error", error_description=said), 403, "sso_failed")
    assert len(told["detail"]) < 300
    url = victim.start("evil")
    answer = victim.get(
        f"{OIDC}/evil/callback?state={query_of(url)['state']}&error=server_error&error_description={said}", Accept="text/html,*/*"
    )
    assert (answer.status_code, answer.mimetype) == (403, "text/html")
    assert b"<script>alert" not in answer.data
    assert b"&lt;script&gt;alert(1)" in answer.data
    assert "Set-Cookie:a" not in str(answer.headers)


def test_what_is_no_email_joins_nobody() -> None:
    issuer = "https://id.example.com"
    for email in (
        None,
        5,
        ["a@b.example"],
        "",
        "a",
        "@b.example",
        "a@",
        "a@b@c.example",
        "a b@c.example",
        "ä@b.example",
        "\u212aay@b.example",
        "a@b.example\n",
    ):
        assert to_person(issuer, {"sub": "s", "email": email, "email_verified": True}).email is None
    for verified in (None, False, 1, "True", "yes", [True], {"a": 1}):
        assert to_person(issuer, {"sub": "s", "email": "a@b.example", "email_verified": verified}).email is None
    entra = "https://login.microsoftonline.com/t/v2.0"
    person = {"sub": "s", "email": "a@b.example"}
    assert to_person(entra, person).email is None
    assert to_person(entra, {**person, "xms_edov": True}).email == "a@b.example"
    assert to_person(entra, {**person, "xms_edov": True, "email_verified": False}).email is None
    assert to_person(issuer, {**person, "xms_edov": True}).email is None


def test_on_the_platforms_host_nothing_begins(victim: Window) -> None:
    answer = victim.world.client("localhost").get(f"{OIDC}/evil/start", headers={"X-Tenant": victim.tenant.slug})
    problem(answer, 400, "bad_request")
