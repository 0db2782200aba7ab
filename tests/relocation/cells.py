"""A deployment of two cells, and how tests look into each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from strongroom.db.migrate import migrate_platform
from strongroom.life import service
from strongroom.life.models import Operation
from strongroom.operating import life

from tenants import placement, repository
from tenants import service as tenants
from tenants.cache import TenantCache
from tenants.models import Tenant
from tests.factories import Database, World
from workers import runner

OLD, NEW = "default", "other"


class TwoCells(World):
    """A deployment whose second cell takes no new tenants."""

    cells: dict[str, Database]

    @classmethod
    def make(cls, first: Database, second: Database, files_dir: Path) -> TwoCells:
        cells = {OLD: first, NEW: second}
        urls = {"cells": {name: each.app_url for name, each in cells.items()},
                "migration_cells": {name: each.owner_url for name, each in cells.items()}}  # fmt: skip
        two = cls(first, files_dir, **urls)
        two.cells = cells
        migrate_platform(two.settings)
        config = {"root": str(files_dir)}
        tenants.add_provider(two.runtime.databases, two.runtime.keys, name="local", kind="filesystem", config=config, default=True)
        with two.runtime.databases.control() as connection:
            placement.change(connection, NEW, closed=True)
        return two

    def at(self, cell: str, query: str, **values: Any) -> list[Any]:
        """Run a statement in a cell as its superuser."""
        url = self.cells[cell].superuser_url
        with psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def inside(self, cell: str, tenant: Tenant, query: str, **values: Any) -> list[Any]:
        """The same, `{t}` standing for a tenant's schema."""
        return self.at(cell, query.replace("{t}", tenant.ref.role), **values)

    def work(self, world: World | None = None) -> int:
        """Do everything that is queued in both cells, whatever its delay. What fails is not tried again."""
        self.sql("UPDATE strongroom.operations SET due_at = now() WHERE state = 'open' AND due_at > now()")
        count = 0
        for cell in self.cells:
            self.at(cell, "UPDATE strongroom.jobs SET run_at = now() - interval '1 second' WHERE state = 'queued' AND run_at >= now()")
        for cell in self.cells:
            while runner.run_one((world or self).runtime, cell):
                count += 1
        return count

    def where(self, tenant: Tenant) -> str:
        """The cell in which a tenant lives, as the registry says."""
        with self.runtime.databases.control() as connection:
            return repository.get_tenant(connection, tenant.id).cell

    def present(self, tenant: Tenant) -> Tenant:
        with self.runtime.databases.control() as connection:
            return repository.get_tenant(connection, tenant.id)

    def operation(self, tenant: Tenant) -> Operation:
        """What is being done to a tenant, or was done last."""
        found = life.last_operation(self.runtime, tenant)
        assert found is not None
        return found

    def has_schema(self, cell: str, tenant: Tenant) -> bool:
        return bool(self.at(cell, "SELECT 1 FROM pg_namespace WHERE nspname = %(n)s", n=tenant.ref.role))

    def contents(self, cell: str, tenant: Tenant) -> dict[str, list[Any]]:
        """Every row of every table of a tenant in a cell."""
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = %(n)s ORDER BY 1"
        names = [row["table_name"] for row in self.at(cell, query, n=tenant.ref.role)]
        return {name: sorted(map(str, self.at(cell, f"SELECT * FROM {tenant.ref.role}.{name}"))) for name in names}  # noqa: S608 - names of the catalog's

    def move(self, tenant: Tenant, cell: str = NEW) -> Operation:
        """Move a tenant, to the end."""
        life.move_tenant(self.runtime, "test", self.present(tenant).slug, cell)
        self.work()
        return self.operation(tenant)

    def begin(self, tenant: Tenant, cell: str = NEW) -> None:
        """Begin to move a tenant; no worker is at it yet."""
        life.move_tenant(self.runtime, "test", self.present(tenant).slug, cell)

    def go_to(self, tenant: Tenant, step: str) -> None:
        """Do what is being done to a tenant, up to and with a step."""
        while not self.operation(tenant).is_past(step):
            assert service._turn(self.runtime, tenant.id)

    def go_on(self, tenant: Tenant) -> Operation:
        """Do the rest, as the job does."""
        service.advance(self.runtime, tenant.id)
        return self.operation(tenant)

    def deaf_process(self) -> TwoCells:
        """Another process, which hears of no change and believes for long what it knows."""
        made = type(self)(self.database, self.files_dir, cells=self.settings.cells, migration_cells=self.settings.migration_cells,
                          registry_listen=False)  # fmt: skip
        made.cells = self.cells
        made.runtime.registry._cache = TenantCache(max_entries=100, max_missing=100, lifetime_s=lambda _found: 3600.0)
        made.runtime.registry._changed = lambda _tenant_id: None  # type: ignore[method-assign]  # not even of its own
        self._others.append(made)
        return made
