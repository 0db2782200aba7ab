"""Migrating all tenants: by several processes at once, resumable at any point, one broken tenant in nobody's way. Knows no HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from strongroom.config import Settings
from strongroom.db.engines import Databases
from strongroom.db.revisions import chain, head
from strongroom.errors import ConfigurationError, DatabaseUnavailable
from strongroom.fleet.process import Process, Task, finish, start
from tenants import migrations
from tenants.migrations import FleetState, TenantMigration

LOOK_S = 0.25
RESTART_AFTER_S = 1.0


@dataclass(frozen=True)
class Progress:
    """How a run stands: tenants by state, and whether everything is frozen."""

    counts: dict[str, int]
    fleet: FleetState

    @property
    def total(self) -> int:
        """All tenants."""
        return sum(self.counts.values())


def progress(databases: Databases, settings: Settings) -> Progress:
    """Return how the migration of all tenants stands."""
    with databases.control() as connection:
        return Progress(migrations.counts(connection, chain("tenant", settings)), migrations.state_of_fleet(connection))


def list_tenants(
    databases: Databases, settings: Settings, *, state: str | None = None, after: str = "", limit: int | None = None
) -> list[TenantMigration]:
    """Return how tenants stand, by slug, or only those of one state."""
    with databases.control() as connection:
        return migrations.list_tenants(connection, chain("tenant", settings), state=state, after=after, limit=limit)


def migrate_tenants(
    settings: Settings, databases: Databases, *, workers: int, only: UUID | None = None, show: Callable[[Progress], None] = lambda _: None
) -> Progress:
    """Bring every tenant that is behind to the newest revision, those that failed before too; return how they stand then.

    Ends when nothing is left to try, or when it is frozen or stopped. May run on several machines at once, and be killed
    and repeated at any time: what was under way is undone by the database and taken up again.

    Raises:
        ConfigurationError: no owner's database URL is configured.
    """
    if not settings.migration_cell_urls():
        raise ConfigurationError("STRONGROOM_MIGRATION_DATABASE_URL is needed to migrate.")
    began_at = plan(settings, databases, only)
    _Run(settings, databases, Task(settings, began_at, only), workers, show).until_done()
    return progress(databases, settings)


def plan(settings: Settings, databases: Databases, only: UUID | None = None, *, urgent: bool = False) -> datetime:
    """Make pending what is behind; return the database's time."""
    with databases.control() as connection:
        migrations.plan(connection, chain("tenant", settings), only=only, urgent=urgent)
        began_at: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return began_at


class _Run:
    """The processes of one run: as many as wanted and useful, replaced when they die, asked for news four times a second."""

    def __init__(self, settings: Settings, databases: Databases, task: Task, workers: int, show: Callable[[Progress], None]) -> None:
        self._settings, self._databases, self._task, self._workers, self._show = settings, databases, task, workers, show
        self._pause = threading.Event()

    def until_done(self) -> None:
        processes: list[Process] = []
        started = 0.0
        try:
            while self._left():
                processes = [each for each in processes if not _has_ended(each)]
                if len(processes) < self._workers and time.monotonic() - started > RESTART_AFTER_S:
                    missing = min(self._workers, self._left()) - len(processes)
                    processes += [start(self._task) for _ in range(missing)]
                    started = time.monotonic()
                self._pause.wait(LOOK_S)
        finally:
            for each in processes:
                finish(each)

    def _left(self) -> int:
        """Return how many tenants are still to be done by this run; take back what the dead held."""
        from strongroom.fleet.worker import take_back_the_dead  # noqa: PLC0415 - and with it Alembic

        try:
            take_back_the_dead(self._databases)
            with self._databases.control() as connection:
                left = migrations.open_count(connection, self._task.began_at, only=self._task.only)
            self._show(progress(self._databases, self._settings))
        except DatabaseUnavailable:
            return 1
        return left


def _has_ended(process: Process) -> bool:
    if process.poll() is None:
        return False
    finish(process)
    return True


def newest(settings: Settings) -> str:
    """Return the newest revision of a tenant's schema that this code knows."""
    return head("tenant", settings)
