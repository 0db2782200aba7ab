"""Ids of one tenant, tried at another on every route that takes one: they are answered as if they had never existed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from strongroom.access import Role, Scope
from strongroom.users import service as users
from werkzeug.test import TestResponse

from tests.factories import Account, Client, World, object_url, ok, problem

RANDOM = "01890000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Things:
    """One of everything that a tenant can have."""

    account: Account
    file: str
    trashed: str
    version: str
    former: str
    user: str
    api_key: str
    session: str
    job: str
    bucket: str
    invite_token: str
    upload: str


@pytest.fixture
def theirs(world: World) -> Things:
    """What another tenant has."""
    account = world.create_user(world.create_tenant())
    world.create_bucket(account.tenant, "theirs")
    client = world.client(account)
    former = world.upload(client, "secret.txt", b"former", bucket="theirs")
    file = world.upload(client, "secret.txt", b"secret", bucket="theirs")
    trashed = world.upload(client, "trashed.txt", b"trashed", bucket="theirs")
    ok(client.delete(f"/api/v1/files/{trashed['id']}"), 204)
    invited = users.invite_user(world.runtime, account.tenant, account.principal, email="guest@example.com", role=Role.MEMBER)
    begun = ok(client.post("/api/v1/uploads", json={"bucket": "theirs", "path": "coming.txt", "size_bytes": 1}), 201)
    (session,) = world.rows(account.tenant, "sessions")
    return Things(
        account, file["id"], trashed["id"], file["version_id"], former["version_id"], str(world.create_user(account.tenant).id),
        str(world.create_api_key(account, Scope.ADMIN).id), str(session["id"]), str(world.jobs(account.tenant)[0]["id"]), "theirs",
        invited.token, begun["id"],
    )  # fmt: skip


@pytest.fixture
def mine(world: World, client: Client, bucket: Any) -> dict[str, Any]:  # noqa: ARG001 - the file lies in it
    return dict(world.upload(client, "mine.txt", b"mine"))


def without_ids(response: TestResponse) -> tuple[Any, ...]:
    """An answer without what differs from request to request."""
    body = re.sub(rb'"(instance|request_id)": ?"[^"]*"', b"", response.data)
    kept = {name: value for name, value in response.headers if name not in {"X-Request-Id", "Content-Length"} and "RateLimit" not in name}
    return response.status_code, body, kept


ROUTES = [
    ("GET", "/api/v1/files/{}", "file", {}),
    ("PATCH", "/api/v1/files/{}", "file", {"json": {"path": "stolen.txt"}}),
    ("PATCH", "/api/v1/files/{}", "file", {"json": {"metadata": {"a": "b"}}}),
    ("DELETE", "/api/v1/files/{}", "file", {}),
    ("DELETE", "/api/v1/files/{}", "file", {"headers": {"If-Match": "*"}}),
    ("GET", "/api/v1/files/{}/content", "file", {}),
    ("HEAD", "/api/v1/files/{}/content", "file", {}),
    ("GET", "/api/v1/files/{}/content", "file", {"headers": {"Range": "bytes=0-0"}}),
    ("GET", "/api/v1/files/{}/versions", "file", {}),
    ("GET", "/api/v1/files/{}/content?redirect=1", "file", {}),
    ("POST", "/api/v1/files/{}/presign", "file", {"json": {}}),
    ("POST", "/api/v1/files/{}/presign", "trashed", {"json": {"single_use": True}}),
    ("GET", "/api/v1/files/{}/blocks", "file", {}),
    ("POST", "/api/v1/files/{}/undelete", "trashed", {}),
    ("GET", "/api/v1/uploads/{}", "upload", {}),
    ("DELETE", "/api/v1/uploads/{}", "upload", {}),
    ("POST", "/api/v1/uploads/{}/parts", "upload", {"json": {"numbers": [1]}}),
    ("POST", "/api/v1/uploads/{}/complete", "upload", {"json": {}}),
    ("PUT", "/api/v1/uploads/{}/parts/1?token=none", "upload", {"data": b"x"}),
    ("GET", "/api/v1/files/{}", "trashed", {}),
    ("GET", "/api/v1/files/{}", "version", {}),
    ("GET", "/api/v1/users/{}", "user", {}),
    ("PATCH", "/api/v1/users/{}", "user", {"json": {"role": "viewer"}}),
    ("DELETE", "/api/v1/users/{}", "user", {}),
    ("DELETE", "/api/v1/api-keys/{}", "api_key", {}),
    ("DELETE", "/api/v1/account/sessions/{}", "session", {}),
]


@pytest.mark.parametrize(("method", "path", "kind", "send"), ROUTES, ids=str)
def test_anothers_id_is_as_unknown_as_a_random_one(
    world: World, client: Client, theirs: Things, method: str, path: str, kind: str, send: dict[str, Any]
) -> None:
    stolen = client.open(method, path.format(getattr(theirs, kind)), **send)
    random = client.open(method, path.format(RANDOM), **send)
    assert stolen.status_code == 404
    assert without_ids(stolen) == without_ids(random)
    untouched(world, theirs)


@pytest.mark.parametrize("kind", ["version", "former"])
def test_anothers_version_of_ones_own_file(world: World, client: Client, theirs: Things, mine: dict[str, Any], kind: str) -> None:
    version = getattr(theirs, kind)
    for method, path in (
        ("GET", f"/api/v1/files/{mine['id']}/content?version={{}}"),
        ("GET", f"{object_url('media', 'mine.txt')}?version={{}}"),
        ("POST", f"/api/v1/files/{mine['id']}/versions/{{}}/restore"),
        ("POST", f"/api/v1/files/{theirs.file}/versions/{{}}/restore"),
    ):
        stolen, random = client.open(method, path.format(version)), client.open(method, path.format(RANDOM))
        assert stolen.status_code == 404, path
        assert without_ids(stolen) == without_ids(random)
    untouched(world, theirs)


@pytest.mark.usefixtures("bucket")
def test_a_version_of_another_file_of_ones_own(world: World, client: Client) -> None:
    first, second = world.upload(client, "1.txt", b"1"), world.upload(client, "2.txt", b"2")
    problem(client.get(f"/api/v1/files/{first['id']}/content?version={second['version_id']}"), 404, "not_found")
    problem(client.post(f"/api/v1/files/{first['id']}/versions/{second['version_id']}/restore"), 404, "not_found")


FORM = b'--x\r\nContent-Disposition: form-data; name="f"; filename="secret.txt"\r\n\r\noverwritten\r\n--x--\r\n'
BUCKET_ROUTES = [
    ("POST", "/api/v1/objects/{}", {"data": FORM, "content_type": "multipart/form-data; boundary=x"}),
    ("GET", "/api/v1/sharex.sxcu?bucket={}", {}),
    ("GET", "/api/v1/buckets/{}", {}),
    ("PATCH", "/api/v1/buckets/{}", {"json": {"trash_days": 0}}),
    ("DELETE", "/api/v1/buckets/{}", {}),
    ("GET", "/api/v1/buckets/{}/files", {}),
    ("GET", "/api/v1/buckets/{}/archive", {}),
    ("POST", "/api/v1/buckets/{}/archive", {"json": {"paths": ["secret.txt"]}}),
    ("GET", "/api/v1/objects/{}/secret.txt", {}),
    ("GET", "/api/v1/objects/{}/secret.txt?redirect=1", {}),
    ("HEAD", "/api/v1/objects/{}/secret.txt", {}),
    ("DELETE", "/api/v1/objects/{}/secret.txt", {}),
    ("PUT", "/api/v1/objects/{}/secret.txt", {"data": b"overwritten"}),
]


@pytest.mark.parametrize(("method", "path", "send"), BUCKET_ROUTES, ids=str)
def test_anothers_bucket_is_as_unknown_as_any(
    world: World, client: Client, theirs: Things, method: str, path: str, send: dict[str, Any]
) -> None:
    stolen = client.open(method, path.format(theirs.bucket), **send)
    random = client.open(method, path.format("random"), **send)
    assert stolen.status_code == 404
    assert without_ids(stolen) == without_ids(random)
    untouched(world, theirs)


def test_anothers_bucket_takes_no_import(world: World, client: Client, theirs: Things) -> None:
    answers = [
        client.post("/api/v1/uploads/from-url", json={"url": "http://example.com/x", "bucket": bucket})
        for bucket in (theirs.bucket, "random")
    ]
    assert answers[0].status_code == 404
    assert without_ids(answers[0]) == without_ids(answers[1])
    untouched(world, theirs)


def test_same_names_are_different_things(world: World, client: Client, theirs: Things, owner: Account) -> None:
    """A bucket and a path of the same names at another tenant lead to one's own bytes."""
    world.create_bucket(owner.tenant, theirs.bucket)
    world.upload(client, "secret.txt", b"my own", bucket=theirs.bucket)
    assert client.get(object_url(theirs.bucket, "secret.txt")).data == b"my own"
    ok(client.delete(object_url(theirs.bucket, "secret.txt")), 204)
    untouched(world, theirs)


def test_anothers_invitation(world: World, theirs: Things, client: Client, owner: Account) -> None:
    body = {"token": theirs.invite_token, "password": "a new password"}
    for credential in (client, world.client(owner.tenant)):
        problem(credential.post("/api/v1/auth/invite/accept", json=body), 401, "token_invalid")
    guest = ok(world.client(theirs.account.tenant).post("/api/v1/auth/invite/accept", json=body))
    assert guest["email"] == "guest@example.com"


def test_jobs_are_no_tenants_to_retry(client: Client, theirs: Things) -> None:
    problem(client.as_(client.token, "localhost").post(f"/operator/api/v1/jobs/{theirs.job}/retry"), 401, "token_invalid")


NO_IDS = [
    "x",
    "0",
    "..",
    "%2e%2e%2f",
    "01890000",
    RANDOM.replace("-", ""),
    f"{{{RANDOM}}}",
    f"urn:uuid:{RANDOM}",
    "ä",
    "'",
    RANDOM + "0",
]


@pytest.mark.parametrize("text", NO_IDS)
def test_what_is_no_id(client: Client, text: str) -> None:
    for path in ("/api/v1/files/{}", "/api/v1/users/{}", "/api/v1/files/{}/content", "/api/v1/files/{}/versions"):
        problem(client.get(path.format(text)), 404, "not_found")
    problem(client.get(f"/api/v1/uploads/{text}"), 404, "not_found")
    problem(client.delete(f"/api/v1/api-keys/{text}"), 404, "not_found")


# Inside one tenant


def test_a_session_is_its_users_own(world: World, owner: Account, client: Client) -> None:
    colleague = world.create_user(owner.tenant, "member")
    theirs = world.client(colleague)
    (session,) = world.rows(owner.tenant, "sessions", "user_id = %(id)s", id=colleague.id)
    problem(client.delete(f"/api/v1/account/sessions/{session['id']}"), 404, "not_found")
    assert [each["id"] for each in ok(theirs.get("/api/v1/account/sessions"))["items"]] == [str(session["id"])]
    ok(theirs.delete(f"/api/v1/account/sessions/{session['id']}"), 204)
    problem(theirs.get("/api/v1/account"), 401, "token_invalid")


def test_members_see_and_revoke_their_own_keys_only(world: World, owner: Account, client: Client) -> None:
    member = world.create_user(owner.tenant, "member")
    of_owner = world.create_api_key(owner, Scope.FILES_READ)
    of_member = world.create_api_key(member, Scope.FILES_READ)
    theirs = world.client(member)
    assert [each["id"] for each in ok(theirs.get("/api/v1/api-keys"))["items"]] == [str(of_member.id)]
    problem(theirs.delete(f"/api/v1/api-keys/{of_owner.id}"), 404, "not_found")
    assert {each["id"] for each in ok(client.get("/api/v1/api-keys"))["items"]} == {str(of_owner.id), str(of_member.id)}
    ok(client.delete(f"/api/v1/api-keys/{of_member.id}"), 204)
    problem(client.delete(f"/api/v1/api-keys/{of_member.id}"), 404, "not_found")


def untouched(world: World, theirs: Things) -> None:
    """Everything of the other tenant is as it was."""
    client = world.client(theirs.account)
    assert client.get(object_url("theirs", "secret.txt")).data == b"secret"
    assert ok(client.get(f"/api/v1/files/{theirs.file}"))["version_id"] == theirs.version
    assert [each["id"] for each in ok(client.get("/api/v1/trash"))["items"]] == [theirs.trashed]
    assert {each["id"] for each in ok(client.get("/api/v1/api-keys"))["items"]} == {theirs.api_key}
    assert [(each["id"], each["state"]) for each in ok(client.get("/api/v1/uploads"))["items"]] == [(theirs.upload, "open")]
    assert ok(client.get(f"/api/v1/users/{theirs.user}"))["role"] == "owner"
    assert UUID(theirs.session) in {row["id"] for row in world.rows(theirs.account.tenant, "sessions", "ended_at IS NULL")}
