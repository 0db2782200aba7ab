"""What commands share: settings from the environment or an embedded deployment's folder, output, and errors with exit codes.

Exit codes: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click

from strongroom.config import Settings, load_settings
from strongroom.embedded.errors import EmbeddedError
from strongroom.errors import ConfigurationError, DomainError
from strongroom.runtime import Runtime

Seen = TypeVar("Seen")
LOOK_S = 0.5

OPERATOR = "command line"


@dataclasses.dataclass(frozen=True)
class Session:
    """What a command was called with."""

    state: Path | None
    as_json: bool

    @contextlib.contextmanager
    def settings(self) -> Iterator[Settings]:
        """Yield the settings; for an embedded deployment that is not running, with its database up meanwhile."""
        if self.state is None:
            yield load_settings()
            return
        from strongroom.cli.deployment import Deployment  # noqa: PLC0415 - and with it migrations: not for processes that serve

        deployment = Deployment(self.state)
        deployment.check_exists()
        with deployment.database_up():
            yield deployment.settings()

    @contextlib.contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """Yield a runtime."""
        with self.settings() as settings:
            runtime = Runtime(settings)
            try:
                yield runtime
            finally:
                runtime.announcer.flush()
                runtime.close()

    def watch(self, look: Callable[[], Seen], is_over: Callable[[Seen], bool], line: Callable[[Seen], str]) -> Seen:
        """Look at what workers do until it is over; tell people each line that differs from the one before. Return the last look."""
        told = ""
        while not is_over(seen := look()):
            if not self.as_json and (now := line(seen)) != told:
                click.echo(now, err=True)
                told = now
            time.sleep(LOOK_S)  # the workers tell nobody how far they are: their rows do, when asked
        return seen

    def show(self, value: Any, text: str) -> None:
        """Print the answer: for people, or as one JSON document."""
        click.echo(json.dumps(value, default=to_json, indent=2) if self.as_json else text)


def to_json(value: Any) -> Any:
    """Return what JSON has no word for in a form that it has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return vars(value)
    if isinstance(value, UUID | Path):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


def command_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--state` and `--json`, a `Session` as its first argument, and errors that say what to do."""

    @click.option(
        "--state",
        type=click.Path(path_type=Path),
        envvar="STRONGROOM_STATE",
        help="Folder of an embedded deployment. [env: STRONGROOM_STATE]",
    )
    @click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
    @wraps(command)
    def run(state: Path | None, as_json: bool, **values: Any) -> None:
        with explained(as_json):
            command(Session(state, as_json), **values)

    return run


@contextlib.contextmanager
def explained(as_json: bool) -> Iterator[None]:
    """Turn expected failures into a message and exit code 1."""
    try:
        yield
    except DomainError as error:
        fields = error.extra.get("errors")
        lines = [error.title + "." if not error.title.endswith(".") else error.title, error.detail]
        if isinstance(fields, dict):
            lines += [f"  {name}: {' '.join(map(str, texts)) if isinstance(texts, list) else texts}" for name, texts in fields.items()]
        _fail({"code": error.code, "title": error.title, "detail": error.detail, **error.extra}, "\n".join(lines), as_json)
    except EmbeddedError as error:
        _fail({"code": "embedded_error", "title": str(error)}, str(error), as_json)


def _fail(problem: dict[str, Any], text: str, as_json: bool) -> None:
    click.echo(json.dumps(problem, default=to_json) if as_json else text, err=True)
    raise SystemExit(1)


def read_password(from_stdin: bool, prompt: str) -> str:
    """Return a password from standard input (without its line end), or ask for it twice on a terminal."""
    password: str = sys.stdin.readline().rstrip("\r\n") if from_stdin else click.prompt(prompt, hide_input=True, confirmation_prompt=True)
    if not password:
        raise ConfigurationError("The password is empty: give it on standard input.")
    return password


def table(headers: list[str], rows: list[list[Any]]) -> str:
    """Return rows in columns."""
    cells = [headers, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def size(count: int) -> str:
    """Return a number of bytes for people."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - decimal units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
