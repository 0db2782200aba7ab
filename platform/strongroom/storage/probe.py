"""Trying a provider out: everything that Strongroom does at it is done once, under a prefix of its own, and told step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from uuid import uuid4

import urllib3
from urllib3.exceptions import HTTPError

from strongroom.errors import DomainError, NotFound, StorageUnavailable
from strongroom.storage.base import Multipart, Narrowing, OwnAuthority, Presigning, Provider, Regions
from strongroom.storage.keys import object_key, tenant_prefix

CONTENT = b"Strongroom was here.\n"
LIFETIME_S = 60
OK = 200
ADVICE = {
    "check": "See that the bucket or folder exists, that the address is right, and that the credentials are valid for it.",
    "write": "Let the credentials write objects: s3:PutObject, storage.objects.create, or the folder's permissions.",
    "describe": "Let the credentials read objects: s3:GetObject, storage.objects.get.",
    "read": "Let the credentials read objects: s3:GetObject, storage.objects.get.",
    "read a range": "What stands between us and the store must pass Range on and change no bytes.",
    "list": "Let the credentials list: s3:ListBucket on the bucket itself, storage.objects.list.",
    "download by a signed address": "The clock of this machine must be right and the endpoint reachable under the name that is configured.",
    "upload in parts": "Let the credentials do s3:PutObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts.",
    "write on": "The folder's file system must allow writing at any place of a file, and locks.",
    "delete": "Let the credentials delete objects: s3:DeleteObject, storage.objects.delete.",
}
Pools = Callable[..., urllib3.PoolManager]
Step = Callable[[], None]


@dataclass(frozen=True)
class Outcome:
    """How a step went: `problem` is empty when it went well, and `advice` says what to do about it."""

    name: str
    problem: str = ""
    advice: str = ""


def probe(whole: Provider, pools: Pools = urllib3.PoolManager) -> Iterator[Outcome]:
    """Yield how each step went; stop at the first that went wrong. What was written is removed in any case.

    `pools` makes the connections over which a signed address is fetched.
    """
    prefix = tenant_prefix(uuid4())
    try:
        problem = _problem(whole.check)
        yield _outcome("check", problem)
        if problem:
            return
        provider = whole.narrowed(prefix) if isinstance(whole, Narrowing) else whole
        for name, step in _steps(provider, prefix, pools).items():
            problem = _problem(step)
            yield _outcome(name, problem)
            if problem:
                return
    finally:
        _problem(lambda: whole.delete_prefix(prefix))


def must_work(provider: Provider, pools: Pools = urllib3.PoolManager) -> None:
    """See that every step goes well.

    Raises:
        StorageUnavailable: with the step, what went wrong there, and what to do.
    """
    for outcome in probe(provider, pools):
        if outcome.problem:
            raise StorageUnavailable(f"{outcome.name}: {outcome.problem} {outcome.advice}", step=outcome.name)


def _steps(provider: Provider, prefix: str, pools: Pools) -> Mapping[str, Step]:
    key, other = (object_key(prefix, uuid4(), uuid4()) for _ in range(2))
    steps: dict[str, Step] = {
        "write": lambda: _write(provider, key),
        "describe": lambda: _expect(provider.head(key).size_bytes, len(CONTENT)),
        "read": lambda: _read(provider, key, 0),
        "read a range": lambda: _read(provider, key, 7),
        "list": lambda: _expect([meta.key for meta in provider.list(prefix)], [key]),
    }
    if isinstance(provider, Presigning):
        steps["download by a signed address"] = lambda: _fetch(provider, key, pools)
    if isinstance(provider, Multipart):
        steps["upload in parts"] = lambda: _upload_parts(provider, other)
    if isinstance(provider, Regions):
        steps["write on"] = lambda: _write_on(provider, other)
    steps["delete"] = lambda: _delete(provider, key, other)
    return steps


def _outcome(name: str, problem: str) -> Outcome:
    return Outcome(name, problem, ADVICE[name] if problem else "")


def _problem(step: Step) -> str:
    try:
        step()
    except DomainError as error:
        return error.detail
    return ""


def _write(provider: Provider, key: str) -> None:
    writer = provider.writer(key, len(CONTENT))
    try:
        writer.write(CONTENT)
        writer.complete()
    except BaseException:
        writer.abort()
        raise


def _read(provider: Provider, key: str, start: int) -> None:
    reader = provider.open(key)
    try:
        reader.seek(start)
        found = b"".join(iter(lambda: reader.read(len(CONTENT)), b""))
    finally:
        reader.close()
    _expect(found, CONTENT[start:])


def _fetch(provider: Presigning, key: str, pools: Pools) -> None:
    signed = provider.presign_get(key, LIFETIME_S, content_type="text/plain", disposition="attachment")
    authority = {"ca_certs": provider.ca_file} if isinstance(provider, OwnAuthority) and provider.ca_file else {}
    with pools(**authority) as pool:
        try:
            answer = pool.request(signed.method, signed.url, headers=dict(signed.headers), redirect=False, retries=False, timeout=10)
        except (HTTPError, OSError) as error:  # its text holds the signature: it is not passed on
            raise StorageUnavailable(f"The signed address does not answer ({type(error).__name__}).") from None
    if answer.status != OK:
        raise StorageUnavailable(f"The signed address answered with status {answer.status}.")
    _expect(answer.data, CONTENT)


def _upload_parts(provider: Multipart, key: str) -> None:
    provider.discard(key, provider.begin_multipart(key))
    session = provider.begin_multipart(key)
    part = provider.put_part(key, session, 1, CONTENT)
    if isinstance(provider, Presigning):
        _expect([each.number for each in provider.list_parts(key, session)], [1])
    _expect(provider.assemble(key, session, [part]).size_bytes, len(CONTENT))


def _write_on(provider: Regions, key: str) -> None:
    provider.begin_regions(key, len(CONTENT))
    for start, end in ((0, 7), (7, len(CONTENT))):
        region = provider.region(key, start)
        try:
            region.write(CONTENT[start:end])
            region.sync()
        finally:
            region.close()
    _expect(provider.finish_regions(key, len(CONTENT)).size_bytes, len(CONTENT))


def _delete(provider: Provider, *keys: str) -> None:
    provider.delete(keys)
    try:
        provider.head(keys[0])
    except NotFound:
        return
    raise StorageUnavailable("The object is still there after it was deleted.")


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise StorageUnavailable(f"Found {found!r} where {wanted!r} was written.")
