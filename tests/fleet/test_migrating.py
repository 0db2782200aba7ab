"""All tenants to a second revision: in parallel, resumed after a kill, one broken tenant in nobody's way, stopped and frozen."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from sqlalchemy import text
from strongroom.db import revisions
from strongroom.errors import ConfigurationError, TenantBehind
from strongroom.fleet import service
from strongroom.fleet.service import Progress
from strongroom.operating import fleet as operated

from tenants import migrations
from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import World, make_settings
from tests.fleet.chains import ADD_COLUMN, release, with_revision

HAS_COLUMN = "SELECT 1 FROM information_schema.columns WHERE table_schema = %(s)s AND table_name = 'users' AND column_name = 'shoe_size'"


def migrate(world: World, workers: int = 2, **options: Any) -> Progress:
    return service.migrate_tenants(world.settings, world.runtime.databases, workers=workers, **options)


def has_column(world: World, tenant: Tenant) -> bool:
    return bool(world.sql(HAS_COLUMN, s=tenant.ref.role))


def stand(world: World) -> dict[str, Any]:
    return {each.slug: each for each in operated.list_migrations(world.runtime)}


@contextlib.contextmanager
def locked(world: World, tenant: Tenant) -> Iterator[None]:
    """A transaction that uses a tenant's table and does not end."""
    with psycopg.connect(world.database.superuser_url) as connection:
        connection.execute(f"LOCK TABLE {tenant.ref.role}.users IN ACCESS SHARE MODE")
        yield


def test_all_tenants_at_once(empty_world: World, tmp_path: Path) -> None:
    tenants = [empty_world.create_tenant() for _ in range(7)]
    new = release(empty_world, tmp_path)
    assert service.progress(new.runtime.databases, new.settings).counts == {"current": 0, "pending": 7, "running": 0, "failed": 0}
    seen: list[Progress] = []
    assert migrate(new, workers=3, show=seen.append).counts == {"current": 7, "pending": 0, "running": 0, "failed": 0}
    assert seen
    for tenant in tenants:
        assert has_column(empty_world, tenant)
        assert empty_world.rows(tenant, "alembic_version") == [{"version_num": "t002"}]
    assert {each.revision for each in stand(new).values()} == {"t002"}
    assert migrate(new).counts["current"] == 7
    made = new.create_tenant()
    assert made.schema_revision == "t002"
    assert has_column(empty_world, made)


BROKEN = """
DO $$ BEGIN IF EXISTS (SELECT FROM users WHERE name = 'broken') THEN RAISE EXCEPTION 'this tenant is broken' USING ERRCODE = 'P0001';
END IF; END $$; """


def test_a_broken_tenant_holds_up_no_other_and_can_be_retried(empty_world: World, tmp_path: Path) -> None:
    tenants = [empty_world.create_tenant(f"t-{number}") for number in range(5)]
    empty_world.create_user(tenants[0], name="broken")
    new = release(empty_world, tmp_path, BROKEN + ADD_COLUMN)
    assert migrate(new).counts == {"current": 4, "pending": 0, "running": 0, "failed": 1}
    (failed,) = operated.list_migrations(new.runtime, state="failed")
    assert (failed.slug, failed.revision, failed.attempts) == ("t-0", revisions.head("tenant"), 1)
    assert failed.error is not None
    assert "this tenant is broken" in failed.error
    assert not has_column(empty_world, tenants[0])
    empty_world.tenant_sql(tenants[0], "UPDATE {t}.users SET name = 'mended'")
    assert operated.retry_failed(new.runtime, "op@example.com") == 1
    assert stand(new)["t-0"].state == "pending"
    assert migrate(new).counts["current"] == 5


def test_a_lock_is_waited_for_shortly_and_tried_again(empty_world: World, tmp_path: Path) -> None:
    tenants = [empty_world.create_tenant(f"t-{number}") for number in range(3)]
    new = release(empty_world, tmp_path, migration_lock_timeout_s=0.1, migration_attempts=50)
    done: list[Progress] = []
    run = threading.Thread(target=lambda: done.append(migrate(new)))
    with locked(empty_world, tenants[1]):
        run.start()
        try:
            wait_until(lambda: stand(new)["t-1"].attempts >= 2 and stand(new)["t-1"].error, 30)
            wait_until(lambda: [stand(new)[slug].state for slug in ("t-0", "t-2")] == ["current"] * 2, 30)
            assert stand(new)["t-1"].state in {"pending", "running"}
            assert "lock timeout" in str(stand(new)["t-1"].error)
        except BaseException:
            operated.stop(new.runtime, "test")
            raise
    run.join()
    assert done[0].counts["current"] == 3


def test_after_the_last_try_it_has_failed(empty_world: World, tmp_path: Path) -> None:
    tenant = empty_world.create_tenant("slow")
    new = release(empty_world, tmp_path, "SELECT pg_sleep(60)", migration_statement_timeout_s=0.1, migration_attempts=2)
    assert migrate(new).counts["failed"] == 1
    found = stand(new)["slow"]
    assert (found.state, found.attempts, found.revision) == ("failed", 2, revisions.head("tenant"))
    assert "statement timeout" in str(found.error)
    assert tenant.schema_revision == revisions.head("tenant")


WAIT = """
DO $$ BEGIN PERFORM pg_advisory_lock_shared(424242); PERFORM pg_advisory_unlock_shared(424242); END $$; """


@contextlib.contextmanager
def held_up(world: World) -> Iterator[None]:
    """Migrations that wait do so while the block runs."""
    with psycopg.connect(world.database.superuser_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(424242)")
        yield


def children() -> list[psutil.Process]:
    """The living processes of a run."""
    found = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
    return [each for each in found if "strongroom.fleet.process" in command_of(each)]


def command_of(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []


def test_resumed_after_kill_9(empty_world: World, tmp_path: Path) -> None:
    tenants = [empty_world.create_tenant(f"t-{number}") for number in range(4)]
    new = release(empty_world, tmp_path, ADD_COLUMN + "; " + WAIT, migration_lock_timeout_s=60)
    done: list[Progress] = []
    run = threading.Thread(target=lambda: done.append(migrate(new)))
    with held_up(empty_world):
        run.start()
        wait_until(lambda: [each.state for each in stand(new).values()].count("running") == 2, 30)
        killed = children()
        assert len(killed) == 2
        for each in killed:
            os.kill(each.pid, signal.SIGKILL)
        wait_until(lambda: {each.pid for each in children()} - {each.pid for each in killed}, 30, "new workers")
        assert not any(has_column(empty_world, tenant) for tenant in tenants)
    run.join()
    assert done[0].counts == {"current": 4, "pending": 0, "running": 0, "failed": 0}
    assert all(has_column(empty_world, tenant) for tenant in tenants)


def test_stopped_it_ends_after_what_it_is_at(empty_world: World, tmp_path: Path) -> None:
    for number in range(4):
        empty_world.create_tenant(f"t-{number}")
    new = release(empty_world, tmp_path, WAIT + ADD_COLUMN, migration_lock_timeout_s=60)
    done: list[Progress] = []
    run = threading.Thread(target=lambda: done.append(migrate(new, workers=1)))
    with held_up(empty_world):
        run.start()
        wait_until(lambda: "running" in {each.state for each in stand(new).values()}, 30)
        operated.stop(new.runtime, "op@example.com")
    run.join()
    assert done[0].counts == {"current": 1, "pending": 3, "running": 0, "failed": 0}
    assert migrate(new).counts["current"] == 4


def test_frozen_nothing_is_migrated(empty_world: World, tmp_path: Path) -> None:
    tenant = empty_world.create_tenant()
    new = release(empty_world, tmp_path, migration_wait_s=0.2)
    assert operated.set_frozen(new.runtime, "op@example.com", frozen=True).frozen_by == "op@example.com"
    assert migrate(new).counts["pending"] == 1
    assert not has_column(empty_world, tenant)
    with new.runtime.databases.control() as connection:
        assert migrations.claim(connection, connection.execute(text("SELECT clock_timestamp()")).scalar_one()) is None
    assert operated.set_frozen(new.runtime, "op@example.com", frozen=False).frozen_at is None
    assert migrate(new).counts["current"] == 1


ADD_USER = """
INSERT INTO users (id, email, email_key, role, status) VALUES (gen_random_uuid(), 'made', 'made', 'viewer', 'active');
"""


def test_two_runs_at_once_do_nothing_twice(empty_world: World, tmp_path: Path) -> None:
    tenants = [empty_world.create_tenant() for _ in range(6)]
    new = release(empty_world, tmp_path, ADD_USER + ADD_COLUMN)
    runs = [threading.Thread(target=lambda: migrate(new)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert {each.state for each in stand(new).values()} == {"current"}
    assert [len(empty_world.rows(tenant, "users")) for tenant in tenants] == [1] * 6


def test_no_owner_no_migration(world: World) -> None:
    settings = make_settings(world.database, migration_database_url=None)
    with pytest.raises(ConfigurationError):
        service.migrate_tenants(settings, world.runtime.databases, workers=1)


def test_what_a_revision_brings_is_asked_for(world: World, tmp_path: Path) -> None:
    settings = make_settings(world.database, migrations_dir=str(with_revision(tmp_path)))
    assert revisions.chain("tenant", settings)[-1] == "t002"
    assert revisions.has_revision("t002", "t002", settings)
    assert revisions.has_revision("of-newer-code", "t002", settings)
    assert not revisions.has_revision("0001", "t002", settings)
    assert not revisions.has_revision(None, "0001", settings)
    revisions.requires_revision("t002", "t002", settings)
    with pytest.raises(TenantBehind) as caught:
        revisions.requires_revision("0001", "t002", settings)
    assert caught.value.retry_after_s
    with pytest.raises(ValueError, match="not in tuple"):
        revisions.has_revision("0001", "never-heard-of", settings)


def test_a_chain_that_forks_is_refused(tmp_path: Path) -> None:
    versions = tmp_path / "versions"
    versions.mkdir()
    for name in ("a", "b"):
        (versions / f"{name}.py").write_text(f'revision: str = "{name}"\ndown_revision: str | None = None\n')
    with pytest.raises(ConfigurationError):
        revisions._chain(versions, 0)
    with pytest.raises(ConfigurationError):
        revisions._chain(tmp_path / "nothing", 0)


def test_alembic_reads_the_same_chain() -> None:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - only here

    for kind in revisions.KINDS:
        read = [each.revision for each in ScriptDirectory(str(revisions.migrations_dir() / kind)).walk_revisions()]
        assert tuple(reversed(read)) == revisions.chain(kind)
