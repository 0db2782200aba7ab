"""The oldest PostgreSQL that is supported: what depends on the database alone runs on it too, as `make test-postgres15` does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINARY = Path("/usr/lib/postgresql/15/bin/postgres")
OURS = ("SR_TEST_", "PYTEST_")
LONGEST_S = 1500


@pytest.mark.slow
@pytest.mark.skipif(not BINARY.exists(), reason="Debian's postgresql-15 is not installed")
def test_walls_tenancy_and_migrations_on_postgresql_15() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (folders,) = re.findall(r"^ON_15 := (.*)$", makefile, re.MULTILINE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow", *folders.split()],
        cwd=ROOT, env={**environment, "STRONGROOM_TEST_POSTGRES": "15"}, capture_output=True, text=True, timeout=LONGEST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 300
