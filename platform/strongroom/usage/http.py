"""What the access log keeps of the current request."""

from __future__ import annotations

from strongroom.http.context import remote_addr, request_id
from strongroom.usage.recorder import Caller


def caller() -> Caller:
    """Return from where the current request came."""
    return Caller(remote_addr(), request_id())
