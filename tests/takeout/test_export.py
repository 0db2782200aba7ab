"""A tenant taken out as one archive: everything, nothing of others, and through every cut."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from strongroom.access import Scope
from strongroom.checks import service as checks
from strongroom.db.ids import new_id
from strongroom.takeout import service, writing
from strongroom.takeout.content import CONTENTS, LEFT_OUT

from tenants.models import Tenant
from tests.factories import EICAR, PASSWORD, Account, Client, World, ok, problem
from tests.takeout.conftest import BLOCK, CANARY, export, members, rows

EXPORTS = "/api/v1/tenant/exports"


class Killed(BaseException):
    """The process ends here."""


def test_every_table_is_taken_out_or_left_for_a_reason(world: World, tenant: Tenant) -> None:
    found = world.sql("SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%(n)s) AND relkind = 'r'", n=tenant.ref.role)
    assert {each["relname"] for each in found} == {content.table for content in CONTENTS} | set(LEFT_OUT)


def test_everything_is_in_it(world: World, owner: Account, archive: bytes) -> None:
    found = members(archive)
    head = json.loads(found["strongroom-export.json"])
    assert (head["format"], head["format_version"], head["tenant"]["brand"]["name"]) == ("strongroom-tenant", 1, "Ada & Co")
    versions = {row["id"]: row for row in rows(archive, "versions")}
    files = {row["path"]: row for row in rows(archive, "files")}
    assert set(files) == {"a.txt", "folder/grün & 'rot'.bin", "nothing.txt", "virus.txt", "gone.txt"}
    assert files["gone.txt"]["deleted_at"] is not None
    assert len(versions) == 6
    for row in versions.values():
        data = found[f"bytes/{row['bucket_id'].replace('-', '')}/{row['id'].replace('-', '')}"]
        assert (len(data), blake3(data).hexdigest()) == (row["size_bytes"], row["blake3"])
    contents = [data for name, data in found.items() if name.startswith("bytes/")]
    assert sorted(contents) == sorted([b"first", b"second", b"\x00\x01" * BLOCK, b"", EICAR, b"in the trash"])
    before = [each["kind"] for each in world.rows(owner.tenant, "events") if each["kind"] != "tenant.exported"]
    assert len(rows(archive, "events")) == len(before)
    for table in ("users", "api_keys", "buckets", "access_log", "usage_hourly", "stored_hourly"):
        assert len(rows(archive, table)) == len(world.rows(owner.tenant, table)) > 0, table


def test_manifests_tell_of_every_member(archive: bytes) -> None:
    found = members(archive)
    told = [json.loads(line) for name, data in found.items() if name.startswith("manifest/") for line in data.splitlines()]
    plain = {name: data for name, data in found.items() if not name.startswith("manifest/") and name != "end.json"}
    assert {each["name"]: (each["size_bytes"], each["blake3"]) for each in told} == {
        name: (len(data), blake3(data).hexdigest()) for name, data in plain.items()
    }
    assert json.loads(found["end.json"])["members"] == len(plain)


def test_no_secret_is_in_it(world: World, owner: Account, archive: bytes) -> None:
    for table, column in (("users", "password_hash"), ("api_keys", "secret_hash")):
        for row in world.rows(owner.tenant, table):
            secret = row[column]
            assert (secret.encode() if isinstance(secret, str) else secret.hex().encode()) not in archive
    assert PASSWORD.encode() not in archive
    assert not {"password_hash", "invite_id"} & set(rows(archive, "users")[0])


def test_nothing_of_another_tenant_is_in_it(other: Account, archive: bytes) -> None:
    assert CANARY not in archive
    for each in (other.tenant.id, other.id):
        assert str(each).encode() not in archive
        assert each.hex.encode() not in archive


# Over HTTP


def test_begun_followed_and_fetched_by_a_link(world: World, owner: Account) -> None:
    client = world.client(owner)
    begun = ok(client.post(EXPORTS), 202)
    assert (begun["state"], begun["created_by"]) == ("running", str(owner.id))
    problem(client.post(EXPORTS), 409, "conflict")
    problem(client.post(f"{EXPORTS}/{begun['id']}/link"), 409, "conflict")
    world.run_jobs()
    done = ok(client.get(f"{EXPORTS}/{begun['id']}"))
    assert (done["state"], done["done_objects"], done["total_objects"], done["missing_objects"]) == ("ready", 6, 6, 0)
    assert done["done_bytes"] == done["total_bytes"] > 2 * BLOCK
    link = ok(client.post(f"{EXPORTS}/{begun['id']}/link"))
    stranger = Client(world.app, client.host)
    fetched = stranger.get(link["url"].removeprefix(f"http://{client.host}"))
    assert (fetched.status_code, len(fetched.data), fetched.content_type) == (200, done["size_bytes"], "application/x-tar")
    assert "attachment" in fetched.headers["Content-Disposition"]
    assert "end.json" in members(fetched.data)
    assert ok(client.get(EXPORTS))["items"] == [done]
    ok(client.delete(f"{EXPORTS}/{begun['id']}"), 204)
    problem(client.get(f"{EXPORTS}/{begun['id']}"), 404, "not_found")
    problem(stranger.get(link["url"].removeprefix(f"http://{client.host}")), 404, "not_found")
    assert len(world.stored(owner.tenant)) == 6


def test_links_of_others_and_of_nobody(world: World, owner: Account, other: Account) -> None:
    client, theirs = world.client(owner), world.client(other)
    export_id = ok(client.post(EXPORTS), 202)["id"]
    world.run_jobs()
    path = ok(client.post(f"{EXPORTS}/{export_id}/link"))["url"].removeprefix(f"http://{client.host}")
    problem(Client(world.app, theirs.host).get(path), 404, "not_found")
    for method in ("get", "delete"):
        problem(getattr(theirs, method)(f"{EXPORTS}/{export_id}"), 404, "not_found")
    problem(theirs.post(f"{EXPORTS}/{export_id}/link"), 404, "not_found")
    problem(Client(world.app, client.host).get(path[:-4] + "AAAA"), 404, "not_found")
    admin = world.create_user(owner.tenant, "admin")
    own = ok(world.client(admin).post(f"{EXPORTS}/{export_id}/link"))["url"].removeprefix(f"http://{client.host}")
    ok(client.patch(f"/api/v1/users/{admin.id}", json={"role": "member"}))
    problem(Client(world.app, client.host).get(own), 410, "link_expired")
    key = world.create_api_key(owner, Scope.FILES_READ, Scope.FILES_WRITE)
    problem(world.client(owner.tenant, key).post(EXPORTS), 403, "forbidden")


# Cut off, and over


def test_many_segments_and_a_kill_in_each(world: World, owner: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SEGMENT_ITEMS", 2)
    made = service.begin(world.runtime, owner.tenant, None)
    real, kills = writing._note, []

    def note(*args: Any) -> None:
        if len(kills) % 2 == 0:  # every segment is lost once when it is whole, but not yet written down
            kills.append(1)
            raise Killed
        kills.append(0)
        real(*args)

    monkeypatch.setattr(writing, "_note", note)
    for _ in range(10):
        try:
            world.run_due_jobs()
        except Killed:
            world.sql("UPDATE strongroom.jobs SET state = 'queued', run_at = now() - interval '1 second' WHERE state = 'running'")
    assert sum(kills) == 4
    done = service.get(world.runtime, owner.tenant, made.id)
    assert (done.state, done.segments, done.done_objects) == ("ready", 4, 6)
    assert len(world.stored(owner.tenant)) == 6 + 4, "what was written in vain is gone"
    found = members(b"".join(service.pieces(world.runtime, owner.tenant, done)))
    assert len([name for name in found if name.startswith("bytes/")]) == 6
    assert len([name for name in found if name.startswith("manifest/")]) == 4


def test_versions_that_go_away_meanwhile_are_told_as_missing(world: World, owner: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    made = service.begin(world.runtime, owner.tenant, None)
    writing.run(world.runtime, owner.tenant, {"export_id": str(made.id)})
    monkeypatch.setattr(writing, "SEGMENT_ITEMS", 3)
    (gone,) = [each for each in world.rows(owner.tenant, "files") if each["path"] == "gone.txt"]
    world.tenant_sql(owner.tenant, "DELETE FROM {t}.files WHERE id = %(id)s", id=gone["id"])
    world.run_jobs()
    done = service.get(world.runtime, owner.tenant, made.id)
    assert (done.state, done.done_objects, done.missing_objects) == ("ready", 5, 1)


def test_bytes_that_are_not_those_that_were_stored_are_not_taken_out(world: World, owner: Account) -> None:
    path = next(each for each in world.stored(owner.tenant) if each.read_bytes() == b"second")
    path.write_bytes(b"SECOND")
    made = service.begin(world.runtime, owner.tenant, None)
    world.run_jobs()
    assert service.get(world.runtime, owner.tenant, made.id).state == "running"
    (job,) = world.jobs(owner.tenant, kind=writing.WRITE, state="queued")
    assert "not those that were stored" in job["error"]


def test_it_counts_against_nobody_and_is_swept(world: World, owner: Account) -> None:
    before = world.totals(owner.tenant)
    export(world, owner.tenant)
    assert world.totals(owner.tenant) == before
    world.sql(f"UPDATE {owner.tenant.ref.role}.export_segments SET size_bytes = size_bytes")  # noqa: S608 - a role's name
    old = world.again(reconcile_grace_s=0)
    checks.reconcile(old.runtime, owner.tenant)
    (made,) = service.list_exports(world.runtime, owner.tenant)
    assert sum(1 for _ in service.pieces(world.runtime, owner.tenant, made)) > 0, "nobody takes it for left over"
    assert made.expires_at is not None
    assert made.ended_at is not None
    assert made.expires_at - made.ended_at == timedelta(days=3)
    world.tenant_sql(owner.tenant, "UPDATE {t}.exports SET expires_at = now() - interval '1 second'")
    world.run_jobs()
    assert service.list_exports(world.runtime, owner.tenant) == []
    assert len(world.stored(owner.tenant)) == 6
    problem(world.client(owner).get(f"{EXPORTS}/{new_id()}"), 404, "not_found")


def test_the_reference_names_every_column() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/export-format.md").read_text()
    for content in CONTENTS:
        assert f"| `{content.table}` | {', '.join(f'`{column}`' for column in content.columns)} |" in page
    for table, reason in LEFT_OUT.items():
        assert f"| `{table}` | {reason} |" in page
