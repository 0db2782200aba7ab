"""The third revision of the control schema: providers that tenants may mirror to. Its statements are in the SQL file beside this one."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from strongroom.db.migrate import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the mark."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
