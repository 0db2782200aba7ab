"""A tenant's settings: versions, conditions, who changed what; and that each of them has its effect."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tenants.models import Tenant
from tests.factories import Account, Client, World, host_of, ok, problem, put_object

SETTINGS = "/api/v1/tenant/settings"
VERSIONS = f"{SETTINGS}/versions"
LOGIN = "/api/v1/auth/login"


def change(client: Client, **parts: Any) -> Any:
    return ok(client.patch(SETTINGS, json=parts))


# Versions


def test_as_they_begin(client: Client, tenant: Tenant) -> None:
    answer = client.get(SETTINGS)
    found = ok(answer)
    assert answer.headers["ETag"] == '"1"'
    assert found["brand"] == {"name": tenant.name, "primary": "#2f5bea", "accent": "#2f5bea"}
    assert found["sessions"] == {"access_token_lifetime_s": None, "session_lifetime_s": None}
    assert found["scanning"] == {"uploader_gets_unchecked": True, "buckets_may_serve_unscanned": True}
    made = ok(client.post("/api/v1/buckets", json={"name": "plain"}), 201)
    assert {name: made[name] for name in found["bucket_defaults"]} == found["bucket_defaults"], "what is shown is what buckets get"
    (version,) = ok(client.get(VERSIONS))["items"]
    assert (version["version"], version["changes"], version["actor"]) == (1, {}, {})


def test_a_part_changes_and_the_rest_stays(client: Client, owner: Account) -> None:
    assert change(client, sessions={"session_lifetime_s": 3600})["version"] == 2
    found = change(client, brand={"name": "Acme", "primary": "#AA0000"}, sessions={"access_token_lifetime_s": 600})
    assert (found["version"], found["brand"]["primary"], found["sessions"]["session_lifetime_s"]) == (3, "#aa0000", 3600)
    assert ok(client.get("/api/v1/tenant"))["branding"]["name"] == "Acme"
    assert change(client, sessions={"session_lifetime_s": 3600})["version"] == 3, "what changes nothing is no version"
    assert change(client, sessions={"session_lifetime_s": None})["sessions"]["session_lifetime_s"] is None
    newest, third, *_ = ok(client.get(VERSIONS))["items"]
    assert newest["changes"] == {"sessions.session_lifetime_s": {"from": 3600, "to": None}}
    assert third["actor"] == {"user_id": str(owner.id)}
    assert set(third["changes"]) == {"brand.name", "brand.primary", "sessions.access_token_lifetime_s"}


def test_a_change_of_what_is_not_there_any_more_is_refused(client: Client) -> None:
    first = client.get(SETTINGS).headers["ETag"]
    changed = client.patch(SETTINGS, json={"sessions": {"session_lifetime_s": 900}}, headers={"If-Match": first})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    for tag in (first, '"99"', '"x"', f"W/{changed.headers['ETag']}"):
        refused = client.patch(SETTINGS, json={"sessions": {"session_lifetime_s": 901}}, headers={"If-Match": tag})
        problem(refused, 412, "precondition_failed")
    problem(client.patch(SETTINGS, json={}, headers={"If-Match": "2"}), 400, "bad_request")
    problem(client.post(f"{VERSIONS}/1/restore", headers={"If-Match": first}), 412, "precondition_failed")
    assert ok(client.get(SETTINGS))["sessions"]["session_lifetime_s"] == 900
    ok(client.patch(SETTINGS, json={"sessions": {"session_lifetime_s": 902}}, headers={"If-Match": '"1", "2"'}))
    ok(client.patch(SETTINGS, json={"sessions": {"session_lifetime_s": 903}}, headers={"If-Match": "*"}))


def test_of_two_at_once_one_is_refused(world: World, owner: Account) -> None:
    client, statuses = world.client(owner), []

    def act(seconds: int) -> None:
        answer = client.patch(SETTINGS, json={"sessions": {"session_lifetime_s": seconds}}, headers={"If-Match": '"1"'})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=act, args=(1000 + number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 412, 412, 412]


def test_a_former_version_comes_back(client: Client) -> None:
    change(client, brand={"name": "Old"}, bucket_defaults={"trash_days": 7})
    change(client, brand={"name": "New"}, bucket_defaults={"trash_days": None, "versioning": False})
    former = ok(client.get(f"{VERSIONS}/2"))
    assert (former["settings"]["brand"]["name"], former["settings"]["bucket_defaults"]["trash_days"]) == ("Old", 7)
    restored = ok(client.post(f"{VERSIONS}/2/restore"))
    assert (restored["version"], restored["brand"]["name"]) == (4, "Old")
    assert (restored["bucket_defaults"]["trash_days"], restored["bucket_defaults"]["versioning"]) == (7, True)
    assert ok(client.post(f"{VERSIONS}/1/restore"))["bucket_defaults"]["trash_days"] == 30
    for version in ("99", "0", "x", "-1", "9" * 30):
        problem(client.get(f"{VERSIONS}/{version}"), 404, "not_found")
        problem(client.post(f"{VERSIONS}/{version}/restore"), 404, "not_found")


def test_versions_come_in_pages(client: Client) -> None:
    for seconds in (900, 901, 902):
        change(client, sessions={"session_lifetime_s": seconds})
    page = ok(client.get(VERSIONS, query_string={"limit": 3}))
    rest = ok(client.get(VERSIONS, query_string={"limit": 3, "cursor": page["next_cursor"]}))
    assert [each["version"] for each in page["items"] + rest["items"]] == [4, 3, 2, 1]
    assert rest["next_cursor"] is None


def test_each_change_is_told(world: World, client: Client, tenant: Tenant, owner: Account) -> None:
    change(client, scanning={"uploader_gets_unchecked": False})
    ok(client.patch("/api/v1/tenant/branding", json={"primary": "#010203"}))
    events = world.rows(tenant, "events", "kind = 'settings.updated' ORDER BY xid, id")
    assert [each["data"]["version"] for each in events] == [2, 3]
    assert events[1]["data"]["changes"] == {"brand.primary": {"from": None, "to": "#010203"}}
    assert {each["actor"]["user_id"] for each in events} == {str(owner.id)}


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("sessions", {"access_token_lifetime_s": 59}),
        ("sessions", {"access_token_lifetime_s": "600"}),
        ("sessions", {"session_lifetime_s": 90 * 86400 + 1}),
        ("sessions", {"session_lifetime_s": 300, "access_token_lifetime_s": 301}),
        ("sessions", {"nothing": 1}),
        ("scanning", {"uploader_gets_unchecked": "perhaps"}),
        ("bucket_defaults", {"public": True}),
        ("bucket_defaults", {"trash_days": -1}),
        ("bucket_defaults", {"allowed_types": ["nonsense"]}),
        ("brand", {"primary": "red"}),
        ("brand", {"name": "  "}),
        ("brand", {"name": "a\nb"}),
    ],
)
def test_what_is_refused_says_where(client: Client, part: str, fields: dict[str, Any]) -> None:
    told = problem(client.patch(SETTINGS, json={part: fields}), 422, "validation_failed")
    assert set(told["errors"]) == {part}
    assert set(told["errors"][part]) <= set(fields)
    assert ok(client.get(SETTINGS))["version"] == 1


def test_other_parts_are_unknown(client: Client) -> None:
    told = problem(client.patch(SETTINGS, json={"nothing": {}, "brand": None}), 422, "validation_failed")
    assert set(told["errors"]) == {"nothing", "brand"}


def test_a_tenant_that_is_gone_leaves_no_versions(world: World, client: Client, tenant: Tenant, operator: Client) -> None:
    change(client, sessions={"session_lifetime_s": 3600})
    count = "SELECT count(*) AS count FROM strongroom.settings_versions WHERE tenant_id = %(id)s"
    assert world.sql(count, id=tenant.id)[0]["count"] == 2
    ok(operator.delete(f"/operator/api/v1/tenants/{tenant.slug}"), 202)
    world.run_jobs()
    assert world.sql(count, id=tenant.id)[0]["count"] == 0


# Effects


def seconds_of(token: str) -> int:
    claims = jwt.decode(token, options={"verify_signature": False})
    return int(claims["exp"] - claims["iat"])


def test_tokens_are_good_for_as_long_as_the_tenant_says(world: World, client: Client, tenant: Tenant, owner: Account) -> None:
    change(client, sessions={"access_token_lifetime_s": 120, "session_lifetime_s": 600})
    door = Client(world.app, host_of(tenant))
    tokens = ok(door.post(LOGIN, json={"email": owner.email, "password": owner.password}))
    assert tokens["expires_in_s"] == 120
    assert (seconds_of(tokens["access_token"]), seconds_of(tokens["refresh_token"])) == (120, 600)
    ends = max(each["expires_at"] for each in world.rows(tenant, "sessions", "expires_at < now() + interval '1 hour'"))
    assert timedelta(seconds=500) < ends - datetime.now(UTC) <= timedelta(seconds=600)
    renewed = ok(door.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]}))
    assert seconds_of(renewed["access_token"]) == 120
    elsewhere = world.create_user(world.create_tenant())
    assert world.sign_in(elsewhere)["expires_in_s"] == world.settings.access_token_lifetime_s, "other tenants are as they were"


def test_the_consoles_cookie_ends_with_the_session(world: World, client: Client, tenant: Tenant, owner: Account) -> None:
    change(client, sessions={"session_lifetime_s": 600})
    answer = Client(world.app, host_of(tenant)).post("/console/login", data={"email": owner.email, "password": owner.password})
    (cookie,) = [each for each in answer.headers.getlist("Set-Cookie") if each.startswith("sr_console=")]
    lasts = int(cookie.partition("Max-Age=")[2].partition(";")[0])
    assert 500 < lasts <= 600


def test_new_buckets_begin_as_the_tenant_says(client: Client) -> None:
    former = ok(client.post("/api/v1/buckets", json={"name": "former"}), 201)
    change(client, bucket_defaults={"allowed_types": ["image/*"], "max_size_bytes": 1000, "trash_days": 3, "versioning": False})
    made = ok(client.post("/api/v1/buckets", json={"name": "new", "trash_days": 5}), 201)
    assert (made["allowed_types"], made["max_size_bytes"], made["versioning"]) == (["image/*"], 1000, False)
    assert made["trash_days"] == 5, "its maker's word comes first"
    problem(put_object(client, "new", "a.txt"), 415, "type_not_allowed")
    assert ok(client.get("/api/v1/buckets/former")) == former


def test_nobody_gets_what_was_not_checked(world: World, client: Client) -> None:
    world_bucket = ok(client.post("/api/v1/buckets", json={"name": "media"}), 201)["name"]
    file = world.upload(client, "a.txt", b"early", bucket=world_bucket)
    content = f"/api/v1/files/{file['id']}/content"
    assert client.get(content).data == b"early"
    change(client, scanning={"uploader_gets_unchecked": False})
    problem(client.get(content), 409, "file_pending")
    problem(client.get("/api/v1/objects/media/a.txt"), 409, "file_pending")
    world.run_jobs()
    assert client.get(content).data == b"early", "once it was found clean"


def test_nobody_gets_what_could_not_be_scanned(world: World, client: Client, tenant: Tenant) -> None:
    ok(client.post("/api/v1/buckets", json={"name": "media", "serve_unscanned": True}), 201)
    file = world.upload(client, "a.bin", b"deep")
    world.run_jobs()
    query = "UPDATE {t}.versions SET verdict = 'unscanned', reason = 'too deep' WHERE id = %(id)s"
    world.tenant_sql(tenant, query, id=file["version_id"])
    reader, content = world.client(world.create_user(tenant, "member")), f"/api/v1/files/{file['id']}/content"
    link = ok(client.post(f"/api/v1/files/{file['id']}/presign", json={}))["url"].partition("localhost")[2]
    assert reader.get(content).data == b"deep"
    assert Client(world.app, host_of(tenant)).get(link).data == b"deep"
    change(client, scanning={"buckets_may_serve_unscanned": False})
    problem(reader.get(content), 403, "file_unscanned")
    problem(Client(world.app, host_of(tenant)).get(link), 403, "file_unscanned")
    assert client.get(content).data == b"deep", "its uploader"
    change(client, scanning={"uploader_gets_unchecked": False})
    problem(client.get(content), 403, "file_unscanned")


# The console


def form_of(world: World, tenant: Tenant, **changes: str) -> dict[str, str]:
    (row,) = world.sql("SELECT settings_version FROM strongroom.tenants WHERE id = %(id)s", id=tenant.id)
    empty = {"allowed_types": "", "max_size": "", "max_size_unit": "GB", "trash_days": "30", "cache_max_age_s": "300"}
    switches = dict.fromkeys(("versioning", "uploader_gets_unchecked", "buckets_may_serve_unscanned"), "1")
    return {
        "version": str(row["settings_version"]),
        **empty,
        "access_token_lifetime_s": "",
        "session_lifetime_s": "",
        **switches,
        **changes,
    }


def test_the_page(world: World, owner: Account, tenant: Tenant) -> None:
    browser, page = world.browser(owner), "/console/settings/"
    assert b'name="session_lifetime_s"' in browser.get(page).data
    form = form_of(world, tenant, session_lifetime_s="7200", max_size="1.5", allowed_types="image/*")
    assert browser.post(page, data=form).status_code == 303
    shown = browser.get(page).get_data(as_text=True)
    assert 'value="7200"' in shown
    assert "sessions.session_lifetime_s" in shown
    newest = ok(world.client(owner).get(VERSIONS))["items"][0]
    assert set(newest["changes"]) == {"sessions.session_lifetime_s", "bucket_defaults.max_size_bytes", "bucket_defaults.allowed_types"}
    new = browser.get("/console/buckets/new").get_data(as_text=True)
    assert ('value="1.5"' in new, "image/*" in new) == (True, True), "the form of a new bucket begins so"
    assert browser.post(page, data={**form, "session_lifetime_s": "7201"}).status_code == 303
    settings = ok(world.client(owner).get(SETTINGS))
    assert (settings["sessions"]["session_lifetime_s"], settings["bucket_defaults"]["max_size_bytes"]) == (7200, 1_500_000_000)
    for name, wrong in (("session_lifetime_s", "5"), ("trash_days", "soon"), ("max_size", "x"), ("allowed_types", "nonsense")):
        refused = browser.post(page, data=form_of(world, tenant, **{name: wrong}))
        assert (refused.status_code, f'id="{name}-error"' in refused.get_data(as_text=True)) == (422, True), name
    assert browser.post(f"{page}versions/1/restore", data={"version": "2"}).status_code == 303
    assert ok(world.client(owner).get(SETTINGS))["sessions"]["session_lifetime_s"] is None
