"""Private files that are never half-written, and locks that end with their holder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import EmbeddedError

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700
TEMPORARY_SUFFIX = ".strongroom-tmp"


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by a 0600 file with this content: atomic, and durable on return."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_dir(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EmbeddedError(f"Cannot write {path}: {error.strerror}. Check the disk's free space and who owns the folder.") from error


def write_private_json(path: Path, value: Mapping[str, Any]) -> None:
    """Like `write_private`, as indented JSON."""
    write_private(path, (json.dumps(value, indent=2) + "\n").encode())


def sync_dir(path: Path) -> None:
    """Make renames inside this folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tail(path: Path, max_bytes: int = 2000) -> str:
    """The end of a log, for an error message; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - max_bytes))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class FileLock:
    """An exclusive `flock` that carries its holder's pid; the kernel lets go of it when the holder dies, in any way.

    The file stays behind: removing it would let two holders lock two different files of the same name.
    """

    def __init__(self, path: Path, *, purpose: str, wait_s: float = 0.0) -> None:
        self._path = path
        self._purpose = purpose
        self._wait_s = wait_s
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock within `wait_s` or raise `EmbeddedError` naming the holder's pid; again is allowed."""
        if self._descriptor is not None:
            return
        descriptor = self._open()
        deadline = time.monotonic() + self._wait_s
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(descriptor)
                raise EmbeddedError(f"{self._purpose} is in use by process {holder}. Stop that one first (kill {holder}).")
            time.sleep(0.02)  # the lock has no waiting with a bound
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE)
        except OSError as error:
            raise EmbeddedError(f"Cannot open the lock {self._path}: {error.strerror}. Check who owns the folder.") from error

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def rotate(path: Path, *, max_size_bytes: int, kept: int) -> None:
    """Move `path` to `path.1` (and so on, `kept` of them) when it has grown larger than that."""
    try:
        if path.stat().st_size <= max_size_bytes:
            return
    except FileNotFoundError:
        return
    for number in range(kept - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(f"{path.name}.{number}").replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))
