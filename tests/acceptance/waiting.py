"""Waiting for a condition, with a bound: the only way in which these tests wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
TICK_S = 0.05


def wait_until(condition: Callable[[], Value], bound_s: float, what: str = "") -> Value:
    """Return the condition's first true value; fail when it has none within `bound_s`. An AssertionError in it means: not yet."""
    deadline, last = time.monotonic() + bound_s, ""
    pause = threading.Event()
    while True:
        try:
            value = condition()
        except AssertionError as error:
            value, last = None, f": {error}"  # type: ignore[assignment]  # no value yet
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {bound_s:g} s: {what or condition.__name__}{last} (last: {value!r})")
        pause.wait(TICK_S)
