"""`strongroom reference …`: pages of the documentation that are made from the code, so that they cannot drift from it."""

from __future__ import annotations

import json
from dataclasses import Field, fields
from typing import Any

import click

from strongroom.config import PREFIX, Settings
from strongroom.errors import CATALOGUE
from strongroom.variables import default_of, is_required


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
    for field in fields(Settings):
        meaning = str(field.metadata["description"]).replace("|", chr(92) + "|")
        lines.append(f"| `{PREFIX}{field.name.upper()}` | {_default(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(field: Field[Any]) -> str:
    if is_required(field):
        return "**required**"
    value = default_of(field)
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
