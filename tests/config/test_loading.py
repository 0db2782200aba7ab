"""What an API process loads when it starts: each of its libraries is memory in every process, for as long as it lives."""

from __future__ import annotations

import subprocess
import sys

from tests.factories import token_bytes

HEAVY = {
    "alembic", "boto3", "botocore", "celery", "dns", "google.cloud", "kombu", "opendal", "pydantic", "redis", "requests", "sqlalchemy.orm",
    "yara_x", "zipstream",
}  # fmt: skip
"""For workers, for commands, for providers and brokers that are not everybody's, or once in a while."""
START = """
import sys
from strongroom.serving import create_app
from strongroom.config import load_settings
settings = load_settings({}, database_url="postgresql://x@x/x", master_key=sys.argv[1], broker_url="sqla+postgresql+psycopg://x@x/x")
create_app(settings)
print(*sys.modules)
"""


def test_an_api_process_loads_nothing_that_it_may_never_need() -> None:
    command = [sys.executable, "-c", START, token_bytes("a master key").decode()]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "strongroom.uploads.service" in loaded
    assert not HEAVY & loaded
