"""Copying one version's bytes from one provider to another, so that nothing but the very same bytes can appear there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from strongroom.errors import DomainError, NotFound
from strongroom.moving.models import Stored
from strongroom.storage.base import ObjectMeta, Reader, Writer
from strongroom.storage.bound import TenantStorage
from strongroom.uploads.fingerprint import Fingerprinter

PIECE_BYTES = 256 * 1024


class Corrupt(Exception):
    """The bytes at the old provider are not those that were stored: they stay where they are."""


class SourceFailed(Exception):
    """The old provider does not give the bytes at present."""


class TargetFailed(Exception):
    """The new provider does not take the bytes at present."""


def copy(source: TenantStorage, target: TenantStorage, stored: Stored) -> ObjectMeta:
    """Copy a version's bytes; they appear only after they were held against what is known of them. Idempotent.

    Raises:
        Corrupt, SourceFailed, TargetFailed: nothing has appeared.
    """
    with _source_fails():
        reader = source.open(stored.bucket_id, stored.id)
    try:
        with _target_fails():
            writer = target.writer(stored.bucket_id, stored.id, stored.size_bytes)
        try:
            _stream(reader, stored, _taken_by(writer))
            with _target_fails():
                writer.complete()
        except BaseException:
            writer.abort()
            raise
    finally:
        reader.close()
    with _target_fails():
        found = target.head(stored.bucket_id, stored.id)
    if found.size_bytes != stored.size_bytes:
        raise TargetFailed(f"It tells of {found.size_bytes} bytes where {stored.size_bytes} were written.")
    return found


def already_there(target: TenantStorage, stored: Stored) -> ObjectMeta | None:
    """Read what lies at the new provider; describe it where it is the very bytes that were stored, else None.

    Raises:
        TargetFailed: it does not give them at present.
    """
    try:
        with _source_fails():
            reader = target.open(stored.bucket_id, stored.id)
        try:
            _stream(reader, stored, lambda _: None)
        finally:
            reader.close()
    except Corrupt:
        return None
    except SourceFailed as error:
        raise TargetFailed(str(error)) from error
    with _target_fails():
        return target.head(stored.bucket_id, stored.id)


def _taken_by(writer: Writer) -> Callable[[bytes], None]:
    def take(data: bytes) -> None:
        with _target_fails():
            writer.write(data)

    return take


def _stream(reader: Reader, stored: Stored, take: Callable[[bytes], None]) -> None:
    hashes, size_bytes = Fingerprinter(), 0
    while True:
        with _source_fails():
            data = reader.read(PIECE_BYTES)
        size_bytes += len(data)
        if not data or size_bytes > stored.size_bytes:
            break
        hashes.update(data)
        take(data)
    if size_bytes != stored.size_bytes:
        raise Corrupt(f"It has {'more' if data else size_bytes} bytes; {stored.size_bytes} were stored.")
    found = hashes.finish()
    if stored.fingerprint is None and stored.blake3 is None:
        raise Corrupt("Nothing is known to hold it against: its check has refused it. Delete the file if it is not needed.")
    if stored.fingerprint not in {None, found.fingerprint} or stored.blake3 not in {None, found.blake3}:
        raise Corrupt("Its bytes are not those that were stored.")


@contextmanager
def _source_fails() -> Iterator[None]:
    try:
        yield
    except NotFound:
        raise Corrupt("Its bytes are not at the provider.") from None
    except DomainError as error:
        raise SourceFailed(error.detail) from error
    except OSError as error:
        raise Corrupt(f"It cannot be read: {error.strerror}.") from error


@contextmanager
def _target_fails() -> Iterator[None]:
    try:
        yield
    except DomainError as error:
        raise TargetFailed(error.detail) from error
