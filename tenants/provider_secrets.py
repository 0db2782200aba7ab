"""The secrets of providers: sealed in the registry, opened only where a provider is made, never returned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from strongroom.security.keys import KeyRing

from tenants.models import ProviderInfo


def seal_secrets(keys: KeyRing, provider_id: UUID, secrets: Mapping[str, Any]) -> bytes | None:
    """Return the secrets of one provider as they are stored; None when there are none."""
    return keys.seal(json.dumps(dict(secrets)).encode(), _context(provider_id)) if secrets else None


def open_secrets(keys: KeyRing, info: ProviderInfo) -> dict[str, Any]:
    """Return the secrets of a provider.

    Raises:
        ConfigurationError: they cannot be opened with the configured master keys.
    """
    if info.secrets is None:
        return {}
    opened: dict[str, Any] = json.loads(keys.open(info.secrets, _context(info.id)))
    return opened


def _context(provider_id: UUID) -> str:
    return f"provider {provider_id}"
