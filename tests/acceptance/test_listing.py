"""Listing with prefix, delimiter, search and cursor; trash; versions; renaming."""

from __future__ import annotations

import pytest

from tests.acceptance.client import Client, assert_problem
from tests.acceptance.deployment import Tenant
from tests.acceptance.waiting import wait_until

PATHS = ["a", "a/1", "a/2", "a/b/3", "a-", "a.txt", "b%c/1", "b_c/1", "bxc/1", "z/Ä.txt", "z/é"]
LISTING = "/api/v1/buckets/media/files"


@pytest.fixture
def filled(owner: Client) -> Client:
    """A bucket with files in folders."""
    for path in reversed(PATHS):
        owner.upload("media", path, path.encode())
    return owner


def names(client: Client, **query: object) -> list[str]:
    return [each["path"] for each in client.files("media", **query)]


def test_by_code_point_whatever_the_page(filled: Client) -> None:
    expected = sorted(path.encode() for path in PATHS)
    for limit in (1, 2, 3, len(PATHS), 1000):
        assert [name.encode() for name in names(filled, limit=limit)] == expected
    pages = filled.pages(LISTING, limit=4)
    assert [len(page["items"]) for page in pages] == [4, 4, 3]
    assert filled.get(LISTING, params={"limit": len(PATHS)}).json()["next_cursor"] is None


@pytest.mark.parametrize("prefix", ["a", "a/", "a/b", "b%", "b_", "z/", "missing", "A"])
def test_prefix_is_exact(filled: Client, prefix: str) -> None:
    assert names(filled, prefix=prefix, limit=2) == sorted((path for path in PATHS if path.startswith(prefix)), key=str.encode)


def test_delimiter_tells_folders(filled: Client) -> None:
    for limit in (1, 2, 100):
        pages = filled.pages(LISTING, delimiter="/", limit=limit)
        items = [each["path"] for page in pages for each in page["items"]]
        folders = [each for page in pages for each in page["prefixes"]]
        assert items == ["a", "a-", "a.txt"]
        assert folders == ["a/", "b%c/", "b_c/", "bxc/", "z/"]
        assert all(len(page["items"]) + len(page["prefixes"]) <= limit for page in pages)
    below = filled.get(LISTING, params={"prefix": "a/", "delimiter": "/"}).json()
    assert ([each["path"] for each in below["items"]], below["prefixes"]) == (["a/1", "a/2"], ["a/b/"])


def test_search(filled: Client) -> None:
    assert names(filled, q="TXT") == ["a.txt", "z/Ä.txt"]
    assert names(filled, q="b_") == ["b_c/1"]
    assert names(filled, q="%") == ["b%c/1"]
    assert names(filled, q="ä") == ["z/Ä.txt"]


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("limit", "1001"), ("limit", "x"), ("delimiter", "-"), ("nonsense", "1")])
def test_wrong_queries(owner: Client, name: str, value: str) -> None:
    answer = owner.get(LISTING, params={name: value})
    if name == "nonsense" and answer.status_code == 200:
        return  # unknown parameters may be ignored
    assert name in assert_problem(answer, 422, "validation_failed")["errors"]


def test_garbage_cursors(owner: Client) -> None:
    for cursor in ("x", "....", "YWJj", "%00", "ä", "a" * 5000):
        assert_problem(owner.get(LISTING, params={"cursor": cursor}), 400, "invalid_cursor")
    assert_problem(owner.get(LISTING, params={"prefix": "a\\b"}), 400, "invalid_path")


# Trash


def test_delete_and_undelete(owner: Client, tenant: Tenant) -> None:
    file = owner.store("media", "a.txt", b"once")
    assert owner.request("DELETE", owner.object_path("media", "a.txt")).status_code == 204
    assert_problem(owner.download("media", "a.txt"), 404, "not_found")
    assert_problem(owner.get(f"/api/v1/files/{file['id']}"), 404, "not_found")
    assert_problem(owner.request("DELETE", owner.object_path("media", "a.txt")), 404, "not_found")
    assert owner.files("media") == []
    (trashed,) = owner.listed("/api/v1/trash")
    assert trashed["id"] == file["id"]
    assert trashed["deleted_at"] < trashed["purge_at"]
    assert owner.quota()["used_bytes"] == 4, "what lies in the trash is still stored"
    assert len(tenant.stored()) == 1
    back = owner.post(f"/api/v1/files/{file['id']}/undelete")
    assert back.status_code == 200
    assert back.json()["version_id"] == file["version_id"]
    assert owner.download("media", "a.txt").content == b"once"
    assert owner.listed("/api/v1/trash") == []
    assert_problem(owner.post(f"/api/v1/files/{file['id']}/undelete"), 404, "not_found")


def test_undelete_where_another_file_is_now(owner: Client) -> None:
    former = owner.upload("media", "a.txt", b"former")
    owner.request("DELETE", f"/api/v1/files/{former['id']}")
    owner.upload("media", "a.txt", b"latter")
    assert_problem(owner.post(f"/api/v1/files/{former['id']}/undelete"), 409, "already_exists")
    assert [each["id"] for each in owner.listed("/api/v1/trash")] == [former["id"]]


def test_the_trash_has_pages(owner: Client) -> None:
    ids = [owner.upload("media", f"{number}", b"x")["id"] for number in range(5)]
    for file_id in ids:
        owner.request("DELETE", f"/api/v1/files/{file_id}")
    assert [each["id"] for each in owner.listed("/api/v1/trash", limit=2)] == ids[::-1]


def test_without_trash_days_bytes_go_at_once(owner: Client, tenant: Tenant) -> None:
    owner.bucket("brief", trash_days=0)
    file = owner.store("brief", "a.txt", b"once")
    owner.request("DELETE", f"/api/v1/files/{file['id']}")
    wait_until(lambda: not tenant.stored(), 30, "the bytes to be gone")
    wait_until(lambda: owner.quota()["used_bytes"] == 0, 10, "the quota to be free")
    assert owner.listed("/api/v1/trash") == []
    assert owner.request("DELETE", "/api/v1/buckets/brief").status_code == 204


def test_delete_if_match(owner: Client) -> None:
    file = owner.upload("media", "a.txt", b"once")
    path = owner.object_path("media", "a.txt")
    assert_problem(owner.request("DELETE", path, headers={"If-Match": '"other"'}), 412, "precondition_failed")
    assert owner.request("DELETE", path, headers={"If-Match": f'"{file["etag"]}"'}).status_code == 204


# Versions


def test_overwriting_makes_a_version(owner: Client, tenant: Tenant) -> None:
    made = [owner.store("media", "a.txt", text) for text in (b"one", b"two!", b"three")]
    assert len({each["id"] for each in made}) == 1
    assert len({each["version_id"] for each in made}) == 3
    path = f"/api/v1/files/{made[0]['id']}"
    versions = owner.get(f"{path}/versions").json()["items"]
    assert [each["id"] for each in versions] == [each["version_id"] for each in reversed(made)]
    assert [each["size_bytes"] for each in versions] == [5, 4, 3]
    assert owner.download("media", "a.txt").content == b"three"
    for version, text in zip(made, (b"one", b"two!", b"three"), strict=True):
        assert owner.get(f"{path}/content", params={"version": version["version_id"]}).content == text
    quota = owner.quota()
    assert (quota["used_files"], quota["used_bytes"]) == (1, 12)
    assert len(tenant.stored()) == 3
    back = owner.post(f"{path}/versions/{made[0]['version_id']}/restore")
    assert back.status_code == 200
    assert owner.download("media", "a.txt").content == b"one"
    assert_problem(owner.post(f"{path}/versions/{made[0]['id']}/restore"), 404, "not_found")


def test_without_versioning_the_former_one_goes(owner: Client, tenant: Tenant) -> None:
    owner.bucket("single", versioning=False)
    owner.store("single", "a.txt", b"one")
    last = owner.store("single", "a.txt", b"three")
    assert len(owner.get(f"/api/v1/files/{last['id']}/versions").json()["items"]) == 1
    assert owner.quota()["used_bytes"] == 5
    wait_until(lambda: set(tenant.stored()) == {last["version_id"].replace("-", "")}, 30, "the former bytes to be gone")
    assert owner.download("single", "a.txt").content == b"three"


# Renaming and metadata


def test_rename_and_metadata(owner: Client) -> None:
    file = owner.store("media", "a.txt", b"once")
    path = f"/api/v1/files/{file['id']}"
    moved = owner.request("PATCH", path, json={"path": "folder/b.txt", "metadata": {"project": "x"}})
    assert moved.status_code == 200
    assert (moved.json()["path"], moved.json()["metadata"], moved.json()["id"]) == ("folder/b.txt", {"project": "x"}, file["id"])
    assert owner.download("media", "folder/b.txt").content == b"once"
    assert_problem(owner.download("media", "a.txt"), 404, "not_found")
    owner.upload("media", "taken.txt", b"x")
    assert_problem(owner.request("PATCH", path, json={"path": "taken.txt"}), 409, "already_exists")
    for wrong in ("../x", "a\\b", "", "/a", "a\x00b"):
        code = "bad_request" if "\0" in wrong else "invalid_path"
        assert_problem(owner.request("PATCH", path, json={"path": wrong}), 400, code)
    assert "metadata" in assert_problem(owner.request("PATCH", path, json={"metadata": {"a": 1}}), 422, "validation_failed")["errors"]
