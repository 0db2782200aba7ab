"""Which providers have just failed, so that not everybody waits for the same time-out."""

from __future__ import annotations

import time
from uuid import UUID

REMEMBERED_S = 15.0
MOST = 1000


class Outages:
    """What a process remembers of them for some seconds, for each tenant by itself. Safe to share between threads."""

    def __init__(self) -> None:
        self._until: dict[tuple[UUID, UUID], float] = {}

    def note(self, tenant_id: UUID, provider_id: UUID) -> None:
        """Remember that a provider has failed a tenant just now."""
        now = time.monotonic()
        if len(self._until) >= MOST:
            self._until = {key: until for key, until in tuple(self._until.items()) if until > now}
        if len(self._until) < MOST:
            self._until[tenant_id, provider_id] = now + REMEMBERED_S

    def knows(self, tenant_id: UUID, provider_id: UUID) -> bool:
        """Tell whether a provider has failed a tenant within the last seconds."""
        until = self._until.get((tenant_id, provider_id))
        return until is not None and until > time.monotonic()
