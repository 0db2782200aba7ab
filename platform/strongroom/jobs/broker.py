"""Celery's side of a job: the app both ends share, and the announcing of committed jobs.

A message only wakes a worker, which then takes the fairest job there is; so a lost message loses nothing (the
dispatcher finds the row), and a doubled one does nothing twice. Announcing happens on a thread of its own: a broker
that is slow or down never holds up, or fails, the request whose job is already safe in the database. A worker that is
awake works until nothing is due; so of many jobs committed within a moment only as many are told as there are workers to wake.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from strongroom.config import Settings
from strongroom.jobs.sql_broker import OURS, SqlBroker

if TYPE_CHECKING:
    from celery import Celery

RUN_JOB = "strongroom.run_job"
JOB_QUEUE, CLOCK_QUEUE = "strongroom", "strongroom.clock"  # the clock's own, so that it never waits behind a flood of jobs
MAX_WAITING = 10_000
MAX_DELAY_S = 60.0
GATHER_S = 0.1
log = logging.getLogger(__name__)


def make_celery(settings: Settings) -> Celery:
    """Return the Celery app; it connects when first used."""
    from celery import Celery  # noqa: PLC0415 - an API process whose broker is PostgreSQL has no use for it

    app = Celery("strongroom", broker=settings.broker_url)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_max_tasks_per_child=2000,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(settings.broker_url),
        task_publish_retry=False,
        timezone="UTC",
        task_default_queue=JOB_QUEUE,
    )
    return app


def make_queues(settings: Settings) -> None:
    """Make the queues, and the tables behind them where the broker is a database: several workers at once would collide. Idempotent."""
    with make_celery(settings).connection_for_write() as connection:
        channel = connection.default_channel
        for name in (JOB_QUEUE, CLOCK_QUEUE):
            channel.queue_declare(name)
        session = getattr(channel, "session", None)
        if session is not None:  # kombu's SQL transport leaves its transaction open, for as long as the process lives
            session.close()
            session.get_bind().dispose()


def _transport_options(url: str) -> dict[str, Any]:
    if url.startswith("sqla+"):
        return {"pool_size": 4, "max_overflow": 4, "pool_pre_ping": True, "pool_recycle": 1800}
    return {"socket_connect_timeout": 2, "socket_timeout": 10, "visibility_timeout": 3600}


class Broker(Protocol):
    """Where messages for workers are sent. Safe to share between threads."""

    def send(self, queue: str, task: str, args: list[str], delay_s: float = 0.0) -> None:
        """Have a worker do a task, not before a delay has passed; raises what the broker raises."""

    def close(self) -> None:
        """Let go of connections. Idempotent."""


class CeleryBroker:
    """Any broker that Celery knows; Celery is loaded with the first message."""

    def __init__(self, celery: Callable[[], Celery]) -> None:
        self._celery = celery

    def send(self, queue: str, task: str, args: list[str], delay_s: float = 0.0) -> None:
        """Send by Celery."""
        self._celery().send_task(task, args=args, queue=queue, countdown=delay_s or None, retry=False)

    def close(self) -> None:
        """Celery's connections are its app's."""


def make_broker(settings: Settings, celery: Callable[[], Celery]) -> Broker:
    """Return the broker of the settings; it connects when first used. `celery` makes the app, if there is no other way."""
    return SqlBroker(settings.broker_url) if settings.broker_url.startswith(OURS) else CeleryBroker(celery)


class Announcer:
    """Wakes workers for committed jobs. Safe to share between threads; its own thread starts with the first job."""

    def __init__(self, broker: Broker, workers: int) -> None:
        self._broker, self._workers = broker, workers
        self._waiting: queue.Queue[tuple[str, str, float]] = queue.Queue(MAX_WAITING)
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def announce(self, cell: str, job_id: str, delay_s: float = 0.0) -> None:
        """Send a wake-up soon. Never blocks, never raises. What is due much later is left to the dispatcher."""
        if delay_s > MAX_DELAY_S:
            return
        self._ensure_thread()
        try:
            self._waiting.put_nowait((cell, job_id, delay_s))
        except queue.Full:
            log.warning("too many job messages waiting; the dispatcher will send this one", extra={"job_id": job_id})

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._start:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            gathered = self._gather()
            try:
                self._send_some(gathered)
            finally:
                for _ in gathered:
                    self._waiting.task_done()
            time.sleep(GATHER_S)  # what comes meanwhile is told together

    def _gather(self) -> list[tuple[str, str, float]]:
        """Wait for a job; return it with all others that wait to be told."""
        gathered = [self._waiting.get()]
        with suppress(queue.Empty):
            while True:
                gathered.append(self._waiting.get_nowait())
        return gathered

    def _send_some(self, gathered: list[tuple[str, str, float]]) -> None:
        told: Counter[tuple[str, float]] = Counter()
        for cell, job_id, delay_s in gathered:
            told[cell, delay_s] += 1
            if told[cell, delay_s] > self._workers:
                continue
            try:
                self.send(cell, job_id, delay_s)
            except Exception:
                log.warning("could not announce a job; the dispatcher will", extra={"job_id": job_id}, exc_info=True)

    def flush(self, timeout_s: float = 2.0) -> None:
        """Wait, but not for long, until what was announced has been sent: for commands that end right after."""
        ends = time.monotonic() + timeout_s
        while self._waiting.unfinished_tasks and time.monotonic() < ends:
            time.sleep(0.01)  # queue.Queue joins without a bound

    def send(self, cell: str, job_id: str, delay_s: float = 0.0) -> None:
        """Send a wake-up now; raises what the broker raises."""
        self._broker.send(JOB_QUEUE, RUN_JOB, [cell, job_id], delay_s)

    def close(self) -> None:
        """Let go of the broker's connections. Idempotent; what is announced later connects again."""
        self._broker.close()
