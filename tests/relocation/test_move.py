"""A tenant goes over to another cell: everything is there, works, and is nowhere else."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from strongroom.access import Scope
from strongroom.errors import TenantMoving, UnknownHost
from strongroom.events import feed
from strongroom.events.service import emit
from strongroom.life.models import OperationState
from strongroom.relocation import copies

from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import Account, host_of, object_url, ok, problem, put_object
from tests.relocation.cells import NEW, OLD, TwoCells
from tests.slow import slow_upload
from tests.tus.talk import Talk
from workers import housekeeping


def test_everything_is_in_the_new_cell(two: TwoCells, full: Account) -> None:
    before = two.contents(OLD, full.tenant)
    done = two.move(full.tenant)
    assert (done.state, done.error) == (OperationState.DONE, "")
    assert two.where(full.tenant) == NEW
    assert two.contents(NEW, full.tenant) == before
    assert done.data["compared"]["rows"] == sum(len(rows) for name, rows in before.items() if name != "alembic_version")
    client = two.client(full)
    assert client.get(object_url("media", "a.txt")).data == b"some text"
    two.upload(client, "b.txt")
    two.work()
    assert [file["path"] for file in ok(client.get("/api/v1/buckets/media/files"))["items"]] == ["a.txt", "b.txt"]


def test_there_and_back(two: TwoCells, full: Account) -> None:
    client = two.client(full)
    two.move(full.tenant)
    two.upload(client, "b.txt")
    two.work()
    before = two.contents(NEW, full.tenant)
    assert two.move(full.tenant, OLD).state == OperationState.DONE  # the copy that was left there goes first
    assert two.contents(OLD, full.tenant) == before
    two.upload(client, "c.txt")
    assert client.get(object_url("media", "b.txt")).data == b"some text"


def _rights(two: TwoCells, cell: str, tenant: Tenant) -> list[Any]:
    """All that a tenant's role and schema are, but for what is in the tables."""
    queries = (
        "SELECT nspacl::text FROM pg_namespace WHERE nspname = %(n)s",
        """SELECT c.relname, c.relkind, c.relacl::text, pg_get_userbyid(c.relowner) AS owner FROM pg_class c
           WHERE c.relnamespace = %(n)s::regnamespace ORDER BY 1""",
        """SELECT conname, pg_get_constraintdef(oid) AS definition, convalidated FROM pg_constraint
           WHERE connamespace = %(n)s::regnamespace AND contype <> 'n' ORDER BY conrelid::regclass::text, 1""",
        """SELECT rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconfig
           FROM pg_roles WHERE rolname = %(n)s""",
        "SELECT pg_get_userbyid(member) AS member FROM pg_auth_members WHERE roleid = %(n)s::regrole AND member <> 10 ORDER BY 1",
        "SELECT pg_get_userbyid(roleid) AS member_of FROM pg_auth_members WHERE member = %(n)s::regrole",
    )
    return [two.at(cell, query, n=tenant.ref.role) for query in queries]


def test_its_role_has_just_the_same_rights(two: TwoCells, full: Account) -> None:
    """Compared with a tenant that was made in that cell."""
    two.at(OLD, "UPDATE strongroom.cells SET closed = (name = 'default')")
    try:
        native = two.create_tenant()
    finally:
        two.at(OLD, "UPDATE strongroom.cells SET closed = (name = 'other')")
    assert native.cell == NEW
    two.move(full.tenant)

    def named(tenant: Tenant) -> str:
        return repr(_rights(two, NEW, tenant)).replace(tenant.ref.role, "t")

    assert named(full.tenant) == named(native)
    moved = two.present(full.tenant)
    others = f"TABLE {native.ref.role}.users"
    for query in (others, "TABLE strongroom.arrivals", "SELECT strongroom.depart(gen_random_uuid())"):
        with pytest.raises(ProgrammingError), two.runtime.databases.tenant(moved.ref) as connection:
            connection.execute(text(query))


def test_nobody_gets_into_the_old_copy(two: TwoCells, full: Account) -> None:
    two.move(full.tenant)
    with pytest.raises(UnknownHost), two.runtime.databases.tenant(full.tenant.ref):
        pass
    url = two.cells[OLD].app_url
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"SET ROLE {full.tenant.ref.role}")
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"DELETE FROM {full.tenant.ref.role}.files")  # noqa: S608 - a role's name


def test_neighbours_are_not_touched(two: TwoCells, full: Account) -> None:
    others = [two.create_user(two.create_tenant(), "owner") for _ in range(2)]
    for other in others:
        two.create_bucket(other.tenant)
        two.upload(two.client(other), "theirs.txt")
    two.work()
    two.move(others[1].tenant)
    cells = {others[0].tenant.id: OLD, others[1].tenant.id: NEW}

    def seen() -> list[Any]:
        return [(two.contents(cells[each.tenant.id], each.tenant), _rights(two, cells[each.tenant.id], each.tenant)) for each in others]

    before = seen()
    two.move(full.tenant)
    assert seen() == before
    assert [two.where(each.tenant) for each in others] == [OLD, NEW]


# The change feed


def _xmin(two: TwoCells, cell: str) -> int:
    return int(two.at(cell, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS x")[0]["x"])


def test_the_feed_goes_on_where_a_reader_was(two: TwoCells, full: Account) -> None:
    """In both directions: in one of them the new cell's transactions have lower numbers than the old one's."""
    if _xmin(two, NEW) > _xmin(two, OLD) - 1000:
        with psycopg.connect(two.cells[OLD].superuser_url, autocommit=True) as connection:
            while _xmin(two, NEW) > _xmin(two, OLD) - 1000:
                connection.execute("DO $$ BEGIN FOR i IN 1..2000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
    seen: list[str] = []
    place = feed.START
    for number, cell in enumerate((NEW, OLD, NEW)):
        for letter in "abc":
            _tell(two, full.tenant, f"{number}{letter}")
        place = _read(two, full.tenant, place, seen, limit=5)  # not all: the rest is read after the move, by the same place
        two.move(full.tenant, cell)
    _tell(two, full.tenant, "last")
    _read(two, full.tenant, place, seen, limit=100)
    told = [*(f"test.{number}{letter}" for number in range(3) for letter in "abc"), "test.last"]
    assert [kind for kind in seen if kind.startswith("test.")] == told
    with two.runtime.tenant(two.present(full.tenant)) as connection:
        assert feed.epoch(connection) == 4
        places = [event.place for event in feed.read(connection, feed.START, 100)]
    assert places == sorted(places)


def _tell(two: TwoCells, tenant: Tenant, name: str) -> None:
    with two.runtime.tenant(two.present(tenant)) as connection:
        emit(connection, f"test.{name}", None, {})


def _read(two: TwoCells, tenant: Tenant, place: feed.Place, seen: list[str], limit: int) -> feed.Place:
    with two.runtime.tenant(two.present(tenant)) as connection:
        events = feed.read(connection, place, limit)
    seen += [event.kind for event in events]
    return events[-1].place if events else place


def test_what_is_not_settled_is_not_read_yet(two: TwoCells, full: Account) -> None:
    two.move(full.tenant)
    seen: list[str] = []
    place = _read(two, full.tenant, feed.START, seen, 100)
    with two.runtime.tenant(two.present(full.tenant)) as open_:
        emit(open_, "test.first", None, {})
        _tell(two, full.tenant, "second")  # commits earlier than what began before it
        assert _read(two, full.tenant, place, seen, 100) == place
    _read(two, full.tenant, place, seen, 100)
    assert seen[-2:] == ["test.first", "test.second"]


# While it can only be read


def test_while_it_is_compared_it_can_be_read_but_not_written(two: TwoCells, full: Account) -> None:
    key = two.create_api_key(full, Scope.FILES_READ, Scope.FILES_WRITE)
    heard, deaf = two.client(full), two.deaf_process()
    stale = deaf.client(host_of(full.tenant)).as_(heard.token)
    assert stale.get(object_url("media", "a.txt")).status_code == 200
    two.begin(full.tenant)
    two.go_to(full.tenant, "copy")
    assert put_object(heard, "media", "while-copied.txt").status_code == 201
    two.go_to(full.tenant, "pause")
    for client in (heard, stale, heard.as_(key.text)):
        refused = put_object(client, "media", "late.txt")
        problem(refused, 503, "tenant_moving")
        assert int(refused.headers["Retry-After"]) > 0
        assert client.get(object_url("media", "a.txt")).data == b"some text"
        assert client.get("/api/v1/buckets/media/files").status_code == 200
    login = {"email": full.email, "password": full.password}
    problem(stale.as_(None).post("/api/v1/auth/login", json=login), 503, "tenant_moving")
    with pytest.raises(TenantMoving), deaf.runtime.tenant(full.tenant) as connection:
        emit(connection, "test.late", None, {})
    two.go_on(full.tenant)
    for client in (heard, stale, heard.as_(key.text)):
        assert put_object(client, "media", f"after-{number_of(client.token)}.txt").status_code == 201
        assert {file["path"] for file in ok(client.get("/api/v1/buckets/media/files"))["items"]} > {"a.txt", "while-copied.txt"}
    ok(stale.as_(None).post("/api/v1/auth/login", json=login))
    assert not two.inside(OLD, full.tenant, "SELECT 1 FROM {t}.files WHERE path LIKE 'after%'")


def number_of(token: str | None) -> int:
    return abs(hash(token)) % 10**6


def test_a_download_while_nothing_can_be_written_is_counted_there(two: TwoCells, full: Account) -> None:
    two.begin(full.tenant)
    two.go_to(full.tenant, "pause")
    assert two.client(full).get(object_url("media", "a.txt")).data == b"some text"
    two.go_on(full.tenant)
    counted = "SELECT bytes_out FROM {t}.access_log WHERE operation = 'download'"
    assert wait_until(lambda: two.inside(NEW, full.tenant, counted), 30) == [{"bytes_out": 9}]


# Uploads under way


def test_an_upload_that_began_before_ends_after(two: TwoCells, full: Account) -> None:
    with slow_upload(two.client(full), "slow.txt", b"slow and steady") as finish:
        two.move(full.tenant)
        ok(finish(), 201)
    two.work()
    assert two.client(full).get(object_url("media", "slow.txt")).data == b"slow and steady"


def test_a_resumable_upload_goes_on_in_the_new_cell(two: TwoCells, full: Account) -> None:
    client = two.client(full)
    talk = Talk(client)
    url = talk.begin(10, "big.txt")
    talk.send(url, 0, b"01234")
    two.move(full.tenant)
    talk.send(url, 5, b"56789")
    two.work()
    assert client.get(object_url("media", "big.txt")).data == b"0123456789"


# Jobs


def test_its_jobs_are_done_in_the_new_cell(two: TwoCells, full: Account) -> None:
    file = two.upload(two.client(full), "checked-there.txt")
    parked = "UPDATE strongroom.jobs SET state = 'parked', finished_at = now() WHERE tenant_id = %(id)s AND kind = 'usage.roll_up'"
    two.at(OLD, parked, id=full.tenant.id)
    two.begin(full.tenant)
    two.go_on(full.tenant)
    mine = "SELECT kind, state FROM strongroom.jobs WHERE tenant_id = %(id)s AND realm = 'tenant' AND state <> 'done'"
    assert two.at(OLD, mine, id=full.tenant.id) == []
    assert {"kind": "usage.roll_up", "state": "parked"} in two.at(NEW, mine, id=full.tenant.id)
    two.work()
    assert ok(two.client(full).get(f"/api/v1/files/{file['id']}"))["status"] == "available"


def test_a_suspended_tenant_stays_suspended(two: TwoCells, full: Account) -> None:
    two.upload(two.client(full), "waits.txt")
    operator = two.client(two.create_operator())
    tenants = f"/operator/api/v1/tenants/{full.tenant.slug}"
    ok(operator.post(f"{tenants}/suspend"))
    assert ok(operator.post(f"{tenants}/move-cell", json={"cell": NEW}), 202)["status"] == "suspended"
    two.work()
    assert two.operation(full.tenant).state == OperationState.DONE
    problem(two.client(full).get("/api/v1/tenant"), 403, "tenant_suspended")
    assert two.at(NEW, "SELECT 1 FROM strongroom.jobs WHERE tenant_id = %(id)s AND state = 'queued'", id=full.tenant.id)
    ok(operator.post(f"{tenants}/resume"))
    two.work()
    assert [file["status"] for file in ok(two.client(full).get("/api/v1/buckets/media/files"))["items"]] == ["available"] * 2


# What is left in the old cell


def test_the_old_copy_is_dropped_after_a_while(two: TwoCells, full: Account) -> None:
    two.move(full.tenant)
    copies.sweep(two.runtime)
    assert two.has_schema(OLD, full.tenant)
    two.at(OLD, "UPDATE strongroom.departures SET left_at = now() - interval '1 day' WHERE tenant_id = %(id)s", id=full.tenant.id)
    housekeeping.enqueue_due(two.runtime)
    assert not two.has_schema(OLD, full.tenant)
    assert two.has_schema(NEW, full.tenant)
    assert not two.at(OLD, "SELECT 1 FROM pg_roles WHERE rolname = %(n)s", n=full.tenant.ref.role)
    assert two.client(full).get(object_url("media", "a.txt")).status_code == 200


def test_where_it_lives_is_never_dropped(two: TwoCells, full: Account) -> None:
    two.at(OLD, "INSERT INTO strongroom.departures VALUES (%(id)s, '2020-01-01')", id=full.tenant.id)
    copies.sweep(two.runtime)
    assert two.has_schema(OLD, full.tenant)
    two.at(OLD, "DELETE FROM strongroom.departures WHERE tenant_id = %(id)s", id=full.tenant.id)


def test_a_deleted_tenants_copies_go_with_it(two: TwoCells, full: Account) -> None:
    two.move(full.tenant)
    slug = full.tenant.slug
    query = {"now": True, "confirm": slug}
    ok(two.client(two.create_operator()).delete(f"/operator/api/v1/tenants/{slug}", query_string=query), 202)
    for _ in range(3):
        two.work()
    assert two.operation(full.tenant).state == OperationState.DONE
    assert not two.has_schema(OLD, full.tenant)
    assert not two.has_schema(NEW, full.tenant)
