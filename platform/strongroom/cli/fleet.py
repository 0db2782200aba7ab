"""`strongroom migrate`: the whole deployment, part by part: the registry, the cells, then every tenant."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import click
from click.termui import progressbar
from sqlalchemy import Connection, text

from strongroom.cli.context import OPERATOR, Session, command_options, table
from strongroom.db.migrate import migrate_platform
from strongroom.db.revisions import head, is_behind
from strongroom.fleet import service
from strongroom.fleet.service import Progress
from strongroom.operating import fleet as operated
from strongroom.operating.service import find_tenant
from strongroom.runtime import Runtime

SHOWN = 200


@dataclass(frozen=True)
class Part:
    """One part of the deployment and the revision it is at."""

    name: str
    revision: str | None
    newest: str
    current: bool
    error: str | None = None


def migration_status(runtime: Runtime) -> list[Part]:
    """Return the revision of every part."""
    settings = runtime.settings
    with runtime.databases.control() as connection:
        parts = [_part("registry", _revision(connection, "control"), head("control", settings))]
    for cell in runtime.databases.cell_names:
        with runtime.databases.cell(cell) as connection:
            parts.append(_part(f"cell {cell}", _revision(connection, "cell"), head("cell", settings)))
    if parts[0].revision is not None:
        parts += _tenant_parts(runtime)
    return parts


def _tenant_parts(runtime: Runtime) -> list[Part]:
    settings = runtime.settings
    newest = head("tenant", settings)
    return [
        Part(f"tenant {each.slug}", each.revision, newest, not is_behind(each.revision, settings), each.error)
        for each in service.list_tenants(runtime.databases, settings)
    ]


def _part(name: str, revision: str | None, newest: str) -> Part:
    return Part(name, revision, newest, revision == newest)


def _revision(connection: Connection, kind: str) -> str | None:
    name = f"strongroom.alembic_version_{kind}"
    if connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar() is None:
        return None
    return str(connection.execute(text(f"SELECT version_num FROM {name}")).scalar())  # noqa: S608 - a constant


@click.group(invoke_without_command=True)
@click.option("--status", is_flag=True, help="Only tell which revision each part is at.")
@click.option("--stop", is_flag=True, help="Have every run, wherever it is, end after the tenants that it is at.")
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Tenants that are migrated at the same time.")
@click.option("--tenant", "slug", help="Migrate this tenant alone.")
@command_options
def migrate(session: Session, status: bool, stop: bool, workers: int, slug: str | None) -> None:
    """Bring the registry, the cells and every tenant to the newest revision. Can be killed and repeated at any time."""
    context = click.get_current_context()
    if context.invoked_subcommand is not None:
        return
    with session.runtime() as runtime:
        if stop:
            operated.stop(runtime, OPERATOR)
            session.show({"stopped": True}, "Every run ends after the tenants that it is at. 'strongroom migrate' goes on.")
            return
        if not status:
            _migrate(runtime, session, workers, slug)
        parts = migration_status(runtime)
        frozen = operated.progress(runtime).fleet.frozen_at is not None if parts[0].revision else False
    ok = all(part.current for part in parts)
    _show(session, parts, ok, frozen)
    if not ok and not status:
        raise SystemExit(1)


def _show(session: Session, parts: list[Part], ok: bool, frozen: bool) -> None:
    behind = [part for part in parts if not part.current]
    shown = parts if len(parts) <= SHOWN else behind[:SHOWN]
    rows: list[list[Any]] = [
        [part.name, part.revision or "-", part.newest, "current" if part.current else part.error or "behind"] for part in shown
    ]
    lines = [table(["PART", "REVISION", "NEWEST", "STATE"], rows), f"{len(parts) - len(behind)} of {len(parts)} parts are current."]
    if frozen:
        lines.append("Frozen: no tenant is migrated. 'strongroom migrate unfreeze' ends that.")
    session.show({"current": ok, "frozen": frozen, "parts": parts}, "\n".join(lines))


def _migrate(runtime: Runtime, session: Session, workers: int, slug: str | None) -> None:
    migrate_platform(runtime.settings)
    only = find_tenant(runtime, slug).id if slug else None
    bar = _Bar(session)
    try:
        service.migrate_tenants(runtime.settings, runtime.databases, workers=workers, only=only, show=bar.show)
    finally:
        bar.end()


class _Bar:
    """A progress bar on standard error, for people."""

    def __init__(self, session: Session) -> None:
        self._bar: Any = None
        self._is_wanted = not session.as_json
        self._done = 0

    def show(self, found: Progress) -> None:
        """Draw how a run stands."""
        if not self._is_wanted or not found.total:
            return
        if self._bar is None:
            self._bar = progressbar(length=found.total, label="Tenants", file=sys.stderr, show_pos=True)
        done = found.counts["current"] + found.counts["failed"]
        self._bar.update(done - self._done)
        self._done = done

    def end(self) -> None:
        """Leave the line."""
        if self._bar is not None:
            self._bar.render_finish()


@migrate.command()
@command_options
def freeze(session: Session) -> None:
    """Let no tenant be migrated from now on, by nobody; what is being migrated is finished."""
    _set_frozen(session, frozen=True)


@migrate.command()
@command_options
def unfreeze(session: Session) -> None:
    """Let tenants be migrated again."""
    _set_frozen(session, frozen=False)


def _set_frozen(session: Session, *, frozen: bool) -> None:
    with session.runtime() as runtime:
        found = operated.set_frozen(runtime, OPERATOR, frozen=frozen)
    text_ = "Frozen: no tenant is migrated." if frozen else "Tenants are migrated again, by 'strongroom migrate' or at their next request."
    session.show(found, text_)
