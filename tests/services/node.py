"""JavaScript clients from npm, which `install.sh` brings; each as the one file that a browser loads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

MODULES = Path(__file__).parents[1] / ".node" / "node_modules"
FILES = {"tus.js": "tus-js-client/dist/tus.min.js", "uppy.js": "uppy/dist/uppy.min.js"}


def script(name: str) -> str:
    """The text of a client's file; skips the test where it is not installed, and fails it with CI=true."""
    path = MODULES / FILES[name]
    if not path.is_file():
        give_up(f"{path} is missing")
    return path.read_text()


def give_up(missing: str) -> NoReturn:
    """Skip the test: what it needs comes with the Debian and npm packages that not every machine may install. Fail it with CI=true."""
    text = f"{missing}: run tests/services/install.sh"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
