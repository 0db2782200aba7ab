"""Chains of migrations for the tests: this installation's, and revisions of the tests' own after it."""

from __future__ import annotations

import shutil
from pathlib import Path

from strongroom.config import Settings
from strongroom.db.migrate import migrate_platform
from strongroom.db.revisions import head, migrations_dir

from tests.factories import World

REVISION = '''
from alembic import op
from strongroom.db.migrate import run_script

revision = "{revision}"
down_revision = "{down}"


def upgrade() -> None:
    run_script(op.get_bind(), """{script}""")
'''
ADD_COLUMN = "ALTER TABLE users ADD COLUMN IF NOT EXISTS shoe_size integer"


def with_revision(folder: Path, script: str = ADD_COLUMN, revision: str = "t002") -> Path:
    """Copy the chains into a folder, unless they are there, and add a revision of the tenant's schema. Returns the folder."""
    copied = folder / "migrations"
    if not copied.exists():
        shutil.copytree(migrations_dir(), copied, ignore=shutil.ignore_patterns("__pycache__"))
    down = head("tenant", _like(copied))
    text = REVISION.format(revision=revision, down=down, script=script)
    (copied / "tenant" / "versions" / f"{revision}.py").write_text(text)
    schema = copied / "tenant" / "schema.sql"
    made = schema.read_text().replace(f"alembic_version VALUES ('{down}')", f"alembic_version VALUES ('{revision}')")
    schema.write_text(f"{made}\n{script};\n")
    return copied


def _like(folder: Path) -> Settings:
    return Settings(database_url="postgresql://x/x", master_key="A" * 43 + "=", broker_url="memory://", migrations_dir=str(folder))


def release(world: World, folder: Path, script: str = ADD_COLUMN, **settings: object) -> World:
    """The next release of the code, with one more revision; registry and cells are migrated, tenants are not."""
    made = world.again(migrations_dir=str(with_revision(folder, script)), **settings)
    migrate_platform(made.settings)
    return made
