"""Counters of request rates in Redis, which all processes of all machines share: what `redis://…` stands for.

One round trip counts and tells what is left. While Redis does not answer, each process counts for itself: requests go on,
under the same limits for each process, and it is logged. What it is asked then and again is one question of one thread.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from limits.storage import Storage

from strongroom.http.windows import Windows

log = logging.getLogger(__name__)
PREFIX = "strongroom+"
"""Before the schemes in what `limits` is given, which has a storage of its own for them."""
TIMEOUT_S = 0.25
PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
_HIT = """
local count = redis.call('INCRBY', KEYS[1], ARGV[2])
if count == tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""
_READ = "return {tonumber(redis.call('GET', KEYS[1]) or 0), redis.call('PTTL', KEYS[1])}"


class RedisWindows(Storage):
    """Fixed windows by key. Safe to share between threads; connects when first used; never raises because Redis is away."""

    STORAGE_SCHEME = [PREFIX + scheme for scheme in ("redis", "rediss", "unix")]  # noqa: RUF012 - the registry of `limits` reads it so

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: float | str | bool) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        from redis import Redis  # noqa: PLC0415 - only where it is used: it is large
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        limits: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "retry": Retry(NoBackoff(), 1)}
        self._redis = Redis.from_url((uri or "").removeprefix(PREFIX), **limits)
        self._hit, self._read = self._redis.register_script(_HIT), self._redis.register_script(_READ)
        self._own = Windows()
        self._lock = threading.Lock()
        self._asks_again_at, self._pause_s = 0.0, PAUSE_S

    @property
    def base_exceptions(self) -> type[Exception]:
        """What Redis raises; it is dealt with in here."""
        from redis import RedisError  # noqa: PLC0415 - as above

        return RedisError

    def hit(self, key: str, window_s: float, amount: int = 1) -> tuple[int, float]:
        """Count; return how many there are in the window, and how many seconds are left of it."""
        found = self._ask(self._hit, key, [max(1, int(window_s * 1000)), amount])
        return self._own.hit(key, window_s, amount) if found is None else found

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count; return how many there are in the window."""
        return self.hit(key, expiry, amount)[0]

    def get(self, key: str) -> int:
        """Return how many there are in the window."""
        found = self._ask(self._read, key, [])
        return self._own.get(key) if found is None else found[0]

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds of the epoch."""
        found = self._ask(self._read, key, [])
        return self._own.get_expiry(key) if found is None else time.time() + found[1]

    def check(self) -> bool:
        """Tell whether Redis answers."""
        return self._ask(self._read, "check", []) is not None

    def reset(self) -> int:
        """Forget what this process counted for itself; what others count is not ours to forget."""
        return self._own.reset()

    def clear(self, key: str) -> None:
        """Forget a key, here and at Redis."""
        self._own.clear(key)
        self._ask(self._redis.register_script("redis.call('DEL', KEYS[1]) return {0, 0}"), key, [])

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _ask(self, script: Any, key: str, arguments: list[int]) -> tuple[int, float] | None:
        """Return count and seconds left; None while Redis does not answer."""
        if self._asks_again_at and not self._is_ones_turn():
            return None
        try:
            count, left_ms = script(keys=[f"strongroom:rates:{key}"], args=arguments)
        except self.base_exceptions as error:
            self._note_down(error)
            return None
        if self._asks_again_at:
            self._note_up()
        return int(count), max(0, left_ms) / 1000

    def _is_ones_turn(self) -> bool:
        """Tell whether it is time to try again; of many threads at once, one is told so."""
        with self._lock:
            if time.monotonic() < self._asks_again_at:
                return False
            self._asks_again_at = time.monotonic() + self._pause_s
            return True

    def _note_down(self, error: Exception) -> None:
        with self._lock:
            was_up, self._pause_s = not self._asks_again_at, min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._asks_again_at = time.monotonic() + (PAUSE_S if was_up else self._pause_s)
        if was_up:
            log.warning("Redis does not answer: request rates are counted by each process for itself", exc_info=error)

    def _note_up(self) -> None:
        with self._lock:
            self._asks_again_at, self._pause_s = 0.0, PAUSE_S
        log.warning("Redis answers again: request rates are counted together")
