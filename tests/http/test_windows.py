"""Request rates, counted in this process."""

from __future__ import annotations

import pytest
from limits import RateLimitItemPerSecond
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from strongroom.http import windows
from strongroom.http.windows import Windows

from tests.slow import all_at_once


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(windows.time, "time", lambda: now[0])
    return now


def test_a_window_ends(clock: list[float]) -> None:
    counts = Windows()
    assert [counts.incr("a", 10), counts.incr("a", 10), counts.incr("b", 10, 5)] == [1, 2, 5]
    assert (counts.get("a"), counts.get_expiry("a"), counts.get("none")) == (2, 1010.0, 0)
    clock[0] = 1010.0
    assert (counts.get("a"), counts.incr("a", 10)) == (0, 1)


def test_what_is_over_is_forgotten(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "FORGET_AT", 4)
    counts = Windows()
    for number in range(50):
        clock[0] += 1
        counts.incr(str(number), 2)
        assert len(counts._windows) <= 5
    counts.clear("49")
    assert counts.get("49") == 0
    assert counts.reset() <= 4
    assert counts.check()


def test_it_counts_exactly_under_many_threads() -> None:
    limiter = FixedWindowRateLimiter(storage_from_string("process://"))
    allowed = all_at_once([lambda: limiter.hit(RateLimitItemPerSecond(10, 3600), "a") for _ in range(40)])
    assert allowed.count(True) == 10
