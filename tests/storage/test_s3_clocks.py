"""S3 and time: narrowed credentials that end while they are used, and clocks that do not agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import cast
from urllib.parse import parse_qs, urlsplit

import pytest
from strongroom.errors import StorageUnavailable
from strongroom.storage.base import Presigning, Provider
from strongroom.storage.s3 import NarrowingS3Provider, S3Provider
from strongroom.storage.s3_writer import S3Writer

from tests.clocks import clock_off_by
from tests.services.proxy import Fault, FaultProxy, fault_proxy
from tests.services.s3server import S3Server
from tests.slow import all_at_once
from tests.storage.backends import s3_provider, through
from tests.storage.objects import DATA, MIB, prefix_of, put, read

SESSION_S = 900
"""The shortest that STS gives."""
OVER_S = SESSION_S - 60
"""So long after a session has begun, its credentials are not signed with any more; the server still takes our clock."""
HOURS = 7200


@pytest.fixture
def proxy(ceph: S3Server) -> Iterator[FaultProxy]:
    with fault_proxy(ceph.endpoint_url) as running:
        yield running


@pytest.fixture
def narrow(ceph: S3Server, proxy: FaultProxy, key: str) -> S3Provider:
    return narrowed(ceph, proxy, key)


def narrowed(ceph: S3Server, proxy: FaultProxy, key: str) -> S3Provider:
    """A provider of one tenant, with a session of its own that begins now."""
    wide = through(proxy, ceph, sts={"role_arn": ceph.role_arn, "duration_s": SESSION_S}, timeout_s=20)
    return cast(S3Provider, cast(NarrowingS3Provider, wide).narrowed(prefix_of(key)))


def token_of(path: str) -> str:
    return parse_qs(urlsplit(path).query)["X-Amz-Security-Token"][0]


def tokens(proxy: FaultProxy, method: str, contains: str) -> list[str]:
    """The session tokens of the requests that came in, in order."""
    with proxy.lock:
        return [token_of(path) for seen, path in proxy.seen if seen == method and contains in path]


def refuse(proxy: FaultProxy, token: str) -> Fault:
    """From now on the server takes a session for over."""
    fault = Fault("answer", contains=token[:50].replace("+", "%2B").replace("/", "%2F"), status=400, code="ExpiredToken", times=1000)
    proxy.faults.append(fault)
    return fault


def assumed(proxy: FaultProxy) -> int:
    """How often a role was assumed."""
    with proxy.lock:
        return proxy.seen.count(("POST", "/"))


def test_an_upload_outlives_its_credentials(narrow: S3Provider, proxy: FaultProxy, key: str) -> None:
    writer = cast(S3Writer, narrow.writer(key, len(DATA)))
    writer.write(DATA[: 9 * MIB])
    sending = writer._sending
    assert sending is not None
    sending.result(30)
    (first,) = tokens(proxy, "PUT", "partNumber=1")
    expired = refuse(proxy, first)
    with clock_off_by(OVER_S):
        writer.write(DATA[9 * MIB :])
        writer.complete()
        assert read(narrow, key) == DATA
    assert assumed(proxy) == 2
    assert first not in tokens(proxy, "PUT", "partNumber=2") + tokens(proxy, "PUT", "partNumber=3")
    assert expired.times == 1000, "nothing was sent with credentials that are over"


def test_a_download_outlives_its_credentials(narrow: S3Provider, proxy: FaultProxy, key: str) -> None:
    put(narrow, key, DATA)
    proxy.faults.append(Fault("break_answer", method="GET", contains=key, after_bytes=3 * MIB))
    reader = narrow.open(key)
    begun = reader.read(MIB)
    expired = refuse(proxy, tokens(proxy, "GET", key)[0])
    with clock_off_by(OVER_S):
        rest = b"".join(iter(lambda: reader.read(MIB), b""))
    reader.close()
    assert begun + rest == DATA
    assert len(set(tokens(proxy, "GET", key))) == 2
    assert expired.times == 1000


def test_a_signed_address_ends_with_its_credentials(narrow: S3Provider, key: str) -> None:
    put(narrow, key, b"abc")
    first = narrow.presign_get(key, 10**5, content_type="text/plain", disposition="inline")
    with clock_off_by(OVER_S):
        second = narrow.presign_get(key, 10**5, content_type="text/plain", disposition="inline")
    assert token_of(first.url) != token_of(second.url)
    assert first.expires_at < second.expires_at < first.expires_at + timedelta(seconds=SESSION_S)


def test_many_at_once_renew_once(narrow: S3Provider, proxy: FaultProxy, key: str) -> None:
    put(narrow, key, b"abc")
    before = assumed(proxy)
    with clock_off_by(OVER_S):
        all_at_once([lambda: narrow.head(key) for _ in range(8)])
    assert assumed(proxy) == before + 1


def test_sts_is_down_when_credentials_are_to_be_renewed(narrow: S3Provider, proxy: FaultProxy, key: str) -> None:
    """While they are still good, that is not felt; then it is an outage, and over as soon as STS is back."""
    put(narrow, key, b"abc")
    proxy.faults.append(Fault("answer", method="POST", contains="/", status=403, code="AccessDenied", times=1000))
    with clock_off_by(SESSION_S - 250):
        assert read(narrow, key) == b"abc"
    with clock_off_by(OVER_S):
        with pytest.raises(StorageUnavailable):
            narrow.head(key)
        proxy.faults.clear()
        assert read(narrow, key) == b"abc"


# Clocks that do not agree


def told_by(act: Callable[[], object]) -> str:
    """What is told when something does not work; nothing when it does."""
    try:
        act()
    except StorageUnavailable as error:
        return error.detail
    return ""


@pytest.mark.parametrize("off_by_s", [HOURS, -HOURS], ids=["ahead", "behind"])
def test_a_clock_that_is_wrong_is_told(server: S3Server, key: str, off_by_s: int) -> None:
    """By whatever is done first. Not every server minds the time of an address that is good from later on: then it simply works."""
    provider, told = s3_provider(server), dict[str, str]()
    put(provider, key, b"abc")
    acts = {
        "check": provider.check,
        "read": lambda: read(provider, key),
        "describe": lambda: provider.head(key),
        "delete": lambda: provider.delete([key]),
        "list": lambda: list(provider.list(prefix_of(key))),
        "write": lambda: put(provider, key, b"abc"),
    }
    for name, act in acts.items():
        with clock_off_by(off_by_s):
            told[name] = told_by(act)
    sure = {name: text for name, text in told.items() if name != "write" or text or off_by_s < 0}
    assert [name for name, text in sure.items() if "clock" not in text] == []
    assert read(provider, key) == b"abc"


def test_narrowed_credentials_end_by_our_own_clock(ceph: S3Server, proxy: FaultProxy, key: str) -> None:
    """With a clock that is behind, they would else be used for as much longer as it is."""
    with clock_off_by(-600):
        narrow = narrowed(ceph, proxy, key)
        put(narrow, key, b"abc")
    with clock_off_by(-600 + OVER_S):
        narrow.head(key)
    assert assumed(proxy) == 2


@pytest.mark.parametrize("off_by_s", [240, -240], ids=["ahead", "behind"])
def test_a_few_minutes_are_not_felt(server: S3Server, key: str, off_by_s: int) -> None:
    with clock_off_by(off_by_s):
        provider: Provider = s3_provider(server)
        put(provider, key, DATA)
        assert read(provider, key) == DATA
        assert isinstance(provider, Presigning)
        provider.delete([key])
