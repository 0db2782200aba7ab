"""The probe of the walls: finds nothing where they stand, and each that is taken down alone. And it leaves nothing behind."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from strongroom.isolation import service
from strongroom.isolation.models import Wall
from strongroom.probe import requests, routes, stage
from strongroom.probe.stage import Stage
from strongroom.probe.tally import Tally

from tenants import stand_ins
from tenants.models import Tenant
from tests.factories import World
from tests.isolation.probing import probe


def everything(world: World, tenant: Tenant) -> Any:
    """What a tenant has, and what the deployment has besides tenants."""
    tables = ("users", "sessions", "api_keys", "buckets", "files", "versions", "uploads", "counters", "events", "access_log", "exports")
    held = {table: world.rows(tenant, table) for table in (*tables, "idempotency_keys")}
    counts = world.sql(
        "SELECT (SELECT count(*) FROM strongroom.tenants) AS tenants, (SELECT count(*) FROM strongroom.operators) AS operators, "
        "(SELECT count(*) FROM strongroom.providers) AS providers, (SELECT count(*) FROM strongroom.jobs) AS jobs, "
        "(SELECT count(*) FROM strongroom.paused_tenants) AS paused, "
        "(SELECT count(*) FROM pg_roles WHERE NOT EXISTS (SELECT FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid "
        "WHERE d.refobjid = pg_roles.oid AND b.datname <> current_database())) AS roles"  # other databases' come and go
    )
    return held, counts, sorted(path for path in world.files_dir.rglob("*") if path.is_file())


def test_all_walls_stand_and_nothing_is_left_behind(world: World, busy: Tenant) -> None:
    before = everything(world, busy)
    said = probe(world, busy)
    assert said["findings"] == []
    assert (said["ok"], said["complete"]) == (True, True)
    assert everything(world, busy) == before
    (row,) = world.rows(busy, "isolation_reports")
    assert (row["canary"], row["ok"], row["findings"]) == (None, True, 0)
    every_wall_was_tried_by_every_kind_of_credential(said)


def every_wall_was_tried_by_every_kind_of_credential(said: Any) -> None:
    tried = {(each["wall"], each["at"], each["credential"]): each["attempts"] for each in said["tried"]}
    assert {wall for wall, _, _ in tried} == set(Wall)
    people = {f"{role} of another tenant" for role in ("owner", "admin", "member", "viewer", "API key", "console cookie", "refresh token")}
    for at in ("this tenant", "a stand-in"):
        asked = {who for wall, where, who in tried if wall == "identity" and where == at}
        assert people | {"operator viewer", "no credential"} <= asked
        assert min(tried["identity", at, who] for who in people) > 40
    roles = {who for wall, where, who in tried if (wall, where) == ("rows", "this tenant")}
    assert roles == {"database role of another tenant", "login role without SET ROLE"}
    assert said["controls"] >= 10
    assert sum(tried.values()) == said["attempts"] > 1000


def test_every_route_that_names_something_is_asked_for_anothers(world: World, busy: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes as far as looking for what is named: a form leads back to its page, all else is not found."""
    asked: dict[str, set[tuple[int, int]]] = {}
    real = requests.compare

    def compare(stage: Stage, tally: Tally, who: Any, route: routes.Route) -> tuple[int, int]:
        statuses = real(stage, tally, who, route)
        asked.setdefault(route.name, set()).add(statuses)
        return statuses

    monkeypatch.setattr(requests, "compare", compare)
    probe(world, busy)
    named = [each for each in routes.routes(world.app) if each.arguments - routes.NAMELESS and each.realm != "public"]
    assert {route.name for route in named} == set(asked)
    assert asked.pop("PUT sso.put_connection") == {(422, 422)}, "the caller gives a name of its own choice"
    assert {name: statuses for name, statuses in asked.items() if statuses not in ({(404, 404)}, {(303, 303)})} == {}
    assert all("console_" in name for name, statuses in asked.items() if statuses == {(303, 303)})


def test_a_secret_that_is_not_where_it_was_put_is_found(world: World, busy: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """That nobody saw what is not there says nothing."""
    monkeypatch.setattr("strongroom.isolation.repository.plant", lambda *_: None)
    said = probe(world, busy)
    assert [(each["wall"], each["credential"]) for each in said["findings"]] == [("rows", "the owner of the secret")]


def test_it_ends_in_time(world: World, busy: Tenant) -> None:
    said = probe(world, busy, limit_s=0.0)
    assert (said["ok"], said["complete"], said["findings"]) == (False, False, [])
    assert said["attempts"] < 200


# Whose turn it is


def test_whose_probe_is_longest_ago_is_next(empty_world: World) -> None:
    tenants = [empty_world.create_tenant() for _ in range(7)]
    settings = empty_world.again(isolation_probes_per_hour=8)
    queued: list[UUID] = []
    for _ in range(4):
        assert service.enqueue_due(settings.runtime) in {1, 2}
        for row in empty_world.sql("SELECT tenant_id FROM strongroom.jobs WHERE kind = 'isolation.verify' AND state = 'queued'"):
            queued.append(row["tenant_id"])
            empty_world.sql("INSERT INTO strongroom.isolation_probes VALUES (%(id)s, now(), true, 0)", id=row["tenant_id"])
        empty_world.sql("DELETE FROM strongroom.jobs")
    assert sorted(queued) == sorted(each.id for each in tenants)
    assert service.enqueue_due(settings.runtime) == 0
    empty_world.sql(
        "UPDATE strongroom.isolation_probes SET ended_at = now() - interval '2 days' WHERE tenant_id = %(id)s", id=tenants[3].id
    )
    assert [service.enqueue_due(settings.runtime) for _ in range(2)] == [1, 0]
    assert [row["tenant_id"] for row in empty_world.sql("SELECT tenant_id FROM strongroom.jobs")] == [tenants[3].id]
    assert service.enqueue_due(empty_world.again(isolation_probes_per_hour=0).runtime) == 0


@pytest.mark.slow
def test_the_job_probes_in_a_process_of_its_own(world: World, busy: Tenant) -> None:
    with world.runtime.cell("default") as connection:
        service.enqueue_platform(connection, busy.id, service.VERIFY, {})
    assert world.run_jobs() >= 1
    (job,) = world.jobs(busy, kind="isolation.verify")
    assert (job["state"], job["error"]) == ("done", None)
    (row,) = world.rows(busy, "isolation_reports")
    assert json.loads(row["signed"])["findings"] == []


def test_what_a_crash_leaves_is_removed_by_the_next(empty_world: World) -> None:
    tenant = empty_world.create_tenant()
    left = stand_ins.make(empty_world.runtime.databases, tenant)
    world, listed = empty_world, [each["slug"] for each in empty_world.sql("SELECT slug FROM strongroom.tenants")]
    assert left.slug in listed
    assert stage.sweep(world.runtime) == 0
    world.sql("UPDATE strongroom.tenants SET updated_at = now() - interval '2 hours' WHERE id = %(id)s", id=left.id)
    assert stage.sweep(world.runtime) == 1
    assert world.sql("SELECT 1 FROM strongroom.tenants WHERE id = %(id)s", id=left.id) == []
    assert world.sql("SELECT 1 FROM pg_roles WHERE rolname = %(role)s", role=left.ref.role) == []
    world.tenant_sql(
        tenant, "INSERT INTO {t}.isolation_reports (id, canary, began_at) VALUES (gen_random_uuid(), 'x', now() - interval '1 day')"
    )
    assert service.forget_old(world.runtime, tenant) == 1


def test_a_stand_in_is_no_customers(world: World, busy: Tenant, operator: Any) -> None:
    made = stand_ins.make(world.runtime.databases, busy)
    try:
        assert made.slug not in operator.get("/operator/api/v1/tenants?limit=1000").get_data(as_text=True)
        refused = operator.post(
            "/operator/api/v1/tenants", json={"slug": made.slug, "owner_email": "a@b.c", "owner_password": "long enough"}
        )
        assert refused.status_code == 422
        with pytest.raises(ValueError, match="not a stand-in"):
            stand_ins.remove(world.runtime.databases, busy)
    finally:
        stand_ins.remove(world.runtime.databases, made)
