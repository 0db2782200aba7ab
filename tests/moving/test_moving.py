"""A tenant's bytes go to another provider while it goes on working: object by object."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from strongroom.checks import service as checks
from strongroom.db.ids import new_id
from strongroom.errors import NotFound, StorageUnavailable
from strongroom.files import claims
from strongroom.moving import copying, repository
from strongroom.moving import service as moving
from strongroom.moving.models import MoveState
from strongroom.storage.keys import object_key

from tenants import providers as registered
from tenants.models import ProviderInfo, Tenant
from tests.factories import Client, World, object_url, ok, put_object
from tests.moving.conftest import Add, assert_readable, move, named, objects, present
from tests.services.shared import s3_server
from tests.slow import slow_upload

pytestmark = pytest.mark.usefixtures("bucket")
BIG = b"x" + os.urandom(9_000_000 - 1)


def fill(world: World, client: Client) -> dict[str, bytes]:
    """Files of many kinds: small, empty, large, with a former version, and one in the trash."""
    contents = {f"{each}.txt": b"text %d" % each for each in range(12)} | {"empty": b"", "big.bin": BIG}
    for path, data in contents.items():
        world.upload(client, path, data)
    world.upload(client, "0.txt", b"newer")
    contents["0.txt"] = b"newer"
    ok(client.delete(f"/api/v1/files/{world.upload(client, 'gone.txt', b'in the trash')['id']}"), 204)
    world.run_jobs()
    return contents


def test_everything_goes_and_nothing_stays(world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo) -> None:
    contents = fill(world, client)
    versions = named(world, tenant, local)
    etags = {row["id"]: row["etag"] for row in world.rows(tenant, "versions")}
    plan = moving.plan(world.runtime, tenant, other)
    assert (plan.objects, plan.uploads) == (len(versions), 0) == (16, 0)
    assert plan.size_bytes == sum(row["size_bytes"] for row in world.rows(tenant, "versions"))
    assert named(world, tenant, other) == set(), "a plan changes nothing"
    report = move(world, tenant, other)
    assert report.move is not None
    assert (report.move.state, report.move.moved_objects, report.move.problem) == (MoveState.DONE, 16, "")
    assert (report.left.objects, report.failures) == (0, ())
    assert named(world, tenant, other) == objects(world, tenant, other) == versions
    assert objects(world, tenant, local) == set()
    assert {row["id"]: row["etag"] for row in world.rows(tenant, "versions")} == etags
    assert world.runtime.provider_ids(tenant) == [other.id]
    assert world.rows(tenant, "byte_claims") == []
    assert_readable(client, contents)
    world.upload(client, "after.txt", b"new")
    assert len(objects(world, tenant, other)) == 17


def test_there_and_back(world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo) -> None:
    """Also while the old bytes of the way there are still waiting to be removed."""
    contents = fill(world, client)
    moving.begin(world.runtime, tenant, other)
    world.run_due_jobs()
    assert len(named(world, tenant, other)) == 16
    assert len(objects(world, tenant, local)) == 16, "the old bytes stay for a while"
    assert move(world, tenant, local).failures == ()
    assert named(world, tenant, local) == objects(world, tenant, local)
    assert objects(world, tenant, other) == set()
    assert_readable(client, contents)


@pytest.mark.slow
@pytest.mark.parametrize("server", ["ceph", "rclone"])
def test_to_s3_and_back(world: World, tenant: Tenant, client: Client, add: Add, local: ProviderInfo, server: str) -> None:
    there = s3_server(server)
    s3 = add("s3", there.config(), there.secrets())
    contents = fill(world, client)
    assert move(world, tenant, s3).failures == ()
    assert named(world, tenant, s3) == objects(world, tenant, s3)
    assert len(named(world, tenant, s3)) == 16
    assert objects(world, tenant, local) == set()
    assert_readable(client, contents)
    assert move(world, tenant, local).failures == ()
    assert objects(world, tenant, s3) == set()
    assert_readable(client, contents)


def busy(client: Client, contents: dict[str, bytes], worker: int, until: threading.Event) -> list[str]:
    """Upload, download and delete until it is time to stop; return what went wrong."""
    problems, count = [], 0
    while not until.is_set() or count < 5:
        path, data = f"w{worker}/{count}.txt", os.urandom(500).hex().encode()  # text, as it says
        status = put_object(client, "media", path, data).status_code
        found = client.get(object_url("media", "1.txt")).data == contents["1.txt"]
        deleted = client.delete(object_url("media", path)).status_code if count % 2 else 204
        if (status, found, deleted) != (201, True, 204):
            problems.append(f"{path}: {status} {found} {deleted}")
        if count % 2 == 0:
            contents[path] = data
        count += 1
    return problems


def test_uploads_downloads_and_deletions_go_on(
    world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo
) -> None:
    contents, moved = fill(world, client), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(busy, client, contents, each, moved) for each in range(2)]
        try:
            moving.begin(world.runtime, tenant, other)
            for _ in range(3):  # not by the queue, which the uploads keep filling
                moving.run(world.runtime, present(world, tenant), {})
        finally:
            moved.set()
        assert [each.result(60) for each in workers] == [[], []]
    for _ in range(6):
        world.run_jobs()
    report = moving.report(world.runtime, tenant)
    assert report.move is not None
    assert (report.move.state, report.left.objects, report.failures) == (MoveState.DONE, 0, ())
    assert objects(world, tenant, local) == set()
    assert named(world, tenant, other) == objects(world, tenant, other)
    for path, data in contents.items():
        assert client.get(object_url("media", path)).data == data, path


def test_an_upload_under_way_ends_where_it_began(
    world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo
) -> None:
    with slow_upload(client, "slow.txt", b"x" * 100_000) as finish:
        moving.begin(world.runtime, tenant, other)
        world.run_due_jobs()
        report = moving.report(world.runtime, tenant)
        assert report.move is not None
        assert (report.move.state, report.left.uploads) == (MoveState.RUNNING, 1)
        ok(finish(), 201)
    (version,) = world.rows(tenant, "versions")
    assert version["provider_id"] == local.id
    for _ in range(5):
        world.run_jobs()
    assert named(world, tenant, other) == objects(world, tenant, other) == {str(version["id"])}
    assert objects(world, tenant, local) == set()
    assert client.get(object_url("media", "slow.txt")).data == b"x" * 100_000


def test_a_download_that_runs_ends_well(world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo) -> None:
    world.upload(client, "big.bin", BIG)
    (version,) = world.rows(tenant, "versions")
    reader = world.runtime.storage(tenant, local.id).open(version["bucket_id"], version["id"])
    first = reader.read(1_000_000)
    moving.begin(world.runtime, tenant, other)
    world.run_due_jobs()
    assert named(world, tenant, other)
    assert objects(world, tenant, local), "not removed before its time"
    rest = b"".join(iter(lambda: reader.read(1_000_000), b""))
    reader.close()
    assert first + rest == BIG


class Killed(BaseException):
    """As if the process had been killed there."""


@pytest.mark.parametrize("after", [0, 1, 5])
def test_killed_in_the_middle(
    world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    contents = fill(world, client)
    real, count = copying.copy, iter(range(10**6))

    def dies(*args: object) -> object:
        if next(count) >= after:
            raise Killed
        return real(*args)  # type: ignore[arg-type]  # passed on as they came

    moving.begin(world.runtime, tenant, other)
    with monkeypatch.context() as patched:
        patched.setattr(moving, "copy", dies)
        with pytest.raises(Killed):
            world.run_due_jobs()
    assert named(world, tenant, local) <= objects(world, tenant, local)
    assert named(world, tenant, other) <= objects(world, tenant, other)
    assert_readable(client, contents)
    world.sql("UPDATE strongroom.jobs SET state = 'queued', lease_until = NULL WHERE state = 'running'")
    for _ in range(5):
        world.run_jobs()
    assert moving.report(world.runtime, tenant).left.objects == 0
    assert named(world, tenant, other) == objects(world, tenant, other)
    assert len(named(world, tenant, other)) == 16
    assert objects(world, tenant, local) == set()
    assert_readable(client, contents)


@pytest.mark.parametrize("damage", ["changed", "shorter", "longer", "missing"])
def test_a_corrupt_source_is_told_and_left(
    world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo, damage: str
) -> None:
    contents = fill(world, client)
    (bad,) = world.rows(tenant, "versions", "size_bytes = 9000000")
    path = world.files_dir / object_key(tenant.prefix, bad["bucket_id"], bad["id"])
    data = {"changed": b"y" + BIG[1:], "shorter": BIG[:-1], "longer": BIG + b"y", "missing": None}[damage]
    path.unlink() if data is None else path.write_bytes(data)
    report = move(world, tenant, other)
    assert report.move is not None
    assert [each.version_id for each in report.failures] == [bad["id"]]
    assert (report.failures[0].path, report.move.state, report.move.moved_objects, report.left.objects) == (
        "big.bin",
        MoveState.DONE,
        15,
        1,
    )
    assert named(world, tenant, local) == {str(bad["id"])}
    assert str(bad["id"]) not in objects(world, tenant, other)
    if data is not None:
        assert path.read_bytes() == data, "left where it is"
    assert set(world.runtime.provider_ids(tenant)) == {local.id, other.id}
    contents.pop("big.bin")
    assert_readable(client, contents)
    path.write_bytes(BIG)
    assert move(world, tenant, other).failures == (), "what was mended goes with the next run"
    assert world.runtime.provider_ids(tenant) == [other.id]


def test_a_long_reason_is_cut_and_not_refused(world: World, tenant: Tenant, client: Client) -> None:
    file = world.upload(client)
    for reason in ("x" * 1000, "\N{SNOWMAN}" * 1000):  # noted for the first time, and again
        with world.runtime.tenant(tenant) as connection:
            repository.note_failure(connection, UUID(file["version_id"]), reason)
            assert [each.reason for each in repository.list_failures(connection)] == [reason[:300]]


def test_half_a_copy_that_a_killed_worker_left_holds_nothing_up(world: World, tenant: Tenant, client: Client, other: ProviderInfo) -> None:
    file = world.upload(client)
    world.run_jobs()
    (version,) = world.rows(tenant, "versions")
    left = Path(other.config["root"]) / f"{object_key(tenant.prefix, version['bucket_id'], version['id'])}.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert move(world, tenant, other).failures == ()
    assert set(objects(world, tenant, other)) == {file["version_id"]}


def test_a_target_that_does_not_work_changes_nothing(
    world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo
) -> None:
    world.upload(client)
    Path(other.config["root"]).rmdir()
    with pytest.raises(StorageUnavailable):
        moving.begin(world.runtime, tenant, other)
    assert present(world, tenant).provider_id == local.id
    assert world.runtime.provider_ids(tenant) == [local.id]
    assert world.rows(tenant, "moves") == []


@pytest.mark.parametrize("fault", [StorageUnavailable("It is down."), moving.TargetFailed("There is no room left.")])
def test_a_target_that_fails_in_the_middle(
    world: World, tenant: Tenant, client: Client, other: ProviderInfo, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """The move waits, tells why, and goes on when the target is well again."""
    contents = fill(world, client)
    moving.begin(world.runtime, tenant, other)

    def fails(*_: object) -> object:
        raise moving.TargetFailed(str(fault))

    with monkeypatch.context() as patched:
        patched.setattr(moving, "copy", fails)
        world.run_due_jobs()
    report = moving.report(world.runtime, tenant)
    assert report.move is not None
    assert report.move.state == MoveState.RUNNING
    assert str(fault) in report.move.problem
    assert (report.left.objects, report.failures) == (16, ())
    assert world.rows(tenant, "byte_claims") == [], "others may work there meanwhile"
    assert_readable(client, contents)
    for _ in range(4):
        world.run_jobs()
    report = moving.report(world.runtime, tenant)
    assert report.move is not None
    assert (report.move.state, report.move.problem, report.left.objects) == (MoveState.DONE, "", 0)


def test_a_source_that_fails_is_let_go_of(
    world: World, tenant: Tenant, client: Client, other: ProviderInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload(client)
    world.run_jobs()
    moving.begin(world.runtime, tenant, other)

    def fails(*_: object) -> object:
        raise moving.SourceFailed("It is down.")

    with monkeypatch.context() as patched:
        patched.setattr(moving, "copy", fails)
        world.run_due_jobs()
    report = moving.report(world.runtime, tenant)
    assert report.move is not None
    assert (report.move.problem, report.left.objects) == ("The old provider: It is down.", 1)
    assert world.rows(tenant, "byte_claims") == []


def test_a_full_target(world: World, tenant: Tenant, client: Client, other: ProviderInfo) -> None:
    """A folder whose file system takes no more: the copy leaves nothing behind."""
    resource = pytest.importorskip("resource")
    world.upload(client, "big.bin", BIG)
    world.run_jobs()
    moving.begin(world.runtime, tenant, other)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, hard))
    try:
        world.run_due_jobs()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    report = moving.report(world.runtime, tenant)
    assert (report.left.objects, report.failures) == (1, ())
    for _ in range(4):
        world.run_jobs()
    assert moving.report(world.runtime, tenant).left.objects == 0
    assert client.get(object_url("media", "big.bin")).data == BIG


def test_reconciling_leaves_a_copy_alone_that_is_being_made(
    world: World, tenant: Tenant, client: Client, other: ProviderInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one that has taken longer than the grace time, right before its row flips."""
    world.upload(client, "a.txt", b"a")
    real = copying.copy

    def reconciles(*args: object) -> object:
        made = real(*args)  # type: ignore[arg-type]  # passed on as they came
        (row,) = world.rows(tenant, "versions")
        path = Path(other.config["root"]) / object_key(tenant.prefix, row["bucket_id"], row["id"])
        os.utime(path, (0, 0))
        checks.reconcile(world.runtime, tenant)
        assert path.exists()
        return made

    monkeypatch.setattr(moving, "copy", reconciles)
    assert move(world, tenant, other).left.objects == 0
    assert client.get(object_url("media", "a.txt")).data == b"a"


def test_what_is_being_removed_is_not_copied_onto(
    world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo
) -> None:
    world.upload(client, "a.txt", b"a")
    (row,) = world.rows(tenant, "versions")
    with world.runtime.tenant(tenant) as connection:
        assert claims.take_for_removal(connection, [row["id"]], local.id) == (set(), set()), "it lives there"
        assert claims.take_for_removal(connection, [row["id"]], other.id) == ({row["id"]}, {row["id"]})
        assert not claims.take_for_copy(connection, row["id"], other.id)
        claims.release(connection, [row["id"]], other.id, claims.REMOVAL)
        assert claims.take_for_copy(connection, row["id"], other.id)
        assert claims.take_for_removal(connection, [row["id"]], other.id) == (set(), set())
        unknown = new_id()
        assert claims.take_for_removal(connection, [unknown], other.id) == ({unknown}, set())


def test_a_file_that_is_deleted_while_it_is_copied(
    world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create_bucket(tenant, "brief", trash_days=0)
    file = world.upload(client, "a.txt", b"a", bucket="brief")
    real = copying.copy

    def deletes(*args: object) -> object:
        made = real(*args)  # type: ignore[arg-type]  # passed on as they came
        if args[2].id in {row["id"] for row in world.rows(tenant, "versions")}:  # type: ignore[attr-defined]  # an object, in a list of anything
            ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
        return made

    monkeypatch.setattr(moving, "copy", deletes)
    move(world, tenant, other)
    assert world.rows(tenant, "versions") == []
    assert objects(world, tenant, local) == objects(world, tenant, other) == set()


def test_new_files_sent_elsewhere_end_a_move(
    world: World, tenant: Tenant, client: Client, local: ProviderInfo, other: ProviderInfo
) -> None:
    world.upload(client)
    moving.begin(world.runtime, tenant, other)
    registered.assign(world.runtime.databases, tenant.id, local.id)
    world.run_due_jobs()
    (row,) = world.rows(tenant, "moves")
    assert row["state"] == "done"
    assert row["problem"]
    assert len(named(world, tenant, local)) == 1


def test_a_provider_of_another_tenant_is_none(world: World, tenant: Tenant, add: Add, tmp_path: Path) -> None:
    theirs = add("filesystem", {"root": str(tmp_path)})
    owner = world.create_tenant()
    world.sql("UPDATE strongroom.providers SET tenant_id = %(owner)s WHERE id = %(id)s", owner=owner.id, id=theirs.id)
    with pytest.raises(NotFound):
        registered.assign(world.runtime.databases, tenant.id, theirs.id)
