"""Files from a form: what is stored, under which names, what is refused, and what a form that breaks off leaves behind."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom.errors import BadRequest, IncompleteBody
from strongroom.uploads import forms
from strongroom.uploads.parts import Content, read_parts
from werkzeug.test import TestResponse

from tenants.models import Tenant
from tests.factories import PNG, Client, World, object_url, ok, problem

pytestmark = pytest.mark.usefixtures("bucket")
MIB = 1024 * 1024
BOUNDARY = "----formboundary7MA4YWxkTrZu0gW"
CLOSING = f"--{BOUNDARY}--\r\n".encode()


def part(data: bytes, name: str = "file", file_name: str | None = "a.txt", content_type: str | None = None, disposition: str = "") -> bytes:
    named = f'; filename="{file_name}"' if file_name is not None else ""
    typed = f"\r\nContent-Type: {content_type}" if content_type else ""
    head = disposition or f'form-data; name="{name}"{named}'
    return f"--{BOUNDARY}\r\nContent-Disposition: {head}{typed}\r\n\r\n".encode() + data + b"\r\n"


def field(name: str, value: str) -> bytes:
    return part(value.encode(), name, None)


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + CLOSING


def send(client: Client, body: bytes, bucket: str = "media", *, boundary: str = BOUNDARY, length: int | None = None) -> TestResponse:
    overrides = {
        "CONTENT_TYPE": f"multipart/form-data; boundary={boundary}",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body) if length is None else length),
    }
    return client.post(f"/api/v1/objects/{bucket}", environ_overrides=overrides)


def send_chunked(client: Client, body: bytes) -> TestResponse:
    typed = {"CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}"}
    overrides = {**typed, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    return client.post("/api/v1/objects/media", environ_overrides=overrides)


def paths(client: Client) -> list[str]:
    return [each["path"] for each in ok(client.get("/api/v1/buckets/media/files"))["items"]]


def clean(world: World, tenant: Tenant, stored: int) -> None:
    """As many files as this, and nothing half done beside them."""
    assert world.rows(tenant, "uploads") == []
    totals = world.totals(tenant)
    assert (totals["used_files"], totals["reserved_bytes"], totals["reserved_files"]) == (stored, 0, 0)
    world.run_jobs()
    assert len(world.stored(tenant)) == stored


@pytest.mark.parametrize("transfer", [send, send_chunked], ids=["with a length", "in chunks"])
def test_one_file(world: World, client: Client, tenant: Tenant, transfer: Any) -> None:
    (file,) = ok(transfer(client, form(part(b"hello, world"))), 201)["items"]
    assert (file["path"], file["size_bytes"], file["content_type"], file["bucket"]) == ("a.txt", 12, "text/plain", "media")
    assert client.get(object_url("media", "a.txt")).data == b"hello, world"
    assert ok(client.get(f"/api/v1/files/{file['id']}"))["id"] == file["id"]
    clean(world, tenant, 1)


def test_many_files_of_any_fields(world: World, client: Client, tenant: Tenant) -> None:
    body = form(part(b"one", "file", "1.txt"), part(PNG, "photo[]", "2.png", "image/png"), part(b"", "", "3.txt"), field("note", "x"))
    items = ok(send(client, body), 201)["items"]
    assert [(each["path"], each["size_bytes"], each["content_type"]) for each in items] == [
        ("1.txt", 3, "text/plain"), ("2.png", len(PNG), "image/png"), ("3.txt", 0, "text/plain"),
    ]  # fmt: skip
    clean(world, tenant, 3)


@pytest.mark.parametrize("size", [0, 1, 64 * 1024 - 1, 64 * 1024, 256 * 1024, 256 * 1024 + 1, 5 * MIB + 17])
@pytest.mark.parametrize(
    "unit", [b"0123456789abcdef", b"\r\n", b"\r\n--" + BOUNDARY[:-1].encode(), b"\r"], ids=["text", "lines", "almost", "returns"]
)
def test_every_size_and_near_boundaries(world: World, client: Client, tenant: Tenant, size: int, unit: bytes) -> None:
    data = (unit * (size // len(unit) + 1))[:size]
    first, second = ok(send(client, form(part(data, file_name="a.bin"), part(b"behind", file_name="b.bin"))), 201)["items"]
    assert (first["size_bytes"], second["size_bytes"]) == (size, 6)
    assert client.get(object_url("media", "a.bin")).data == data
    assert world.totals(tenant)["reserved_bytes"] == 0


def test_the_body_is_read_as_a_stream(client: Client) -> None:
    class Body(io.BytesIO):
        largest = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            Body.largest = max(Body.largest, size)
            return super().read(size)

    body = form(part(b"x" * (2 * MIB)))
    typed = {"CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}"}
    overrides = {**typed, "wsgi.input": Body(body), "CONTENT_LENGTH": str(len(body))}
    ok(client.post("/api/v1/objects/media", environ_overrides=overrides), 201)
    assert 0 < Body.largest <= 256 * 1024


# Names


def test_path_prefix_and_content_type(client: Client) -> None:
    body = form(
        field("path", "own/name.md"), field("content_type", "text/markdown"), part(b"# a", content_type="text/plain"),
        field("prefix", "2026/may"), part(b"b", file_name="b.txt"), part(b"c", file_name="c.txt"),
        field("prefix", "x/"), part(b"d", file_name="d"),
    )  # fmt: skip
    items = ok(send(client, body), 201)["items"]
    assert [each["path"] for each in items] == ["own/name.md", "2026/may/b.txt", "2026/may/c.txt", "x/d"]
    assert items[0]["content_type"] == "text/markdown"


NAMES = {
    "C:\\\\Users\\\\me\\\\x.txt": "x.txt", "\\\\\\\\server\\\\share\\\\x.txt": "x.txt", "/etc/passwd": "passwd", "../../x.txt": "x.txt",
    "..\\\\..\\\\x.txt": "x.txt", "folder/x.txt": "x.txt", "ünïcödé.txt": "ünïcödé.txt", "u\u0308.txt": "ü.txt", "%2e%2e%2fx": "%2e%2e%2fx",
    "a;b.txt": "a;b.txt", 'a\\"b.txt': 'a"b.txt', "a%22b.txt": 'a"b.txt', " x .txt": " x .txt", "C:x.txt": "C:x.txt",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_of_a_file_name_the_base_counts(client: Client, name: str) -> None:
    (file,) = ok(send(client, form(part(b"x", file_name=name, content_type="text/plain"))), 201)["items"]
    assert file["path"] == NAMES[name]


def test_the_extended_file_name_of_rfc_5987(client: Client) -> None:
    disposition = "form-data; name=file; filename*=UTF-8''%e2%82%ac%2F..%2Frates.txt"
    (file,) = ok(send(client, form(part(b"x", disposition=disposition))), 201)["items"]
    assert file["path"] == "rates.txt"


@pytest.mark.parametrize("name", ["..", ".", "a/..", "x\0.txt", "x\x1f.txt", "a/", "\\\\", "x" * 1025, "..\\\\"])
def test_file_names_that_are_none(world: World, client: Client, tenant: Tenant, name: str) -> None:
    response = send(client, form(part(b"fine", file_name="fine.txt"), part(b"x", file_name=name)))
    told = problem(response, 400, "invalid_path")
    assert [each["path"] for each in told["completed"]] == ["fine.txt"]
    clean(world, tenant, 1)


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a\\b", "a/../b", "x\0"])
def test_paths_that_are_none(client: Client, path: str) -> None:
    problem(send(client, form(field("path", path), part(b"x"))), 400, "invalid_path")
    problem(send(client, form(field("prefix", path), part(b"x"))), 400, "invalid_path")
    assert paths(client) == []


def test_a_field_behind_its_file_is_told(client: Client) -> None:
    told = problem(send(client, form(part(b"x"), field("path", "late.txt"))), 422, "validation_failed")
    assert set(told["errors"]) == {"path"}
    assert [each["path"] for each in told["completed"]] == ["a.txt"]


def test_one_name_twice_in_a_form(world: World, client: Client, tenant: Tenant) -> None:
    """The second would replace the first in the same breath: nobody means that."""
    told = problem(send(client, form(part(b"1", file_name="é.txt"), part(b"2", file_name="e\u0301.txt"))), 422, "validation_failed")
    assert len(told["completed"]) == 1
    assert client.get(object_url("media", "é.txt")).data == b"1"
    clean(world, tenant, 1)


# What is no form


def test_forms_without_a_file(client: Client) -> None:
    for body in (form(), form(field("path", "")), form(field("a", "b")), form(part(b"", file_name=""))):
        told = problem(send(client, body), 422, "validation_failed")
        assert told["completed"] == []
    problem(send(client, form(part(b"bytes", file_name=""))), 400, "invalid_path")
    (file,) = ok(send(client, form(field("path", "named"), part(b"bytes", file_name=""))), 201)["items"]
    assert file["path"] == "named"


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x", "multipart"]
)
def test_bodies_of_other_types(client: Client, content_type: str) -> None:
    overrides = {"CONTENT_TYPE": content_type, "wsgi.input": io.BytesIO(b"x"), "CONTENT_LENGTH": "1"}
    response = client.post("/api/v1/objects/media", environ_overrides=overrides)
    problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("boundary", ["", '""', "x" * 201, "ü"])
def test_boundaries_that_are_none(client: Client, boundary: str) -> None:
    problem(send(client, form(part(b"x")), boundary=boundary), 400, "bad_request")


HEADS = {
    "no disposition": f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx\r\n".encode() + CLOSING,
    "a head without end": f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=".encode() + b"x" * 600_000 + CLOSING,
    "a preamble without end": b"x" * 600_000 + form(part(b"x")),
    "a head that is not utf-8": f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=".encode()
    + b"\xff\r\n\r\nx\r\n"
    + CLOSING,
    "a field that is not utf-8": part(b"\xff", "path", None) + CLOSING,
}


@pytest.mark.parametrize("kind", HEADS)
def test_heads_that_are_none(world: World, client: Client, tenant: Tenant, kind: str) -> None:
    told = problem(send(client, HEADS[kind]), 400, "bad_request")
    assert told["completed"] == []
    clean(world, tenant, 0)


def test_limits_of_fields_parts_and_files(world: World, client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    problem(send(client, form(field("path", "x" * 4097), part(b"x"))), 413, "body_too_large")
    problem(send(client, form(*[field("x", "y" * 4000)] * 17, part(b"x"))), 413, "body_too_large")
    problem(send(client, form(*[field("x", "")] * 1001, part(b"x"))), 413, "body_too_large")
    monkeypatch.setattr(forms, "MAX_FILES", 3)
    told = problem(send(client, form(*[part(b"x", file_name=str(number)) for number in range(4)])), 413, "body_too_large")
    assert len(told["completed"]) == 3
    clean(world, tenant, 3)


# Forms that break off


BODY = form(part(b"first", file_name="1.txt"), part(b"second", file_name="2.txt"))


@pytest.mark.parametrize("transfer", ["with a length", "short of its length", "in chunks"])
def test_wherever_a_form_ends_early_its_last_file_is_not_stored(world: World, client: Client, tenant: Tenant, transfer: str) -> None:
    """Only what was followed by a whole boundary is a file; and of a piece that does not come whole, nothing is looked at."""
    first, second = BODY.index(b"--" + BOUNDARY.encode(), 1), BODY.index(CLOSING)
    for cut in (
        0,
        10,
        len(BOUNDARY) + 2,
        first - 4,
        first - 2,
        first + 5,
        first + len(BOUNDARY),
        second - 8,
        second - 2,
        second,
        second + 5,
        len(BODY) - 5,
    ):
        body = BODY[:cut]
        if transfer == "in chunks":
            response = send_chunked(client, body)
        else:
            response = send(client, body, length=len(BODY) if transfer.startswith("short") else None)
        told = problem(response, 400, "incomplete_body")
        expected = ["1.txt"] if cut > first + len(BOUNDARY) and not transfer.startswith("short") else []
        assert [each["path"] for each in told["completed"]] == expected, cut
        assert paths(client) == expected
        for path in expected:
            ok(client.delete(object_url("media", path)), 204)
        world.tenant_sql(tenant, "UPDATE {t}.files SET purge_at = now() WHERE deleted_at IS NOT NULL")
        assert world.rows(tenant, "uploads") == []


def test_later_files_that_are_refused(world: World, client: Client, tenant: Tenant) -> None:
    world.create_bucket(tenant, "small", max_size_bytes=100)
    told = problem(
        send(client, form(part(b"x" * 100, file_name="1"), part(b"x" * 101, file_name="2"), part(b"x", file_name="3")), "small"),
        413,
        "file_too_large",
    )
    assert [each["path"] for each in told["completed"]] == ["1"]
    world.create_bucket(tenant, "pictures", allowed_types=["image/*"])
    told = problem(send(client, form(part(PNG, file_name="1.png"), part(b"text", file_name="2.png")), "pictures"), 415, "type_mismatch")
    assert [each["path"] for each in told["completed"]] == ["1.png"]
    clean(world, tenant, 2)


def test_the_quota_grows_with_the_bytes(world: World) -> None:
    tenant = world.create_tenant(quota_bytes=MIB, quota_files=2)
    client = world.client(world.create_user(tenant))
    world.create_bucket(tenant)
    told = problem(send(client, form(part(b"x" * (MIB - 1), file_name="1"), part(b"xx", file_name="2"))), 507, "quota_exceeded")
    assert len(told["completed"]) == 1
    ok(send(client, form(part(b"x", file_name="3"))), 201)
    problem(send(client, form(part(b"", file_name="4"))), 507, "quota_exceeded")
    clean(world, tenant, 2)


def test_unknown_buckets_are_told_before_the_body_is_read(client: Client) -> None:
    problem(send(client, b"not even a form", "elsewhere"), 404, "not_found")


def test_a_repeated_request_is_answered_from_memory(world: World, client: Client, tenant: Tenant) -> None:
    again = client.with_headers({"Idempotency-Key": "one"})
    first, second = (ok(send(again, form(part(b"x"))), 201) for _ in range(2))
    assert first == second
    assert len(world.rows(tenant, "versions")) == 1


# The reader


class Pieces:
    """A body that comes in pieces of these sizes."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes = io.BytesIO(data), itertools.cycle(sizes)

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, next(self._sizes)))


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_however_the_bytes_are_cut(data: bytes, sizes: list[int]) -> None:
    if b"--x" in data:
        return
    body = b'--x\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\n' + data + b"\r\n--x--\r\n"
    found = list(read_parts(Pieces(body, sizes), b"x", None))
    assert b"".join(each.data for each in found if isinstance(each, Content)) == data
    assert [each.is_last for each in found if isinstance(each, Content)][-1] is True


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_whatever_comes_is_a_form_or_refused(data: bytes, sizes: list[int]) -> None:
    try:
        list(read_parts(Pieces(b"--x\r\n" + data, sizes), b"x", None))
    except (BadRequest, IncompleteBody):
        return
    assert b"--x--" in data
