"""The one function that builds object keys. Keys are made of ids alone, never of what a user typed."""

from __future__ import annotations

import re
from uuid import UUID

KEY_PATTERN = re.compile(r"tn-[0-9a-f]{32}/[0-9a-f]{32}/[0-9a-f]{32}(\.tail)?")
"""An object, or what is kept beside it of an unfinished one (`bound.TAIL`)."""
PREFIX_PATTERN = re.compile(r"tn-[0-9a-f]{32}/")


def tenant_prefix(tenant_id: UUID) -> str:
    """Return the prefix of all of a tenant's keys; it ends in '/' so that no prefix is the beginning of another."""
    return f"tn-{tenant_id.hex}/"


def object_key(prefix: str, bucket_id: UUID, version_id: UUID) -> str:
    """Return the key under which a version's bytes lie."""
    return f"{prefix}{bucket_id.hex}/{version_id.hex}"
