"""What an S3 provider is told, checked before anything connects."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from strongroom.errors import ValidationFailed

ADDRESSING = ("auto", "path", "virtual")
VERIFICATION = ("auto", "md5", "none")
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
ROLE = re.compile(r"arn:[a-z-]+:iam:[a-z0-9-]*:[A-Za-z0-9$_-]*:role/[\w+=,.@/-]+")
NAMES = frozenset({"bucket", "endpoint_url", "region", "addressing", "credentials", "verify_parts", "timeout_s", "ca_file", "sts"})
STS_NAMES = frozenset({"role_arn", "endpoint_url", "duration_s"})
SECRETS = frozenset({"access_key_id", "secret_access_key", "session_token"})
STS_DURATION_S = (900, 43200)
"""What AssumeRole allows: docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html."""


@dataclass(frozen=True)
class Credentials:
    """Keys; never shown."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StsConfig:
    """The role whose credentials are narrowed to each tenant's prefix."""

    role_arn: str
    endpoint_url: str | None
    duration_s: int


@dataclass(frozen=True)
class S3Config:
    """A bucket and how to reach it. `credentials` absent: from the environment, where that was asked for."""

    bucket: str
    endpoint_url: str | None
    region: str
    addressing: str
    verify_md5: bool
    timeout_s: float
    ca_file: str | None
    credentials: Credentials | None
    sts: StsConfig | None = None


def parse(config: Mapping[str, Any], secrets: Mapping[str, str]) -> S3Config:
    """Return the configuration.

    Raises:
        ValidationFailed: with what is wrong; never with a secret.
    """
    _only(config, NAMES, "An S3 provider")
    _only(secrets, SECRETS, "The secrets of an S3 provider")
    endpoint = _endpoint(config.get("endpoint_url"), "endpoint_url")
    return S3Config(
        bucket=_matching(config.get("bucket"), BUCKET, "'bucket', the name of a bucket that exists"),
        endpoint_url=endpoint,
        region=_matching(config.get("region", "us-east-1"), re.compile(r"[A-Za-z0-9-]{1,64}"), "'region' like 'eu-central-1'"),
        addressing=_one_of(config.get("addressing", "auto"), ADDRESSING, "addressing"),
        verify_md5=_verify_md5(config.get("verify_parts", "auto"), endpoint),
        timeout_s=_number(config.get("timeout_s", 30), 0.1, 600, "timeout_s"),
        ca_file=_file(config.get("ca_file")),
        credentials=_credentials(config, secrets),
        sts=_sts(config.get("sts"), endpoint),
    )


def _verify_md5(value: Any, endpoint: str | None) -> bool:
    """TLS vouches for every byte already, and on this machine nothing is between us. MD5 costs 1.4 CPU seconds per GiB."""
    if _one_of(value, VERIFICATION, "verify_parts") != "auto":
        return bool(value == "md5")
    url = urlsplit(endpoint or "https://")
    return url.scheme == "http" and not _is_loopback(url.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _credentials(config: Mapping[str, Any], secrets: Mapping[str, str]) -> Credentials | None:
    source = _one_of(config.get("credentials", "stored"), ("stored", "environment"), "credentials")
    if source == "environment":
        if secrets:
            raise ValidationFailed("With 'credentials': 'environment' an S3 provider takes no secrets.")
        return None
    if not all(isinstance(value, str) and value.strip() == value and value for value in secrets.values()):
        raise ValidationFailed("The secrets of an S3 provider are texts without spaces around them.")
    if not {"access_key_id", "secret_access_key"} <= set(secrets):
        raise ValidationFailed(
            "An S3 provider needs the secrets 'access_key_id' and 'secret_access_key', or 'credentials': 'environment' in its"
            " configuration, which takes those of this machine (environment, profile, instance role)."
        )
    return Credentials(secrets["access_key_id"], secrets["secret_access_key"], secrets.get("session_token"))


def _sts(value: Any, endpoint: str | None) -> StsConfig | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValidationFailed("'sts' of an S3 provider is an object with 'role_arn'.")
    _only(value, STS_NAMES, "'sts' of an S3 provider")
    return StsConfig(
        role_arn=_matching(value.get("role_arn"), ROLE, "'sts.role_arn' like 'arn:aws:iam::123456789012:role/tenants'"),
        endpoint_url=_endpoint(value.get("endpoint_url"), "sts.endpoint_url") or endpoint,
        duration_s=int(_number(value.get("duration_s", 3600), *STS_DURATION_S, "sts.duration_s")),
    )


def _endpoint(value: Any, name: str) -> str | None:
    if value is None:
        return None
    url = urlsplit(value) if isinstance(value, str) else None
    if url is None or url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValidationFailed(f"'{name}' of an S3 provider is a URL like https://s3.example.com.")
    if url.username or url.password:
        raise ValidationFailed(f"'{name}' of an S3 provider carries no user or password: those are secrets.")
    return str(value).rstrip("/")


def _file(value: Any) -> str | None:
    """Read the certificates once: what is none would otherwise fail at every connection, and be told as the server's fault."""
    if value is None:
        return None
    try:
        if not isinstance(value, str) or not ssl.create_default_context(cafile=value).get_ca_certs():
            raise ValueError
    except (OSError, ValueError):
        raise ValidationFailed("'ca_file' of an S3 provider is the path of a file of certificates (PEM).") from None
    return value


def _only(given: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise ValidationFailed(f"{what} does not know: {', '.join(unknown)}. It knows: {', '.join(sorted(known))}.")


def _matching(value: Any, pattern: re.Pattern[str], what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValidationFailed(f"An S3 provider needs {what}.")
    return value


def _one_of(value: Any, choices: tuple[str, ...], name: str) -> str:
    if value not in choices:
        raise ValidationFailed(f"'{name}' of an S3 provider is one of: {', '.join(choices)}.")
    return str(value)


def _number(value: Any, low: float, high: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValidationFailed(f"'{name}' of an S3 provider is a number from {low} to {high}.")
    return float(value)
