"""The WSGI entry: `gunicorn wsgi:app`, with the configuration in STRONGROOM_* variables."""

from __future__ import annotations

from strongroom.app import create_app
from strongroom.config import load_settings
from strongroom.logs import configure_logging

settings = load_settings()
configure_logging(settings)
app = create_app(settings)
