"""A provider that takes parts and no regions, with files below a folder: a real one, as small as it can be."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from strongroom.errors import Conflict, NotFound
from strongroom.storage.base import ObjectMeta, Part, PartLimits, Reader, Writer

SESSIONS = ".sessions"


class PartsWriter:
    """A file under another name until it is complete."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        self._unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        self._file = self._unfinished.open("wb")

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)

    def complete(self) -> ObjectMeta:
        self._file.close()
        self._unfinished.replace(self._path)
        return meta_of(self._path, self._key)

    def abort(self) -> None:
        self._file.close()
        self._unfinished.unlink(missing_ok=True)


def meta_of(path: Path, key: str) -> ObjectMeta:
    if not path.is_file():
        raise NotFound
    found = path.stat()
    return ObjectMeta(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), "a tag")


class PartsProvider:
    """See `Provider` and `Multipart`."""

    part_limits = PartLimits(5 * 1024 * 1024, 5 * 1024**3, 10_000)

    def __init__(self, root: Path) -> None:
        self.root = root
        self.puts: list[tuple[int, int]] = []

    def _path(self, key: str) -> Path:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _session(self, key: str, session: str) -> Path:
        path = self.root / SESSIONS / key.replace("/", "_") / session
        if not session or not path.is_dir():
            raise NotFound
        return path

    def writer(self, key: str, size_bytes: int | None) -> Writer:  # noqa: ARG002 - the interface's
        return PartsWriter(self._path(key), key)

    def open(self, key: str) -> Reader:
        meta_of(self._path(key), key)
        return self._path(key).open("rb")

    def head(self, key: str) -> ObjectMeta:
        return meta_of(self._path(key), key)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._path(key).unlink(missing_ok=True)
            shutil.rmtree(self.root / SESSIONS / key.replace("/", "_"), ignore_errors=True)

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        for path in (self.root / prefix).rglob("*"):
            if path.is_file():
                yield meta_of(path, str(path.relative_to(self.root)))

    def delete_prefix(self, prefix: str) -> None:
        shutil.rmtree(self.root / prefix, ignore_errors=True)

    def check(self) -> None:
        return

    def begin_multipart(self, key: str) -> str:
        session = uuid4().hex
        (self.root / SESSIONS / key.replace("/", "_") / session).mkdir(parents=True)
        return session

    def put_part(self, key: str, session: str, number: int, data: bytes | bytearray | memoryview) -> Part:
        (self._session(key, session) / f"{number:05}").write_bytes(data)
        self.puts.append((number, len(data)))
        return Part(number, len(data), hashlib.sha256(data).hexdigest())

    def assemble(self, key: str, session: str, parts: Sequence[Part]) -> ObjectMeta:
        folder, target = self._session(key, session), self._path(key)
        with target.open("wb") as file:
            for part in parts:
                piece = folder / f"{part.number:05}"
                if not piece.is_file() or hashlib.sha256(piece.read_bytes()).hexdigest() != part.tag:
                    raise Conflict
                file.write(piece.read_bytes())
            os.fsync(file.fileno())
        shutil.rmtree(folder)
        return meta_of(target, key)

    def discard(self, key: str, session: str) -> None:
        shutil.rmtree(self.root / SESSIONS / key.replace("/", "_") / session, ignore_errors=True)

    def left(self) -> list[Path]:
        """Every file there, finished or not."""
        return sorted(path for path in self.root.rglob("*") if path.is_file())
