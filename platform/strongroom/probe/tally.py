"""What was tried and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from strongroom.isolation.models import Finding, Tried, Wall

HERE, STAND_IN = "this tenant", "a stand-in"
MAX_FINDINGS = 200
CONTROL = "the owner of the secret"


class Tally:
    """Counts attempts by wall, credential and place; keeps what was found. Ends after `limit_s` seconds: `is_over`."""

    def __init__(self, limit_s: float) -> None:
        self._ends = time.monotonic() + limit_s
        self._attempts: Counter[tuple[Wall, str, str]] = Counter()
        self._findings: Counter[tuple[Wall, str, str]] = Counter()
        self.found: list[Finding] = []
        self.controls = 0
        self.left_out: list[str] = []

    @property
    def is_over(self) -> bool:
        """Whether the time is over: what is left is not tried."""
        return time.monotonic() >= self._ends

    @property
    def attempts(self) -> int:
        """How often something was tried."""
        return self._attempts.total()

    def attempt(self, wall: Wall, credential: str, at: str, what: str, found: str) -> None:
        """Note an attempt: `found` says what should not have been, and is empty when it was refused as it should."""
        where = (wall, credential, at)
        self._attempts[where] += 1
        if found:
            self._findings[where] += 1
            if len(self.found) < MAX_FINDINGS:
                self.found.append(Finding(wall, credential, at, what, found))

    def control(self, wall: Wall, at: str, what: str, is_seen: Callable[[], bool]) -> None:
        """Look for a secret where it may be seen: where it is not, that nobody else saw it says nothing."""
        self.controls += 1
        try:
            seen = is_seen()
        except Exception as error:  # noqa: BLE001 - whatever it is, the control has failed
            self._fail(wall, at, what, f"the control failed with {type(error).__name__}")
        else:
            if not seen:
                self._fail(wall, at, what, "the control failed: the secret is not where it was put")

    def _fail(self, wall: Wall, at: str, what: str, found: str) -> None:
        self._findings[wall, CONTROL, at] += 1
        self.found.append(Finding(wall, CONTROL, at, what, found))

    def tried(self) -> list[Tried]:
        """Return the counts, wall by wall."""
        keys = sorted(set(self._attempts) | set(self._findings), key=lambda key: (list(Wall).index(key[0]), key[2], key[1]))
        return [Tried(*key, self._attempts[key], self._findings[key]) for key in keys]
