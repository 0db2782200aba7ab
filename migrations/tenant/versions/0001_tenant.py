"""The first revision of the tenant schema; its statements are in the SQL file beside this one."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from strongroom.db.migrate import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
