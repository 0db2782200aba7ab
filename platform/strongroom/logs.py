"""Logs: one JSON object a line (structlog), each with the request's id and the tenant's, line breaks escaped."""

from __future__ import annotations

import logging
import sys

import structlog
from flask import g, has_request_context
from structlog.types import EventDict, Processor

from strongroom.config import Settings


def _add_request(_logger: object, _name: str, event: EventDict) -> EventDict:
    if has_request_context():
        event.setdefault("request_id", g.get("request_id", ""))
        tenant = g.get("tenant")
        if tenant is not None:
            event.setdefault("tenant_id", str(tenant.id))
    return event


def configure_logging(settings: Settings) -> None:
    """Send everything that is logged to standard error in the configured form. Idempotent."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request,
    ]
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("celery.worker.strategy", "celery.app.trace", "kombu", "alembic", "celery.beat", "flask-limiter"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
