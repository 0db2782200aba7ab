"""The fourth revision of the tenant schema: mirrors of files at further providers. Its statements are in the SQL file beside this one."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from strongroom.db.migrate import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table, and let its copies be claimed."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
