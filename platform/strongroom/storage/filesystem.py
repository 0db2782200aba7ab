"""Filesystem provider: objects are files below a root folder.

Permissions: the process needs to read, write and create folders below the root; nobody else needs anything.
Durability: written under a temporary name, fsync, rename, fsync of the folder: `complete` returns only when all four are
done (see "Files are hard", danluu.com/file-consistency, and fsync(2) on directories).
Caveats: the root must be a local disk or a network file system with honest fsync and locks; several API machines must share it.
Room is reserved with posix_fallocate(3) before the first byte, so a full disk is told before the body is read.
Where the system has it, sync_file_range(2) starts writing to the disk while more bytes come: the fsync at the end waits little.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from strongroom.errors import NotFound, StorageFull, StorageUnavailable, UploadLocked
from strongroom.storage.base import CannotCompose, ObjectMeta, Reader, RegionWriter, Slice, Writer
from strongroom.storage.file_locks import lock_range
from strongroom.storage.keys import KEY_PATTERN, PREFIX_PATTERN
from strongroom.storage.write_behind import WriteBehind

UNFINISHED = ".part"
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
WRITE_BYTES = 256 * 1024
"""In one call. For more the kernel looks for large runs of memory, which a virtual machine's host may have to find first:
measured, such writes cost up to five times as much."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound from None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull from error
        raise StorageUnavailable(retry_after_s=5) from error


def _sync_folder(path: Path) -> None:
    handle = os.open(path, FOLDER_FLAGS)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FilesystemWriter:
    """A file under a temporary name; see `Writer`."""

    def __init__(self, path: Path, key: str, size_bytes: int | None) -> None:
        self._path, self._key = path, key
        self._unfinished = _unfinished(path)
        self._handle = _begun(self._unfinished)
        self._size_bytes, self._behind = 0, WriteBehind(self._handle, 0)
        try:
            _reserve(self._handle, size_bytes)
        except OSError:
            self.abort()
            raise

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        view = memoryview(data)
        with _translated():
            while view:
                written = os.write(self._handle, view[:WRITE_BYTES])
                self._size_bytes += written
                view = view[written:]
        self._behind.reach(self._size_bytes)

    def complete(self) -> ObjectMeta:
        """Make the file durable and give it its name."""
        with _translated():
            os.ftruncate(self._handle, self._size_bytes)
            os.fsync(self._handle)
            modified = os.fstat(self._handle).st_mtime
            self._rename()  # before the lock is given up
            os.close(self._handle)
            self._handle = -1
            _sync_folder(self._path.parent)
        return ObjectMeta(self._key, self._size_bytes, datetime.fromtimestamp(modified, UTC))

    def _rename(self) -> None:
        try:
            if not self._is_mine():
                raise FileNotFoundError
            self._unfinished.rename(self._path)
        except FileNotFoundError:
            raise StorageUnavailable("The unfinished file was removed while it was being written.") from None

    def _is_mine(self) -> bool:
        """Whether the unfinished file is still the one that was begun here: it may have been removed, and begun anew by another."""
        return os.path.samestat(os.fstat(self._handle), self._unfinished.stat(follow_symlinks=False))

    def abort(self) -> None:
        """Remove the temporary file. Idempotent."""
        if self._handle < 0:
            return
        with suppress(OSError):
            if self._is_mine():
                self._unfinished.unlink()  # before the lock is given up
        os.close(self._handle)
        self._handle = -1


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + UNFINISHED)


def _begun(path: Path) -> int:
    """Make an unfinished file, in the place of one that a process has left behind when it was killed.

    Raises:
        UploadLocked: somebody is writing it.
    """
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    for _ in range(2):
        with suppress(FileExistsError):
            return _locked(path, os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), is_new=True)
        with suppress(FileNotFoundError):  # it was finished or removed meanwhile
            left = _locked(path, os.open(path, flags), is_new=False)
            path.unlink()  # and not emptied: should its writer live, on a file system that forgets locks, it must notice
            os.close(left)
    raise UploadLocked("Somebody else is writing this file right now.", retry_after_s=1)


def _locked(path: Path, handle: int, *, is_new: bool) -> int:
    """Lock a file as a whole until its handle is closed. Where the file system has no locks a new file does without."""
    try:
        lock_range(path, handle)
    except OSError as error:
        if not is_new or error.errno not in NO_LOCKS:
            os.close(handle)
            raise
    except BaseException:
        os.close(handle)
        raise
    return handle


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _reading(path: Path) -> AbstractContextManager[int]:
    return _opened(path, os.O_RDONLY)


def _writing(path: Path) -> AbstractContextManager[int]:
    return _opened(path, os.O_WRONLY)


def _copy(source: int, target: int, piece: Slice, to: int) -> None:
    """Copy a slice to offset `to` by copy_file_range(2), which shares blocks where the file system can.

    Raises:
        CannotCompose: the source is shorter than the slice.
    """
    done = 0
    while done < piece.length:
        copied = os.copy_file_range(source, target, piece.length - done, offset_src=piece.start + done, offset_dst=to + done)
        if not copied:
            raise CannotCompose
        done += copied


def _reserve(handle: int, size_bytes: int | None) -> None:
    if size_bytes:
        try:
            os.posix_fallocate(handle, 0, size_bytes)
        except OSError as error:
            if error.errno not in NO_FALLOCATE:
                raise


class FilesystemRegion:
    """Writes on in an unfinished file; the kernel lets go of its lock when the process dies. See `RegionWriter`."""

    def __init__(self, handle: int, offset: int) -> None:
        self._handle, self._offset, self._behind = handle, offset, WriteBehind(handle, offset)

    def write(self, data: bytes | memoryview) -> None:
        """Write the next bytes."""
        view = memoryview(data)
        with _translated():
            while view:
                written = os.pwrite(self._handle, view[:WRITE_BYTES], self._offset)
                self._offset += written
                view = view[written:]
        self._behind.reach(self._offset)

    def sync(self) -> None:
        """Make all that was written durable."""
        with _translated():
            os.fdatasync(self._handle)

    def close(self) -> None:
        """Let go."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class FilesystemProvider:
    """Objects as files below `root`; see `Provider`, `Regions`, `ServerSideCopy` and `LocalFiles`."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._durable: set[Path] = set()

    def writer(self, key: str, size_bytes: int | None) -> Writer:
        """Begin a file; its folder is made, durably, when it is the first."""
        self._check_root()
        path = self._path(key)
        with _translated():
            self._make_folder(path.parent)
            return FilesystemWriter(path, key, size_bytes)

    def open(self, key: str) -> Reader:
        """Open the file itself."""
        self._check_root()
        with _translated():
            return self._open(self._path(key))

    def head(self, key: str) -> ObjectMeta:
        """Describe the file."""
        path = self._path(key)
        with _translated():
            found = path.lstat()
        return ObjectMeta(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def begin_regions(self, key: str, size_bytes: int | None) -> None:
        """Begin an unfinished, sparse file. A full disk is told at once, but no room is taken: an upload may lie for days."""
        self._check_root()
        path = self._path(key)
        with _translated():
            self._make_folder(path.parent)
            if size_bytes and shutil.disk_usage(path.parent).free < size_bytes:
                raise StorageFull
            os.close(os.open(_unfinished(path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            _sync_folder(path.parent)

    def region(self, key: str, offset: int, length: int | None = None) -> RegionWriter:
        """Write on in the unfinished file from `offset`."""
        self._check_root()
        path = _unfinished(self._path(key))
        with _translated():
            handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with _translated():
                lock_range(path, handle, offset, length)
        except BaseException:
            os.close(handle)
            raise
        return FilesystemRegion(handle, offset)

    def copy_region(self, key: str, offset: int, pieces: Sequence[Slice]) -> None:
        """Copy inside the kernel."""
        self._check_root()
        path = _unfinished(self._path(key))
        with _translated(), _writing(path) as target:
            lock_range(path, target, offset, sum(piece.length for piece in pieces))
            self._copy_all(target, offset, pieces)
            os.fdatasync(target)

    def _copy_all(self, target: int, offset: int, pieces: Sequence[Slice]) -> None:
        for piece in pieces:
            with _reading(self._path(piece.key)) as source:
                _copy(source, target, piece, offset)
            offset += piece.length

    def read_region(self, key: str, offset: int, length: int) -> bytes:
        """Return bytes of the unfinished file."""
        with _translated(), _reading(_unfinished(self._path(key))) as handle:
            return os.pread(handle, length, offset)

    def finish_regions(self, key: str, size_bytes: int) -> ObjectMeta:
        """Cut the file off, make it durable and give it its name."""
        path = self._path(key)
        try:
            with _translated(), _writing(_unfinished(path)) as handle:
                lock_range(_unfinished(path), handle)
                os.ftruncate(handle, size_bytes)
                os.fsync(handle)
                _unfinished(path).rename(path)
                _sync_folder(path.parent)
        except NotFound:
            return self._finished(key, size_bytes)
        return self.head(key)

    def compose(self, key: str, pieces: Sequence[Slice]) -> ObjectMeta:
        """Copy inside the kernel; a whole object costs no room at all: bytes never change, so a second name will do."""
        if len(pieces) == 1 and pieces[0].start == 0 and self.head(pieces[0].key).size_bytes == pieces[0].length:
            return self._link(pieces[0].key, key)
        size_bytes = sum(piece.length for piece in pieces)
        self.begin_regions(key, size_bytes)
        self.copy_region(key, 0, pieces)
        return self.finish_regions(key, size_bytes)

    def local_path(self, key: str) -> str:
        """Return the key: files lie below the root under their keys."""
        return self._path(key).relative_to(self._root).as_posix()

    def _link(self, source: str, key: str) -> ObjectMeta:
        path = self._path(key)
        with _translated():
            self._make_folder(path.parent)
            with suppress(FileExistsError):
                os.link(self._path(source), path, follow_symlinks=False)
            _sync_folder(path.parent)
        return self.head(key)

    def _finished(self, key: str, size_bytes: int) -> ObjectMeta:
        """An earlier call went through, or there is nothing to finish."""
        meta = self.head(key)
        if meta.size_bytes != size_bytes:
            raise NotFound
        with _translated():
            _sync_folder(self._path(key).parent)  # whoever renamed it may have died before this
        return meta

    def delete(self, keys: Iterable[str]) -> None:
        """Unlink files, finished or not."""
        self._check_root()
        for key in keys:
            path = self._path(key)
            for each in (path, _unfinished(path)):
                with _translated(), suppress(FileNotFoundError):
                    each.unlink()

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        """Walk the files below a tenant's prefix, folder by folder."""
        self._check_root()
        base = self._prefix_path(prefix)
        if not base.is_dir():
            return
        self._refuse_link(base)
        with os.scandir(base) as folders:
            for folder in folders:
                if folder.is_dir(follow_symlinks=False):
                    yield from self._list_folder(prefix, folder)

    def delete_prefix(self, prefix: str) -> None:
        """Remove a tenant's folder."""
        self._check_root()
        base = self._prefix_path(prefix)
        with _translated():
            self._refuse_link(base)
            if base.is_dir():
                shutil.rmtree(base)
                _sync_folder(self._root)

    def check(self) -> None:
        """See that the root is there and can be written."""
        probe = self._root / f".check-{uuid4().hex}"
        try:
            probe.write_bytes(b"ok")
            probe.unlink()
        except OSError as error:
            raise StorageUnavailable(
                f"The folder {self._root} cannot be written: {error.strerror}. Make it, or give this user the right to."
            ) from error

    def _check_root(self) -> None:
        """A disk that is not mounted must not look like an empty one.

        Raises:
            StorageUnavailable
        """
        if not self._root.is_dir():
            raise StorageUnavailable(f"The folder {self._root} is not there. Is its disk mounted?", retry_after_s=30)

    def _list_folder(self, prefix: str, folder: os.DirEntry[str]) -> Iterator[ObjectMeta]:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # finished or removed since the folder was read
                key = f"{prefix}{folder.name}/{entry.name.removesuffix(UNFINISHED)}"
                yield ObjectMeta(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def _open(self, path: Path) -> BinaryIO:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return os.fdopen(handle, "rb", buffering=0)

    def _make_folder(self, folder: Path) -> None:
        if folder in self._durable and folder.is_dir():
            return
        for each in (folder.parent, folder):
            with suppress(FileExistsError):
                each.mkdir(mode=0o700)
            _sync_folder(each.parent)  # whoever made it: only now is it known to survive a crash
        self._durable.add(folder)

    def _path(self, key: str) -> Path:
        if not KEY_PATTERN.fullmatch(key):
            raise NotFound
        return self._inside(self._root / key)

    def _prefix_path(self, prefix: str) -> Path:
        if not PREFIX_PATTERN.fullmatch(prefix):
            raise NotFound
        return self._root / prefix.rstrip("/")

    def _inside(self, path: Path) -> Path:
        """Refuse a folder that is a symbolic link: whoever planted it wants to lead us out of the root."""
        self._refuse_link(path.parent)
        self._refuse_link(path.parent.parent)
        return path

    def _refuse_link(self, folder: Path) -> None:
        if folder.is_symlink():
            raise StorageUnavailable(f"{folder} is a symbolic link; it was not made by Strongroom.")
