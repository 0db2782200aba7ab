"""Names that almost match: what may be a tenant's slug, and what a slug does not reach."""

from __future__ import annotations

import time
from urllib.parse import quote

import jwt
import pytest
from strongroom.access import Scope
from strongroom.db.ids import new_id
from strongroom.errors import ValidationFailed
from strongroom.security.tokens import sign

from tenants.models import check_slug
from tests.factories import PLATFORM, Client, World, ok, problem

REFUSED = [
    "", "a_b", "A", "Acme", "%", "_", "%25", "a%", "../x", "a/b", "a\\b", ".", "..", "a.b", "-a", "a-", "a--b", "xn--80ak6aa92e",
    "a b", " a", "a\n", "a\0", "\u0430cme", "acm\u0435", "\uff41cme", "acme\u200b", "ac\u00adme", "\ufb01le", "\u00df", "\u0131",
    "\u0663", "a" * 41, "*", "?", "a;b", "a'b", 'a"b', "${x}",
]  # fmt: skip
"""Among them: Cyrillic and full-width letters, characters of no width, a ligature, digits that are none in ASCII."""


@pytest.mark.parametrize("slug", REFUSED, ids=ascii)
def test_what_is_no_slug(world: World, operator: Client, slug: str) -> None:
    with pytest.raises(ValidationFailed):
        check_slug(slug)
    body = {"slug": slug, "owner_email": "o@example.com", "owner_password": "long enough to be one"}
    assert operator.post("/operator/api/v1/tenants", json=body).status_code in {400, 422}
    assert world.runtime.registry.by_slug(slug) is None


def test_patterns_find_nobody(world: World, operator: Client) -> None:
    """What would match in LIKE, in a regular expression, or after folding, is another name."""
    tag = new_id().hex[-8:]
    for slug in (f"a{tag}", f"a-{tag}", f"ab-{tag}"):
        world.create_tenant(slug)
    for wrong in (
        f"_{tag}",
        f"a_{tag}",
        f"%{tag}",
        f"a%{tag}",
        "%",
        "_" * 9,
        f"A{tag}",
        f"a{tag} ",
        f"a{tag}.",
        f"a.{tag}",
        f".{tag}",
        f"a{tag}|x",
    ):
        assert world.runtime.registry.by_slug(wrong) is None
        assert operator.get(f"/operator/api/v1/tenants/{quote(wrong, safe='')}").status_code == 404
        named = Client(world.app, PLATFORM, headers={"X-Tenant": wrong})
        problem(named.post("/api/v1/auth/login", json={"email": "a@b.c", "password": "x"}), 404, "unknown_host")


def test_keys_of_names_that_begin_alike(world: World) -> None:
    """`sr_{slug}_…`: neither a shorter nor a longer slug reads a key as its own."""
    tag = new_id().hex[-8:]
    accounts = {slug: world.create_user(world.create_tenant(slug)) for slug in (f"k{tag}", f"k{tag}-b", f"k{tag}b", f"b-k{tag}")}
    keys = {slug: world.create_api_key(account, Scope.ADMIN).text for slug, account in accounts.items()}
    for slug in keys:
        for other, key in keys.items():
            response = Client(world.app, f"{slug}.localhost", key).get("/api/v1/account")
            assert response.status_code == (200 if slug == other else 401)
            assert slug == other or response.get_json()["code"] == "token_invalid"


PURPOSES = ("session", "download", "export", "invite", "upload part", "csrf", "sr_console", "sr_operator")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_purpose_is_good_for_itself_alone(world: World, purpose: str) -> None:
    """A token of each purpose, with a real session, file and user in it, at every door that takes one."""
    account = world.create_user(world.create_tenant())
    world.create_bucket(account.tenant)
    client = world.client(account)
    file = world.upload(client, "a.txt")
    claims = jwt.decode(str(client.token), options={"verify_signature": False})
    more = {
        "sid": claims["sid"],
        "type": "access",
        "tenant": account.tenant.slug,
        "ver": file["version_id"],
        "usr": account.id.hex,
        "inl": True,
    }
    key = world.runtime.keys.tenant_key(account.tenant.id, purpose)
    token = sign(key, purpose, file["id"].replace("-", ""), 60, **more, jti=str(new_id()), api="")
    nobody = world.client(account.tenant)
    answers = {
        "session": nobody.as_(token).get("/api/v1/account").status_code,
        "download": nobody.get(f"/api/v1/links/{token}").status_code,
        "export": nobody.get(f"/api/v1/tenant/exports/archive/{token}").status_code,
        "invite": nobody.post("/api/v1/auth/invite/accept", json={"token": token, "password": "long enough to be one"}).status_code,
        "part": nobody.put(f"/api/v1/uploads/{new_id()}/parts/1?token={token}", data=b"x").status_code,
        "cookie": Client(world.app, nobody.host, headers={"Cookie": f"sr_console={token}"}).get("/api/v1/account").status_code,
    }
    for door, status in answers.items():
        if door != purpose:
            assert status in {401, 404}, (door, status)


def test_tokens_of_a_slug_that_was_given_anew(world: World, operator: Client) -> None:
    """Links, parts and cookies of a tenant that is gone are nothing to the next one of its name."""
    slug = f"anew-{new_id().hex[-10:]}"
    former = world.create_user(world.create_tenant(slug), "owner", email="same@example.com")
    world.create_bucket(former.tenant)
    client = world.client(former)
    file = world.upload(client, "a.txt")
    world.run_jobs()
    link = ok(client.post(f"/api/v1/files/{file['id']}/presign", json={}))["url"]
    begun = ok(client.post("/api/v1/uploads", json={"bucket": "media", "path": "b.txt", "size_bytes": 1}), 201)
    browser = world.browser(former)
    ok(operator.delete(f"/operator/api/v1/tenants/{slug}"), 202)
    world.run_jobs()
    present = world.create_user(world.create_tenant(slug), "owner", email="same@example.com")
    world.create_bucket(present.tenant)
    world.upload(world.client(present), "a.txt", b"of the next")
    nobody = world.client(present.tenant)
    problem(nobody.get(link.partition(".localhost")[2]), 404, "not_found")
    problem(nobody.put(begun["parts"][0]["url"].partition(".localhost")[2], data=b"x"), 404, "not_found")
    assert browser.get("/api/v1/account").status_code == 401
    assert browser.get("/console/").status_code in {302, 303}
    kid = jwt.encode({"sub": "x", "exp": int(time.time()) + 60}, "k" * 32, "HS256", headers={"kid": str(former.tenant.id)})
    problem(nobody.as_(kid).get("/api/v1/account"), 401, "token_invalid")
