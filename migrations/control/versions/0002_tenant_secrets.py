"""The second revision of the control schema: secrets of tenants. Its statements are in the SQL file beside this one."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from strongroom.db.migrate import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create their table."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
