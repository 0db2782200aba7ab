"""Host names: which of them is the platform's, which a tenant's. Exact comparison, no patterns, no default."""

from __future__ import annotations

import re

from strongroom.config import Settings
from strongroom.errors import UnknownHost

HOST_PATTERN = re.compile(r"(?P<name>\[[0-9a-fA-F:.]{2,45}\]|[0-9A-Za-z]([0-9A-Za-z.-]{0,252}))(:[0-9]{1,5})?")


def host_name(header: str | None) -> str:
    """Return the name in a Host header: small letters, no port, no brackets, no trailing dot (RFC 9110, 7.2).

    Raises:
        UnknownHost: there is none, or more than one, or it is no host name.
    """
    match = HOST_PATTERN.fullmatch(header or "")
    if match is None:
        raise UnknownHost
    name = match["name"].strip("[]").lower()
    if name.endswith("."):
        name = name[:-1]
    if not name or name.endswith(".") or ".." in name:
        raise UnknownHost
    return name


def is_platform_host(settings: Settings, host: str) -> bool:
    """Tell whether a host name is the platform's own."""
    return host in settings.platform_hosts
