"""The Celery app of workers and beat: three tasks. Made by `strongroom worker` and `strongroom beat`, never at import."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from celery import Celery
from celery.signals import worker_shutting_down
from sqlalchemy import create_engine, text
from strongroom.config import Settings
from strongroom.jobs.broker import CLOCK_QUEUE, RUN_JOB
from strongroom.runtime import Runtime

from workers import housekeeping, runner

log = logging.getLogger(__name__)
DISPATCH, HOUSEKEEP = "strongroom.dispatch", "strongroom.housekeep"
HOUR_S = 3600.0


def make_worker_app(settings: Settings) -> Celery:
    """Return the Celery app with its tasks and beat's schedule."""
    runtime = Runtime(replace(settings, spread_tenants=False))  # one job at a time, of any tenant: few connections do
    app = runtime.celery

    stopping = threading.Event()
    worker_shutting_down.connect(lambda **_: stopping.set(), weak=False)

    @app.task(name=RUN_JOB)
    def run_job(cell: str, _job_id: str) -> None:
        runner.work(runtime, cell, stopping.is_set)

    @app.task(name=DISPATCH)
    def dispatch() -> None:
        runner.dispatch_all(runtime)

    @app.task(name=HOUSEKEEP)
    def housekeep() -> None:
        housekeeping.enqueue_due(runtime)
        forget_delivered_messages(settings.broker_url)

    app.conf.beat_schedule = {
        "dispatch": {
            "task": DISPATCH,
            "schedule": settings.dispatch_interval_s,
            "options": {"expires": settings.dispatch_interval_s * 4, "queue": CLOCK_QUEUE},
        },
        "housekeep": {"task": HOUSEKEEP, "schedule": HOUR_S / 4, "options": {"expires": HOUR_S, "queue": CLOCK_QUEUE}},
    }
    return app


def forget_delivered_messages(broker_url: str) -> None:
    """Remove what kombu's SQL transport leaves behind: it only marks messages as delivered (kombu issue 1115)."""
    if not broker_url.startswith("sqla+"):
        return
    engine = create_engine(broker_url.removeprefix("sqla+"))
    try:
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM kombu_message WHERE visible = false"))
    finally:
        engine.dispose()
