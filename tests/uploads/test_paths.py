"""Paths: what may be one, and that names which look the same are the same."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom.errors import InvalidPath
from strongroom.files.paths import MAX_BYTES, check_path

from tests.factories import Client, World, object_url, ok, problem, put_object

pytestmark = pytest.mark.usefixtures("bucket")


def put_raw(client: Client, raw: str, method: str = "PUT", **options: Any) -> Any:
    """A request whose path has exactly these bytes, after the server has taken off the percent signs."""
    path = f"/api/v1/objects/media/{raw}"
    return client.open(method, "/", data=b"x" if method == "PUT" else None, environ_overrides={"PATH_INFO": path}, **options)


BAD = [
    "", "/", ".", "..", "a/..", "../a", "a/../b", "a/./b", "./a", "a//b", "/a", "a/", "//", "a\\b", "..\\a", "a\0b", "\0", "a\nb",
    "a\rb", "a\tb",
    "a\x7fb", "a\x1b[31m", "a/../../../etc/passwd", "a/.", "\x85".encode().decode("latin-1"), "x" * (MAX_BYTES + 1), "é" * 513,
]  # fmt: skip


@pytest.mark.parametrize("path", BAD, ids=ascii)
def test_what_is_no_path(world: World, client: Client, path: str) -> None:
    raw = path.encode().decode("latin-1") if not path.startswith("\xc2") else path
    for method in ("PUT", "GET", "DELETE", "HEAD"):
        response = put_raw(client, raw, method)
        assert response.status_code == 400, method
        if method != "HEAD":
            problem(response, 400, "invalid_path")
    file = world.upload(client, "good.txt")
    code = "bad_request" if "\0" in path else "invalid_path"  # no JSON string of ours has a NUL
    problem(client.patch(f"/api/v1/files/{file['id']}", json={"path": path}), 400, code)
    assert ok(client.get(f"/api/v1/files/{file['id']}"))["path"] == "good.txt"


@pytest.mark.parametrize("raw", ["\xff", "a/\xff\xfe", "\xc3", "\xed\xa0\x80", "\xc0\xae\xc0\xae/x", "\xf8\x88\x80\x80\x80"], ids=ascii)
def test_what_is_not_utf_8(client: Client, raw: str) -> None:
    """Also overlong forms of dots, and halves of surrogate pairs."""
    for method in ("PUT", "GET", "DELETE"):
        problem(put_raw(client, raw, method), 400, "invalid_path")


@pytest.mark.parametrize("path", [
    "a", "a/b/c", "...", "a..b", "..a", "a..", ".hidden", "with space", " ", "a%2e%2eb", "%2e%2e/etc", "100%", "?", "#", "a?b#c", "a;b",
    "*",
    "-rf", "~", "$HOME", "'; DROP TABLE files; --", '"quoted"', "<b>", "emoji 🎉", "漢字/かな", "مرحبا", "a\u202eb",
    "x" * MAX_BYTES, "é" * 512,
    "CON", "a|b",
])  # fmt: skip
def test_what_is_a_path(world: World, client: Client, path: str) -> None:
    file = world.upload(client, path, b"its bytes")
    assert file["path"] == path
    assert client.get(object_url("media", path)).data == b"its bytes"
    assert [each["path"] for each in ok(client.get("/api/v1/buckets/media/files"))["items"]] == [path]
    ok(client.delete(object_url("media", path)), 204)
    problem(client.get(object_url("media", path)), 404, "not_found")


def test_percent_signs_are_taken_off_once(client: Client) -> None:
    """`%2e%2e` is `..` and refused; what is encoded twice is a name with percent signs in it."""
    problem(client.put("/api/v1/objects/media/a/%2e%2e/b", data=b"x"), 400, "invalid_path")
    problem(client.put("/api/v1/objects/media/%2E%2E%2Fb", data=b"x"), 400, "invalid_path")
    problem(client.put("/api/v1/objects/media/a%00b", data=b"x"), 400, "invalid_path")
    problem(client.put("/api/v1/objects/media/a%5Cb", data=b"x"), 400, "invalid_path")
    assert ok(client.put("/api/v1/objects/media/a/%252e%252e/b", data=b"x"), 201)["path"] == "a/%2e%2e/b"
    assert ok(client.put("/api/v1/objects/media/a%2Fb", data=b"x"), 201)["path"] == "a/b"


def test_twins_of_unicode_are_one_file(world: World, client: Client) -> None:
    composed, decomposed = unicodedata.normalize("NFC", "Café/Ångström.txt"), unicodedata.normalize("NFD", "Café/Ångström.txt")
    assert composed != decomposed
    first = world.upload(client, decomposed, b"1")
    assert first["path"] == composed
    second = world.upload(client, composed, b"2")
    assert second["id"] == first["id"]
    assert client.get(object_url("media", decomposed)).data == b"2"
    prefix = unicodedata.normalize("NFD", "Café/Å")
    listed = ok(client.get("/api/v1/buckets/media/files", query_string={"prefix": prefix}))
    assert [each["id"] for each in listed["items"]] == [first["id"]]


def test_case_makes_another_file(world: World, client: Client) -> None:
    assert world.upload(client, "A.txt")["id"] != world.upload(client, "a.txt")["id"]


def test_bucket_and_path_do_not_run_together(world: World, client: Client, tenant: Any) -> None:
    world.create_bucket(tenant, "med")
    world.upload(client, "ia/x", b"1", bucket="med")
    problem(client.get(object_url("media", "x")), 404, "not_found")
    problem(put_object(client, "..", "x"), 404, "not_found")


@given(st.text(max_size=40))
def test_whatever_is_let_through_is_harmless(text: str) -> None:
    try:
        path = check_path(text)
    except InvalidPath:
        return
    assert check_path(path) == path == unicodedata.normalize("NFC", text)
    assert 0 < len(path.encode()) <= MAX_BYTES
    assert not {"", ".", ".."} & set(path.split("/"))
    assert not set("\\\0\n\r") & set(path)


@given(st.lists(st.sampled_from(["..", ".", "", "a", "\\", "\0", "%2e", "é"]), max_size=5).map("/".join))
def test_no_mixture_leads_upwards(text: str) -> None:
    try:
        path = check_path(text)
    except InvalidPath:
        return
    assert set(path.split("/")) <= {"a", "%2e", "é"}
