"""Trying a provider out: a probe object is written, described, read, listed and deleted under a prefix of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

from strongroom.errors import DomainError, StorageUnavailable
from strongroom.storage.base import Provider
from strongroom.storage.keys import object_key, tenant_prefix

CONTENT = b"Strongroom was here.\n"


def probe(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield (step, problem) for each step, the problem empty when it went well; stops at the first that did not."""
    prefix = tenant_prefix(uuid4())
    key = object_key(prefix, uuid4(), uuid4())
    steps: list[tuple[str, Callable[[], None]]] = [
        ("check", provider.check),
        ("write", lambda: _write(provider, key)),
        ("describe", lambda: _expect(provider.head(key).size_bytes, len(CONTENT))),
        ("read", lambda: _read(provider, key)),
        ("list", lambda: _expect([meta.key for meta in provider.list(prefix)], [key])),
        ("delete", lambda: provider.delete([key])),
    ]
    try:
        for name, step in steps:
            problem = _problem(step)
            yield name, problem
            if problem:
                return
    finally:
        _problem(lambda: provider.delete_prefix(prefix))


def _problem(step: Callable[[], None]) -> str:
    try:
        step()
    except DomainError as error:
        return error.detail
    return ""


def _write(provider: Provider, key: str) -> None:
    writer = provider.writer(key, len(CONTENT))
    writer.write(CONTENT)
    writer.complete()


def _read(provider: Provider, key: str) -> None:
    reader = provider.open(key)
    try:
        _expect(reader.read(len(CONTENT) + 1), CONTENT)
    finally:
        reader.close()


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise StorageUnavailable(f"Found {found!r} where {wanted!r} was written.")
