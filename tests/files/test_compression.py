"""Text goes out compressed as the client accepts it; each coding has a tag of its own, and ranges are of the file itself."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard
from strongroom.files import compression
from strongroom.http.encodings import choose_coding

from tests.factories import PNG, Client, World, object_url, ok, problem, put_object

pytestmark = pytest.mark.usefixtures("bucket")
TEXT = b"".join(b"%d green bottles hanging on the wall\n" % number for number in range(20_000))
URL = object_url("media", "a.txt")
DECODE: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda data: zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read(),
    "br": brotli.decompress,
    "gzip": gzip.decompress,
}


@pytest.fixture
def file(world: World, client: Client, bucket: Any) -> Any:  # noqa: ARG001 - the file lies in it
    made = world.upload(client, "a.txt", TEXT)
    world.run_jobs()
    return made


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip"])
def test_compressed(client: Client, file: Any, coding: str) -> None:
    for url in (URL, f"/api/v1/files/{file['id']}/content"):
        response = client.get(url, headers={"Accept-Encoding": coding})
        assert response.status_code == 200
        assert response.headers["Content-Encoding"] == coding
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.headers["ETag"] == f'"{file["etag"]}-{coding}"'
        assert "Content-Length" not in response.headers
        assert len(response.data) < len(TEXT) / 2
        assert DECODE[coding](response.data) == TEXT


@pytest.mark.parametrize(("header", "coding"), [
    (None, None), ("", None), ("identity", None), ("gzip, deflate, br, zstd", "zstd"), ("gzip, br", "br"), ("gzip;q=1.0, br;q=0.5", "gzip"),
    ("*", "zstd"), ("zstd;q=0, *", "br"), ("zstd;q=0,br;q=0, *;q=0.1", "gzip"), ("identity;q=1, gzip;q=0.5", None),
    ("identity;q=0.5, gzip;q=0.5", "gzip"), ("identity;q=0, gzip", "gzip"), ("deflate", None), ("GZIP", "gzip"), ("x-gzip", "gzip"),
    ("gzip;q=0", None), ("gzip ; q=0.001", "gzip"), ("gzip;q=nonsense", None), (",, ,gzip", "gzip"),
])  # fmt: skip
def test_what_the_client_accepts(client: Client, file: Any, header: str | None, coding: str | None) -> None:
    response = client.get(URL, headers={} if header is None else {"Accept-Encoding": header})
    assert response.headers.get("Content-Encoding") == coding
    assert response.headers["Vary"] == "Accept-Encoding"
    if coding is None:
        assert response.data == TEXT
        assert response.headers["ETag"] == f'"{file["etag"]}"'


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("header", ["identity;q=0", "*;q=0", "identity;q=0, deflate", "gzip;q=0, identity;q=0"])
def test_who_accepts_nothing(client: Client, header: str) -> None:
    problem(client.get(URL, headers={"Accept-Encoding": header}), 406, "not_acceptable")
    assert client.head(URL, headers={"Accept-Encoding": header}).status_code == 406


def test_a_plain_star_zero_leaves_what_is_named() -> None:
    assert choose_coding("gzip, *;q=0", ("zstd", "br", "gzip")) == "gzip"
    assert choose_coding("identity, *;q=0", ("zstd",)) == ""


@pytest.mark.parametrize(("name", "data", "declared", "is_compressed"), [
    ("a.json", b'["' + b"x" * 5000 + b'"]', "application/json", True),
    ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg">' + b" " * 5000 + b"</svg>", "image/svg+xml", True),
    ("a.csv", b"1,2,3\n" * 2000, "text/csv", True),
    ("a.js", b"let a = 1;\n" * 1000, "text/javascript", True),
    ("a.png", PNG + b"\0" * 5000, "image/png", False),
    ("a.bin", b"\0" * 5000, "application/octet-stream", False),
    ("small.txt", b"x" * 1024, "text/plain", False),
    ("enough.txt", b"x" * 1025, "text/plain", True),
])  # fmt: skip
def test_by_type_and_size(world: World, client: Client, name: str, data: bytes, declared: str, is_compressed: bool) -> None:
    world.upload(client, name, data, Content_Type=declared)
    response = client.get(object_url("media", name), headers={"Accept-Encoding": "gzip"})
    assert (response.headers.get("Content-Encoding") == "gzip") is is_compressed
    assert (gzip.decompress(response.data) if is_compressed else response.data) == data
    assert ("Vary" in response.headers) is declared.endswith(("json", "xml", "csv", "javascript", "plain"))


def test_large_text_goes_out_as_it_is() -> None:
    assert compression.coding_for("text/plain", 64 << 20, "gzip") == ""
    assert compression.coding_for("text/plain", (64 << 20) - 1, "gzip") == "gzip"
    assert compression.coding_for("text/plain", 64 << 20, "gzip, identity;q=0") == "gzip"


def test_ranges_are_of_the_file_itself(client: Client, file: Any) -> None:
    for header in ("bytes=10-19", "bytes=0-1,5-6"):
        response = client.get(URL, headers={"Range": header, "Accept-Encoding": "zstd, br, gzip"})
        assert response.status_code == 206
        assert "Content-Encoding" not in response.headers
        assert response.headers["ETag"] == f'"{file["etag"]}"'
        assert response.headers["Vary"] == "Accept-Encoding"
    assert client.get(URL, headers={"Range": "bytes=10-19", "Accept-Encoding": "gzip"}).data == TEXT[10:20]
    part = {"Range": "bytes=0-1", "If-Range": f'"{file["etag"]}-gzip"'}
    assert client.get(URL, headers=part).status_code == 200  # compressed bytes cannot be completed with plain ones


def test_a_copy_in_any_coding_is_still_good(client: Client, file: Any) -> None:
    plain = file["etag"]
    for accepts in ("gzip", "identity"):
        for tag in (plain, f"{plain}-gzip", f"{plain}-zstd"):
            for form in (f'"{tag}"', f'W/"{tag}"', f'"x", "{tag}"'):
                response = client.get(URL, headers={"Accept-Encoding": accepts, "If-None-Match": form})
                assert (response.status_code, response.data) == (304, b"")
                assert response.headers["ETag"] == f'"{tag}"'
                assert response.headers["Vary"] == "Accept-Encoding"
    both = client.get(URL, headers={"Accept-Encoding": "gzip", "If-None-Match": f'"{plain}", "{plain}-gzip"'})
    assert both.headers["ETag"] == f'"{plain}-gzip"'
    for tag in (f"{plain}-deflate", f"x-{plain}", "x-gzip"):
        assert client.get(URL, headers={"Accept-Encoding": "gzip", "If-None-Match": f'"{tag}"'}).status_code == 200


def test_who_saw_a_coding_may_replace_the_file(client: Client, file: Any) -> None:
    """A browser shows its scripts the tag of the coding; it names the same file."""
    changed = ok(put_object(client, "media", "a.txt", b"new", If_Match=f'"{file["etag"]}-zstd"'), 201)
    problem(put_object(client, "media", "a.txt", b"newer", If_Match=f'"{file["etag"]}-zstd"'), 412, "precondition_failed")
    ok(client.delete(URL, headers={"If-Match": f'"{changed["etag"]}-br"'}), 204)


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("accepts", ["gzip", "zstd", "identity", "br;q=0.5"])
def test_head_is_get_without_bytes(client: Client, accepts: str) -> None:
    get, head = (client.open(method, URL, headers={"Accept-Encoding": accepts}) for method in ("GET", "HEAD"))
    assert head.data == b""
    for name in ("ETag", "Content-Type", "Content-Encoding", "Content-Length", "Vary", "Content-Disposition", "Accept-Ranges"):
        assert head.headers.get(name) == get.headers.get(name), name


@pytest.mark.usefixtures("file")
def test_the_files_own_bytes_are_counted(world: World, client: Client, tenant: Any) -> None:
    for accepts in ("gzip", "br", "zstd", "identity"):
        assert client.get(URL, headers={"Accept-Encoding": accepts}).status_code == 200
    rows = world.rows(tenant, "access_log", "operation = 'download'")
    assert [row["bytes_out"] for row in rows] == [len(TEXT)] * 4


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip"])
def test_bytes_that_end_early_are_no_whole_file(coding: str) -> None:
    with pytest.raises(compression.StorageUnavailable):
        list(compression.compressed(io.BytesIO(b"x" * 5000), coding, 5001))
