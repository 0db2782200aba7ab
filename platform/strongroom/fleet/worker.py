"""Migrates tenants, one after the other, until none is left: the work of one process. Alembic is not safe between threads.

A tenant that cannot be migrated now (a lock, a dead connection) is put back with a pause; one whose migration is wrong is
marked as failed. Neither holds up another.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import psycopg
from alembic.util.exc import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from strongroom.config import Settings
from strongroom.db.engines import TRY_AGAIN, Databases, TenantRef
from strongroom.db.migrate import migrate_tenant, owner_engine, worked_on
from strongroom.errors import DatabaseUnavailable
from tenants import migrations
from tenants.migrations import Claim

log = logging.getLogger(__name__)
LOOK_S = 0.2
PAUSES_S = (0.2, 1.0, 3.0, 10.0)
TENANTS_PER_ENGINE = 100  # a backend keeps what it knows of each schema: it is replaced now and then


class Worker:
    """One process's share in a run that began at `began_at`."""

    def __init__(self, settings: Settings, databases: Databases, began_at: datetime) -> None:
        self._settings, self._databases, self._began_at = settings, databases, began_at
        self._engines: dict[str, Engine] = {}
        self._done = 0

    def run(self, only: UUID | None = None) -> int:
        """Migrate what is pending, or one tenant alone, waiting for what is to be tried again; return how many tries that took."""
        tried, pause = 0, threading.Event()
        try:
            while self._is_pending(only):
                claimed = self._claim(only)
                if claimed is None:
                    pause.wait(LOOK_S)
                else:
                    self._do(claimed)
                    tried += 1
        finally:
            self._dispose()
        return tried

    def _is_pending(self, only: UUID | None) -> bool:
        with self._databases.control() as connection:
            return migrations.open_count(connection, self._began_at, only=only, states=("pending",)) > 0

    def _claim(self, only: UUID | None) -> Claim | None:
        with self._databases.control() as connection:
            return migrations.claim(connection, self._began_at, only=only)

    def _do(self, claimed: Claim) -> None:
        extra = {"tenant_id": str(claimed.tenant_id), "attempt": claimed.attempts}
        try:
            revision = migrate_tenant(self._settings, TenantRef(claimed.tenant_id, claimed.cell), self._engine(claimed.cell))
        except Exception as error:
            log.warning("a tenant could not be migrated", extra=extra, exc_info=True)
            self._note_failure(claimed, error)
            return
        with self._databases.control() as connection:
            if revision is None:
                migrations.put_back(connection, claimed.tenant_id, "somebody else is at it", PAUSES_S[1])
            else:
                migrations.finish(connection, claimed.tenant_id, revision)

    def _note_failure(self, claimed: Claim, error: Exception) -> None:
        again = may_pass(error) and claimed.attempts < self._settings.migration_attempts
        with self._databases.control() as connection:
            if again:
                migrations.put_back(connection, claimed.tenant_id, shown(error), PAUSES_S[min(claimed.attempts - 1, len(PAUSES_S) - 1)])
            else:
                migrations.fail(connection, claimed.tenant_id, shown(error))

    def _engine(self, cell: str) -> Engine:
        if self._done % TENANTS_PER_ENGINE == 0:
            self._dispose()
        self._done += 1
        if cell not in self._engines:
            self._engines[cell] = owner_engine(self._settings.migration_cell_urls()[cell], keep=1)
        return self._engines[cell]

    def _dispose(self) -> None:
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()


def may_pass(error: Exception) -> bool:
    """Tell whether another try can help: a lock, a time limit, a connection that was lost."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.Error):
        return cause.sqlstate in TRY_AGAIN if cause.sqlstate else isinstance(cause, psycopg.OperationalError)
    return isinstance(error, DatabaseUnavailable)


def shown(error: Exception) -> str:
    """Return what went wrong, in the first line of its text: SQLAlchemy adds statements and links."""
    text = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    known = isinstance(error, SQLAlchemyError | CommandError | psycopg.Error)
    return text.splitlines()[0] if known and text else f"{type(error).__name__}: {text}"


def take_back_the_dead(databases: Databases) -> int:
    """Make pending again what dead workers left as running; return how many."""
    with databases.control() as connection:
        marked = migrations.running(connection)
    by_cell: dict[str, list[TenantRef]] = {}
    for tenant_id, cell in marked:
        by_cell.setdefault(cell, []).append(TenantRef(tenant_id, cell))
    lost: list[UUID] = []
    for cell, refs in by_cell.items():
        with databases.cell(cell) as connection:
            held = worked_on(connection, refs)
        lost += [each.id for each in refs if each.id not in held]
    if lost:
        with databases.control() as connection:
            migrations.take_back(connection, lost)
    return len(lost)


@contextlib.contextmanager
def own_databases(settings: Settings) -> Iterator[Databases]:
    """Yield databases that are closed at the end."""
    databases = Databases(replace(settings, pool_size=1))
    try:
        yield databases
    finally:
        databases.dispose()
