"""What an S3 provider is told: wrong configurations, secrets that are never shown, where parts are verified."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.session import Session
from strongroom.errors import ValidationFailed
from strongroom.storage.providers import make_provider
from strongroom.storage.s3 import S3Provider
from strongroom.storage.s3_clients import client_config, s3_client
from strongroom.storage.s3_config import parse

from tests.services.s3server import S3Server
from tests.storage.objects import put, read

# Configuration

GOOD = {"bucket": "media", "endpoint_url": "https://s3.example.com", "region": "eu-central-1"}
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "very-secret"}
ROLE = {"role_arn": "arn:aws:iam::123456789012:role/tenants"}


@pytest.mark.parametrize(
    "config",
    [
        {"bucket": ""}, {"bucket": None}, {"bucket": "a/b"}, {"bucket": "x"}, {"endpoint_url": "s3.example.com"}, {"endpoint_url": "ftp://x"},
        {"endpoint_url": "https://user:very-secret@s3.example.com"}, {"endpoint_url": 1},
        {"endpoint_url": "https://x/?a=b"}, {"region": "a b"},
        {"addressing": "both"}, {"verify_parts": True}, {"timeout_s": 0}, {"timeout_s": "5"}, {"timeout_s": True}, {"buckets": "x"},
        {"sts": "role"},
        {"secret_access_key": "very-secret"}, {"ca_file": "/none"}, {"credentials": "here"}, {"credentials": "environment"}, {"sts": {}},
        {"sts": {"role_arn": "tenants"}}, {"sts": {**ROLE, "duration_s": 60}}, {"sts": {**ROLE, "key": "very-secret"}},
        {"sts": {**ROLE, "endpoint_url": "x"}},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_configurations(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed) as caught:
        make_provider("s3", {**GOOD, **config}, KEYS)
    assert caught.value.detail.endswith((".", "bucket"))
    assert "very-secret" not in caught.value.detail


@pytest.mark.parametrize(
    "secrets", [{}, {"access_key_id": "a"}, {"secret_access_key": "very-secret"}, {**KEYS, "token": "very-secret"},
                {**KEYS, "session_token": 1},
                {**KEYS, "secret_access_key": " very-secret"}, {**KEYS, "access_key_id": ""}], ids=str,
)  # fmt: skip
def test_wrong_secrets(secrets: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed) as caught:
        make_provider("s3", GOOD, secrets)
    assert "very-secret" not in caught.value.detail


def test_a_provider_shows_no_secret() -> None:
    provider = cast(S3Provider, make_provider("s3", GOOD, {**KEYS, "session_token": "very-secret"}))
    shown = repr(provider) + repr(provider._wire.config) + str(vars(provider._wire))
    assert "very-secret" not in shown
    assert "AKIDEXAMPLE" not in shown


def test_the_environment_counts_only_when_asked_for(ceph: S3Server, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ceph.secrets().items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    with pytest.raises(ValidationFailed):
        make_provider("s3", ceph.config())
    provider = make_provider("s3", ceph.config(credentials="environment"))
    put(provider, key, b"abc")
    assert read(provider, key) == b"abc"


@pytest.mark.parametrize(
    ("config", "checked"),
    [
        ({}, False),
        ({"endpoint_url": "http://10.0.0.1"}, True),
        ({"endpoint_url": "http://127.0.0.1:1"}, False),
        ({"endpoint_url": "http://localhost:1"}, False),
        ({"endpoint_url": "http://10.0.0.1", "verify_parts": "none"}, False),
        ({"verify_parts": "md5"}, True),
    ],
)
def test_parts_are_verified_where_nothing_else_does(config: dict[str, Any], checked: bool) -> None:
    provider = cast(S3Provider, make_provider("s3", {**GOOD, **config}, KEYS))
    assert provider._wire.config.verify_md5 is checked


def test_the_same_configuration_is_the_same_provider() -> None:
    """Connections outlive the cache of the registry's rows."""
    assert make_provider("s3", GOOD, KEYS) is make_provider("s3", dict(GOOD), dict(KEYS))
    assert make_provider("s3", GOOD, KEYS) is not make_provider("s3", GOOD, {**KEYS, "secret_access_key": "other"})


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1"])
@pytest.mark.parametrize("bucket", ["plain", "with.dots"])
def test_what_is_left_out_of_botocores_files_changes_no_address(region: str, bucket: str) -> None:
    config = parse({"bucket": bucket, "region": region}, {"access_key_id": "key", "secret_access_key": "secret"})
    whole = Session().create_client(
        "s3", region_name=region, config=client_config(config), aws_access_key_id="key", aws_secret_access_key="secret"
    )
    params = {"Bucket": bucket, "Key": "a/b", "UploadId": "u", "PartNumber": 7}
    ours, theirs = (urlsplit(client.generate_presigned_url("upload_part", Params=params)) for client in (s3_client(config, None), whole))
    assert (ours.scheme, ours.netloc, ours.path) == (theirs.scheme, theirs.netloc, theirs.path)
    assert parse_qs(ours.query)["X-Amz-Credential"] == parse_qs(theirs.query)["X-Amz-Credential"]
