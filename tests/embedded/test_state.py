from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from strongroom.embedded.errors import EmbeddedError
from strongroom.embedded.files import TEMPORARY_SUFFIX, FileLock
from strongroom.embedded.state import StateDir, write_private_json


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_create_makes_a_private_layout_and_is_idempotent(folder: Path) -> None:
    state = StateDir(folder / "new" / "state")
    assert not state.exists()
    for _ in range(2):
        state.create()
        assert state.exists()
        parts = (state.path, state.pg_dir, state.files_dir, state.logs_dir, state.run_dir)
        assert {mode(part) for part in parts} == {0o700}


def test_create_keeps_the_way_of_the_databases_user(state: StateDir) -> None:
    state.path.chmod(0o710)
    state.create()
    assert mode(state.path) == 0o710


def test_an_empty_open_folder_is_taken_and_closed(folder: Path) -> None:
    path = folder / "mine"
    (path / "lost+found").mkdir(parents=True)
    (path / f".marker{TEMPORARY_SUFFIX}").touch()
    path.chmod(0o777)
    StateDir(path).create()
    assert mode(path) == 0o700


def _file(path: Path) -> None:
    path.touch()


def _foreign(path: Path) -> None:
    path.mkdir()
    (path / "precious").touch()


def _newer(path: Path) -> None:
    StateDir(path).create()
    write_private_json(path / "strongroom-state.json", {"layout": 99})


def _damaged(path: Path) -> None:
    StateDir(path).create()
    (path / "strongroom-state.json").write_text("{")


@pytest.mark.parametrize("prepare", [_file, _foreign, _newer, _damaged])
def test_what_is_not_ours_is_refused(folder: Path, prepare: Callable[[Path], None]) -> None:
    path = folder / "there"
    prepare(path)
    before = sorted(path.rglob("*"))
    with pytest.raises(EmbeddedError, match="there"):
        StateDir(path).create()
    assert sorted(path.rglob("*")) == before


def test_a_path_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(EmbeddedError, match="Cannot write"):
        StateDir(Path("/proc/strongroom")).create()


def test_secrets_are_made_once_and_private(state: StateDir) -> None:
    made = state.load_secrets(["app", "owner"])
    assert len(base64.b64decode(made.master_key)) == 32
    assert len(set(made.database_passwords.values())) == 2
    assert StateDir(state.path).load_secrets(["app"]) == made
    assert mode(state.secrets_file) == 0o600
    assert made.master_key not in repr(made)


def test_a_new_role_keeps_the_other_secrets(state: StateDir) -> None:
    made = state.load_secrets(["app"])
    more = state.load_secrets(["app", "reader"])
    assert more.master_key == made.master_key
    assert more.database_passwords["app"] == made.database_passwords["app"]
    assert json.loads(state.secrets_file.read_text())["database_passwords"] == more.database_passwords


def test_processes_that_start_together_agree_on_the_secrets(state: StateDir) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: StateDir(state.path).load_secrets(["app"]).master_key, range(16)))
    assert len(set(made)) == 1


@pytest.mark.parametrize("content", ["{half", "[]", "{}"])
def test_damaged_secrets_are_never_replaced(state: StateDir, content: str) -> None:
    state.secrets_file.write_text(content)
    with pytest.raises(EmbeddedError, match="backup"):
        state.load_secrets(["app"])
    assert state.secrets_file.read_text() == content


def test_lost_secrets_of_a_used_deployment_are_never_made_anew(state: StateDir) -> None:
    state.pg_data_dir.mkdir()
    with pytest.raises(EmbeddedError, match="backup"):
        state.load_secrets(["app"])


def test_write_private_json_replaces_and_leaves_nothing_behind(folder: Path) -> None:
    path = folder / "value.json"
    path.write_text("old")
    path.chmod(0o644)
    write_private_json(path, {"a": "ü"})
    assert json.loads(path.read_text()) == {"a": "ü"}
    assert mode(path) == 0o600
    assert list(folder.iterdir()) == [path]


def test_lock_is_held_once(folder: Path) -> None:
    with FileLock(folder / "lock", purpose="The test") as lock:
        lock.acquire()
        with pytest.raises(EmbeddedError, match="The test is in use"):
            FileLock(folder / "lock", purpose="The test").acquire()
    with FileLock(folder / "lock", purpose="The test"):
        pass
