"""Public buckets: their clean files without a credential, for caches and pages of others; nothing else, and nothing told."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.models import Tenant
from tests.factories import EICAR, PLATFORM, Account, Client, World, object_url, ok, problem

TEXT = b"for everybody, " * 200
URL = object_url("site", "a/Ünï text.txt")
NOWHERE = object_url("site", "nowhere.txt")


@pytest.fixture
def site(world: World, tenant: Tenant) -> Any:
    return world.create_bucket(tenant, "site", public=True, cache_max_age_s=60)


@pytest.fixture
def file(world: World, client: Client, site: Any) -> Any:  # noqa: ARG001 - the file lies in it
    made = world.upload(client, "a/Ünï text.txt", TEXT, bucket="site")
    world.run_jobs()
    return made


@pytest.fixture
def anybody(world: World, tenant: Tenant) -> Client:
    return world.client(tenant)


def events(world: World, tenant: Tenant, kind: str) -> list[dict[str, Any]]:
    return [row["data"] for row in world.rows(tenant, "events", "kind = %(kind)s ORDER BY xid, id", kind=kind)]


def test_anybody_may_have_it(anybody: Client, file: Any) -> None:
    response = anybody.get(URL)
    assert (response.status_code, response.data) == (200, TEXT)
    headers = response.headers
    assert headers["Cache-Control"] == "public, max-age=60, must-revalidate"
    assert headers["ETag"] == f'"{file["etag"]}"'
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in headers["Access-Control-Expose-Headers"]
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in headers
    assert anybody.head(URL).headers["Content-Length"] == str(len(TEXT))
    assert anybody.get(URL, headers={"Range": "bytes=4-12"}).data == TEXT[4:13]
    unchanged = anybody.get(URL, headers={"If-None-Match": headers["ETag"]})
    assert (unchanged.status_code, unchanged.headers["Access-Control-Allow-Origin"]) == (304, "*")
    assert unchanged.headers["Cache-Control"] == headers["Cache-Control"]
    assert anybody.get(URL, headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"


def test_no_cache_keeps_a_failure(world: World, tenant: Tenant, client: Client, anybody: Client, file: Any) -> None:
    """What is not there now, or may not be had yet, may be there in a moment."""
    pending = object_url("site", "new.txt")
    world.upload(client, "new.txt", b"new", bucket="site")
    gone = object_url("site", "gone.txt")
    ok(client.delete(f"/api/v1/files/{world.upload(client, 'gone.txt', b'gone', bucket='site')['id']}"), 204)
    tag = f'"{file["etag"]}"'
    cases: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", NOWHERE, {}, 404), ("GET", pending, {}, 404), ("GET", gone, {}, 404), ("GET", URL, {"Range": "bytes=999999-"}, 416),
        ("GET", URL, {"If-Match": '"x"'}, 412), ("GET", URL, {"Accept-Encoding": "identity;q=0"}, 406), ("POST", URL, {}, 405),
        ("GET", object_url("site", "a/../b"), {}, 400), ("GET", object_url("none", "a"), {}, 401), ("PUT", URL, {}, 401),
        ("GET", f"{URL}?version={file['version_id']}", {}, 401), ("GET", URL, {"Authorization": "Bearer x"}, 401),
        ("GET", NOWHERE, {"If-None-Match": tag}, 404),
    ]  # fmt: skip
    for method, url, headers, status in cases:
        for each in {method, "HEAD"} if method == "GET" else {method}:
            answer = anybody.open(each, url, headers=headers)
            assert (answer.status_code, answer.headers["Cache-Control"]) == (status, "no-store"), (each, url)
            assert not {"ETag", "Last-Modified", "Expires", "Age"} & set(answer.headers.keys()), (each, url)
    world.tenant_sql(tenant, "UPDATE {t}.versions SET status = 'quarantined', verdict = 'infected'")
    infected = anybody.get(URL)
    assert (infected.status_code, infected.headers["Cache-Control"]) == (404, "no-store")
    world.stored(tenant)[0].unlink()
    world.tenant_sql(tenant, "UPDATE {t}.versions SET status = 'available', verdict = 'clean'")
    lost = [anybody.get(each) for each in (URL, pending)]
    assert 404 in {each.status_code for each in lost}
    assert {each.headers["Cache-Control"] for each in lost if each.status_code == 404} == {"no-store"}


def test_a_page_cannot_run_on_our_origin(world: World, client: Client, anybody: Client, file: Any) -> None:  # noqa: ARG001 - the site with a file in it
    world.upload(client, "a.html", b"<!doctype html><script>alert(1)</script>", bucket="site", Content_Type="text/html")
    world.run_jobs()
    headers = anybody.get(object_url("site", "a.html")).headers
    assert headers["Content-Disposition"].startswith("attachment;")
    assert "sandbox" in headers["Content-Security-Policy"]


@pytest.mark.usefixtures("file")
def test_nothing_but_the_present_bytes(anybody: Client, file: Any) -> None:
    for method, path in (
        ("GET", "/api/v1/buckets"), ("GET", "/api/v1/buckets/site"), ("GET", "/api/v1/buckets/site/files"),
        ("GET", "/api/v1/buckets/site/archive"), ("GET", f"/api/v1/files/{file['id']}"), ("GET", f"/api/v1/files/{file['id']}/content"),
        ("GET", f"/api/v1/files/{file['id']}/versions"), ("GET", f"{URL}?version={file['version_id']}"), ("PUT", URL), ("DELETE", URL),
    ):  # fmt: skip
        problem(anybody.open(method, path), 401, "unauthenticated")
    problem(anybody.get(NOWHERE), 404, "not_found")
    problem(anybody.as_(None, PLATFORM).get(URL), 401, "unauthenticated")


def test_a_private_bucket_tells_nothing(world: World, client: Client, tenant: Tenant, anybody: Client) -> None:
    world.create_bucket(tenant, "private")
    world.upload(client, "there.txt", bucket="private")
    world.run_jobs()
    answers = []
    for bucket, path in (("private", "there.txt"), ("private", "not-there.txt"), ("no-bucket", "there.txt")):
        response = anybody.get(object_url(bucket, path), headers={"Range": "bytes=0-0", "If-None-Match": "*"})
        body = problem(response, 401, "unauthenticated")
        kept = {
            name: value for name, value in response.headers if name not in {"X-Request-Id", "Content-Length"} and "RateLimit" not in name
        }
        answers.append((body["detail"], kept))
        assert anybody.head(object_url(bucket, path)).status_code == 401
    assert all(each == answers[0] for each in answers)


@pytest.mark.parametrize(("status", "verdict"), [
    ("pending", "pending"), ("quarantined", "infected"), ("rejected", "invalid"), ("available", "unscanned"),
])  # fmt: skip
def test_only_clean_files(world: World, tenant: Tenant, client: Client, anybody: Client, file: Any, status: str, verdict: str) -> None:
    """Also where the bucket gives unscanned files to its users; and what only its uploader may have lies in no cache."""
    ok(client.patch("/api/v1/buckets/site", json={"serve_unscanned": True}))
    query = "UPDATE {t}.versions SET status = %(status)s, verdict = %(verdict)s WHERE id = %(id)s"
    world.tenant_sql(tenant, query, status=status, verdict=verdict, id=file["version_id"])
    missing = problem(anybody.get(NOWHERE), 404, "not_found")
    assert problem(anybody.get(URL), 404, "not_found")["detail"] == missing["detail"]
    assert anybody.head(URL).status_code == 404
    own = client.get(URL)
    if own.status_code == 200:
        assert "private" in own.headers["Cache-Control"]
        assert "Access-Control-Allow-Origin" not in own.headers


def test_former_versions_lie_in_no_shared_cache(world: World, client: Client, file: Any) -> None:
    world.upload(client, "a/Ünï text.txt", b"newer", bucket="site")
    world.run_jobs()
    former = client.get(f"{URL}?version={file['version_id']}")
    assert (former.data, former.headers["Cache-Control"]) == (TEXT, "private, no-cache")
    assert "public" in client.get(URL).headers["Cache-Control"]


@pytest.mark.usefixtures("file")
def test_a_wrong_credential_is_no_none(world: World, anybody: Client) -> None:
    problem(anybody.as_("nonsense").get(URL), 401, "token_invalid")
    problem(anybody.with_headers({"Authorization": "Basic eDp5"}).get(URL), 401, "unauthenticated")
    foreign = world.client(world.create_user(world.create_tenant()))
    problem(foreign.as_(foreign.token, anybody.host).get(URL), 401, "token_invalid")


@pytest.mark.usefixtures("file")
def test_a_browser_whose_session_is_over(world: World, owner: Account, tenant: Tenant) -> None:
    browser = world.browser(owner)
    assert browser.get(URL).status_code == 200
    world.tenant_sql(tenant, "UPDATE {t}.sessions SET ended_at = now()")
    assert browser.get(URL).status_code == 200
    problem(browser.get("/api/v1/buckets"), 401, "token_invalid")


@pytest.mark.usefixtures("file")
def test_another_tenants_bucket_of_that_name(world: World) -> None:
    other = world.create_tenant()
    world.create_bucket(other, "site", public=True)
    problem(world.client(other).get(URL), 404, "not_found")


def test_nobody_is_counted_as_nobody(world: World, client: Client, anybody: Client, tenant: Tenant, file: Any) -> None:
    anybody.get(URL)
    (row,) = world.rows(tenant, "access_log", "operation = 'download'")
    assert (row["user_id"], row["api_key_id"], row["bytes_out"], str(row["file_id"])) == (None, None, len(TEXT), file["id"])
    world.run_jobs()
    for group in ("user", "api_key", "bucket"):
        usage = ok(client.get(f"/api/v1/stats/usage?group_by={group}"))
        assert sum(item["downloads"] for item in usage["items"]) == 1


def test_pages_of_others_may_ask_first(anybody: Client) -> None:
    for bucket in ("site", "private", "none"):
        response = anybody.open("OPTIONS", object_url(bucket, "a.txt"), headers={"Origin": "https://example.com"})
        assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (200, "*")
        assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
        assert "authorization" not in response.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Origin" not in anybody.open("OPTIONS", "/api/v1/buckets").headers


def test_only_admins_open_a_bucket(world: World, tenant: Tenant, client: Client) -> None:
    world.create_bucket(tenant, "media")
    member = world.client(world.create_user(tenant, "member"))
    problem(member.patch("/api/v1/buckets/media", json={"public": True}), 403, "forbidden")
    shown = ok(client.patch("/api/v1/buckets/media", json={"public": True}))
    assert (shown["public"], shown["cache_max_age_s"], shown["redirect_downloads"]) == (True, 300, False)
    ok(client.patch("/api/v1/buckets/media", json={"public": False}))
    opened, closed = events(world, tenant, "bucket.updated")
    assert (opened["public"], "purge" in opened) == (True, False)
    assert (closed["public"], closed["purge"]) == (False, ["/api/v1/objects/media/*"])
    for wrong in ({"cache_max_age_s": -1}, {"cache_max_age_s": 31536001}, {"public": "perhaps"}):
        problem(client.patch("/api/v1/buckets/media", json=wrong), 422, "validation_failed")


def test_a_closed_bucket(client: Client, anybody: Client, file: Any) -> None:  # noqa: ARG001 - the file is in it
    assert anybody.get(URL).status_code == 200
    ok(client.patch("/api/v1/buckets/site", json={"public": False}))
    problem(anybody.get(URL), 401, "unauthenticated")


def test_events_tell_caches_what_to_forget(world: World, client: Client, tenant: Tenant, file: Any) -> None:
    ok(client.get("/api/v1/account"))
    world.upload(client, "a/Ünï text.txt", b"newer", bucket="site")
    assert events(world, tenant, "file.updated")[-1]["purge"] == [URL]
    ok(client.patch(f"/api/v1/files/{file['id']}", json={"path": "b.txt"}))
    assert sorted(events(world, tenant, "file.moved")[-1]["purge"]) == sorted([URL, object_url("site", "b.txt")])
    world.run_jobs()
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    assert events(world, tenant, "file.deleted")[-1]["purge"] == [object_url("site", "b.txt")]
    world.upload(client, "bad.txt", EICAR, bucket="site")
    world.run_jobs()
    verdict = events(world, tenant, "file.verdict")[-1]
    assert (verdict["status"], verdict["purge"]) == ("quarantined", [object_url("site", "bad.txt")])


def test_private_files_are_in_no_cache(world: World, client: Client, tenant: Tenant) -> None:
    world.create_bucket(tenant, "private")
    world.upload(client, "a.txt", bucket="private")
    assert "purge" not in events(world, tenant, "file.created")[-1]
