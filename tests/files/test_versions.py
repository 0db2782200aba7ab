"""Versions: kept, listed, restored; replaced at once where a bucket keeps none. And renaming, and metadata."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.models import Tenant
from tests.factories import EICAR, Client, Statements, World, object_url, ok, problem, put_object
from tests.slow import all_at_once

pytestmark = pytest.mark.usefixtures("bucket")


@pytest.fixture
def history(world: World, client: Client) -> list[Any]:
    """A file that was replaced twice."""
    made = [world.upload(client, "a.txt", text) for text in (b"first", b"second", b"third")]
    world.run_jobs()
    return made


def versions_of(client: Client, file: Any) -> list[Any]:
    return list(ok(client.get(f"/api/v1/files/{file['id']}/versions"))["items"])


def test_former_versions_are_kept(client: Client, history: list[Any]) -> None:
    assert len({each["id"] for each in history}) == 1
    listed = versions_of(client, history[0])
    assert [each["id"] for each in listed] == [each["version_id"] for each in history[::-1]]
    for version, text in zip(listed, (b"third", b"second", b"first"), strict=True):
        for path in (f"/api/v1/files/{history[0]['id']}/content", object_url("media", "a.txt")):
            assert client.get(path, query_string={"version": version["id"]}).data == text
    assert client.get(object_url("media", "a.txt")).data == b"third"


def test_versions_count_and_are_listed_in_few_statements(world: World, client: Client, history: list[Any]) -> None:
    with Statements(world.runtime) as statements:
        versions_of(client, history[0])
    assert len(statements.texts) <= 5


def test_restore(world: World, client: Client, tenant: Tenant, history: list[Any]) -> None:
    first = history[0]
    restored = ok(client.post(f"/api/v1/files/{first['id']}/versions/{first['version_id']}/restore"))
    assert (restored["version_id"], restored["etag"]) == (first["version_id"], first["etag"])
    assert client.get(object_url("media", "a.txt")).data == b"first"
    assert len(versions_of(client, first)) == 3
    assert world.totals(tenant) == {"used_bytes": 16, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}


def test_what_did_not_pass_is_not_restored(world: World, client: Client) -> None:
    bad = world.upload(client, "b.txt", EICAR)
    world.upload(client, "b.txt", b"harmless")
    world.run_jobs()
    problem(client.post(f"/api/v1/files/{bad['id']}/versions/{bad['version_id']}/restore"), 403, "file_quarantined")
    problem(client.get(f"/api/v1/files/{bad['id']}/content?version={bad['version_id']}"), 403, "file_quarantined")
    assert client.get(object_url("media", "b.txt")).data == b"harmless"


def test_a_bucket_without_versions_forgets_the_former(world: World, client: Client, tenant: Tenant) -> None:
    ok(client.patch("/api/v1/buckets/media", json={"versioning": False}))
    first = world.upload(client, "a.txt", b"first one")
    second = world.upload(client, "a.txt", b"second")
    assert first["id"] == second["id"]
    assert [each["id"] for each in versions_of(client, second)] == [second["version_id"]]
    assert world.totals(tenant) == {"used_bytes": 6, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}
    world.run_jobs()
    (path,) = world.stored(tenant)
    assert path.read_bytes() == b"second"
    assert ok(client.get("/api/v1/buckets/media"))["used_bytes"] == 6


def test_many_writers_without_versions(world: World, client: Client, tenant: Tenant) -> None:
    ok(client.patch("/api/v1/buckets/media", json={"versioning": False}))
    answers = all_at_once([lambda each=each: put_object(client, "media", "a.txt", b"%d" % each) for each in range(8)])
    assert {each.status_code for each in answers} == {201}
    world.run_jobs()
    assert len(world.stored(tenant)) == len(world.rows(tenant, "versions")) == 1
    assert world.totals(tenant) == {"used_bytes": 1, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}


# Renaming and metadata


def test_rename(client: Client, history: list[Any]) -> None:
    moved = ok(client.patch(f"/api/v1/files/{history[0]['id']}", json={"path": "folder/b.txt"}))
    assert moved["path"] == "folder/b.txt"
    problem(client.get(object_url("media", "a.txt")), 404, "not_found")
    assert client.get(object_url("media", "folder/b.txt")).data == b"third"


def test_rename_onto_another_file(world: World, client: Client, history: list[Any]) -> None:
    world.upload(client, "taken.txt", b"taken")
    problem(client.patch(f"/api/v1/files/{history[0]['id']}", json={"path": "taken.txt"}), 409, "already_exists")
    assert client.get(object_url("media", "taken.txt")).data == b"taken"
    assert ok(client.patch(f"/api/v1/files/{history[0]['id']}", json={"path": "a.txt"}))["path"] == "a.txt"


def test_metadata(client: Client, history: list[Any]) -> None:
    url = f"/api/v1/files/{history[0]['id']}"
    assert ok(client.patch(url, json={"metadata": {"Ünï": "<b>'\"", "b": ""}}))["metadata"] == {"Ünï": "<b>'\"", "b": ""}
    assert ok(client.patch(url, json={}))["metadata"] == {"Ünï": "<b>'\"", "b": ""}
    assert ok(client.patch(url, json={"metadata": {}}))["metadata"] == {}


@pytest.mark.parametrize("metadata", [
    {"": "x"}, {"x" * 129: "x"}, {"x": "x" * 1025}, {"x": 1}, {"x": None}, {"x": {}}, [], "x", {str(each): "" for each in range(51)},
], ids=lambda each: str(each)[:30])  # fmt: skip
def test_wrong_metadata(client: Client, history: list[Any], metadata: Any) -> None:
    problem(client.patch(f"/api/v1/files/{history[0]['id']}", json={"metadata": metadata}), 422, "validation_failed")


@pytest.mark.parametrize(
    "body",
    [
        {"path": 1},
        {"path": None},
        {"size_bytes": 1},
        {"version_id": "x"},
        {"bucket": "x"},
        [],
        "x",
    ],
    ids=str,
)
def test_wrong_changes(client: Client, history: list[Any], body: Any) -> None:
    response = client.patch(f"/api/v1/files/{history[0]['id']}", json=body)
    assert response.status_code in {400, 422}
    assert ok(client.get(f"/api/v1/files/{history[0]['id']}"))["path"] == "a.txt"


def test_a_restored_version_is_a_change(world: World, client: Client, tenant: Tenant) -> None:
    """By date alone a client would keep the bytes of the version that was replaced."""
    file = world.upload(client, "a.txt", b"first")
    world.upload(client, "a.txt", b"second")
    world.run_jobs()
    world.tenant_sql(tenant, "UPDATE {t}.versions SET created_at = created_at - interval '1 hour'")
    world.tenant_sql(tenant, "UPDATE {t}.files SET updated_at = updated_at - interval '1 hour'")
    before = client.get("/api/v1/objects/media/a.txt")
    assert before.data == b"second"
    since = {"If-Modified-Since": before.headers["Last-Modified"]}
    assert client.get("/api/v1/objects/media/a.txt", headers=since).status_code == 304
    ok(client.post(f"/api/v1/files/{file['id']}/versions/{file['version_id']}/restore"))
    assert client.get("/api/v1/objects/media/a.txt", headers=since).data == b"first"
