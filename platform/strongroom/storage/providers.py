"""From a provider's row in the registry to a provider: the table of kinds.

Each kind imports its module when it is used: a process whose tenants live on a file system loads no cloud library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from strongroom.errors import UnknownProviderKind, ValidationFailed
from strongroom.storage.base import Provider


def _filesystem(config: Mapping[str, Any], _secrets: Mapping[str, Any]) -> Provider:
    from strongroom.storage.filesystem import FilesystemProvider  # noqa: PLC0415

    root = config.get("root")
    if not isinstance(root, str) or not Path(root).is_absolute():
        raise ValidationFailed("A filesystem provider needs 'root', the absolute path of a folder.")
    return FilesystemProvider(Path(root))


def _gcs(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Provider:
    from strongroom.storage.gcs import make_gcs  # noqa: PLC0415

    return make_gcs(config, secrets)


def _opendal(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Provider:
    from strongroom.storage.opendal_provider import make_opendal  # noqa: PLC0415

    return make_opendal(config, secrets)


def _s3(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Provider:
    from strongroom.storage import s3  # noqa: PLC0415  boto3 costs 30 MiB, which a process without S3 must not pay

    return s3.make(config, secrets)


KINDS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Provider]] = {
    "filesystem": _filesystem,
    "gcs": _gcs,
    "opendal": _opendal,
    "s3": _s3,
}


def make_provider(kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any] | None = None) -> Provider:
    """Return a provider of `kind`.

    Raises:
        UnknownProviderKind: there is no such kind.
        ValidationFailed: its configuration is wrong.
    """
    if kind not in KINDS:
        raise UnknownProviderKind(f"There is no provider of kind '{kind}'; there are: {', '.join(sorted(KINDS))}.")
    return KINDS[kind](config, secrets or {})
