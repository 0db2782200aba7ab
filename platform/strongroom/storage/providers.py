"""From a provider's row in the registry to a provider: the table of kinds.

Each kind imports its module when it is used: a process whose tenants live on a file system loads no cloud library.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from strongroom.errors import UnknownProviderKind, ValidationFailed
from strongroom.storage.base import Provider


def _filesystem(config: Mapping[str, Any], _secrets: Mapping[str, Any]) -> Provider:
    from strongroom.storage.filesystem import FilesystemProvider  # noqa: PLC0415 - only the kinds in use are loaded

    root = config.get("root")
    if not isinstance(root, str) or not Path(root).is_absolute():
        raise ValidationFailed("A filesystem provider needs 'root', the absolute path of a folder.")
    return FilesystemProvider(Path(root))


def _gcs(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Provider:
    from strongroom.storage.gcs import make_gcs  # noqa: PLC0415 - only the kinds in use are loaded

    return make_gcs(config, secrets)


def _opendal(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Provider:
    from strongroom.storage.opendal_provider import make_opendal  # noqa: PLC0415 - only the kinds in use are loaded

    return make_opendal(config, secrets)


def _s3(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Provider:
    from strongroom.storage import s3  # noqa: PLC0415  botocore costs 12 MiB, which a process without S3 must not pay

    return s3.make(config, secrets)


KINDS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Provider]] = {
    "filesystem": _filesystem,
    "gcs": _gcs,
    "opendal": _opendal,
    "s3": _s3,
}


TENANTS_FIELDS = {
    "s3": frozenset({"bucket", "endpoint_url", "region", "addressing", "verify_parts", "timeout_s"}),
    "gcs": frozenset({"bucket", "project", "timeout_s"}),
}
"""What a tenant may say of a provider of its own. Not among it: files, identities and roles of this machine, other endpoints of Google."""
GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"


def make_tenants_provider(kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any], pools: Callable[..., Any]) -> Provider:
    """Return a provider that a tenant brought: it reaches public addresses alone, over connections that `pools` makes.

    Raises:
        UnknownProviderKind: tenants may not bring one of that kind.
        ValidationFailed: its configuration is wrong, or names what a tenant may not.
    """
    if kind not in TENANTS_FIELDS:
        raise UnknownProviderKind(f"A tenant brings providers of these kinds: {', '.join(sorted(TENANTS_FIELDS))}.")
    refused = sorted(set(config) - TENANTS_FIELDS[kind])
    if refused:
        raise ValidationFailed(errors={f"config.{name}": ["This cannot be set for a provider of your own."] for name in refused})
    if kind == "gcs":
        _check_googles_key(secrets.get("service_account"))
        return _gcs(config, secrets)
    from strongroom.storage import s3  # noqa: PLC0415  as above

    return s3.make(config, secrets, pools)


def _check_googles_key(key: object) -> None:
    """A key says itself where its tokens are to be fetched: only Google's own address is taken."""
    try:
        found = json.loads(key) if isinstance(key, str) else key
    except ValueError:
        found = None
    if isinstance(found, Mapping) and (found.get("token_uri"), found.get("universe_domain", "googleapis.com")) == (
        GOOGLE_TOKENS,
        "googleapis.com",
    ):
        return
    text = f"This must be the JSON key of a service account of Google's, with the token_uri {GOOGLE_TOKENS}."
    raise ValidationFailed(text, errors={"secrets.service_account": [text]})


def make_provider(kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any] | None = None) -> Provider:
    """Return a provider of `kind`.

    Raises:
        UnknownProviderKind: there is no such kind.
        ValidationFailed: its configuration is wrong.
    """
    if kind not in KINDS:
        raise UnknownProviderKind(f"There is no provider of kind '{kind}'; there are: {', '.join(sorted(KINDS))}.")
    return KINDS[kind](config, secrets or {})
