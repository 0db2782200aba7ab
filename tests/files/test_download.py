"""Downloads: ranges, conditions, names, headers that keep content from running, and who may have what before its verdict."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom.access import Scope
from strongroom.files.headers import disposition

from tenants.models import Tenant
from tests.factories import EICAR, PNG, Account, Client, World, object_url, ok, problem
from tests.tus.talk import Talk
from tests.uploads.direct_client import Sender

pytestmark = pytest.mark.usefixtures("bucket")
DATA = bytes(range(256)) * 4
URL = object_url("media", "a.bin")


@pytest.fixture
def file(world: World, client: Client, bucket: Any) -> Any:  # noqa: ARG001 - the file lies in it
    made = world.upload(client, "a.bin", DATA)
    world.run_jobs()
    return made


def test_whole(client: Client, file: Any) -> None:
    for url in (URL, f"/api/v1/files/{file['id']}/content"):
        response = client.get(url)
        assert response.status_code == 200
        assert response.data == DATA
        assert response.headers["Content-Length"] == "1024"
        assert response.headers["ETag"] == f'"{file["etag"]}"'
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["Last-Modified"].endswith("GMT")
        assert "private" in response.headers["Cache-Control"]


def test_head_is_get_without_bytes(client: Client, file: Any) -> None:
    url = f"/api/v1/files/{file['id']}/content"
    for headers in ({}, {"Range": "bytes=10-19"}, {"If-None-Match": f'"{file["etag"]}"'}, {"Range": "bytes=5000-"}):
        get, head = client.get(url, headers=headers), client.head(url, headers=headers)
        assert head.data == b""
        assert head.status_code == get.status_code
        for name in ("Content-Type", "ETag", "Content-Range", "Content-Disposition", "Last-Modified"):
            assert head.headers.get(name) == get.headers.get(name), name
        if get.status_code < 300:
            assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize(("header", "start", "end"), [
    ("bytes=0-0", 0, 0), ("bytes=0-1023", 0, 1023), ("bytes=10-19", 10, 19), ("bytes=1000-", 1000, 1023), ("bytes=1000-5000", 1000, 1023),
    ("bytes=-1", 1023, 1023), ("bytes=-1024", 0, 1023), ("bytes=-5000", 0, 1023), ("bytes= 10 - 19 ", 10, 19), ("bytes=1023-", 1023, 1023),
])  # fmt: skip
def test_ranges(client: Client, header: str, start: int, end: int) -> None:
    response = client.get(URL, headers={"Range": header})
    assert response.status_code == 206
    assert response.data == DATA[start : end + 1]
    assert response.headers["Content-Range"] == f"bytes {start}-{end}/1024"
    assert response.headers["Content-Length"] == str(end - start + 1)


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("header", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_ranges_that_are_not_there(client: Client, header: str) -> None:
    response = client.get(URL, headers={"Range": header})
    problem(response, 416, "range_not_satisfiable")
    assert response.headers.get("Content-Range") == "bytes */1024"


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("header", [
    "bytes=20-10", "bytes=a-b", "bytes=", "bytes=-", "items=0-1", "0-1", "bytes=0x0-0x1", "bytes=--1", "bytes 0-1",
    "bytes=1.5-2",
])  # fmt: skip
def test_ranges_that_mean_nothing_are_ignored(client: Client, header: str) -> None:
    response = client.get(URL, headers={"Range": header})
    assert (response.status_code, response.data) == (200, DATA)


@pytest.mark.usefixtures("file")
def test_a_range_of_many_digits(client: Client) -> None:
    for header in ("bytes=" + "9" * 30 + "-", "bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000, "bytes=0-" + "9" * 5000):
        assert client.get(URL, headers={"Range": header}).status_code in {200, 206, 416}


def test_an_empty_file(world: World, client: Client) -> None:
    world.upload(client, "empty", b"")
    url = object_url("media", "empty")
    assert (client.get(url).status_code, client.get(url).data) == (200, b"")
    for header in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        assert client.get(url, headers={"Range": header}).status_code in {200, 416}


def test_if_range(client: Client, file: Any) -> None:
    modified = client.head(URL).headers["Last-Modified"]
    part = {"Range": "bytes=0-1"}
    for condition, status in (
        (f'"{file["etag"]}"', 206), (f'W/"{file["etag"]}"', 200), ('"other"', 200), (modified, 206), ("Mon, 01 Jan 2001 00:00:00 GMT", 200),
        ("nonsense", 200), ("*", 200),
    ):  # fmt: skip
        assert client.get(URL, headers={**part, "If-Range": condition}).status_code == status, condition


def test_not_modified(client: Client, file: Any) -> None:
    etag = file["etag"]
    for condition, status in (
        (f'"{etag}"', 304), (f'W/"{etag}"', 304), (f'"x", "{etag}"', 304), ("*", 304), ('"x"', 200), (f'"{etag}x"', 200),
        (f'"{etag[1:]}"', 200),
    ):  # fmt: skip
        response = client.get(URL, headers={"If-None-Match": condition})
        assert response.status_code == status, condition
        if status == 304:
            assert response.data == b""
            assert response.headers["ETag"] == f'"{etag}"'
    modified = client.head(URL).headers["Last-Modified"]
    assert client.get(URL, headers={"If-Modified-Since": modified}).status_code == 304
    assert client.get(URL, headers={"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}).status_code == 200
    assert client.get(URL, headers={"If-Modified-Since": modified, "If-None-Match": '"x"'}).status_code == 200


def test_a_replaced_file_has_another_tag(world: World, client: Client, file: Any) -> None:
    world.upload(client, "a.bin", DATA[::-1])
    assert client.get(URL, headers={"If-None-Match": f'"{file["etag"]}"'}).status_code == 200
    assert client.get(URL, headers={"Range": "bytes=0-1", "If-Range": f'"{file["etag"]}"'}).status_code == 200


# What a browser is told

NAMES = [
    'quote".txt', "back'tick.txt", "semi;colon.txt", "per%cent.txt", "com,ma.txt", "Ünï.txt", "漢字.txt", "a\u202egnp.exe",
    "\u200bzero.txt",
    "x" * 200 + ".txt",
    "<script>.txt", "../x" .replace("/", "∕"), "\ufeffbom.txt", "\u2028line.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_in_content_disposition(world: World, client: Client, name: str) -> None:
    world.upload(client, f"folder/{name}", b"text")
    value = client.get(object_url("media", f"folder/{name}")).headers["Content-Disposition"]
    kind, plain, extended = split_disposition(value)
    assert kind in {"inline", "attachment"}
    assert plain.isascii()
    assert not set(plain) & set('"\\\r\n;')
    assert "folder" not in extended
    assert not {character for character in extended if character in "\u202e\u200b\ufeff\u2028\r\n"}
    if name.isprintable():
        assert extended == name


def split_disposition(value: str) -> tuple[str, str, str]:
    """The parts, after having seen that there are exactly three."""
    assert value.isascii()
    kind, plain, extended = value.split("; ")
    assert plain.startswith('filename="')
    assert plain.endswith('"')
    assert extended.startswith("filename*=UTF-8''")
    return kind, plain[10:-1], unquote(extended.removeprefix("filename*=UTF-8''"))


@given(st.text(max_size=50), st.booleans())
def test_no_name_breaks_out_of_content_disposition(name: str, inline: bool) -> None:
    _, plain, extended = split_disposition(disposition(name.encode(errors="replace").decode(), inline=inline))
    assert not set(plain) & set('"\\\r\n;\0')
    assert not set(extended) & set("\r\n\0")


@pytest.mark.parametrize(("name", "data", "declared", "kind"), [
    ("page.html", b"<!doctype html><script>alert(1)</script>", "text/html", "attachment"),
    ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "image/svg+xml", "attachment"),
    ("data.xml", b"<?xml version='1.0'?><a/>", "application/xml", "attachment"),
    ("script.js", b"alert(1)", "text/javascript", "attachment"),
    ("a.bin", b"\0\1\2", "application/octet-stream", "attachment"),
    ("picture.png", PNG, "image/png", "inline"),
    ("notes.txt", b"just text", "text/plain", "inline"),
])  # fmt: skip
def test_content_cannot_run_on_our_origin(world: World, client: Client, name: str, data: bytes, declared: str, kind: str) -> None:
    world.upload(client, name, data, Content_Type=declared)
    world.run_jobs()
    headers = client.get(object_url("media", name)).headers
    assert headers["Content-Disposition"].split(";")[0] == kind
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Content-Type"].split(";")[0] == declared


def test_a_page_that_is_called_text_stays_text(world: World, client: Client) -> None:
    """Declared as text, it is served as text that nobody sniffs."""
    world.upload(client, "a.txt", b"<html><script>alert(1)</script></html>", Content_Type="text/plain")
    headers = client.get(object_url("media", "a.txt")).headers
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "declared",
    [
        "text/html\r\nX-Evil: 1",
        "text/html\nX-Evil: 1",
        "text/pl\0ain",
        "text/plain\x7f",
        "x" * 300,
        "text",
        "/",
        "text/",
        "tex t/plain",
        "text/plain, text/html",
        "é/é",
    ],
    ids=ascii,
)
def test_strange_content_types_reach_no_header(client: Client, declared: str) -> None:
    overrides = {"CONTENT_TYPE": declared, "CONTENT_LENGTH": "4"}
    response = client.put(object_url("media", "a.txt"), data=b"text", environ_overrides=overrides)
    assert response.status_code in {201, 400, 415, 422}, response.data
    if response.status_code == 201:
        headers = client.get(object_url("media", "a.txt")).headers
        assert "X-Evil" not in headers
        media_type = headers["Content-Type"].split(";")[0]
        assert media_type.isascii()
        assert media_type.isprintable()
        assert media_type.count("/") == 1


# Who may have what, and when


def states(world: World, tenant: Tenant, **values: str) -> None:
    query = "UPDATE {t}.versions SET status = coalesce(%(status)s, status), verdict = coalesce(%(verdict)s, verdict), reason = %(reason)s"
    world.tenant_sql(tenant, query, **{"status": None, "verdict": None, "reason": None, **values})


@pytest.fixture
def readers(world: World, tenant: Tenant, owner: Account) -> dict[str, Client]:
    """The uploader, others, and keys of both."""
    other = world.create_user(tenant, "admin")
    return {
        "uploader": world.client(owner),
        "uploader's key": world.client(tenant, world.create_api_key(owner, Scope.FILES_READ)),
        "admin": world.client(other),
        "admin's key": world.client(tenant, world.create_api_key(other, Scope.ADMIN)),
        "viewer": world.client(world.create_user(tenant, "viewer")),
    }


def answers(readers: dict[str, Client], url: str = URL) -> dict[str, tuple[int, str | None]]:
    found = {name: reader.get(url) for name, reader in readers.items()}
    return {name: (each.status_code, each.get_json()["code"] if each.status_code >= 400 else None) for name, each in found.items()}


OWN = ("uploader", "uploader's key")


def test_before_the_verdict(world: World, client: Client, readers: dict[str, Client]) -> None:
    file = world.upload(client, "a.bin", DATA)
    for url in (URL, f"/api/v1/files/{file['id']}/content", f"/api/v1/files/{file['id']}/content?version={file['version_id']}"):
        assert answers(readers, url) == {name: (200, None) if name in OWN else (409, "file_pending") for name in readers}
    response = readers["viewer"].get(URL)
    assert int(response.headers["Retry-After"]) > 0
    assert readers["viewer"].head(URL).status_code == 409
    assert readers["viewer"].get(URL, headers={"Range": "bytes=0-0"}).status_code == 409
    assert readers["viewer"].get(URL, headers={"If-None-Match": "*"}).status_code == 409
    world.run_jobs()
    assert set(answers(readers).values()) == {(200, None)}


@pytest.mark.parametrize("status", ["quarantined", "rejected"])
def test_what_did_not_pass_is_for_nobody(world: World, tenant: Tenant, file: Any, readers: dict[str, Client], status: str) -> None:
    states(world, tenant, status=status, verdict="infected")
    for url in (URL, f"/api/v1/files/{file['id']}/content", f"/api/v1/files/{file['id']}/content?version={file['version_id']}"):
        assert set(answers(readers, url).values()) == {(403, "file_quarantined")}
    ok(readers["admin"].patch("/api/v1/buckets/media", json={"serve_unscanned": True}))
    assert set(answers(readers).values()) == {(403, "file_quarantined")}


@pytest.mark.usefixtures("file")
def test_what_was_not_scanned_whole(world: World, tenant: Tenant, readers: dict[str, Client]) -> None:
    states(world, tenant, verdict="unscanned", reason="archive_encrypted")
    assert answers(readers) == {name: (200, None) if name in OWN else (403, "file_unscanned") for name in readers}
    ok(readers["admin"].patch("/api/v1/buckets/media", json={"serve_unscanned": True}))
    assert set(answers(readers).values()) == {(200, None)}


def test_serving_unscanned_is_not_serving_pending(world: World, client: Client, readers: dict[str, Client]) -> None:
    ok(client.patch("/api/v1/buckets/media", json={"serve_unscanned": True}))
    world.upload(client, "a.bin", DATA)
    assert answers(readers)["viewer"] == (409, "file_pending")


def test_ones_own_upload_after_a_demotion(world: World, tenant: Tenant, client: Client) -> None:
    """Who may not upload any more has no files of its own before their verdict."""
    member = world.create_user(tenant, "member")
    theirs = world.client(member)
    world.upload(theirs, "a.bin", DATA)
    assert theirs.get(URL).status_code == 200
    ok(client.patch(f"/api/v1/users/{member.id}", json={"role": "viewer"}))
    problem(theirs.get(URL), 409, "file_pending")


def test_the_version_counts_not_the_file(world: World, tenant: Tenant, client: Client) -> None:
    """Who made the file is not who uploaded its present version."""
    member = world.create_user(tenant, "member")
    world.upload(client, "a.bin", DATA)
    world.run_jobs()
    file = world.upload(world.client(member), "a.bin", b"newer")
    assert file["created_by"] != str(member.id)
    problem(client.get(URL), 409, "file_pending")
    assert world.client(member).get(URL).data == b"newer"


def test_whoever_completes_anothers_upload_is_not_its_uploader(world: World, tenant: Tenant, client: Client) -> None:
    """An administrator may end a member's upload well, and may have its bytes when they were checked."""
    member = world.client(world.create_user(tenant, "member"))
    theirs, admins = Sender(member), Sender(client)
    begun = theirs.begin(DATA)
    tags = theirs.send(begun, DATA)
    file = ok(admins.complete(begun, tags), 201)
    by_tus = Talk(member).begin(4, "b.bin")
    Talk(client).send(by_tus, 0, b"some")
    for url in (URL, object_url("media", "b.bin")):
        problem(client.get(url), 409, "file_pending")
        assert member.get(url).status_code == 200
    assert file["created_by"] == str(ok(member.get("/api/v1/account"))["id"])
    world.run_jobs()
    assert client.get(URL).data == DATA


@pytest.mark.usefixtures("file")
def test_bytes_that_are_gone(world: World, tenant: Tenant, client: Client) -> None:
    """A row never points at bytes that are not there; if it does, that is told as what it is."""
    world.stored(tenant)[0].unlink()
    response = client.get(URL)
    assert response.status_code in {404, 503}
    assert response.content_type == "application/problem+json"


def test_infected_bytes_are_never_given_out(world: World, client: Client, readers: dict[str, Client]) -> None:
    world.upload(client, "a.bin", EICAR)
    world.run_jobs()
    assert set(answers(readers).values()) == {(403, "file_quarantined")}
    for reader in readers.values():
        assert EICAR not in reader.get(URL).data
