"""Links of our own: for a while or for one download, as long as whoever made them may have the file, and nowhere else."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from strongroom.access import Scope
from strongroom.files import links
from strongroom.life import service as life
from strongroom.security.tokens import sign

from tenants.models import Tenant
from tests.factories import Account, Client, World, object_url, ok, problem
from tests.slow import all_at_once

pytestmark = pytest.mark.usefixtures("bucket")
TEXT = b"a text for whoever has the link, " * 100


@pytest.fixture
def file(world: World, client: Client, bucket: Any) -> Any:  # noqa: ARG001 - the file lies in it
    made = world.upload(client, "folder/Ünï.txt", TEXT)
    world.run_jobs()
    return made


def link(client: Client, file: Any, **body: Any) -> str:
    made = ok(client.post(f"/api/v1/files/{file['id']}/presign", json=body))
    assert set(made) == {"url", "expires_at"}
    return str(made["url"])


def path_of(url: str) -> str:
    return urlsplit(url).path


@pytest.fixture
def stranger(world: World, tenant: Tenant) -> Client:
    """Somebody at the tenant's host without a credential."""
    return world.client(tenant)


def test_good_for_a_while(client: Client, stranger: Client, file: Any, tenant: Tenant) -> None:
    before = datetime.now(UTC)
    made = ok(client.post(f"/api/v1/files/{file['id']}/presign", json={"expires_in_s": 600}))
    assert abs(datetime.fromisoformat(made["expires_at"]) - before - timedelta(seconds=600)) < timedelta(seconds=30)
    assert urlsplit(made["url"]).hostname == f"{tenant.slug}.localhost"
    path = path_of(made["url"])
    for _ in range(2):
        response = stranger.get(path)
        assert (response.status_code, response.data) == (200, TEXT)
    assert stranger.head(path).headers["Content-Length"] == str(len(TEXT))
    assert stranger.get(path, headers={"Range": "bytes=2-5"}).data == TEXT[2:6]
    assert stranger.get(path, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304
    assert stranger.get(path, headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert "private" in response.headers["Cache-Control"]


def test_made_on_the_platforms_host_it_leads_to_the_tenants(client: Client, file: Any, tenant: Tenant) -> None:
    elsewhere = client.as_(client.token, "localhost")
    assert urlsplit(link(elsewhere, file)).hostname == f"{tenant.slug}.localhost"


def test_how_it_is_shown(client: Client, stranger: Client, file: Any) -> None:
    for body, kind in (({}, "inline"), ({"disposition": "inline"}, "inline"), ({"disposition": "attachment"}, "attachment")):
        assert stranger.get(path_of(link(client, file, **body))).headers["Content-Disposition"].startswith(f"{kind};")


def test_pages_are_never_shown(world: World, client: Client, stranger: Client) -> None:
    page = world.upload(client, "a.html", b"<!doctype html><script>alert(1)</script>", Content_Type="text/html")
    world.run_jobs()
    response = stranger.get(path_of(link(client, page, disposition="inline")))
    assert response.headers["Content-Disposition"].startswith("attachment;")


def test_it_stays_with_its_version(world: World, client: Client, stranger: Client, file: Any) -> None:
    path = path_of(link(client, file))
    newer = world.upload(client, "folder/Ünï.txt", b"newer")
    world.run_jobs()
    assert stranger.get(path).data == TEXT
    assert stranger.get(path_of(link(client, newer))).data == b"newer"
    assert stranger.get(path_of(link(client, newer, version=file["version_id"]))).data == TEXT
    other = world.upload(client, "other.txt", b"other")
    problem(client.post(f"/api/v1/files/{file['id']}/presign", json={"version": other["version_id"]}), 404, "not_found")


@pytest.mark.parametrize("body", [
    {"expires_in_s": 0}, {"expires_in_s": 604801}, {"expires_in_s": "60"}, {"disposition": "evil"}, {"method": "PUT"}, {"version": "x"},
    {"single_use": "perhaps"}, {"unknown": 1},
])  # fmt: skip
def test_what_cannot_be_asked_for(client: Client, file: Any, body: dict[str, Any]) -> None:
    problem(client.post(f"/api/v1/files/{file['id']}/presign", json=body), 422, "validation_failed")


def test_seven_days_at_most(client: Client, stranger: Client, file: Any) -> None:
    assert stranger.get(path_of(link(client, file, expires_in_s=604800, method="GET"))).status_code == 200


def test_its_time_is_over(world: World, stranger: Client, owner: Account, file: Any, tenant: Tenant) -> None:
    key = world.runtime.keys.tenant_key(tenant.id, links.PURPOSE)
    claims = {"ver": file["version_id"], "usr": owner.id.hex, "inl": True}
    good = sign(key, links.PURPOSE, file["id"], 60, **claims)
    over = sign(key, links.PURPOSE, file["id"], -1, **claims)
    assert stranger.get(f"/api/v1/links/{good}").status_code == 200
    problem(stranger.get(f"/api/v1/links/{over}"), 410, "link_expired")
    wrong_purpose = sign(key, "share", file["id"], 60, **claims)
    wrong_key = sign(world.runtime.keys.tenant_key(tenant.id, "session"), links.PURPOSE, file["id"], 60, **claims)
    incomplete = sign(key, links.PURPOSE, file["id"], 60)
    for token in (wrong_purpose, wrong_key, incomplete, good[:-2], good + "x", "x", "a.b.c"):
        problem(stranger.get(f"/api/v1/links/{token}"), 404, "not_found")


def test_no_other_address_takes_it(world: World, client: Client, file: Any) -> None:
    path = path_of(link(client, file))
    problem(world.client(world.create_tenant()).get(path), 404, "not_found")
    assert world.client("localhost").get(path).status_code == 404
    token = path.rsplit("/", 1)[1]
    problem(client.as_(token).get(object_url("media", "folder/Ünï.txt")), 401, "token_invalid")


def test_it_dies_with_its_maker(world: World, client: Client, stranger: Client, file: Any, tenant: Tenant) -> None:
    for end in ({"disabled": True}, None):
        member = world.create_user(tenant, "viewer")
        path = path_of(link(world.client(member), file))
        assert stranger.get(path).status_code == 200
        if end:
            ok(client.patch(f"/api/v1/users/{member.id}", json=end))
        else:
            ok(client.delete(f"/api/v1/users/{member.id}"), 204)
        problem(stranger.get(path), 410, "link_expired")


def test_it_dies_with_its_makers_key(world: World, client: Client, stranger: Client, owner: Account, file: Any, tenant: Tenant) -> None:
    key = world.create_api_key(owner, Scope.FILES_READ)
    path = path_of(link(world.client(tenant, key), file))
    assert stranger.get(path).status_code == 200
    ok(client.delete(f"/api/v1/api-keys/{key.id}"), 204)
    problem(stranger.get(path), 410, "link_expired")
    expiring = world.create_api_key(owner, Scope.FILES_READ)
    path = path_of(link(world.client(tenant, expiring), file))
    world.tenant_sql(tenant, "UPDATE {t}.api_keys SET expires_at = now() - interval '1 second' WHERE id = %(id)s", id=expiring.id)
    problem(stranger.get(path), 410, "link_expired")


def test_a_key_that_may_not_read_makes_none(world: World, owner: Account, file: Any, tenant: Tenant) -> None:
    client = world.client(tenant, world.create_api_key(owner, Scope.FILES_WRITE))
    problem(client.post(f"/api/v1/files/{file['id']}/presign", json={}), 403, "forbidden")


def test_it_gives_no_more_than_its_maker_has(world: World, client: Client, stranger: Client, tenant: Tenant) -> None:
    """An uploader may have its own file before the verdict; whoever has its link may not, nor what its maker may not any more."""
    member = world.create_user(tenant, "member")
    theirs = world.client(member)
    path = path_of(link(theirs, world.upload(theirs, "own.txt", b"own")))
    assert theirs.get(object_url("media", "own.txt")).data == b"own"
    problem(stranger.get(path), 409, "file_pending")
    world.run_jobs()
    assert stranger.get(path).data == b"own"
    ok(client.patch(f"/api/v1/users/{member.id}", json={"disabled": True}))
    problem(stranger.get(path), 410, "link_expired")


def test_it_rests_with_its_tenant(world: World, client: Client, stranger: Client, file: Any, tenant: Tenant) -> None:
    path = path_of(link(client, file))
    life.suspend(world.runtime, tenant.id)
    problem(stranger.get(path), 403, "tenant_suspended")


def test_a_deleted_file(client: Client, stranger: Client, file: Any) -> None:
    path = path_of(link(client, file))
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    problem(stranger.get(path), 404, "not_found")
    ok(client.post(f"/api/v1/files/{file['id']}/undelete"))
    assert stranger.get(path).status_code == 200


def test_it_counts_for_its_maker(world: World, owner: Account, client: Client, stranger: Client, file: Any, tenant: Tenant) -> None:
    key = world.create_api_key(owner, Scope.FILES_READ)
    stranger.get(path_of(link(client, file)))
    stranger.get(path_of(link(world.client(tenant, key), file)), headers={"Range": "bytes=0-9"})
    found = world.rows(tenant, "access_log", "operation = 'download' ORDER BY id")
    assert [(row["user_id"], row["api_key_id"], row["bytes_out"]) for row in found] == [(owner.id, None, len(TEXT)), (owner.id, key.id, 10)]


# For one download


def test_once(client: Client, stranger: Client, file: Any) -> None:
    path = path_of(link(client, file, single_use=True))
    assert stranger.head(path).status_code == 200
    assert stranger.get(path, headers={"Range": "bytes=999999-"}).status_code == 416
    response = stranger.get(path)
    assert (response.status_code, response.data) == (200, TEXT)
    assert response.headers["Cache-Control"] == "no-store"
    for method in ("GET", "HEAD"):
        assert stranger.open(method, path).status_code == 410
    problem(stranger.get(path), 410, "link_used")


def test_what_may_not_be_had_yet_does_not_use_it_up(world: World, client: Client, stranger: Client, tenant: Tenant) -> None:
    pending = world.upload(client, "later.txt", b"later")
    path = path_of(link(world.client(world.create_user(tenant, "viewer")), pending, single_use=True))
    problem(stranger.get(path), 409, "file_pending")
    world.run_jobs()
    assert stranger.get(path).data == b"later"
    problem(stranger.get(path), 410, "link_used")


def test_of_many_at_once_one_has_it(world: World, client: Client, file: Any, tenant: Tenant) -> None:
    path = path_of(link(client, file, single_use=True))
    found: list[int] = []
    begin = threading.Barrier(8)

    def ask() -> None:
        begin.wait(10)
        found.append(world.client(tenant).get(path).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == [200] + [410] * 7
    assert len(world.rows(tenant, "access_log", "operation = 'download'")) == 1


@pytest.mark.parametrize("headers", [
    {"If-None-Match": "*"}, {"If-None-Match": "{tag}"}, {"If-Match": '"x"'}, {"Range": "bytes=99999-"}, {"If-Modified-Since": "{date}"},
    {"Accept-Encoding": "identity;q=0, x"},
], ids=str)  # fmt: skip
def test_an_answer_without_bytes_does_not_use_it_up(client: Client, stranger: Client, file: Any, headers: dict[str, str]) -> None:
    path = path_of(link(client, file, single_use=True))
    head = stranger.head(path)
    told = {"{tag}": head.headers["ETag"], "{date}": head.headers["Last-Modified"]}
    sent = {name: told.get(value, value) for name, value in headers.items()}
    for method in ("GET", "HEAD"):
        answer = stranger.open(method, path, headers=sent)
        assert answer.status_code in {304, 406, 412, 416}
        assert TEXT not in answer.data
    assert stranger.get(path).data == TEXT


def test_a_download_that_broke_off_cannot_be_resumed(client: Client, stranger: Client, file: Any) -> None:
    """Whoever had the first byte has had the link: else each range would be one more download."""
    path = path_of(link(client, file, single_use=True))
    tag = stranger.head(path).headers["ETag"]
    first = stranger.get(path, headers={"Range": "bytes=0-3"})
    assert (first.status_code, first.data) == (206, TEXT[:4])
    for headers in ({"Range": "bytes=4-"}, {"Range": "bytes=4-", "If-Range": tag}, {"If-None-Match": tag}, {}):
        problem(stranger.get(path, headers=headers), 410, "link_used")


def test_heads_and_gets_at_once(world: World, client: Client, file: Any, tenant: Tenant) -> None:
    """Each GET wants another range, so that together they would have the file."""
    path = path_of(link(client, file, single_use=True))
    ranges = [{"Range": f"bytes={start}-{start + 2}"} for start in range(0, 12, 3)]
    gets = [lambda headers=headers: world.client(tenant).get(path, headers=headers) for headers in ranges]
    answers = all_at_once([*gets, *[lambda: world.client(tenant).head(path)] * 4])
    assert sorted(answer.status_code for answer in answers[:4]) == [206, 410, 410, 410]
    assert {answer.status_code for answer in answers[4:]} <= {200, 410}
    assert len(world.rows(tenant, "used_links")) == 1


def test_used_links_are_forgotten_in_time(world: World, client: Client, stranger: Client, file: Any, tenant: Tenant) -> None:
    paths = [path_of(link(client, file, single_use=True)) for _ in range(2)]
    for path in paths:
        stranger.get(path)
    assert links.forget_used(world.runtime, tenant) == 0
    over = "UPDATE {t}.used_links SET expires_at = now() - %(ago)s::interval WHERE id = (SELECT min(id::text)::uuid FROM {t}.used_links)"
    world.tenant_sql(tenant, over, ago="1 second")
    assert links.forget_used(world.runtime, tenant) == 0, "a process whose clock is slow would take its token once more"
    world.tenant_sql(tenant, over, ago="2 days")
    assert links.forget_used(world.runtime, tenant) == 1
    assert len(world.rows(tenant, "used_links")) == 1


def test_a_link_gives_no_stranger_what_was_not_checked(world: World, client: Client, tenant: Tenant) -> None:
    """Its maker, who has sent the file, may have it back before the verdict; whoever holds the link may not."""
    file = world.upload(client, "new.txt")
    assert client.get(f"/api/v1/files/{file['id']}/content").status_code == 200
    made = ok(client.post(f"/api/v1/files/{file['id']}/presign", json={}))
    stranger = world.client(tenant)
    problem(stranger.get(urlsplit(made["url"]).path), 409, "file_pending")
    world.run_jobs()
    assert stranger.get(urlsplit(made["url"]).path).status_code == 200
