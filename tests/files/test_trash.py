"""Deleting, the trash, restoring, and the end of files whose time is over."""

from __future__ import annotations

from typing import Any

import pytest
from strongroom.checks import service as checks
from strongroom.db.ids import new_id
from strongroom.errors import NotFound, PreconditionFailed
from strongroom.files import service

from tenants.models import Tenant
from tests.factories import Client, World, object_url, ok, problem, put_object

pytestmark = pytest.mark.usefixtures("bucket")
LIST = "/api/v1/buckets/media/files"


@pytest.fixture
def file(world: World, client: Client) -> Any:
    made = world.upload(client, "a.txt", b"content")
    world.run_jobs()
    return made


def overdue(world: World, tenant: Tenant) -> None:
    world.tenant_sql(tenant, "UPDATE {t}.files SET purge_at = now() - interval '1 second' WHERE deleted_at IS NOT NULL")


def test_delete_moves_to_the_trash(world: World, client: Client, tenant: Tenant, file: Any) -> None:
    ok(client.delete(object_url("media", "a.txt")), 204)
    problem(client.get(object_url("media", "a.txt")), 404, "not_found")
    problem(client.get(f"/api/v1/files/{file['id']}"), 404, "not_found")
    problem(client.get(f"/api/v1/files/{file['id']}/content"), 404, "not_found")
    problem(client.get(f"/api/v1/files/{file['id']}/versions"), 404, "not_found")
    problem(client.delete(f"/api/v1/files/{file['id']}"), 404, "not_found")
    assert ok(client.get(LIST))["items"] == []
    (trashed,) = ok(client.get("/api/v1/trash"))["items"]
    assert trashed["id"] == file["id"]
    assert trashed["purge_at"] > trashed["deleted_at"]
    assert len(world.stored(tenant)) == 1
    assert world.totals(tenant)["used_bytes"] == 7, "what is in the trash still takes room"


def test_undelete(client: Client, file: Any) -> None:
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    restored = ok(client.post(f"/api/v1/files/{file['id']}/undelete"))
    assert (restored["id"], restored["path"]) == (file["id"], "a.txt")
    assert client.get(object_url("media", "a.txt")).data == b"content"
    assert ok(client.get("/api/v1/trash"))["items"] == []


def test_undelete_onto_another_file(world: World, client: Client, file: Any) -> None:
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    world.upload(client, "a.txt", b"newer")
    problem(client.post(f"/api/v1/files/{file['id']}/undelete"), 409, "already_exists")
    assert client.get(object_url("media", "a.txt")).data == b"newer"
    assert len(ok(client.get("/api/v1/trash"))["items"]) == 1


def test_a_path_is_free_again_and_each_deletion_is_a_file_of_its_own(world: World, client: Client) -> None:
    ids = []
    for _ in range(3):
        ids.append(world.upload(client, "a.txt")["id"])
        ok(client.delete(object_url("media", "a.txt")), 204)
    assert len(set(ids)) == 3
    assert [each["id"] for each in ok(client.get("/api/v1/trash"))["items"]] == ids[::-1]


def test_delete_on_a_condition(client: Client, file: Any) -> None:
    for headers in ({"If-Match": '"other"'},):
        problem(client.delete(object_url("media", "a.txt"), headers=headers), 412, "precondition_failed")
    ok(client.delete(object_url("media", "a.txt"), headers={"If-Match": f'"x", "{file["etag"]}"'}), 204)


def test_purging_what_is_overdue(world: World, client: Client, tenant: Tenant, file: Any) -> None:
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    world.run_jobs()
    assert len(world.stored(tenant)) == 1, "its time is not over"
    overdue(world, tenant)
    checks.empty_trash(world.runtime, tenant)
    assert world.rows(tenant, "files") == world.rows(tenant, "versions") == []
    assert set(world.totals(tenant).values()) == {0}
    assert len(world.stored(tenant)) == 1, "row first, bytes second"
    world.run_jobs()
    assert world.stored(tenant) == []
    problem(client.post(f"/api/v1/files/{file['id']}/undelete"), 404, "not_found")


def test_all_versions_go_together(world: World, client: Client, tenant: Tenant) -> None:
    for text in (b"1", b"22", b"333"):
        file = world.upload(client, "b.txt", text)
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    overdue(world, tenant)
    checks.empty_trash(world.runtime, tenant)
    world.run_jobs()
    assert world.stored(tenant) == []
    assert set(world.totals(tenant).values()) == {0}


def test_no_days_in_the_trash(world: World, client: Client, tenant: Tenant, file: Any) -> None:
    ok(client.patch("/api/v1/buckets/media", json={"trash_days": 0}))
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    world.run_jobs()
    assert world.rows(tenant, "files") == []
    assert world.stored(tenant) == []


def test_the_trash_is_emptied_by_a_job_of_its_own(world: World, client: Client, tenant: Tenant, file: Any) -> None:
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    (job,) = world.jobs(tenant, kind=service.EMPTY_TRASH)
    (row,) = world.rows(tenant, "files")
    assert job["run_at"] >= row["purge_at"]
    overdue(world, tenant)
    world.run_jobs()
    assert world.rows(tenant, "files") == []


def test_undeleted_in_time(world: World, client: Client, tenant: Tenant, file: Any) -> None:
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    ok(client.post(f"/api/v1/files/{file['id']}/undelete"))
    overdue(world, tenant)
    world.run_jobs()
    assert client.get(object_url("media", "a.txt")).data == b"content"


def test_purge_at_once(world: World, client: Client, tenant: Tenant, file: Any) -> None:
    with pytest.raises(PreconditionFailed):
        service.purge_from_trash(world.runtime, tenant, file_id=world.rows(tenant, "files")[0]["id"])
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    service.purge_from_trash(world.runtime, tenant, world.rows(tenant, "files")[0]["id"])
    world.run_jobs()
    assert world.stored(tenant) == []
    with pytest.raises(NotFound):
        service.purge_from_trash(world.runtime, tenant, new_id())


def test_trash_page_by_page(world: World, client: Client, tenant: Tenant) -> None:
    """Also of files that were deleted in the same moment."""
    for number in range(5):
        world.upload(client, f"{number}.txt")
        ok(client.delete(object_url("media", f"{number}.txt")), 204)
    world.tenant_sql(
        tenant, "UPDATE {t}.files SET deleted_at = (SELECT max(deleted_at) FROM {t}.files) WHERE path IN ('1.txt', '2.txt', '3.txt')"
    )
    whole = [each["id"] for each in ok(client.get("/api/v1/trash"))["items"]]
    found, query = [], {"limit": "1"}
    while True:
        page = ok(client.get("/api/v1/trash", query_string=query))
        found += [each["id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == whole
    assert len(set(found)) == 5


def test_events_tell_it_all(world: World, client: Client, tenant: Tenant, file: Any) -> None:
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    ok(client.post(f"/api/v1/files/{file['id']}/undelete"))
    ok(client.patch(f"/api/v1/files/{file['id']}", json={"path": "b.txt"}))
    ok(put_object(client, "media", "b.txt", b"2"), 201)
    kinds = [row["kind"] for row in world.rows(tenant, "events", "subject = %(id)s ORDER BY xid, id", id=file["id"])]
    assert kinds == ["file.created", "file.verdict", "file.deleted", "file.restored", "file.moved", "file.updated"]
