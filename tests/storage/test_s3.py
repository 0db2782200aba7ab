"""What only S3 has: networks that break, answers that get lost, signed requests, narrowed credentials, bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import urllib3
from botocore.exceptions import ClientError
from strongroom.db.ids import new_id
from strongroom.errors import NotFound, StorageFull, StorageUnavailable
from strongroom.storage import s3_writer
from strongroom.storage.base import Narrowing
from strongroom.storage.bound import TenantStorage
from strongroom.storage.keys import tenant_prefix
from strongroom.storage.providers import make_provider
from strongroom.storage.s3 import S3Provider
from strongroom.storage.s3_clients import client_config

from tests.acceptance.waiting import wait_until
from tests.services.processes import free_port
from tests.services.proxy import Fault, FaultProxy, fault_proxy
from tests.services.s3server import S3Server
from tests.storage.backends import s3_provider, through
from tests.storage.objects import DATA, MIB, key_in, prefix_of, put, read


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultProxy]:
    with fault_proxy(server.endpoint_url) as running:
        yield running


# Writing through a network that breaks

STALLS = frozenset({"stall", "stall_answer"})
"""What hangs until a time limit has passed, whichever server stands behind: held against one of them."""


def at_servers(faults: list[Fault]) -> pytest.MarkDecorator:
    """Each fault before each server."""
    pairs = [(server, fault) for server in ("ceph", "rclone") for fault in faults if server == "rclone" or fault.kind not in STALLS]
    ids = [f"{server}-{fault.kind}{fault.status}" for server, fault in pairs]
    return pytest.mark.parametrize(("server", "fault"), pairs, indirect=["server"], ids=ids)


WRITE_FAULTS = [
    Fault("answer", status=503, code="SlowDown", times=2),
    Fault("answer", status=500, code="InternalError", times=2),
    Fault("break_request", after_bytes=3 * MIB, times=2),
    Fault("lose_answer", times=1),
    Fault("stall", times=1),
]


@at_servers(WRITE_FAULTS)
def test_a_part_is_sent_again(server: S3Server, proxy: FaultProxy, key: str, fault: Fault) -> None:
    mine = Fault(**{**fault.__dict__, "method": "PUT", "contains": "partNumber=2"})
    proxy.faults.append(mine)
    meta = put(through(proxy, server), key, *(DATA[at : at + 300_000] for at in range(0, len(DATA), 300_000)))
    assert mine.times == 0, "the fault happened"
    assert (meta.size_bytes, proxy.count("PUT", "partNumber=2")) == (len(DATA), fault.times + 1)
    assert read(s3_provider(server), key) == DATA


@at_servers(WRITE_FAULTS)
def test_a_small_object_is_sent_again(server: S3Server, proxy: FaultProxy, key: str, fault: Fault) -> None:
    proxy.faults.append(Fault(**{**fault.__dict__, "method": "PUT", "contains": key}))
    put(through(proxy, server), key, DATA[: 5 * MIB])
    assert proxy.count("PUT", key) == fault.times + 1
    assert read(s3_provider(server), key) == DATA[: 5 * MIB]


@pytest.mark.parametrize("parted", [True, False], ids=["parts", "one"])
def test_a_server_that_stays_broken(server: S3Server, proxy: FaultProxy, key: str, parted: bool) -> None:
    """The tries are counted, and what was begun is thrown away."""
    proxy.faults.append(Fault("answer", method="PUT", contains=key, times=1000))
    provider = through(proxy, server)
    writer = provider.writer(key, None)

    def send_all() -> None:
        for _ in range(3 if parted else 1):
            writer.write(DATA[: 8 * MIB])
        writer.complete()

    with pytest.raises(StorageUnavailable):
        send_all()
    writer.abort()
    assert 1 < proxy.count("PUT", key) < 10
    assert list(s3_provider(server).list(prefix_of(key))) == []


def test_receiving_overlaps_sending(server: S3Server, proxy: FaultProxy, key: str) -> None:
    """While the first part hangs at the server, all of the second is taken."""
    proxy.faults.append(Fault("stall", method="PUT", contains="partNumber=1"))
    writer = through(proxy, server, timeout_s=30).writer(key, len(DATA))
    writer.write(DATA[: 16 * MIB])
    assert proxy.count("PUT", "partNumber=1") <= 1, "nobody waited for the second try"
    wait_until(lambda: proxy.count("PUT", "partNumber=1"), 30, "the first part to be on its way")
    proxy.over.set()
    writer.write(DATA[16 * MIB :])
    writer.complete()
    assert read(s3_provider(server), key) == DATA


def test_bytes_that_arrive_changed_are_sent_again(ceph: S3Server, key: str) -> None:
    with fault_proxy(ceph.endpoint_url, Fault("spoil_request", method="PUT", contains="partNumber=2", after_bytes=MIB)) as proxy:
        put(through(proxy, ceph, verify_parts="md5"), key, DATA)
        assert proxy.count("PUT", "partNumber=2") == 2
    assert read(s3_provider(ceph), key) == DATA


def test_an_abort_while_a_part_is_on_its_way(server: S3Server, proxy: FaultProxy, key: str) -> None:
    proxy.faults.append(Fault("stall", method="PUT", contains="partNumber=1"))
    writer = through(proxy, server).writer(key, len(DATA))
    writer.write(DATA[: 9 * MIB])
    sending = cast(s3_writer.S3Writer, writer)._sending
    assert sending is not None
    writer.abort()
    assert isinstance(sending.exception(30), StorageUnavailable)
    assert list(s3_provider(server).list(prefix_of(key))) == []


# Completing with an answer that gets lost


def test_a_completion_whose_answer_is_lost(server: S3Server, proxy: FaultProxy, key: str) -> None:
    """It went through: the second try finds no upload, and the object tells why."""
    lost = Fault("lose_answer", method="POST", contains="uploadId=")
    proxy.faults.append(lost)
    meta = put(through(proxy, server), key, DATA)
    assert (lost.times, meta.size_bytes) == (0, len(DATA))
    assert read(s3_provider(server), key) == DATA
    assert [each.key for each in s3_provider(server).list(prefix_of(key))] == [key]


def test_a_completion_that_never_arrives(server: S3Server, proxy: FaultProxy, key: str) -> None:
    proxy.faults.append(Fault("answer", method="POST", contains="uploadId=", status=503, times=1000))
    writer = through(proxy, server).writer(key, len(DATA))
    writer.write(DATA)
    with pytest.raises(StorageUnavailable):
        writer.complete()
    writer.abort()
    assert list(s3_provider(server).list(prefix_of(key))) == []


@pytest.mark.parametrize("size_bytes", [5, 20 * MIB], ids=["one", "parts"])
def test_what_is_aborted_after_an_uncertain_end_is_gone(server: S3Server, proxy: FaultProxy, key: str, size_bytes: int) -> None:
    """The server took it, and no answer came through: whoever aborts then must not leave an object that nobody knows."""
    lost = [("PUT", key)] if size_bytes == 5 else [("POST", "uploadId="), ("HEAD", key)]
    proxy.faults += [Fault("lose_answer", method=method, contains=contains, times=1000) for method, contains in lost]
    writer = through(proxy, server).writer(key, size_bytes)
    writer.write(DATA[:size_bytes])
    with pytest.raises(StorageUnavailable):
        writer.complete()
    writer.abort()
    assert list(s3_provider(server).list(prefix_of(key))) == []


# Reading through a network that breaks

READ_FAULTS = [
    Fault("break_answer", after_bytes=3 * MIB + 7, times=3),
    Fault("stall_answer", after_bytes=MIB, times=1),
    Fault("answer", status=503, times=2),
    Fault("answer", status=500, code="InternalError", times=2),
    Fault("lose_answer", times=1),
    Fault("stall", times=1),
    Fault("slow_answer", after_bytes=40_000, times=1),
]


@at_servers(READ_FAULTS)
def test_reading_goes_on_where_it_broke_off(server: S3Server, proxy: FaultProxy, key: str, fault: Fault) -> None:
    put(s3_provider(server), key, DATA)
    mine = Fault(**{**fault.__dict__, "method": "GET", "contains": key})
    proxy.faults.append(mine)
    assert read(through(proxy, server), key) == DATA
    assert mine.times == 0, "the fault happened"


def test_an_object_that_changes_while_it_is_read(server: S3Server, proxy: FaultProxy, key: str) -> None:
    put(s3_provider(server), key, DATA[: 8 * MIB])
    proxy.faults.append(Fault("break_answer", method="GET", contains=key, after_bytes=3 * MIB))
    reader = through(proxy, server).open(key)
    assert reader.read(MIB) == DATA[:MIB]
    put(s3_provider(server), key, b"x" * 8 * MIB)
    with pytest.raises(StorageUnavailable):
        reader.read()
    reader.close()


def test_an_object_that_goes_away_while_it_is_read(server: S3Server, proxy: FaultProxy, key: str) -> None:
    put(s3_provider(server), key, DATA)
    proxy.faults.append(Fault("break_answer", method="GET", contains=key, after_bytes=3 * MIB))
    reader = through(proxy, server).open(key)
    assert reader.read(MIB) == DATA[:MIB]
    s3_provider(server).delete([key])
    with pytest.raises(NotFound):
        reader.read()
    reader.close()


def test_a_reader_asks_once(server: S3Server, proxy: FaultProxy, key: str) -> None:
    """A whole download is one HEAD and one GET; a range that nobody reads is none."""
    put(s3_provider(server), key, DATA)
    reader = through(proxy, server).open(key)
    reader.seek(5 * MIB)
    reader.seek(0)
    assert proxy.count("GET", key) == 0
    while reader.read(256 * 1024):
        pass
    reader.close()
    assert (proxy.count("HEAD", key), proxy.count("GET", key)) == (1, 1)


# Signed requests in wrong hands


def send(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request(method, url, body=body, headers=headers).status


def test_a_signed_part_is_good_for_nothing_else(server: S3Server, key: str) -> None:
    provider = s3_provider(server)
    session, other = provider.begin_multipart(key), key_in(prefix_of(key))
    signed = provider.presign_part(key, session, 2, 6, 60)
    assert abs(signed.expires_at - datetime.now(UTC) - timedelta(seconds=60)) < timedelta(seconds=10)
    refused = [
        ("PUT", signed.url.replace(key, other), b"abcdef"),
        ("PUT", signed.url.replace("partNumber=2", "partNumber=3"), b"abcdef"),
        ("PUT", signed.url, b"abcdefg"),
        ("PUT", signed.url, b"abcde"),
        ("GET", signed.url, None),
        ("DELETE", signed.url, None),
        ("PUT", signed.url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"), b"abcdef"),
        ("PUT", signed.url.split("&X-Amz-Signature")[0], b"abcdef"),
    ]
    assert {send(*each) for each in refused} <= {400, 403}
    assert provider.list_parts(key, session) == []
    assert send(signed.method, signed.url, b"abcdef", dict(signed.headers)) == 200
    assert [(part.number, part.size_bytes) for part in provider.list_parts(key, session)] == [(2, 6)]
    provider.discard(key, session)
    assert send("PUT", signed.url, b"abcdef") == 404


def test_a_signed_part_expires(server: S3Server, key: str) -> None:
    provider = s3_provider(server)
    signed = provider.presign_part(key, provider.begin_multipart(key), 1, 3, 1)
    statuses = (send("PUT", signed.url, b"abc") for _ in iter(lambda: datetime.now(UTC) > signed.expires_at + timedelta(seconds=30), True))
    assert any(status in {400, 403} for status in statuses)  # rclone says 400


# Narrowed credentials


@pytest.fixture
def narrowing(ceph: S3Server) -> S3Provider:
    return s3_provider(ceph, sts={"role_arn": ceph.role_arn, "duration_s": 900})


def raw_client(server: S3Server, provider: S3Provider) -> Any:
    """Whatever the provider's code refuses to do by itself: a client with the very credentials that it uses."""
    query = parse_qs(urlsplit(provider._wire.sign("get_object", {"Key": "x"})).query)
    credentials = cast(Any, provider._wire.client)._request_signer._credentials.get_frozen_credentials()
    assert query["X-Amz-Security-Token"] == [credentials.token]
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        config=client_config(provider._wire.config),  # Ceph 16 does not understand botocore's newer checksums
    )


def test_narrowed_credentials_reach_one_tenant(ceph: S3Server, narrowing: S3Provider) -> None:
    assert isinstance(narrowing, Narrowing)
    narrowing.check()
    mine, other = tenant_prefix(new_id()), tenant_prefix(new_id())
    there = key_in(other)
    put(narrowing, there, b"of the other")
    client = raw_client(ceph, cast(S3Provider, narrowing.narrowed(mine)))
    own = key_in(mine)
    client.put_object(Bucket=ceph.bucket, Key=own, Body=b"abc")
    assert client.get_object(Bucket=ceph.bucket, Key=own)["Body"].read() == b"abc"
    assert client.list_objects_v2(Bucket=ceph.bucket, Prefix=mine)["KeyCount"] == 1
    acts: list[Callable[[], Any]] = [
        lambda: client.get_object(Bucket=ceph.bucket, Key=there),
        lambda: client.head_object(Bucket=ceph.bucket, Key=there),
        lambda: client.put_object(Bucket=ceph.bucket, Key=there, Body=b"x"),
        lambda: client.put_object(Bucket=ceph.bucket, Key=key_in(other), Body=b"x"),
        lambda: client.create_multipart_upload(Bucket=ceph.bucket, Key=key_in(other)),
        lambda: client.copy_object(Bucket=ceph.bucket, Key=key_in(mine), CopySource={"Bucket": ceph.bucket, "Key": there}),
        lambda: client.delete_object(Bucket=ceph.bucket, Key=there),
        lambda: client.list_objects_v2(Bucket=ceph.bucket, Prefix=other),
        lambda: client.list_objects_v2(Bucket=ceph.bucket, Prefix="tn-"),
        lambda: client.list_objects_v2(Bucket=ceph.bucket),
        lambda: client.list_multipart_uploads(Bucket=ceph.bucket),
        lambda: client.list_buckets()["Buckets"][0],
        lambda: client.put_bucket_acl(Bucket=ceph.bucket, ACL="public-read"),
    ]
    for number, act in enumerate(acts):
        with pytest.raises((ClientError, IndexError)) as caught:
            act()
        if isinstance(caught.value, ClientError):
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403, f"act {number}"
    with pytest.raises(ClientError):  # Ceph 16 refuses the whole request
        client.delete_objects(Bucket=ceph.bucket, Delete={"Objects": [{"Key": there}]})
    assert read(narrowing, there) == b"of the other"


def test_a_narrowed_provider_is_a_whole_one(narrowing: S3Provider) -> None:
    mine, other = tenant_prefix(new_id()), tenant_prefix(new_id())
    narrow = cast(S3Provider, narrowing.narrowed(mine))  # type: ignore[attr-defined]  # of providers that can be narrowed
    assert narrow is narrowing.narrowed(mine)  # type: ignore[attr-defined]  # of providers that can be narrowed
    key = key_in(mine)
    put(narrow, key, DATA)
    assert read(narrow, key) == DATA
    session = narrow.begin_multipart(key_in(mine))
    assert len(list(narrow.list(mine))) == 2
    assert narrow.presign_part(key, session, 1, 3, 10**5).expires_at < datetime.now(UTC) + timedelta(seconds=905)
    for act in (narrow.head, narrow.open):
        with pytest.raises(NotFound):
            act(key_in(other))
    with pytest.raises(NotFound):
        list(narrow.list(other))
    narrow.delete_prefix(mine)
    assert list(narrow.list(mine)) == []


def test_a_tenants_view_uses_narrowed_credentials(ceph: S3Server) -> None:
    with fault_proxy(ceph.endpoint_url) as proxy:
        provider = through(proxy, ceph, sts={"role_arn": ceph.role_arn}, timeout_s=10)
        storage = TenantStorage(provider, tenant_prefix(new_id()))
        bucket, version = new_id(), new_id()
        writer = storage.writer(bucket, version, 3)
        writer.write(b"abc")
        writer.complete()
        puts = [path for method, path in proxy.seen if method == "PUT"]
        assert len(puts) == 1
        assert "X-Amz-Security-Token=" in puts[0]
        assert proxy.count("POST", "/") == 1, "one AssumeRole"


def test_a_role_that_is_not_to_be_had_is_an_outage(ceph: S3Server) -> None:
    """Never a reason to go on with the wider credentials."""
    provider = s3_provider(ceph, sts={"role_arn": "arn:aws:iam:::role/nobody"})
    storage = TenantStorage(provider, tenant_prefix(new_id()))
    for act in (provider.check, lambda: storage.writer(new_id(), new_id(), 3)):
        with pytest.raises((StorageUnavailable, NotFound)):
            act()


# Being told what is wrong


def problem_of(provider: S3Provider) -> str:
    with pytest.raises(StorageUnavailable) as caught:
        provider.check()
    assert caught.value.__cause__ is None, "the original's text holds signed URLs"
    return caught.value.detail


@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
def test_wrong_keys_are_told_without_them(server: S3Server, wrong: str) -> None:
    secrets = {**server.secrets(), wrong: "W" * 20}
    detail = problem_of(cast(S3Provider, make_provider("s3", server.config(), secrets)))
    assert "key" in detail
    assert not [value for value in secrets.values() if value in detail]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"bucket": "none-of-that-name"}, "no such bucket"),
        ({"endpoint_url": "http://127.0.0.1:{free}"}, "refuses connections"),
        ({"endpoint_url": "http://nowhere.invalid"}, "DNS"),
        ({"endpoint_url": "https://127.0.0.1:{tls}"}, "TLS"),
    ],
    ids=["bucket", "port", "name", "tls"],
)
def test_wrong_addresses_are_told(ceph: S3Server, config: dict[str, str], words: str) -> None:
    ports = {"free": free_port(), "tls": urlsplit(ceph.endpoint_url).port}
    assert words in problem_of(s3_provider(ceph, **{name: value.format(**ports) for name, value in config.items()}))


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "RequestTimeTooSkewed", "clock"),
        (403, "AccessDenied", "denies access"),
        (403, "InvalidAccessKeyId", "access key"),
        (400, "AuthorizationHeaderMalformed", "another region"),
        (400, "ExpiredToken", "expired"),
    ],
)
def test_what_a_server_says_is_told_clearly(ceph: S3Server, status: int, code: str, words: str) -> None:
    with fault_proxy(ceph.endpoint_url, Fault("answer", status=status, code=code, times=1000)) as proxy:
        detail = problem_of(through(proxy, ceph))
    assert words in detail
    assert "made up" not in detail, "a server's text may quote keys"


@pytest.mark.parametrize(("status", "code"), [(403, "QuotaExceeded"), (507, "XMinioStorageFull"), (507, "Whatever")])
def test_a_full_store_is_told(ceph: S3Server, key: str, status: int, code: str) -> None:
    with fault_proxy(ceph.endpoint_url, Fault("answer", method="PUT", status=status, code=code, times=1000)) as proxy:
        with pytest.raises(StorageFull):
            put(through(proxy, ceph), key, b"abc")
        with pytest.raises(StorageFull):
            put(through(proxy, ceph), key, DATA)


def test_a_server_that_is_gone(key: str, ceph: S3Server) -> None:
    provider = s3_provider(ceph, endpoint_url=f"http://127.0.0.1:{free_port()}", timeout_s=1)
    for act in (provider.head, provider.open, lambda each: provider.delete([each]), lambda each: put(provider, each, b"abc")):
        with pytest.raises(StorageUnavailable):
            act(key)
