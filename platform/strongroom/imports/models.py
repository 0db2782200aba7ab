"""What an import remembers of its source, sealed: the URL may hold secrets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Source:
    """Where a file comes from. `is_named`: the path is as the client wants it, and not for the source to choose."""

    url: str
    is_named: bool
    content_type: str | None

    def to_bytes(self) -> bytes:
        """Return it in a form that can be sealed."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Source:
        """Return what `to_bytes` wrote."""
        return Source(**json.loads(data))
