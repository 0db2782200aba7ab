"""Which services OpenDAL may reach for us, and what their options are: an explicit list, never "whatever the library has".

Services that live in this process or on this machine (fs, memory, sqlite, redis, …) are not here: their data would be lost
with it, or would let an operator's form read the machine's files. `s3` and `gcs` have kinds of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from strongroom.errors import ValidationFailed

MIB = 1024 * 1024


@dataclass(frozen=True)
class Scheme:
    """A service.

    torn: a write that breaks off can leave the first part of its bytes, so each one is measured afterwards.
    vague: it says the same of a file that is missing and of one that cannot be read.
    whole: reading from an offset gives the beginning all the same, so pieces are read whole.
    """

    title: str
    torn: bool = False
    vague: bool = False
    whole: bool = False
    largest_write: int = 64 * MIB


SCHEMES: Mapping[str, Scheme] = {
    "aliyun-drive": Scheme("Aliyun Drive"),
    "azblob": Scheme("Azure Blob Storage"),
    "azdls": Scheme("Azure Data Lake Storage Gen2", torn=True),
    "azfile": Scheme("Azure Files", torn=True, largest_write=4 * MIB),
    "b2": Scheme("Backblaze B2"),
    "cos": Scheme("Tencent Cloud COS"),
    "dropbox": Scheme("Dropbox"),
    "ftp": Scheme("FTP and FTPS", torn=True, vague=True, whole=True),
    "gdrive": Scheme("Google Drive"),
    "koofr": Scheme("Koofr", torn=True),
    "obs": Scheme("Huawei Cloud OBS"),
    "onedrive": Scheme("Microsoft OneDrive"),
    "oss": Scheme("Alibaba Cloud OSS"),
    "seafile": Scheme("Seafile", torn=True),
    "swift": Scheme("OpenStack Swift"),
    "tos": Scheme("Volcengine TOS"),
    "upyun": Scheme("Upyun"),
    "webdav": Scheme("WebDAV (Nextcloud, ownCloud, …)", torn=True),
    "webhdfs": Scheme("WebHDFS", torn=True),
    "yandex-disk": Scheme("Yandex Disk", torn=True),
}

LOCAL_FILES = frozenset({"oidc_token_file"})
"""Options that name a file of this machine: not taken."""
FIELDS = frozenset({"scheme", "options", "timeout_s"})
SECRET_NAME = re.compile(r"password|secret|token|key|sas|credential|^delegation$")
"""What must not be among the options, which are shown to operators; names that end in `_id` are no secrets."""


@dataclass(frozen=True)
class OpenDALConfig:
    """A checked configuration. `options` holds the secrets too and is never shown."""

    scheme: str
    options: Mapping[str, str]
    timeout_s: float

    def __repr__(self) -> str:
        return f"OpenDALConfig({self.scheme!r})"


def parse(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> OpenDALConfig:
    """Check a configuration.

    Raises:
        ValidationFailed: with what is wrong; it names fields, never a secret's value.
    """
    if unknown := set(config) - FIELDS:
        raise ValidationFailed(f"An opendal provider has no field {_names(unknown)}; it has {_names(FIELDS)}.")
    scheme = _scheme(config.get("scheme"))
    options = config.get("options", {})
    if not isinstance(options, Mapping):
        raise ValidationFailed("'options' must be a mapping of names to values.")
    if misplaced := {name for name in options if is_secret_name(str(name))}:
        raise ValidationFailed(f"{_names(misplaced)} must be among the secrets, not among the options: options are shown.")
    if twice := set(options) & set(secrets):
        raise ValidationFailed(f"{_names(twice)} must be either an option or a secret, not both.")
    known = known_options(scheme)
    if unknown := (set(options) | set(secrets)) - known:
        raise ValidationFailed(f"'{scheme}' has no option {_names(unknown)}; it has {_names(known)}.")
    texts = {name: _text(name, value) for name, value in {**options, **secrets}.items()}
    if "disable_config_load" in known:
        texts["disable_config_load"] = "true"  # else credentials that lie about in the environment would be used
    return OpenDALConfig(scheme, texts, _timeout(config.get("timeout_s", 60)))


def is_secret_name(option: str) -> bool:
    """Tell whether an option of that name must be among the secrets."""
    return bool(SECRET_NAME.search(option)) and not option.endswith("_id")


def available() -> list[str]:
    """Return the schemes of our list that the installed library really has."""
    from opendal.services import Scheme as Built  # noqa: PLC0415 - only where OpenDAL is used

    built = {getattr(Built, name).value for name in dir(Built) if name[0].isupper()}
    return sorted(set(SCHEMES) & built)


def known_options(scheme: str) -> frozenset[str]:
    """Return the names of a service's options, as the library declares them (it passes over unknown ones in silence)."""
    from opendal import config  # noqa: PLC0415 - only where OpenDAL is used

    for declared in vars(config).values():
        fields: dict[str, Any] = getattr(declared, "__annotations__", {})
        if re.search(rf"""['"]{re.escape(scheme)}['"]""", str(getattr(fields.get("scheme"), "__forward_arg__", ""))):
            return frozenset(fields) - {"scheme"} - LOCAL_FILES
    return frozenset()


def _scheme(scheme: object) -> str:
    schemes = available()
    if scheme in {"s3", "gcs"}:
        raise ValidationFailed(f"'{scheme}' is a kind of its own: use kind '{scheme}'.")
    if not isinstance(scheme, str) or scheme not in schemes:
        raise ValidationFailed(f"An opendal provider needs 'scheme', one of: {', '.join(schemes)}.")
    return scheme


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int):
        raise ValidationFailed(f"The value of '{name}' must be a text, a number, true or false.")
    if name == "endpoint":
        _check_endpoint(str(value))
    return str(value)


def _check_endpoint(value: str) -> None:
    try:
        parts = urlsplit(value)
        bare = parts.hostname and not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        bare = None
    if not bare:
        raise ValidationFailed("'endpoint' must be an address like https://dav.example.com/path, without user, password or query.")


def _timeout(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 600:  # noqa: PLR2004 - ten minutes
        raise ValidationFailed("'timeout_s' must be a number of seconds, above 0 and at most 600.")
    return float(value)


def _names(names: set[Any] | frozenset[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(map(str, names)))
