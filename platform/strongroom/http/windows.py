"""Counters of request rates in this process: what `memory://` stands for.

The storage that comes with the `limits` library starts a thread to forget what is over, at nearly every request.
"""

from __future__ import annotations

import threading
import time

from limits.storage import Storage

FORGET_AT = 10_000


class Windows(Storage):
    """Fixed windows by key; of keys whose window is over nothing is kept for long. Safe to share between threads."""

    STORAGE_SCHEME = ["process"]  # noqa: RUF012 - the registry of `limits` reads it so

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: float | str | bool) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._windows: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._forget_at = FORGET_AT

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing in here fails."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count; return how many there are in the window."""
        return self.hit(key, expiry, amount)[0]

    def hit(self, key: str, window_s: float, amount: int = 1) -> tuple[int, float]:
        """Count; return how many there are in the window, and how many seconds are left of it."""
        now = time.time()
        with self._lock:
            count, ends = self._windows.get(key, (0, 0.0))
            if ends <= now:
                count, ends = 0, now + window_s
                self._forget(now)
            self._windows[key] = (count + amount, ends)
        return count + amount, ends - now

    def get(self, key: str) -> int:
        """Return how many there are in the window."""
        count, ends = self._windows.get(key, (0, 0.0))
        return count if ends > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds of the epoch."""
        return self._windows.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        """It is always there."""
        return True

    def reset(self) -> int:
        """Forget everything; return how much it was."""
        with self._lock:
            count = len(self._windows)
            self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget a key."""
        with self._lock:
            self._windows.pop(key, None)

    def _forget(self, now: float) -> None:
        """Forget what is over, whenever twice as much is held as was left the last time."""
        if len(self._windows) >= self._forget_at:
            self._windows = {key: window for key, window in self._windows.items() if window[1] > now}
            self._forget_at = max(FORGET_AT, 2 * len(self._windows))
