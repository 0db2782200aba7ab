"""What a `gcs` provider is configured with: checked fields, and the credentials made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from google.auth import default, exceptions
from google.auth.credentials import AnonymousCredentials, Credentials
from google.oauth2 import service_account

from strongroom.errors import ValidationFailed

GOOGLE = "https://storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
FIELDS = frozenset({"bucket", "endpoint_url", "project", "credentials", "timeout_s"})
CREDENTIALS = ("service_account", "environment", "anonymous")
LONGEST_TIMEOUT_S = 600


@dataclass(frozen=True)
class GCSConfig:
    """A checked configuration. `signing` is there when URLs can be signed: a private key is at hand."""

    bucket: str
    endpoint_url: str
    project: str | None
    timeout_s: float
    credentials: Credentials = field(repr=False)
    signing: service_account.Credentials | None = field(repr=False)


def parse(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> GCSConfig:
    """Check a configuration.

    Raises:
        ValidationFailed: with what is wrong; no secret is in the text.
    """
    if unknown := (set(config) - FIELDS) | (set(secrets) - {"service_account"}):
        names = ", ".join(f"'{name}'" for name in sorted(map(str, unknown)))
        raise ValidationFailed(f"A gcs provider has no field {names}; it has {', '.join(sorted(FIELDS))}, and the secret service_account.")
    bucket, project = config.get("bucket"), config.get("project")
    if not isinstance(bucket, str) or not BUCKET.fullmatch(bucket):
        raise ValidationFailed("A gcs provider needs 'bucket', the name of a bucket.")
    if project is not None and not isinstance(project, str):
        raise ValidationFailed("'project' must be a project's id.")
    endpoint = _endpoint(config.get("endpoint_url"))
    credentials, signing = _credentials(config, secrets, emulator=endpoint != GOOGLE)
    return GCSConfig(bucket, endpoint, project, _timeout(config.get("timeout_s", 30)), credentials, signing)


def _endpoint(value: object) -> str:
    if value is None:
        return GOOGLE
    parts = urlsplit(value) if isinstance(value, str) else None
    if (
        parts is None
        or parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.username
        or parts.path.strip("/")
        or parts.query
    ):
        raise ValidationFailed("'endpoint_url' must be an address like https://storage.example.com, without user, path or query.")
    return f"{parts.scheme}://{parts.netloc}"


def _credentials(
    config: Mapping[str, Any], secrets: Mapping[str, Any], *, emulator: bool
) -> tuple[Credentials, service_account.Credentials | None]:
    how = config.get("credentials", "service_account")
    if how not in CREDENTIALS:
        raise ValidationFailed(f"'credentials' must be one of: {', '.join(CREDENTIALS)}.")
    if how != "service_account" and secrets.get("service_account"):
        raise ValidationFailed(f"There is a service account's key, but 'credentials' is '{how}': leave one of them out.")
    if how == "service_account":
        account = _service_account(secrets.get("service_account"))
        return account, account
    if how == "environment":
        return _environment(), None
    if not emulator:
        raise ValidationFailed("'credentials' may be 'anonymous' only together with 'endpoint_url', for an emulator.")
    return AnonymousCredentials(), None


def _service_account(key: object) -> service_account.Credentials:
    """Only that one type: others can name files and commands of this machine."""
    try:
        info = json.loads(key) if isinstance(key, str) else key
        if not isinstance(info, Mapping) or info.get("type") != "service_account":
            raise ValueError
        made: service_account.Credentials = service_account.Credentials.from_service_account_info(dict(info), scopes=[SCOPE])
    except (ValueError, KeyError, TypeError, exceptions.GoogleAuthError):
        raise ValidationFailed(
            "A gcs provider needs the secret 'service_account': the JSON key of a service account, as Google gives it. "
            "Or set 'credentials' to 'environment' where the machine has an identity of its own."
        ) from None
    return made


def _environment() -> Credentials:
    try:
        found: Credentials = default(scopes=[SCOPE])[0]
    except exceptions.DefaultCredentialsError:
        raise ValidationFailed(
            "There are no credentials in the environment: set GOOGLE_APPLICATION_CREDENTIALS, or give the machine a service account."
        ) from None
    return found


def _timeout(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_TIMEOUT_S:
        raise ValidationFailed(f"'timeout_s' must be a number of seconds, above 0 and at most {LONGEST_TIMEOUT_S}.")
    return float(value)
