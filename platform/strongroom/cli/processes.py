"""`strongroom serve|worker|beat`: one process each, for whoever supervises them (systemd, containers, `strongroom up`).

Each imports what it alone needs, so that none holds the others' memory.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from typing import Any

import click

from strongroom.allocator import be_frugal
from strongroom.cli.context import explained
from strongroom.config import load_settings
from strongroom.logs import configure_logging

BIND = "127.0.0.1:8000"


@click.command()
@click.option("--bind", default=BIND, show_default=True, help="host:port or unix:PATH")
def serve(bind: str) -> None:
    """Run the API and the consoles (gunicorn), configured by STRONGROOM_* variables."""
    with explained(as_json=False):
        from strongroom.serving import run_server

        settings = load_settings()
        configure_logging(settings)
        run_server(settings, bind)


def _worker_app() -> Any:
    with explained(as_json=False):
        from workers.app import make_worker_app

        settings = load_settings()
        configure_logging(settings)
        return make_worker_app(settings)


@click.command()
def worker() -> None:
    """Run background jobs, one at a time (Celery), configured by STRONGROOM_* variables. Run as many as are to work at once.

    One process each, not Celery's pool: with a broker in SQL a pool child that is killed can take the pool's lock with it.
    """
    from strongroom.jobs.broker import CLOCK_QUEUE, JOB_QUEUE

    be_frugal()
    app = _worker_app()
    arguments = [
        "worker",
        "--pool=solo",
        f"--queues={CLOCK_QUEUE},{JOB_QUEUE}",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
        "--loglevel=WARNING",
    ]
    app.worker_main(arguments)


@click.command()
def beat() -> None:
    """Run the clock of the background jobs. One is enough; several do no harm."""
    app = _worker_app()
    app.Beat(scheduler_cls="celery.beat:Scheduler", loglevel="WARNING", max_interval=5).run()
