"""One writer at a time, and no dead one for long."""

from __future__ import annotations

import threading

import pytest
from strongroom.storage.base import Regions
from strongroom.uploads import leases
from strongroom.uploads.leases import keeper_of

from tenants.models import Tenant
from tests.acceptance.content import noise
from tests.acceptance.waiting import wait_until
from tests.factories import Client, World, object_url, problem
from tests.slow import all_at_once
from tests.tus.talk import MIB, Talk

DATA = noise(3 * MIB)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client counts as silent at once."""
    monkeypatch.setattr(leases, "SILENCE_S", 0.0)
    monkeypatch.setattr(leases, "TICK_S", 0.05)


def test_a_second_request_is_told_to_wait(talk: Talk) -> None:
    url = talk.begin(len(DATA))
    wire = talk.open(url, 0, len(DATA)).send(DATA[:MIB])
    answer = talk.patch(url, 0, DATA)
    problem(answer, 423, "upload_locked")
    assert int(answer.headers["Retry-After"]) > 0
    wire.send(DATA[MIB:])
    assert wire.answer().status_code == 204
    assert talk.client.get(object_url("media", "a.txt")).data == DATA


@pytest.mark.usefixtures("impatient")
def test_looking_ends_the_request_of_a_dead_client(world: World, talk: Talk) -> None:
    """The connection was never closed: the client's machine is gone. Asked at another process."""
    url = talk.begin(len(DATA))
    wire = talk.open(url, 0, len(DATA)).send(DATA[:MIB])
    other = Talk(Client(world.again().app, talk.client.host, talk.client.token))
    assert other.offset(url) == MIB
    problem(wire.answer(), 423, "upload_locked")
    other.send(url, MIB, DATA[MIB:])
    assert talk.client.get(object_url("media", "a.txt")).data == DATA


def test_looking_leaves_a_living_client_alone(talk: Talk, world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SILENCE_S", 60.0)
    url = talk.begin(len(DATA))
    wire = talk.open(url, 0, len(DATA)).send(DATA[:MIB])
    assert talk.offset(url) <= MIB
    assert world.rows(tenant, "uploads")[0]["lock_wanted"]
    wire.send(DATA[MIB:])
    assert wire.answer().status_code == 204


def test_leases_are_renewed_and_run_out(world: World, tenant: Tenant, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "TICK_S", 0.05)
    url = talk.begin(len(DATA))
    wire = talk.open(url, 0, len(DATA)).send(DATA[:MIB])
    (row,) = world.rows(tenant, "uploads")
    wait_until(lambda: world.rows(tenant, "uploads")[0]["locked_until"] > row["locked_until"], 10, "the lease to be renewed")
    wire.end()
    (row,) = world.rows(tenant, "uploads")
    assert (row["lock_id"], row["locked_until"]) == (None, None)
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET lock_id = gen_random_uuid(), locked_until = now() + interval '1 hour'")
    problem(talk.patch(url, MIB, DATA[MIB:]), 423, "upload_locked")
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET locked_until = now()")
    talk.send(url, MIB, DATA[MIB:])


def test_the_thread_that_keeps_leases_ends_with_them(world: World, talk: Talk) -> None:
    url = talk.begin(len(DATA))
    wire = talk.open(url, 0, len(DATA)).send(DATA[:MIB])
    assert "upload-leases" in {each.name for each in threading.enumerate()}
    wire.end()
    assert keeper_of(world.runtime).wait_until_idle(10)


def test_a_lost_lease_ends_the_request(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "TICK_S", 0.05)
    url = talk.begin(len(DATA))
    wire = talk.open(url, 0, len(DATA)).send(DATA[:MIB])
    assert talk.terminate(url).status_code == 204
    problem(wire.answer(), 410, "upload_gone")


def test_a_process_that_ends_lets_go(world: World, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "TICK_S", 0.05)
    ending = world.again()
    elsewhere = Talk(Client(ending.app, talk.client.host, talk.client.token))
    url = talk.begin(len(DATA))
    wire = elsewhere.open(url, 0, len(DATA)).send(DATA[:MIB])
    keeper_of(ending.runtime).stop()
    problem(wire.answer(), 503, "storage_unavailable")
    assert talk.offset(url) == MIB
    late = elsewhere.open(url, MIB, len(DATA) - MIB)
    problem(late.answer(), 503, "storage_unavailable")
    talk.send(url, talk.offset(url), DATA[talk.offset(url) :])


def test_a_process_that_was_stopped_and_wakes_up_cannot_write(world: World, tenant: Tenant, talk: Talk) -> None:
    """Its lease has run out, but it still holds the file open: nobody else writes until it has ended, and it writes nothing down."""
    if not world.runtime.storage(tenant).can(Regions):
        return
    url = talk.begin(len(DATA))
    wire = talk.open(url, 0, len(DATA)).send(DATA[:MIB])
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET lock_id = NULL, locked_until = NULL")
    problem(talk.patch(url, 0, DATA), 423, "upload_locked")
    assert wire.end().status_code == 423
    assert talk.offset(url) == 0
    talk.send(url, 0, DATA)


def test_many_at_once_write_once(talk: Talk, world: World, tenant: Tenant) -> None:
    url = talk.begin(len(DATA))
    answers = all_at_once([lambda: talk.patch(url, 0, DATA).status_code for _ in range(6)])
    assert answers.count(204) == 1
    assert set(answers) <= {204, 409, 423}
    assert talk.client.get(object_url("media", "a.txt")).data == DATA
    assert world.totals(tenant) == {"used_bytes": len(DATA), "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}


def test_many_who_look_complete_once(talk: Talk, world: World, tenant: Tenant) -> None:
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[:-1])
    answers = all_at_once(
        [lambda: talk.patch(url, len(DATA) - 1, DATA[-1:]).status_code, *[lambda: talk.head(url).status_code for _ in range(4)]]
    )
    assert answers[0] == 204
    assert set(answers[1:]) <= {200, 423}
    assert len(world.rows(tenant, "versions")) == 1
