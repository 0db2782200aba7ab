"""How many requests a tenant has made: counted once for each, by all processes together, and told with every answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, cast

from limits.storage import storage_from_string

from strongroom.http.redis_windows import PREFIX, RedisWindows
from strongroom.http.shared_windows import SharedWindows
from strongroom.http.windows import Windows

WINDOW_S = 1.0
POLICY = "requests"
PROCESS = f"{Windows.STORAGE_SCHEME[0]}://"
COUNTERS = (Windows, SharedWindows, RedisWindows)
"""They are known to `limits` by having been imported."""


class Counter(Protocol):
    """Whatever counts within windows."""

    def hit(self, key: str, window_s: float, amount: int = 1) -> tuple[int, float]:
        """Count; return how many there are in the window, and how many seconds are left of it."""


@dataclass(frozen=True)
class Rate:
    """How a request found the limit of whoever makes it: it is the `count`-th in its window, of which `left_s` are left."""

    limit: int
    count: int
    left_s: float
    window_s: float

    @property
    def is_over(self) -> bool:
        """Whether the request is one too many."""
        return self.count > self.limit

    @property
    def resets_in_s(self) -> int:
        """In how many whole seconds the count begins anew; at least one."""
        return max(1, math.ceil(self.left_s))

    def headers(self) -> dict[str, str]:
        """Return what every answer tells (draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4)."""
        remaining = max(0, self.limit - self.count)
        return {
            "RateLimit-Policy": f'"{POLICY}";q={self.limit};w={math.ceil(self.window_s)}',
            "RateLimit": f'"{POLICY}";r={remaining};t={self.resets_in_s}',
        }


def storage_uri(setting: str) -> str:
    """Return by which name `limits` finds the storage that a setting means: it has others for some of them."""
    if setting.startswith(("redis://", "rediss://", "unix://")):
        return PREFIX + setting
    return setting.replace("memory://", PROCESS)


class Meter:
    """Counts requests. Safe to share between threads."""

    def __init__(self, setting: str) -> None:
        self._counter = cast(Counter, storage_from_string(storage_uri(setting)))

    def count(self, key: str, limit: int) -> Rate:
        """Count one request of whoever `key` names."""
        count, left_s = self._counter.hit(key, WINDOW_S)
        return Rate(limit, count, left_s, WINDOW_S)

    def close(self) -> None:
        """Let go of whatever is counted in."""
        close = getattr(self._counter, "close", None)
        if close is not None:
            close()
