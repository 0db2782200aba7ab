"""Waking the supervisor's main loop: signals that mean stop, and the end of a child."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Ctrl-C under `make` or a wrapper can arrive twice at once; only one that a person could have pressed again forces.
_SAME_KEYPRESS_S = 0.5


class StopSignals:
    """Collects stop requests and lets the main thread wait for the next signal without polling.

    SIGINT, SIGTERM and (unless ignored, as under nohup) SIGHUP ask to stop; a later SIGINT asks to stop by force.
    """

    def __init__(self) -> None:
        self.stop_requested = False
        self.force_requested = False
        self._stopping_since = 0.0
        # Never closed: `request_stop` may come at any time, and a process has one of these
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)

    def request_stop(self) -> None:
        """Ask to stop, from any thread."""
        self._note(signal.SIGTERM)
        self._wake()

    def wait(self, timeout_s: float) -> None:
        """Return at the next signal, at once if one came since the last wait, or after this time."""
        if select.select([self._reader], [], [], max(0.0, timeout_s))[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 4096)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals for the duration; whatever handled them before does again afterwards."""
        numbers = [number for number in _STOP if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]
        before: dict[int, Any] = {number: signal.signal(number, self._handle) for number in (*numbers, signal.SIGCHLD)}
        descriptor = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._note(number)

    def _note(self, number: int) -> None:
        now = time.monotonic()
        if not self.stop_requested:
            self._stopping_since = now
            self.stop_requested = True
        elif number == signal.SIGINT and now - self._stopping_since > _SAME_KEYPRESS_S:
            self.force_requested = True

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"\0")
