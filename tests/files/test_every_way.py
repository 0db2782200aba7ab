"""All ways out, by every state that a file can be in: what may not be had is to be had by none of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from strongroom.errors import StorageUnavailable
from werkzeug.test import TestResponse

from tenants.models import Tenant
from tests.factories import Account, Client, World, object_url, ok
from tests.files.presigning import presigning_files

BODY = b"whoever reads this had it, " * 100
URL = object_url("media", "a.txt")
# status and verdict, then whether a reader has it: in a bucket that keeps unscanned files back, in one that gives them out; and anybody
STATES = {
    "clean": ("available", "clean", True, True, True),
    "unscanned": ("available", "unscanned", False, True, False),
    "pending": ("pending", "pending", False, False, False),
    "quarantined": ("quarantined", "infected", False, False, False),
    "rejected": ("rejected", "invalid", False, False, False),
}
Way = Callable[["Visit"], TestResponse]


class Visit:
    """A reader (who did not upload it) and a stranger at the file, over three kinds of deployment."""

    def __init__(self, reader: Client, anybody: Client, file: Any, link: str, once: str) -> None:
        self.reader, self.anybody, self.file, self.link, self.once = reader, anybody, file, link, once
        self.id = file["id"]


def _zip_of(response: TestResponse) -> TestResponse:
    """An archive, looked at as the file that is in it."""
    if response.status_code == 200:
        names = zipfile.ZipFile(io.BytesIO(response.data)).namelist()
        response.status_code = 200 if "a.txt" in names else 403
    return response


WAYS: dict[str, Way] = {
    "object": lambda at: at.reader.get(URL),
    "object HEAD": lambda at: at.reader.head(URL),
    "range": lambda at: at.reader.get(URL, headers={"Range": "bytes=0-3"}),
    "ranges": lambda at: at.reader.get(URL, headers={"Range": "bytes=0-3,9-12"}),
    "compressed": lambda at: at.reader.get(URL, headers={"Accept-Encoding": "gzip"}),
    "unchanged": lambda at: at.reader.get(URL, headers={"If-None-Match": "*"}),
    "content": lambda at: at.reader.get(f"/api/v1/files/{at.id}/content"),
    "version": lambda at: at.reader.get(f"/api/v1/files/{at.id}/content?version={at.file['version_id']}"),
    "redirect": lambda at: at.reader.get(f"{URL}?redirect=1"),
    "content redirect": lambda at: at.reader.get(f"/api/v1/files/{at.id}/content?redirect=1"),
    "link": lambda at: at.anybody.get(at.link),
    "link HEAD": lambda at: at.anybody.head(at.link),
    "link once": lambda at: at.anybody.get(at.once),
    "archive": lambda at: _zip_of(at.reader.get("/api/v1/buckets/media/archive")),
    "archive of paths": lambda at: _zip_of(at.reader.post("/api/v1/buckets/media/archive", json={"paths": ["a.txt"]})),
    "archive of ids": lambda at: _zip_of(at.reader.post("/api/v1/buckets/media/archive", json={"file_ids": [at.id]})),
}
PUBLIC_WAYS: dict[str, Way] = {
    "public": lambda at: at.anybody.get(URL),
    "public HEAD": lambda at: at.anybody.head(URL),
    "public range": lambda at: at.anybody.get(URL, headers={"Range": "bytes=0-3"}),
    "public ranges": lambda at: at.anybody.get(URL, headers={"Range": "bytes=0-3,9-12"}),
    "public compressed": lambda at: at.anybody.get(URL, headers={"Accept-Encoding": "br"}),
    "public unchanged": lambda at: at.anybody.get(URL, headers={"If-None-Match": "*"}),
    "public redirect": lambda at: at.anybody.get(f"{URL}?redirect=1"),
}


@pytest.fixture(params=["by ourselves", "by nginx", "by the provider"])
def deployment(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The three who can send the bytes."""
    if request.param == "by nginx":
        yield world.again(accel_prefix="/_bytes/")
    elif request.param == "by the provider":
        with presigning_files(world.files_dir) as provider:
            monkeypatch.setattr(world.runtime, "_provider", lambda *_: (provider, None))
            yield world
    else:
        yield world


@pytest.mark.parametrize("is_generous", [False, True], ids=["strict", "generous"])
@pytest.mark.parametrize("state", STATES)
def test_every_way_by_every_state(world: World, deployment: World, owner: Account, tenant: Tenant, state: str, is_generous: bool) -> None:
    status, verdict, to_readers, when_generous, to_all = STATES[state]
    world.create_bucket(tenant, "media", public=True, serve_unscanned=is_generous, redirect_downloads=False)
    file = world.upload(world.client(owner), "a.txt", BODY)
    reader = Client(deployment.app, f"{tenant.slug}.localhost", world.client(world.create_user(tenant, "viewer")).token)
    links = [
        urlsplit(ok(reader.post(f"/api/v1/files/{file['id']}/presign", json={"single_use": once}))["url"]).path for once in (False, True)
    ]
    query = "UPDATE {t}.versions SET status = %(status)s, verdict = %(verdict)s"
    world.tenant_sql(tenant, query, status=status, verdict=verdict)
    at = Visit(reader, Client(deployment.app, reader.host), file, *links)
    for ways, allowed in ((WAYS, when_generous if is_generous else to_readers), (PUBLIC_WAYS, to_all)):
        for name, way in ways.items():
            response = way(at)
            assert (response.status_code < 400) is allowed, (name, response.status_code, response.data[:200])
            if not allowed:
                assert response.status_code in {403, 404, 409}, name
                assert not {"Location", "X-Accel-Redirect", "ETag"} & set(response.headers.keys()), name
                assert b"whoever" not in response.data, name
    allowed_now = when_generous if is_generous else to_readers
    assert bool(world.rows(tenant, "access_log", "operation = 'download'")) is (allowed_now or to_all)


def test_versions_that_are_in_quarantine_while_the_file_is_clean(world: World, owner: Account, tenant: Tenant) -> None:
    world.create_bucket(tenant, "media", public=True)
    client = world.client(owner)
    bad = world.upload(client, "a.txt", b"bad")
    world.upload(client, "a.txt", BODY)
    world.run_jobs()
    query = "UPDATE {t}.versions SET status = 'quarantined', verdict = 'infected' WHERE id = %(id)s"
    world.tenant_sql(tenant, query, id=bad["version_id"])
    link = urlsplit(ok(client.post(f"/api/v1/files/{bad['id']}/presign", json={"version": bad["version_id"]}))["url"]).path
    for url in (f"{URL}?version={bad['version_id']}", f"/api/v1/files/{bad['id']}/content?version={bad['version_id']}", link):
        assert client.get(url).status_code == 403
    assert world.client(tenant).get(URL).data == BODY


def test_every_way_gives_its_thread_back(world: World, owner: Account, tenant: Tenant) -> None:
    """A tenant that may hold one thread goes all ways one after the other, and a broken one in between."""
    single = world.again(threads=2, tenant_thread_share=0.5)
    world.create_bucket(tenant, "media", public=True)
    file = world.upload(world.client(owner), "a.txt", BODY)
    world.run_jobs()
    reader = Client(single.app, f"{tenant.slug}.localhost", world.client(owner).token)
    links = [
        urlsplit(ok(reader.post(f"/api/v1/files/{file['id']}/presign", json={"single_use": once}))["url"]).path for once in (False, True)
    ]
    at = Visit(reader, Client(single.app, reader.host), file, *links)
    for name, way in {**WAYS, **PUBLIC_WAYS}.items():
        assert way(at).status_code < 400, name
    (stored,) = world.stored(tenant)
    stored.write_bytes(BODY[:-1])
    assert reader.get(URL).status_code == 503
    with pytest.raises(StorageUnavailable):
        reader.get("/api/v1/buckets/media/archive")
    stored.write_bytes(BODY)
    assert reader.get(URL).data == BODY
