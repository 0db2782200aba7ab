"""Folders and selections as one ZIP: what is in it, what is left out, and that a broken one never looks whole."""

from __future__ import annotations

import io
import itertools
import threading
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom.errors import StorageUnavailable
from strongroom.files import archive, archive_names
from strongroom.files.archive_names import ArchiveNames, safe_segment
from strongroom.storage.bound import TenantStorage

from tenants.models import Tenant
from tests.factories import EICAR, PNG, Account, Client, World, ok, problem

URL = "/api/v1/buckets/media/archive"
pytestmark = pytest.mark.usefixtures("bucket")


def opened(response: Any) -> zipfile.ZipFile:
    assert response.status_code == 200, response.data
    found = zipfile.ZipFile(io.BytesIO(response.data))
    assert found.testzip() is None
    return found


@pytest.fixture
def files(world: World, client: Client, bucket: Any) -> dict[str, Any]:  # noqa: ARG001 - the files lie in it
    contents = {
        "2025/old.txt": b"old", "2026/a.txt": b"a" * 5000, "2026/sub/Ünï 漢字.txt": b"unicode", "2026/picture.png": PNG, "2026/empty": b"",
        "20267.txt": b"beside",
    }  # fmt: skip
    made = {path: world.upload(client, path, data) for path, data in contents.items()}
    world.run_jobs()
    return made


@pytest.mark.usefixtures("files")
def test_a_folder(client: Client) -> None:
    response = client.get(f"{URL}?prefix=2026/")
    found = opened(response)
    assert sorted(found.namelist()) == ["a.txt", "empty", "picture.png", "sub/Ünï 漢字.txt"]
    assert found.read("a.txt") == b"a" * 5000
    assert found.read("sub/Ünï 漢字.txt") == b"unicode"
    assert found.getinfo("a.txt").compress_type == zipfile.ZIP_DEFLATED
    assert found.getinfo("picture.png").compress_type == zipfile.ZIP_STORED
    headers = response.headers
    assert headers["Content-Type"] == "application/zip"
    assert headers["Content-Disposition"].startswith('attachment; filename="2026.zip"')
    assert "Content-Length" not in headers
    head = client.head(f"{URL}?prefix=2026/")
    assert (head.status_code, head.data) == (200, b"")
    for name in ("Content-Type", "Content-Disposition", "Cache-Control", "Content-Length"):
        assert head.headers.get(name) == headers.get(name), name


@pytest.mark.usefixtures("files")
def test_a_prefix_may_end_anywhere(client: Client) -> None:
    assert sorted(opened(client.get(f"{URL}?prefix=2026")).namelist())[:2] == ["2026/a.txt", "2026/empty"]
    assert "20267.txt" in opened(client.get(f"{URL}?prefix=2026")).namelist()
    everything = client.get(URL)
    assert len(opened(everything).namelist()) == 6
    assert 'filename="media.zip"' in everything.headers["Content-Disposition"]


def test_a_selection(client: Client, files: dict[str, Any]) -> None:
    by_path = client.post(URL, json={"paths": ["2025/old.txt", "2026/a.txt", "no/such.txt"]})
    found = opened(by_path)
    assert sorted(found.namelist()) == ["2025/old.txt", "2026/a.txt", "_not_included.txt"]
    assert "no/such.txt\tnot_found" in found.read("_not_included.txt").decode()
    by_id = client.post(URL, json={"file_ids": [files["2026/a.txt"]["id"], files["2026/a.txt"]["id"]]})
    assert opened(by_id).namelist() == ["2026/a.txt"]


def test_what_cannot_be_chosen(world: World, client: Client, tenant: Tenant, files: dict[str, Any]) -> None:
    for body in ({}, {"paths": []}, {"paths": ["a"], "file_ids": []}, {"file_ids": ["x"]}, {"paths": "a"}, {"paths": ["a"], "more": 1}):
        problem(client.post(URL, json=body), 422, "validation_failed")
    problem(client.post(URL, json={"paths": ["../etc"]}), 400, "invalid_path")
    problem(client.post(URL, json={"paths": ["none"]}), 404, "not_found")
    problem(client.get(f"{URL}?prefix=none/"), 404, "not_found")
    problem(client.get("/api/v1/buckets/none/archive"), 404, "not_found")
    world.create_bucket(tenant, "other")
    problem(client.post("/api/v1/buckets/other/archive", json={"file_ids": [files["2025/old.txt"]["id"]]}), 404, "not_found")
    assert client.head(f"{URL}?prefix=none/").status_code == 404


def test_no_others_file(world: World, client: Client, files: dict[str, Any]) -> None:
    other = world.create_user(world.create_tenant())
    world.create_bucket(other.tenant, "media")
    theirs = world.upload(world.client(other), "theirs.txt")
    found = opened(client.post(URL, json={"file_ids": [files["2025/old.txt"]["id"], theirs["id"]]}))
    assert found.namelist() == ["2025/old.txt", "_not_included.txt"]
    assert f"{theirs['id']}\tnot_found" in found.read("_not_included.txt").decode()


def test_what_may_not_be_had_is_left_out(world: World, client: Client, tenant: Tenant, files: dict[str, Any]) -> None:
    assert files
    world.upload(client, "2026/_not_included.txt", b"a file of that name")
    world.upload(client, "2026/bad.txt", EICAR)
    world.run_jobs()
    world.upload(client, "2026/pending.txt", b"not yet")
    viewer = world.client(world.create_user(tenant, "viewer"))
    found = opened(viewer.get(f"{URL}?prefix=2026/"))
    assert found.read("_not_included.txt") == b"a file of that name"
    told = found.read("_not_included (2).txt").decode()
    assert "2026/bad.txt\tfile_quarantined\n" in told
    assert "2026/pending.txt\tfile_pending\n" in told
    assert not {"bad.txt", "pending.txt"} & set(found.namelist())
    assert EICAR not in b"".join(found.read(name) for name in found.namelist())


def test_more_than_an_archive_takes(world: World, client: Client, files: dict[str, Any]) -> None:
    small = Client(world.again(archive_max_files=5).app, client.host, client.token)
    assert problem(small.get(URL), 422, "archive_too_large")["max_files"] == 5
    assert small.head(URL).status_code == 422
    problem(small.post(URL, json={"file_ids": [file["id"] for file in files.values()]}), 422, "archive_too_large")
    assert len(opened(small.get(f"{URL}?prefix=2026/")).namelist()) == 4


def test_many_files_come_in_pages(world: World, client: Client, monkeypatch: pytest.MonkeyPatch, files: dict[str, Any]) -> None:
    monkeypatch.setattr(archive, "PAGE", 2)
    assert world
    assert len(opened(client.get(URL)).namelist()) == len(files)


def test_each_file_is_counted(world: World, client: Client, owner: Account, tenant: Tenant, files: dict[str, Any]) -> None:
    assert client.get(f"{URL}?prefix=2026/").status_code == 200
    rows = world.rows(tenant, "access_log", "operation = 'download'")
    assert {str(row["file_id"]) for row in rows} == {file["id"] for path, file in files.items() if path.startswith("2026/")}
    assert {row["user_id"] for row in rows} == {owner.id}
    assert {str(row["file_id"]): row["bytes_out"] for row in rows} == {
        file["id"]: file["size_bytes"] for path, file in files.items() if path.startswith("2026/")
    }
    client.head(URL)
    assert len(world.rows(tenant, "access_log", "operation = 'download'")) == len(rows)


# Trouble


class Broken(io.BytesIO):
    """A file that breaks, or ends, after its first bytes."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(b"only the beginning")
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and self._error:
            raise self._error
        return data


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("error", [StorageUnavailable(), OSError("gone"), None], ids=["provider", "disk", "short"])
def test_a_file_that_breaks_breaks_the_archive(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception | None, tenant: Tenant, world: World
) -> None:
    monkeypatch.setattr(TenantStorage, "open", lambda *_: Broken(error))
    with pytest.raises((StorageUnavailable, OSError)):
        client.get(f"{URL}?prefix=2026/")
    monkeypatch.undo()
    rows = world.rows(tenant, "access_log", "operation = 'download'")
    assert len(rows) == 1  # the one that broke: its first bytes did go out
    assert opened(client.get(URL))  # the thread was given back


def test_bytes_that_are_gone_are_told(world: World, client: Client, tenant: Tenant, files: dict[str, Any]) -> None:
    version = files["2026/a.txt"]["version_id"].replace("-", "")
    next(path for path in world.stored(tenant) if path.name == version).unlink()
    found = opened(client.get(f"{URL}?prefix=2026/"))
    assert "2026/a.txt\tnot_found" in found.read("_not_included.txt").decode()


def test_a_slow_provider_holds_up_nobody(world: World, client: Client, monkeypatch: pytest.MonkeyPatch, files: dict[str, Any]) -> None:
    """While one archive waits for its provider, no connection is held and everybody else is served."""
    real, waits, go_on = TenantStorage.open, threading.Event(), threading.Event()

    def slow(self: TenantStorage, *ids: Any) -> Any:
        if not go_on.is_set():
            waits.set()
            assert go_on.wait(30)
        return real(self, *ids)

    monkeypatch.setattr(TenantStorage, "open", slow)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(client.get(URL)))
    thread.start()
    try:
        assert waits.wait(30)
        assert [engine.pool.checkedout() for engine in world.runtime.databases._cells.values()] == [0]  # type: ignore[attr-defined]  # an engine's pool, by its private name
        assert ok(client.get("/api/v1/buckets/media/files"))["items"]
    finally:
        go_on.set()
        thread.join(30)
    assert len(opened(found[0]).namelist()) == len(files)


def test_memory_does_not_grow_with_the_archive() -> None:
    """Pieces are handed on as they come: what is read ahead is one piece."""
    read: list[int] = []

    class Large(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            read.append(size)
            return b"\0" * size

    pieces = archive._whole(Large(), 1 << 40)  # type: ignore[arg-type]  # as much of a reader as is needed
    for _ in range(3):
        assert len(next(pieces)) == archive.PIECE_BYTES
    assert read == [archive.PIECE_BYTES] * 3


# Names


@pytest.mark.parametrize(("paths", "names"), [
    (["a.txt", "A.txt", "a.TXT"], ["a.txt", "A (2).txt", "a (3).TXT"]),
    (["a", "a/b", "a/c"], ["a", "a (2)/b", "a (2)/c"]),
    (["a/b", "a"], ["a/b", "a (2)"]),
    (["a<b", "a>b", "a|b"], ["a_b", "a_b (2)", "a_b (3)"]),
    (["C:/Windows/x", "con", "con.txt", "nul/x", "console"], ["C_/Windows/x", "_con", "_con.txt", "_nul/x", "console"]),
    (["a. /b.", "a/b"], ["a__/b_", "a/b"]),
    (["Folder/x", "folder/X"], ["Folder/x", "Folder/X (2)"]),
    ([".hidden", ".hidden"], [".hidden", ".hidden (2)"]),
    (["straße", "STRASSE", "ﬁle", "file", "é", "e\u0301"], ["straße", "STRASSE (2)", "ﬁle", "file (2)", "é", "e\u0301 (2)"]),
    (["a.txt", "a (2).txt", "A.txt", "a.TXT"], ["a.txt", "a (2).txt", "A (3).txt", "a (4).TXT"]),
    (["com¹", "LPT².txt", "con .txt", "CONIN$", "com¼"], ["_com¹", "_LPT².txt", "_con .txt", "_CONIN$", "com¼"]),
    (["../../etc/passwd", "/etc/passwd", "./a", "a/../b"], ["__/__/etc/passwd", "_/etc/passwd", "_/a", "a/__/b"]),
    (["x" * 300 + ".txt", "x" * 301 + ".txt"], ["x" * 196 + ".txt", "x" * 196 + " (2).txt"]),
    (["漢" * 300 + "/" + "y" * 1000], ["漢" * 66 + "/" + "y" * 200]),
    (["z." + "x" * 300], ["z." + "x" * 198]),
    (["archive.tar.gz", "archive.tar.gz"], ["archive.tar.gz", "archive.tar (2).gz"]),
])  # fmt: skip
def test_names(paths: list[str], names: list[str]) -> None:
    made = ArchiveNames()
    assert [made.free(path) for path in paths] == names


@pytest.mark.parametrize("segment", ["..", ".", "...", ". .", "\u202egpj.exe", "a\x00b", "a\\b", "LPT1", "", "aux."])
def test_no_name_leads_out(segment: str) -> None:
    safe = safe_segment(segment)
    assert safe
    assert safe.strip(". ") == safe or safe.endswith("_")
    assert not set(safe) & set('/\\\x00<>:"|?*\u202e')
    assert safe not in {".", ".."}


@given(st.lists(st.text(max_size=12), min_size=1, max_size=6))
def test_no_text_leads_out_or_is_there_twice(paths: list[str]) -> None:
    made = ArchiveNames()
    names = [made.free(path.encode(errors="replace").decode()) for path in [*paths, *paths]]
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        segments = name.split("/")
        assert not {"", ".", ".."} & set(segments)
        assert all(len(segment.encode()) <= 255 and segment.rstrip(". ") == segment for segment in segments)
        assert "\\" not in name
    folders = {name.rpartition("/")[0].casefold() for name in names}
    assert not folders & {name.casefold() for name in names}, "a file where a folder is"


def test_many_names_alike_cost_no_more_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    real = archive_names._same

    def same(name: str) -> str:
        looked.append(name)
        return real(name)

    monkeypatch.setattr(archive_names, "_same", same)
    names, many = ArchiveNames(), 2000
    variants = ["".join(letters) for letters in itertools.islice(itertools.product(*zip("abcdefghijk", "ABCDEFGHIJK", strict=True)), many)]
    assert len({names.free(name).casefold() for name in variants}) == many
    assert len(looked) < 8 * many


def test_names_stay_apart_however_many() -> None:
    names = ArchiveNames()
    assert len({names.free("same.txt").casefold() for _ in range(50)}) == 50
