"""Running jobs: claim the fairest one, keep its lease alive, finish it or put it back. Knows no Celery."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from strongroom.config import Settings
from strongroom.errors import DatabaseUnavailable
from strongroom.jobs import queue
from strongroom.jobs.queue import Job
from strongroom.runtime import Runtime

from workers.handlers import handle

log = logging.getLogger(__name__)
MAX_TURN_S = 10.0
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)


def work(runtime: Runtime, cell: str, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Do due jobs of a cell, one after the other, until there are none, the turn is over or the worker is to stop; return how many."""
    ends, count = time.monotonic() + MAX_TURN_S, 0
    while time.monotonic() < ends and not is_stopping() and run_one(runtime, cell):
        count += 1
    if time.monotonic() >= ends:
        runtime.announcer.announce(cell, "")
    return count


def run_one(runtime: Runtime, cell: str) -> bool:
    """Claim and do one job; False when there is none."""
    settings = runtime.settings
    with runtime.databases.cell(cell, relaxed=True) as connection:  # then nobody has it
        job = queue.claim(connection, lease_s=settings.job_lease_s, tenant_limit=_tenant_limit(settings))
    if job is None:
        return False
    context = {"job_id": str(job.id), "tenant_id": str(job.tenant_id), "kind": job.kind, "attempt": job.attempts}
    began = time.monotonic()
    try:
        with _kept_alive(runtime, cell, job):
            handle(runtime, job)
    except Exception as error:
        log.exception("job failed", extra=context)
        _put_back(runtime, cell, job, f"{type(error).__name__}: {error}")
    else:
        _write_down(runtime, cell, lambda connection: queue.finish(connection, job))
        log.info("job done", extra={**context, "duration_s": round(time.monotonic() - began, 3)})
    return True


def _tenant_limit(settings: Settings) -> int:
    """Return how many jobs of one tenant may run: where there are several workers one is left to others, however long its jobs take."""
    return min(settings.job_tenant_limit, max(1, settings.worker_processes - 1))


def _put_back(runtime: Runtime, cell: str, job: Job, error: str) -> None:
    def put_back(connection: Connection) -> None:
        if queue.fail(connection, job, error, max_attempts=runtime.settings.job_attempts):
            log.error("job parked", extra={"job_id": str(job.id), "tenant_id": str(job.tenant_id), "kind": job.kind})

    _write_down(runtime, cell, put_back)


def _write_down(runtime: Runtime, cell: str, change: Callable[[Connection], None]) -> None:
    """Write down how a job ended; when the database does not answer, try for a while: else the job waits for its lease."""
    for pause_s in PAUSES_S:
        try:
            with runtime.databases.cell(cell, relaxed=True) as connection:  # then it is done once more, which does no harm
                change(connection)
            return
        except DatabaseUnavailable:
            time.sleep(pause_s)
    log.warning("could not write down how a job ended; it will be done again when its lease is over")


@contextmanager
def _kept_alive(runtime: Runtime, cell: str, job: Job) -> Iterator[None]:
    """Renew the lease in the background while the job runs."""
    over = threading.Event()

    def renew() -> None:
        lease_s = runtime.settings.job_lease_s
        while not over.wait(lease_s / 3):
            try:
                with runtime.databases.cell(cell) as connection:
                    queue.renew(connection, job, lease_s)
            except DatabaseUnavailable:
                log.warning("could not renew a lease", extra={"job_id": str(job.id)})

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def dispatch_all(runtime: Runtime) -> None:
    """Dispatch in every cell; one that does not answer holds up no other."""
    for cell in runtime.ready_cells():
        try:
            dispatch(runtime, cell)
        except DatabaseUnavailable:
            log.warning("lost jobs of a cell cannot be looked for", extra={"cell": cell}, exc_info=True)


def dispatch(runtime: Runtime, cell: str) -> int:
    """Give back jobs of dead workers, wake workers for overlooked ones, and return how many were announced."""
    with runtime.databases.cell(cell) as connection:
        queue.release_expired(connection, max_attempts=runtime.settings.job_attempts)
        overlooked = queue.overlooked(connection, limit=4 * runtime.settings.worker_processes)
    for job_id in overlooked:
        runtime.announcer.announce(cell, str(job_id))
    return len(overlooked)
