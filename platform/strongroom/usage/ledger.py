"""Noting what has happened already: if the database is busy just then, it is noted as soon as it answers again."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from strongroom.errors import DatabaseUnavailable, DomainError, TenantBusy, TenantMoving

MAX_WAITING = 10_000
PAUSE_S = 1.0
log = logging.getLogger(__name__)


class Ledger:
    """Notes at once, or later on a thread of its own. Safe to share between threads."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Callable[[], None]] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._start = threading.Lock()

    def note(self, entry: Callable[[], None]) -> None:
        """Run `entry`, which writes to the database; when that is busy, keep it and try again. Never raises a domain error."""
        try:
            entry()
        except (DatabaseUnavailable, TenantBusy, TenantMoving):
            self._later(entry)
        except DomainError:
            log.warning("what happened could not be noted: its tenant is gone", exc_info=True)

    def _later(self, entry: Callable[[], None]) -> None:
        with self._start:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(entry)
        except queue.Full:
            log.error("too much is waiting to be noted; one download is not counted")

    def _run(self) -> None:
        while True:
            entry = self._waiting.get()
            while not self._try(entry):
                time.sleep(PAUSE_S)
            self._waiting.task_done()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be noted."""
        return not self._waiting.unfinished_tasks

    def _try(self, entry: Callable[[], None]) -> bool:
        try:
            entry()
        except (DatabaseUnavailable, TenantBusy, TenantMoving):
            return False
        except Exception:
            log.exception("what happened could not be noted")
        return True


ledger = Ledger()
"""The ledger of this process."""
