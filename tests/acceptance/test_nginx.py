"""A real nginx in front of a real deployment, set up as the guide says: it sends the bytes, and nothing is lost on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.client import Client
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.waiting import wait_until
from tests.services.nginx import NginxMissingError, NginxService, nginx

BYTES = os.urandom(300_000)
NAMES = [
    "plain.bin",
    "with space & ampersand.bin",
    'quo"te%41;semi.bin',
    "Ünï 漢字.bin",
    "folder/_bytes/x.bin",
    "a?b#c.bin",
    "new+plus.bin",
]
TELLING = (
    "Content-Type", "Content-Disposition", "Content-Length", "ETag", "Last-Modified", "Accept-Ranges", "Cache-Control",
    "X-Content-Type-Options", "Content-Security-Policy", "Cross-Origin-Resource-Policy", "X-Frame-Options", "Referrer-Policy",
    "Access-Control-Allow-Origin", "Vary",
)  # fmt: skip


@pytest.fixture(scope="module")
def behind(own_deployment: Callable[..., Deployment]) -> Deployment:
    """A deployment that has nginx send its bytes."""
    made = own_deployment(accel_prefix="/_bytes/", trusted_proxies="1", usage_delay_s="0")
    made.start("--json")
    return made


@pytest.fixture(scope="module")
def front(behind: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NginxService]:
    try:
        with nginx(tmp_path_factory.mktemp("nginx"), behind.port, behind.state / "files") as running:
            yield running
    except NginxMissingError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


@pytest.fixture
def shop(behind: Deployment) -> Tenant:
    made = behind.tenant()
    made.owner.bucket("media")
    return made


@pytest.fixture
def through(shop: Tenant, front: NginxService) -> Iterator[Client]:
    """The tenant's owner, through nginx."""
    with Client(front.port, shop.owner.host, shop.owner.token) as client:
        yield client


def test_bytes_ranges_and_headers(shop: Tenant, through: Client) -> None:
    file = shop.owner.store("media", "a.bin", BYTES, "application/octet-stream")
    path = through.object_path("media", "a.bin")
    past = shop.owner.get(path)
    assert "X-Accel-Redirect" in past.headers  # asked past nginx, there is no body: that is why nobody may
    assert past.content == b""
    response = through.get(path)
    assert (response.status_code, response.content) == (200, BYTES)
    assert "X-Accel-Redirect" not in response.headers
    head = through.request("HEAD", path)
    for name in TELLING:
        assert response.headers.get(name) == head.headers.get(name), name
    assert response.headers["ETag"] == f'"{file["etag"]}"'
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert response.headers["Server"].startswith("nginx")
    part = through.get(path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, BYTES[100:200], f"bytes 100-199/{len(BYTES)}")
    assert part.headers["ETag"] == response.headers["ETag"]
    several = through.get(path, headers={"Range": "bytes=0-9,100-109"})
    assert several.status_code == 206
    assert several.headers["Content-Type"].startswith("multipart/byteranges")
    assert BYTES[:10] in several.content
    assert BYTES[100:110] in several.content
    assert through.get(path, headers={"Range": f"bytes={len(BYTES)}-"}).status_code == 416


def test_no_cache_keeps_that_bytes_are_gone(behind: Deployment, shop: Tenant, through: Client) -> None:
    """They may be another version's in a moment, and the address is public."""
    shop.owner.bucket("site", public=True, cache_max_age_s=86400)
    file = shop.owner.store("site", "a.bin", BYTES, "application/octet-stream")
    path = through.object_path("site", "a.bin")
    assert through.get(path, token="").headers["Cache-Control"] == "public, max-age=86400, must-revalidate"
    (stored,) = [each for each in (behind.state / "files").rglob(f"*{file['version_id'].replace('-', '')}*") if each.is_file()]
    stored.unlink()
    gone = through.get(path, token="")
    assert (gone.status_code, gone.headers["Cache-Control"]) == (404, "no-store")
    assert not {"ETag", "Last-Modified", "X-Accel-Cache-Control"} & set(gone.headers)


def test_conditions(shop: Tenant, through: Client) -> None:
    file = shop.owner.store("media", "a.bin", BYTES, "application/octet-stream")
    path = through.object_path("media", "a.bin")
    tag, part = f'"{file["etag"]}"', {"Range": "bytes=0-9"}
    modified = through.request("HEAD", path).headers["Last-Modified"]
    old = "Mon, 01 Jan 2001 00:00:00 GMT"
    for headers, status, length in (
        ({"If-None-Match": tag}, 304, 0), ({"If-None-Match": '"x"'}, 200, len(BYTES)), ({"If-Modified-Since": modified}, 304, 0),
        ({"If-Modified-Since": old}, 200, len(BYTES)), ({"If-None-Match": '"x"', "If-Modified-Since": modified}, 200, len(BYTES)),
        ({"If-Match": tag}, 200, len(BYTES)), ({"If-Match": '"x"'}, 412, None), ({"If-Unmodified-Since": old}, 412, None),
        ({"If-Unmodified-Since": modified}, 200, len(BYTES)), ({**part, "If-Range": tag}, 206, 10),
        ({**part, "If-Range": f"W/{tag}"}, 200, len(BYTES)),
        ({**part, "If-Range": '"x"'}, 200, len(BYTES)),
        ({**part, "If-Range": modified}, 206, 10), ({**part, "If-Range": old}, 200, len(BYTES)),
    ):  # fmt: skip
        response = through.get(path, headers=headers)
        assert response.status_code == status, headers
        assert length is None or len(response.content) == length, headers


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_unusual_names(shop: Tenant, through: Client, name: str) -> None:
    shop.owner.store("media", name, BYTES[:1000], "application/octet-stream")
    response = through.download("media", name)
    assert response.content == BYTES[:1000]
    assert (
        response.headers["Content-Disposition"]
        == through.request("HEAD", through.object_path("media", name)).headers["Content-Disposition"]
    )


def test_nobody_asks_for_the_bytes_themselves(shop: Tenant, through: Client, behind: Deployment) -> None:
    file = shop.owner.store("media", "a.bin", BYTES, "application/octet-stream")
    (place,) = [path for name, path in shop.stored().items() if name == file["version_id"].replace("-", "")]
    inside = place.relative_to(behind.state / "files").as_posix()
    for path in (f"/_bytes/{inside}", f"//_bytes/{inside}", f"/x/../_bytes/{inside}", f"/%5Fbytes/{inside}", "/_bytes/", "/_bytes"):
        answer = through.raw("GET", path, ["X-Accel-Redirect: /_bytes/" + inside])
        assert answer.status_code in {400, 404}, path
        assert BYTES[:50] not in answer.content


def test_what_may_not_be_had(shop: Tenant, through: Client) -> None:
    viewer = shop.user("viewer")
    shop.owner.put("media", "fresh.bin", BYTES)
    through_viewer = Client(through.port, viewer.host, viewer.token)
    with through_viewer:
        answer = through_viewer.download("media", "fresh.bin")
    assert (answer.status_code == 200) == (answer.content == BYTES)  # checked by now, or not
    assert through.request("GET", through.object_path("media", "fresh.bin"), token="").status_code == 401
    assert through.download("media", "missing.bin").status_code == 404


def test_links_public_files_text_and_archives(shop: Tenant, through: Client) -> None:
    shop.owner.bucket("site", public=True)
    file = shop.owner.store("site", "a.bin", BYTES, "application/octet-stream")
    public = through.request("GET", through.object_path("site", "a.bin"), token="")
    assert public.content == BYTES
    assert "public" in public.headers["Cache-Control"]
    assert public.headers["Access-Control-Allow-Origin"] == "*"
    made = through.post(f"/api/v1/files/{file['id']}/presign", json={"single_use": True, "disposition": "attachment"}).json()
    link = "/" + made["url"].split("/", 3)[3]
    assert [through.request("GET", link, token="").status_code for _ in range(2)] == [200, 410]
    text = b"compressed on the way, " * 1000
    shop.owner.store("site", "a.txt", text)
    squeezed = through.get(through.object_path("site", "a.txt"), headers={"Accept-Encoding": "gzip"}, stream=True)
    assert squeezed.headers["Content-Encoding"] == "gzip"
    assert squeezed.content == text
    archive = through.get("/api/v1/buckets/site/archive")
    assert (archive.status_code, archive.content[:2]) == (200, b"PK")


def test_what_was_asked_for_is_counted(shop: Tenant, through: Client) -> None:
    shop.owner.store("media", "a.bin", BYTES, "application/octet-stream")
    path = through.object_path("media", "a.bin")
    through.get(path)
    through.get(path, headers={"Range": "bytes=0-99"})
    through.request("HEAD", path)

    def counted() -> tuple[int, int] | None:
        items: list[dict[str, Any]] = through.usage(interval="hour")["items"]
        downloads, sent = (sum(item[name] for item in items) for name in ("downloads", "bytes_out"))
        return (downloads, sent) if downloads >= 2 else None

    assert wait_until(counted, 30, "two downloads") == (2, len(BYTES) + 100)
