"""A tenant goes over to another cell: everything is there, works, and is nowhere else."""

from __future__ import annotations

from strongroom.life.models import OperationState

from tests.factories import Account, object_url, ok
from tests.relocation.cells import NEW, OLD, TwoCells


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
