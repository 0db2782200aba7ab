"""A move under live reads and writes, cut off at every step, aborted, and asked for wrongly."""

from __future__ import annotations

from typing import Any

import pytest
from strongroom.db.engines import Databases
from strongroom.db.revisions import head
from strongroom.errors import Conflict, TenantMoving
from strongroom.events.service import emit
from strongroom.jobs import queue
from strongroom.life import repository, service
from strongroom.life.models import OperationState
from strongroom.relocation import ranges, rows
from strongroom.relocation import service as relocation

from tests.acceptance.waiting import wait_until
from tests.factories import Account, host_of, ok, problem, put_object
from tests.relocation.cells import NEW, OLD, TwoCells
from tests.relocation.traffic import BOUND_S, Traffic

TENANTS = "/operator/api/v1/tenants"


def test_under_live_reads_and_writes(two: TwoCells, full: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_ROWS", 20)
    heard = two.client(full)
    deaf = two.deaf_process().client(host_of(full.tenant)).as_(heard.token)
    with Traffic([heard, deaf]) as traffic:
        wait_until(lambda: len(traffic.written) > 10 or traffic.wrong, BOUND_S)
        two.begin(full.tenant)
        two.go_to(full.tenant, "pause")
        wait_until(lambda: traffic.refused > 1 or traffic.wrong, BOUND_S)
        two.go_on(full.tenant)
        before = len(traffic.written), traffic.reads
        wait_until(lambda: (len(traffic.written) > before[0] + 10 and traffic.reads > before[1]) or traffic.wrong, BOUND_S)
    assert traffic.wrong == []
    assert two.operation(full.tenant).state == OperationState.DONE
    there = {row["path"] for row in two.inside(NEW, full.tenant, "SELECT path FROM {t}.files")}
    assert there == {"a.txt", *traffic.written}
    counted = two.inside(NEW, full.tenant, "SELECT used_files FROM {t}.counters")
    assert counted == [{"used_files": len(there)}]
    newest = two.inside(OLD, full.tenant, "SELECT count(*) AS n FROM {t}.files")[0]["n"]
    assert newest < len(there)  # nothing was written there any more


# Cut off


class Killed(BaseException):
    """The process ends here: nothing catches it, nothing is cleaned up."""


SHORT: list[tuple[Any, str, bool]] = [
    (rows, "_bring", True), (relocation, "pause", True), (rows, "_sum", True), (relocation, "come", True), (relocation, "leave", False),
]  # fmt: skip
"""What is cut off, and whether after it was done or before: the most dangerous places, which every run tries."""
LONG: list[tuple[Any, str, bool]] = [
    (relocation, "prepare", True), (rows, "_remove", False), (repository, "begin_step", True), (relocation, "check", True),
    (relocation, "pause", False), (relocation, "_wait_for_writers", True), (relocation, "leave", True), (relocation, "move_jobs", False),
    (queue, "take_over", True), (queue, "forget", False), (queue, "unpause", True),
]  # fmt: skip
CUTS = [*(pytest.param(*cut) for cut in SHORT), *(pytest.param(*cut, marks=pytest.mark.slow) for cut in LONG)]


@pytest.mark.parametrize(("where", "name", "after"), CUTS)
def test_cut_off_and_taken_up_again(
    two: TwoCells, full: Account, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, after: bool
) -> None:  # fmt: skip
    two.upload(two.client(full), "b.txt")
    before = two.contents(OLD, full.tenant)
    real = getattr(where, name)

    def cut(*args: Any, **values: Any) -> Any:
        if after:
            real(*args, **values)
        raise Killed

    if name == "prepare":  # then nothing has begun
        monkeypatch.setattr(where, name, cut)
        with pytest.raises(Killed):
            two.begin(full.tenant)
        monkeypatch.undo()
        two.begin(full.tenant)
    else:
        two.begin(full.tenant)
        monkeypatch.setattr(where, name, cut)
        with pytest.raises(Killed):
            service.advance(two.runtime, full.tenant.id)
        monkeypatch.undo()
    done = two.go_on(full.tenant)
    assert (done.state, two.where(full.tenant)) == (OperationState.DONE, NEW)
    assert {name: found for name, found in two.contents(NEW, full.tenant).items() if found != before[name]} == {}
    assert put_object(two.client(full), "media", "c.txt").status_code == 201
    assert not two.at(
        OLD, "SELECT 1 FROM strongroom.jobs WHERE tenant_id = %(id)s AND realm = 'tenant' AND state <> 'done'", id=full.tenant.id
    )
    assert not two.at(NEW, "SELECT 1 FROM strongroom.arrivals WHERE tenant_id = %(id)s", id=full.tenant.id)


def test_when_comparing_fails_it_can_be_written_again(two: TwoCells, full: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    two.begin(full.tenant)
    two.go_to(full.tenant, "pause")

    def fail(*_: Any) -> None:
        raise Conflict("Not now.")

    monkeypatch.setattr(relocation, "make_equal", fail)
    with pytest.raises(Conflict):
        two.go_on(full.tenant)
    monkeypatch.undo()
    operation = two.operation(full.tenant)
    assert (operation.error, operation.is_past("place"), operation.is_past("copy")) == ("Not now.", True, False)
    two.upload(two.client(full), "between.txt")
    assert two.go_on(full.tenant).state == OperationState.DONE
    assert two.inside(NEW, full.tenant, "SELECT 1 AS found FROM {t}.files WHERE path = 'between.txt'")


def test_what_was_compared_in_a_former_pause_counts_for_nothing(
    two: TwoCells, full: Account, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A worker that fell silent while it compared, and comes back when another has let the tenant write again."""
    two.begin(full.tenant)
    two.go_to(full.tenant, "pause")
    real = relocation.come

    def come(*args: Any) -> Any:
        found = real(*args)
        monkeypatch.undo()
        monkeypatch.setattr(relocation, "come", lambda *_: (_ for _ in ()).throw(Conflict("Another worker.")))
        with pytest.raises(Conflict):
            service._turn(two.runtime, full.tenant.id)
        monkeypatch.undo()
        two.upload(two.client(full), "in-between.txt")
        return found

    monkeypatch.setattr(relocation, "come", come)
    assert service._turn(two.runtime, full.tenant.id)
    assert not two.operation(full.tenant).is_past("copy")
    assert two.go_on(full.tenant).state == OperationState.DONE
    assert two.inside(NEW, full.tenant, "SELECT 1 AS found FROM {t}.files WHERE path = 'in-between.txt'")


# Aborted

STEPS = [*(pytest.param(each, marks=pytest.mark.slow) for each in ("place", "copy", "notice", "pause")), pytest.param("compare")]


@pytest.mark.parametrize(
    "step", [*(pytest.param(each, marks=pytest.mark.slow) for each in ("place", "copy", "notice", "pause")), "compare"]
)
def test_aborted_it_stays(two: TwoCells, full: Account, step: str) -> None:
    two.begin(full.tenant)
    two.go_to(full.tenant, step)
    operator = two.client(two.create_operator())
    assert ok(operator.delete(f"{TENANTS}/{full.tenant.slug}/move-cell"))["cell"] == OLD
    two.work()
    assert (two.operation(full.tenant).kind, two.operation(full.tenant).state) == ("stay", OperationState.DONE)
    two.upload(two.client(full), "b.txt")
    two.work()
    assert not two.has_schema(NEW, full.tenant)
    assert [file["status"] for file in ok(two.client(full).get("/api/v1/buckets/media/files"))["items"]] == ["available"] * 2
    problem(operator.delete(f"{TENANTS}/{full.tenant.slug}/move-cell"), 409, "conflict")
    assert two.move(full.tenant).state == OperationState.DONE


def test_after_the_switch_it_cannot_be_aborted(two: TwoCells, full: Account) -> None:
    two.begin(full.tenant)
    two.go_to(full.tenant, "switch")
    operator = two.client(two.create_operator())
    problem(operator.delete(f"{TENANTS}/{full.tenant.slug}/move-cell"), 409, "conflict")
    stale = two.deaf_process()
    with pytest.raises(TenantMoving), stale.runtime.tenant(full.tenant) as connection:  # not left yet, but refused there already
        emit(connection, "test.late", None, {})
    assert two.go_on(full.tenant).state == OperationState.DONE
    with stale.runtime.tenant(full.tenant) as connection:
        emit(connection, "test.there", None, {})
    assert two.inside(NEW, full.tenant, "SELECT 1 AS found FROM {t}.events WHERE kind = 'test.there'")


# Wrong


def test_what_cannot_be_moved(two: TwoCells, full: Account) -> None:
    operator = two.client(two.create_operator())
    url = f"{TENANTS}/{full.tenant.slug}/move-cell"
    problem(operator.post(url, json={"cell": "nowhere"}), 404, "not_found")
    problem(operator.post(url, json={"cell": OLD}), 409, "conflict")
    problem(operator.post(url, json={}), 422, "validation_failed")
    problem(operator.post(f"{TENANTS}/nobody/move-cell", json={"cell": NEW}), 404, "not_found")
    ok(operator.patch(f"/operator/api/v1/cells/{NEW}", json={"max_tenants": 0}))
    try:
        assert "full" in problem(operator.post(url, json={"cell": NEW}), 409, "conflict")["detail"]
    finally:
        ok(operator.patch(f"/operator/api/v1/cells/{NEW}", json={"max_tenants": 10000}))
    two.at(NEW, "UPDATE strongroom.tenant_script SET revision = '0000'")
    try:
        assert "migrate" in problem(operator.post(url, json={"cell": NEW}), 409, "conflict")["detail"]
    finally:
        two.at(NEW, "UPDATE strongroom.tenant_script SET revision = %(head)s", head=head("tenant"))
    two.begin(full.tenant)
    assert "under way: move" in problem(operator.post(url, json={"cell": NEW}), 409, "conflict")["detail"]
    problem(operator.post(f"{TENANTS}/{full.tenant.slug}/suspend"), 409, "conflict")
    two.go_on(full.tenant)
    ok(operator.delete(f"{TENANTS}/{full.tenant.slug}"), 202)
    problem(operator.post(url, json={"cell": OLD}), 409, "conflict")


def test_a_cell_that_does_not_answer(two: TwoCells, full: Account) -> None:
    gone = two.settings.cells[NEW].replace("cells_", "gone_cells_", 1)
    other = two.again(cells={**two.settings.cells, "gone": gone})
    two.sql("INSERT INTO strongroom.cells (name) VALUES ('gone')")
    try:
        operator = other.client(two.create_operator())
        problem(operator.post(f"{TENANTS}/{full.tenant.slug}/move-cell", json={"cell": "gone"}), 503, "database_unavailable")
    finally:
        two.sql("DELETE FROM strongroom.cells WHERE name = 'gone'")
    assert two.inside(OLD, full.tenant, "SELECT 1 AS found FROM strongroom.operations WHERE slug = %(s)s", s=full.tenant.slug) == []


# Rows


def test_rows_are_made_equal_whatever_was_there(two: TwoCells, full: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed, gone, new, and two that have exchanged what must be unique."""
    monkeypatch.setattr(ranges, "RANGE_ROWS", 3)
    for number in range(10):
        two.upload(two.client(full), f"{number}.txt")
    two.begin(full.tenant)
    two.go_to(full.tenant, "copy")
    two.inside(OLD, full.tenant, """
        UPDATE {t}.files SET path = 'swap' WHERE path = '1.txt'; UPDATE {t}.files SET path = '1.txt' WHERE path = '8.txt';
        UPDATE {t}.files SET path = '8.txt' WHERE path = 'swap'; UPDATE {t}.files SET metadata = '{"new": "\\u20ac"}' WHERE path = '2.txt';
        DELETE FROM {t}.files WHERE path = '3.txt'""")  # fmt: skip
    two.upload(two.client(full), "new.txt")
    before = two.contents(OLD, full.tenant)
    two.go_on(full.tenant)
    assert two.contents(NEW, full.tenant) == before


def test_rows_that_differ_afterwards_are_found(two: TwoCells, full: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    two.begin(full.tenant)
    real = rows._copy

    def copy(source: Any, target: Any, table: Any, wanted: Any) -> int:
        count = real(source, target, table, wanted)
        if table.name == "users":
            target.execute("UPDATE users SET name = 'tampered'")
        return count

    monkeypatch.setattr(rows, "_copy", copy)
    with pytest.raises(Conflict):
        two.go_on(full.tenant)
    assert "users" in two.operation(full.tenant).error
    assert two.where(full.tenant) == OLD


def test_two_workers_do_not_copy_at_once(two: TwoCells, full: Account) -> None:
    databases: Databases = two.runtime.databases
    two.begin(full.tenant)
    with databases.tenant(full.tenant.ref) as held:
        rows.hold(held, full.tenant.ref)
        with pytest.raises(Conflict):
            two.go_on(full.tenant)
    assert two.go_on(full.tenant).state == OperationState.DONE
