"""What a pause need not compare anew: only what nobody has touched, in either cell."""

from __future__ import annotations

import psycopg
import pytest
from strongroom.db.engines import TenantRef
from strongroom.life.models import OperationState
from strongroom.relocation import ranges
from strongroom.relocation.rows import Comparison, Memory, make_equal

from tests.factories import Account
from tests.relocation.cells import NEW, OLD, TwoCells

FILES = 8


@pytest.fixture
def copied(two: TwoCells, full: Account, monkeypatch: pytest.MonkeyPatch) -> tuple[Account, Memory]:
    """A tenant whose rows were copied and then seen once more, in ranges of four."""
    monkeypatch.setattr(ranges, "RANGE_ROWS", 4)
    for number in range(FILES):
        two.upload(two.client(full), f"{number:02}.txt")
    two.work()
    two.begin(full.tenant)
    two.at(NEW, "SELECT strongroom.open_arrival(%(id)s)", id=full.tenant.id)
    memory = Memory()
    assert again(two, full, memory).changed > FILES
    again(two, full, memory)
    return full, memory


def again(two: TwoCells, account: Account, memory: Memory) -> Comparison:
    return make_equal(two.runtime.databases, account.tenant.ref, TenantRef(account.tenant.id, NEW), memory)


CHANGES = [
    (OLD, "UPDATE {t}.files SET metadata = '{\"new\": 1}' WHERE path = %(path)s", "00.txt", 2),
    (OLD, "UPDATE {t}.files SET path = path WHERE path = %(path)s", "01.txt", 0),
    (OLD, "DELETE FROM {t}.files WHERE path = %(path)s", "02.txt", 2),  # with its version; the new cell has no foreign keys yet
    (NEW, "UPDATE {t}.files SET metadata = '{\"new\": 2}' WHERE path = %(path)s", "03.txt", 2),
    (NEW, "UPDATE {t}.files SET path = path WHERE path = %(path)s", "04.txt", 0),
    (NEW, "DELETE FROM {t}.files WHERE path = %(path)s", "05.txt", 1),
]


def test_only_what_was_touched_is_digested(two: TwoCells, copied: tuple[Account, Memory], monkeypatch: pytest.MonkeyPatch) -> None:
    account, memory = copied
    untouched = again(two, account, memory)
    assert (untouched.hashed, untouched.changed) == (0, 0)
    assert untouched == Comparison(**{**vars(again(two, account, Memory())), "hashed": 0})  # the same as without a memory
    for cell, statement, path, count in CHANGES:
        two.inside(cell, account.tenant, statement, path=path)
        found = again(two, account, memory)
        assert found.hashed <= 2 * ranges.RANGE_ROWS, statement
        assert found.changed == count, statement
        assert two.contents(NEW, account.tenant) == two.contents(OLD, account.tenant)
        again(two, account, memory)
    monkeypatch.setattr(ranges, "NUMBERS", 2)  # of transactions: they may have come again
    whole = again(two, account, memory)
    assert whole.hashed == whole.rows


def test_what_a_savepoint_wrote_while_it_was_seen(two: TwoCells, copied: tuple[Account, Memory]) -> None:
    """Its number is higher than that of its transaction, which alone the snapshot names as running."""
    account, memory = copied
    with psycopg.connect(two.cells[OLD].superuser_url) as writer, writer.transaction():
        writer.execute("SELECT pg_current_xact_id()")
        with writer.transaction():
            writer.execute(f"UPDATE {account.tenant.ref.role}.users SET name = 'late'")  # noqa: S608 - a role's name
        two.at(OLD, "SELECT pg_current_xact_id()")  # a number beyond it is given out, and ended
        again(two, account, memory)
    assert again(two, account, memory).changed == 2
    assert two.inside(NEW, account.tenant, "SELECT name FROM {t}.users") == [{"name": "late"}]


def test_in_the_pause_little_is_digested(two: TwoCells, full: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_ROWS", 4)
    for number in range(FILES):
        two.upload(two.client(full), f"{number:02}.txt")
    two.work()
    done = two.move(full.tenant)
    assert done.state == OperationState.DONE
    assert done.data["compared"]["hashed"] < done.data["compared"]["rows"] / 2
    assert done.writes_paused_s is not None
    assert done.writes_paused_s > 0
