"""The fifth revision of the tenant schema: short texts say how short they are. Its statements are in the SQL file beside this one."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from strongroom.db.migrate import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Narrow them."""
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
