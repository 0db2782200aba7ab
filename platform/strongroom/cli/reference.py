"""`strongroom reference …`: pages of the documentation that are made from the code, so that they cannot drift from it."""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic_core import PydanticUndefined

from strongroom.config import PREFIX, Settings
from strongroom.errors import CATALOGUE


@click.group()
def reference() -> None:
    """Print reference pages of the documentation (Markdown)."""


@reference.command()
def settings() -> None:
    """All settings."""
    click.echo(settings_page(), nl=False)


@reference.command()
def problems() -> None:
    """All kinds of problem."""
    click.echo(problems_page(), nl=False)


def settings_page() -> str:
    """Return the page of all settings, in the order of the class."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. An unknown `STRONGROOM_*` variable, or a missing or wrong value, stops the program at",
        "its start. `strongroom up` makes the first four itself. This page is made by `make docs`.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = _default(field)
        lines.append(f"| `{PREFIX}{name.upper()}` | {default} | {str(field.description).replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "**required**"
    return "none" if value is None else f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def problems_page() -> str:
    """Return the page of all kinds of problem, by status."""
    lines = [
        "# Problems",
        "",
        "Every error is answered as a problem document (RFC 9457, `application/problem+json`) with `type`, `title`, `status`, `detail`,",
        "`instance`, `code` and `request_id`. `type` leads to a page of the running service that says the same as this one. This page is",
        "made by `make docs`.",
        "",
        "| status | code | meaning | what to do |",
        "|---|---|---|---|",
    ]
    for error in sorted(CATALOGUE.values(), key=lambda each: (each.status, each.code)):
        lines.append(f"| {error.status} | `{error.code}` | {error.title} | {error.hint} |")
    return "\n".join(lines) + "\n"
