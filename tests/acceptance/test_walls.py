"""Two tenants: each sees, changes and is told of its own alone; what is not yours is 404."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.acceptance.client import Client, assert_problem
from tests.acceptance.deployment import Deployment
from tests.acceptance.waiting import wait_until

CANARY = "canary-of-a"


class Pair:
    """Tenants A and B; A has a bucket and files that are full of a word which must not be anywhere at B."""

    def __init__(self, deployment: Deployment) -> None:
        self.a, self.b = deployment.tenant(), deployment.tenant()
        self.bucket = self.a.owner.bucket(f"{CANARY}-bucket")
        self.a.owner.bucket("shared-name")
        self.b.owner.bucket("shared-name")
        self.file = self.a.owner.store("shared-name", f"{CANARY}/file.txt", f"{CANARY} content".encode())
        self.trashed = self.a.owner.upload("shared-name", f"{CANARY}-trash.txt", b"x")
        self.a.owner.request("DELETE", f"/api/v1/files/{self.trashed['id']}")
        key = self.a.owner.post("/api/v1/api-keys", json={"name": CANARY, "scopes": ["admin"]}).json()
        self.key, self.key_id = key["key"], key["id"]
        self.user = self.a.owner.listed("/api/v1/users")[0]
        self.session = self.a.owner.listed("/api/v1/account/sessions")[0]


@pytest.fixture(scope="module")
def pair(deployment: Deployment) -> Iterator[Pair]:
    return Pair(deployment)


def b_requests(pair: Pair) -> list[tuple[str, str, dict[str, object]]]:
    """Everything that B can ask for with ids and names of A."""
    file, version = pair.file["id"], pair.file["version_id"]
    return [
        ("GET", f"/api/v1/files/{file}", {}),
        ("GET", f"/api/v1/files/{file}/content", {}),
        ("GET", f"/api/v1/files/{file}/versions", {}),
        ("GET", f"/api/v1/files/{file}/content?version={version}", {}),
        ("PATCH", f"/api/v1/files/{file}", {"json": {"path": "taken.txt"}}),
        ("DELETE", f"/api/v1/files/{file}", {}),
        ("POST", f"/api/v1/files/{file}/versions/{version}/restore", {}),
        ("POST", f"/api/v1/files/{pair.trashed['id']}/undelete", {}),
        ("GET", f"/api/v1/objects/shared-name/{CANARY}/file.txt", {}),
        ("HEAD", f"/api/v1/objects/shared-name/{CANARY}/file.txt", {}),
        ("DELETE", f"/api/v1/objects/shared-name/{CANARY}/file.txt", {}),
        ("GET", f"/api/v1/objects/{CANARY}-bucket/x", {}),
        ("PUT", f"/api/v1/objects/{CANARY}-bucket/x", {"data": b"x"}),
        ("GET", f"/api/v1/buckets/{CANARY}-bucket", {}),
        ("GET", f"/api/v1/buckets/{CANARY}-bucket/files", {}),
        ("PATCH", f"/api/v1/buckets/{CANARY}-bucket", {"json": {"versioning": False}}),
        ("DELETE", f"/api/v1/buckets/{CANARY}-bucket", {}),
        ("GET", f"/api/v1/users/{pair.user['id']}", {}),
        ("PATCH", f"/api/v1/users/{pair.user['id']}", {"json": {"role": "viewer"}}),
        ("DELETE", f"/api/v1/users/{pair.user['id']}", {}),
        ("DELETE", f"/api/v1/api-keys/{pair.key_id}", {}),
        ("DELETE", f"/api/v1/account/sessions/{pair.session['id']}", {}),
    ]


def test_what_is_not_yours_is_not_there(pair: Pair) -> None:
    for method, path, options in b_requests(pair):
        answer = pair.b.owner.request(method, path, **options)  # type: ignore[arg-type]  # options of a test, passed on
        assert answer.status_code == 404, (method, path, answer.status_code)
        if method != "HEAD":
            assert_problem(answer, 404, "not_found")
            own = {member: value for member, value in answer.json().items() if member not in {"instance", "request_id"}}
            assert CANARY not in json.dumps(own)
    assert pair.a.owner.file(pair.file["id"]) == pair.file, "something of A was changed"
    assert pair.a.owner.get("/api/v1/buckets").status_code == 200


def test_a_token_or_key_is_nothing_at_another_tenant(pair: Pair) -> None:
    at_b: Client = pair.b.owner
    for credential in (pair.a.owner.token, pair.a.owner.refresh_token, pair.key):
        assert_problem(at_b.get("/api/v1/buckets", token=credential), 401, "token_invalid")
    assert_problem(at_b.post("/api/v1/auth/refresh", token=pair.a.owner.refresh_token), 401, "token_invalid")
    assert pair.a.owner.get("/api/v1/buckets", token=pair.key).status_code == 200


def test_a_token_that_claims_another_tenant_does_not_verify(pair: Pair) -> None:
    parts = str(pair.a.owner.token).split(".")
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    claims["tenant"] = pair.b.slug
    parts[1] = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert_problem(pair.b.owner.get("/api/v1/buckets", token=".".join(parts)), 401, "token_invalid")
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    for forged in (f"{header}.{parts[1]}.", f"{header}.{parts[1]}.{parts[2]}"):
        assert_problem(pair.b.owner.get("/api/v1/buckets", token=forged), 401, "token_invalid")


def test_an_operators_token_opens_no_tenant_and_a_tenants_no_operator(pair: Pair, deployment: Deployment) -> None:
    assert_problem(pair.a.owner.get("/api/v1/buckets", token=deployment.operator().token), 401, "token_invalid")
    platform = deployment.client()
    for credential in (pair.a.owner.token, pair.key):
        assert_problem(platform.get("/operator/api/v1/tenants", token=credential), 401, "token_invalid")
    assert_problem(pair.a.owner.get("/operator/api/v1/tenants", token=deployment.operator().token), 404, "not_found")


def test_no_answer_at_b_has_a_word_of_a(pair: Pair) -> None:
    paths = [
        "/api/v1/buckets",
        "/api/v1/buckets/shared-name/files",
        "/api/v1/trash",
        "/api/v1/users",
        "/api/v1/api-keys",
        "/api/v1/account/sessions",
        "/api/v1/tenant",
        "/api/v1/tenant/branding",
        "/api/v1/tenant/quota",
        "/api/v1/stats/usage?group_by=bucket",
        "/api/v1/stats/usage?group_by=user",
    ]
    for path in paths:
        answer = pair.b.owner.get(path)
        assert answer.status_code == 200, path
        seen = answer.text + json.dumps(dict(answer.headers))
        assert CANARY not in seen
        assert pair.a.id not in seen
        assert pair.a.slug not in seen


def test_no_log_line_has_what_tenants_store(pair: Pair, deployment: Deployment) -> None:
    for log in (deployment.state / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert f"{CANARY} content" not in text
        assert str(pair.a.owner.token) not in text
        assert pair.key not in text


def test_a_cursor_is_nothing_at_another_tenant_or_listing(pair: Pair) -> None:
    for number in range(3):
        pair.a.owner.upload("shared-name", f"page/{number}", b"x")
    cursor = pair.a.owner.get("/api/v1/buckets/shared-name/files", params={"limit": 1}).json()["next_cursor"]
    assert cursor
    listing = "/api/v1/buckets/shared-name/files"
    assert_problem(pair.b.owner.get(listing, params={"cursor": cursor}), 400, "invalid_cursor")
    assert_problem(pair.a.owner.get(f"/api/v1/buckets/{CANARY}-bucket/files", params={"cursor": cursor}), 400, "invalid_cursor")
    assert_problem(pair.a.owner.get("/api/v1/trash", params={"cursor": cursor}), 400, "invalid_cursor")
    assert_problem(pair.a.owner.get(listing, params={"cursor": cursor[:-2] + "AA"}), 400, "invalid_cursor")


def test_same_names_are_different_files_and_quota_and_stats_are_apart(deployment: Deployment) -> None:
    a, b = deployment.tenant(), deployment.tenant()
    for each in (a, b):
        each.owner.bucket("media")
        each.owner.store("media", "same.txt", f"of {each.slug}".encode())
    for each in (a, b):
        assert each.owner.download("media", "same.txt").text == f"of {each.slug}"
    for _ in range(3):
        a.owner.download("media", "same.txt")
    wait_until(lambda: a.owner.usage()["totals"]["downloads"] == 4, 30, "A's downloads to be counted")
    wait_until(lambda: b.owner.usage()["totals"]["downloads"] == 1, 30, "B's download to be counted")
    assert b.owner.quota()["used_files"] == 1
    assert set(a.stored()).isdisjoint(b.stored())


def test_similar_slugs_are_different_tenants(deployment: Deployment) -> None:
    base = deployment.tenant()
    for slug in (f"{base.slug}-b", f"{base.slug}b"):
        made = deployment.operator().post(
            "/operator/api/v1/tenants", json={"slug": slug, "owner_email": "o@x.test", "owner_password": "long enough to be one"}
        )
        assert made.status_code == 201
        other = deployment.tenant_client(slug)
        assert_problem(other.get("/api/v1/buckets", token=base.owner.token), 401, "token_invalid")
    base.owner.bucket("media")
    base.owner.upload("media", "a.txt", b"x")
    for name, found in base.stored().items():
        assert base.id.replace("-", "") in str(found), name
