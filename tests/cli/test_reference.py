"""The reference pages are those that the code makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from strongroom.cli.reference import problems_page, settings_page

PAGES = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize(("name", "made"), [("settings.md", settings_page()), ("problems.md", problems_page())])
def test_the_page_is_the_one_that_the_code_makes(name: str, made: str) -> None:
    assert (PAGES / name).read_text(encoding="utf-8") == made, "run `make docs`"
