"""A machine whose clock goes wrong: this process's, while every server goes by the right one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import time_machine


@contextmanager
def clock_off_by(seconds: float) -> Iterator[None]:
    """Set this process's clock ahead (or back) for a while; it goes on ticking. Waiting goes by another one, which stays."""
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds), tick=True):
        yield
