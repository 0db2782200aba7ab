"""Google Cloud Storage: sessions, signatures, outages and configuration, on an emulator that keeps Google's rules."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import urllib3
from strongroom.errors import Conflict, NotFound, StorageFull, StorageUnavailable, ValidationFailed
from strongroom.storage.base import Presigning, Provider, Slice
from strongroom.storage.providers import make_provider

from tests.services.gcs import GCSService, gcs
from tests.services.outage import Fault, Outage, outage
from tests.services.processes import free_port
from tests.slow import all_at_once
from tests.storage.clouds import PATIENCE_S, Signing, gcs_provider
from tests.storage.objects import MIB, new_key, prefix_of, put, read

BYTES = random.Random(1).randbytes(20 * MIB + 17)  # noqa: S311 - only to be told apart


@pytest.fixture
def provider(gcs_server: GCSService) -> Provider:
    return gcs_provider(gcs_server)


@pytest.fixture
def signing(gcs_server: GCSService) -> Signing:
    return cast(Signing, gcs_provider(gcs_server, signing=True))


@pytest.fixture
def proxy(gcs_server: GCSService) -> Iterator[Outage]:
    with outage(gcs_server.port) as running:
        yield running


@pytest.fixture
def shaky(gcs_server: GCSService, proxy: Outage) -> Any:
    return gcs_provider(gcs_server, proxy.url, timeout_s=PATIENCE_S)


# Writing and reading


@pytest.mark.parametrize("size", [8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 16 * MIB, len(BYTES)])
def test_objects_of_several_chunks(provider: Provider, size: int) -> None:
    key = new_key()
    writer = provider.writer(key, size)
    for start in range(0, size, 3 * MIB):
        writer.write(BYTES[start : min(start + 3 * MIB, size)])
    with pytest.raises(NotFound):
        provider.head(key)
    meta = writer.complete()
    assert (meta.size_bytes, meta.tag) == (size, provider.head(key).tag)
    assert read(provider, key) == BYTES[:size]


def test_an_aborted_session_is_over(provider: Provider) -> None:
    key = new_key()
    writer = provider.writer(key, None)
    writer.write(BYTES)
    writer.abort()
    with pytest.raises(StorageUnavailable):
        writer.complete()
    assert list(provider.list(prefix_of(key))) == []


def test_a_reader_stays_with_its_generation(provider: Provider) -> None:
    key = new_key()
    first = put(provider, key, BYTES)
    reader = provider.open(key)
    assert reader.read(10) == BYTES[:10]
    assert put(provider, key, b"another").tag != first.tag
    reader.seek(10 * MIB)
    with pytest.raises(NotFound):
        reader.read(10)


def test_listings_have_pages(provider: Provider) -> None:
    """The emulator gives 100 names a page; a key's parts may lie on two."""
    first = new_key()
    prefix = prefix_of(first)
    bucket = first.rpartition("/")[0]
    wanted = {f"{bucket}/{number:032x}": 1 for number in range(130)}
    for key in wanted:
        put(provider, key, b"x")
    assert {each.key: each.size_bytes for each in provider.list(prefix)} == wanted
    provider.delete(list(wanted)[:120])
    assert len(list(provider.list(prefix))) == 10
    provider.delete_prefix(prefix)
    assert list(provider.list(prefix)) == []


def test_more_than_two_levels_of_composites(provider: Any) -> None:
    key, joined = new_key(), new_key()
    put(provider, key, b"abc")
    assert provider.compose(joined, [Slice(key, 0, 3)] * 1030).size_bytes == 3090
    assert read(provider, joined) == b"abc" * 1030
    assert list(provider._names_of(joined)) == [joined]


def test_a_part_that_was_replaced_is_not_taken(signing: Signing) -> None:
    key = new_key()
    session = signing.begin_multipart(key)
    part = signing.put_part(key, session, 1, b"first")
    signing.put_part(key, session, 1, b"other")
    with pytest.raises(Conflict):
        signing.assemble(key, session, [part])
    assert signing.assemble(key, session, signing.list_parts(key, session)).size_bytes == 5
    assert read(signing, key) == b"other"


# Signed addresses


def test_parts_come_straight_from_a_client(signing: Signing) -> None:
    key = new_key()
    session = signing.begin_multipart(key)
    signed = signing.presign_part(key, session, 1, 5, 60)
    assert urllib3.request(signed.method, signed.url, headers=signed.headers, body=b"12345").status == 200
    parts = signing.list_parts(key, session)
    assert [(part.number, part.size_bytes) for part in parts] == [(1, 5)]
    signing.assemble(key, session, parts)
    got = signing.presign_get(key, 60, content_type="text/plain", disposition='attachment; filename="a.txt"')
    answer = urllib3.request(got.method, got.url, headers=got.headers)
    assert (answer.status, answer.data) == (200, b"12345")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'


def test_signing_asks_nobody(gcs_server: GCSService) -> None:
    """A hundred addresses cost no request: there is not even a server."""
    provider = cast(Signing, gcs_provider(gcs_server, f"http://127.0.0.1:{free_port()}", timeout_s=0.1, signing=True))
    key = new_key()
    signed = [provider.presign_part(key, "a session", number, 5, 60) for number in range(1, 101)]
    assert len({each.url for each in signed}) == 100


def test_a_part_that_comes_after_the_end(signing: Signing) -> None:
    """Its address is good for as long as it was signed for: nobody sees the part, and it goes with the object."""
    key = new_key()
    session = signing.begin_multipart(key)
    late = signing.presign_part(key, session, 2, 5, 60)
    signing.assemble(key, session, [signing.put_part(key, session, 1, b"first")])
    assert urllib3.request(late.method, late.url, headers=late.headers, body=b"later").status == 200
    assert read(signing, key) == b"first"
    assert [each.key for each in signing.list(prefix_of(key))] == [key]
    signing.delete([key])
    assert list(signing.list(prefix_of(key))) == []


@pytest.mark.parametrize("wrong", ["size", "no header", "method", "key", "expired"])
def test_a_signature_allows_one_thing(signing: Signing, wrong: str) -> None:
    key = new_key()
    session = signing.begin_multipart(key)
    signed = signing.presign_part(key, session, 1, 5, 60)
    method, url, headers, body = signed.method, signed.url, dict(signed.headers), b"12345"
    if wrong == "size":
        body = b"123456"
    elif wrong == "no header":
        del headers["x-goog-content-length-range"]
    elif wrong == "method":
        method = "GET"
    elif wrong == "key":
        url = url.replace(key, new_key())
    else:
        url = url.replace("X-Goog-Expires=60", "X-Goog-Expires=600")
    assert urllib3.request(method, url, headers=headers, body=body).status in {400, 403}
    assert signing.list_parts(key, session) == []


def test_without_a_private_key_nothing_is_signed(provider: Provider, signing: Signing) -> None:
    assert not isinstance(provider, Presigning)
    assert isinstance(signing, Presigning)


def test_a_service_account_gets_its_token(tmp_path: Path) -> None:
    with gcs(tmp_path, token=True) as server:
        key = new_key()
        put(gcs_provider(server, signing=True), key, b"abc")
        assert read(gcs_provider(server, signing=True), key) == b"abc"
        with pytest.raises(StorageUnavailable):
            gcs_provider(server).check()


# Outages


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.UNAVAILABLE, Fault.ERROR])
def test_short_outages_are_not_felt(shaky: Any, proxy: Outage, fault: Fault) -> None:
    """Two connections in a row break, at every kind of request."""
    key, other = new_key(), new_key()
    writer = shaky.writer(key, None)
    for start in range(0, len(BYTES), 8 * MIB):
        proxy.begin(fault, times=1)
        writer.write(BYTES[start : start + 8 * MIB])
    steps: list[Callable[[], Any]] = [
        writer.complete,
        lambda: put(shaky, other, b"small"),
        lambda: shaky.head(key),
        lambda: shaky.compose(new_key(), [Slice(other, 0, 5), Slice(other, 0, 5)]),
        lambda: list(shaky.list(prefix_of(key))),
        lambda: shaky.delete([other]),
        shaky.check,
    ]
    for step in steps:
        proxy.begin(fault, times=2)
        step()
    assert proxy.hit >= 2 * len(steps)
    assert read(shaky, key) == BYTES
    with pytest.raises(NotFound):
        shaky.head(other)


def test_an_answer_that_breaks_off_is_read_on(shaky: Any, proxy: Outage) -> None:
    key = new_key()
    put(shaky, key, BYTES)
    reader = shaky.open(key)
    proxy.begin(Fault.CUT, times=3, cut_after=100_000)
    assert b"".join(iter(lambda: reader.read(MIB), b"")) == BYTES
    assert proxy.hit == 3


def test_a_chunk_of_which_only_the_answer_was_lost(shaky: Any, proxy: Outage) -> None:
    """Google has the bytes: it is asked how many, and none is sent twice."""
    key = new_key()
    writer = shaky.writer(key, None)
    writer.write(BYTES[: 16 * MIB])
    proxy.begin(Fault.CUT, times=1, cut_after=1)
    writer.write(BYTES[16 * MIB :])
    assert proxy.hit == 1
    proxy.begin(Fault.CUT, times=1, cut_after=1)
    assert writer.complete().size_bytes == len(BYTES)
    assert proxy.hit == 2
    assert read(shaky, key) == BYTES


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.UNAVAILABLE, Fault.HANG])
@pytest.mark.parametrize("step", ["write", "complete", "open", "head", "list", "delete", "check"])
def test_outages_are_told_and_leave_nothing_half(gcs_server: GCSService, proxy: Outage, fault: Fault, step: str) -> None:
    provider = gcs_provider(gcs_server, proxy.url, timeout_s=0.3)
    key, there = new_key(), new_key()
    put(provider, there, b"abc")
    writer = provider.writer(key, None)
    writer.write(BYTES[: 8 * MIB])
    acts: dict[str, Callable[[], Any]] = {
        "write": lambda: writer.write(b"more"),
        "complete": writer.complete,
        "open": lambda: provider.open(there),
        "head": lambda: provider.head(there),
        "list": lambda: list(provider.list(prefix_of(there))),
        "delete": lambda: provider.delete([there]),
        "check": provider.check,
    }
    proxy.begin(fault)
    with pytest.raises(StorageUnavailable) as caught:
        acts[step]()
    assert caught.value.detail
    writer.abort()
    proxy.end()
    with pytest.raises(NotFound):
        provider.head(key)
    assert read(provider, there) == b"abc"


def test_a_bucket_that_is_full(shaky: Any, proxy: Outage) -> None:
    proxy.begin(Fault.FULL)
    with pytest.raises(StorageFull):
        put(shaky, new_key(), b"abc")


def test_a_server_that_disappears(tmp_path: Path) -> None:
    with gcs(tmp_path) as server:
        provider = gcs_provider(server, timeout_s=PATIENCE_S)
        key = new_key()
        writer = provider.writer(key, None)
        writer.write(BYTES)
        server.kill()

        def is_told(act: Callable[[], object]) -> None:
            with pytest.raises(StorageUnavailable):
                act()

        acts = (writer.complete, lambda: provider.head(key), provider.check)
        all_at_once([partial(is_told, act) for act in acts])  # each goes on trying for a while
        writer.abort()


# Configuration


def test_a_bucket_that_is_not_there_is_no_empty_one(gcs_server: GCSService) -> None:
    provider = make_provider("gcs", {"bucket": "no-such-bucket", "endpoint_url": gcs_server.url, "credentials": "anonymous"})
    key = new_key()
    for act in (
        provider.check,
        lambda: provider.head(key),
        lambda: provider.open(key),
        lambda: provider.delete([key]),
        lambda: list(provider.list(prefix_of(key))),
    ):
        with pytest.raises(StorageUnavailable) as caught:
            act()
        assert "no-such-bucket" in caught.value.detail


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"bucket": "", "credentials": "anonymous", "endpoint_url": "http://127.0.0.1:1"},
        {"bucket": "a/b", "credentials": "anonymous", "endpoint_url": "http://127.0.0.1:1"},
        {"bucket": "abc"},
        {"bucket": "abc", "credentials": "anonymous"},
        {"bucket": "abc", "credentials": "magic"},
        {"bucket": "abc", "credentials": "anonymous", "endpoint_url": "ftp://127.0.0.1"},
        {"bucket": "abc", "credentials": "anonymous", "endpoint_url": "http://user:secret@127.0.0.1"},
        {"bucket": "abc", "credentials": "anonymous", "endpoint_url": "http://127.0.0.1:1", "timeout_s": 0},
        {"bucket": "abc", "credentials": "anonymous", "endpoint_url": "http://127.0.0.1:1", "root": "/srv"},
        {"bucket": "abc", "credentials": "anonymous", "endpoint_url": 7},
    ],
    ids=str,
)
def test_configurations_that_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValidationFailed):
        make_provider("gcs", config)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "not JSON 5ecret",
        {"type": "service_account", "private_key": "5ecret"},
        {"type": "external_account", "credential_source": {"executable": {"command": "/bin/5ecret"}}},
        {"type": "authorized_user", "refresh_token": "5ecret"},
    ],
    ids=["none", "no JSON", "no key", "a command", "a user"],
)
def test_keys_that_are_refused(secret: object) -> None:
    text = secret if isinstance(secret, str) else json.dumps(secret)
    with pytest.raises(ValidationFailed) as caught:
        make_provider("gcs", {"bucket": "abc"}, {"service_account": text})
    assert "5ecret" not in str(caught.value) + caught.value.detail
    assert caught.value.__cause__ is None


def test_secrets_are_in_no_representation(gcs_server: GCSService) -> None:
    provider: Any = gcs_provider(gcs_server, signing=True)
    assert "PRIVATE" not in repr(provider._config) + repr(vars(provider))


def test_a_file_system_alone_loads_no_cloud_library() -> None:
    code = (
        "import sys; from strongroom.storage.providers import make_provider; make_provider('filesystem', {'root': '/tmp'});"
        "sys.exit(any(name.partition('.')[0] in {'google', 'opendal', 'boto3', 'requests'} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
