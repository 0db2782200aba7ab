"""An archive brought into a deployment: all of it, verified, or nothing at all."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strongroom.access import Scope
from strongroom.errors import AlreadyExists, DomainError, ExportRefused, QuotaExceeded
from strongroom.life import service as life
from strongroom.takeout import importing, service, tar

from tenants.models import Tenant, TenantStatus
from tests.factories import EICAR, Account, Client, World, host_of, number, ok, problem
from tests.takeout.conftest import BLOCK, CANARY, import_, members, rebuilt, rows

LARGE = 48 * 1024 * 1024


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def slug() -> str:
    return f"arrived-{number()}"


def nothing_is_left(world: World, slug: str) -> bool:
    """Whether nobody can tell any more that there was an import, but for its tombstone."""
    world.run_jobs()
    world.run_jobs()
    for row in world.sql("SELECT id, status, prefix FROM strongroom.tenants WHERE slug = %(slug)s", slug=slug):
        schema = world.sql("SELECT 1 FROM pg_roles WHERE rolname = %(name)s", name=f"t_{row['id'].hex}")
        if row["status"] != "deleted" or schema or (world.files_dir / row["prefix"]).exists():
            return False
    return True


def test_it_is_all_there(world: World, owner: Account, archive: bytes, slug: str) -> None:
    made = import_(world, archive, slug)
    assert (made.tenant.status, made.missing) == (TenantStatus.ACTIVE, 0)
    assert made.tenant.id != owner.tenant.id
    assert made.tenant.brand.name == "Ada & Co"
    assert made.tenant.brand.primary == "#123456"
    for table in ("users", "buckets", "files", "versions", "api_keys"):
        ids = [{row["id"] for row in world.rows(each, table)} for each in (owner.tenant, made.tenant)]
        assert ids[0] == ids[1], table
    for table in ("access_log", "usage_hourly", "stored_hourly"):
        assert len(world.rows(made.tenant, table)) >= len(rows(archive, table)) > 0, table
    assert world.totals(made.tenant) == world.totals(owner.tenant)
    held = [
        {row["name"]: (row["used_bytes"], row["used_files"]) for row in world.rows(each, "buckets")} for each in (owner.tenant, made.tenant)
    ]
    assert held[0] == held[1]
    kinds = [row["kind"] for row in world.tenant_sql(made.tenant, "SELECT kind FROM {t}.events ORDER BY xid, id")]
    assert kinds[: len(rows(archive, "events"))] == [row["kind"] for row in rows(archive, "events")]


def test_its_files_are_checked_anew(world: World, owner: Account, archive: bytes, slug: str) -> None:
    made = import_(world, archive, slug)
    assert {row["status"] for row in world.rows(made.tenant, "versions")} == {"pending"}
    client = _signed_in(world, made)
    listed = ok(client.get("/api/v1/buckets/media/files"))["items"]
    assert {(each["status"], each["scan"]["verdict"]) for each in listed} == {("pending", "pending")}
    world.run_jobs()
    assert client.get("/api/v1/objects/media/a.txt").data == b"second"
    big = ok(client.get("/api/v1/buckets/media/files", query_string={"prefix": "folder/"}))["items"][0]
    assert client.get(f"/api/v1/files/{big['id']}/content").data == b"\x00\x01" * BLOCK
    problem(client.get("/api/v1/objects/media/virus.txt"), 403, "file_quarantined")
    assert EICAR in members(archive).values()
    blocks = [len(world.rows(each, "blocks")) for each in (owner.tenant, made.tenant)]
    assert blocks[0] == blocks[1] > 0


def _signed_in(world: World, made: importing.Imported) -> Client:
    (invitation,) = made.invitations
    accept = {"token": invitation.token, "name": "Ada", "password": "a new long password"}
    host = host_of(made.tenant)
    tokens = ok(Client(world.app, host).post("/api/v1/auth/invite/accept", json=accept))
    if "access_token" not in tokens:
        login = {"email": invitation.user.email, "password": "a new long password"}
        tokens = ok(Client(world.app, host).post("/api/v1/auth/login", json=login))
    return Client(world.app, host, tokens["access_token"])


def test_no_credential_comes_with_it(world: World, owner: Account, archive: bytes, slug: str) -> None:
    key, tokens = world.create_api_key(owner, Scope.ADMIN), world.sign_in(owner)
    made = import_(world, archive, slug)
    at = Client(world.app, host_of(made.tenant))
    problem(at.post("/api/v1/auth/login", json={"email": owner.email, "password": owner.password}), 401, "invalid_credentials")
    for credential in (key.text, key.text.replace(owner.tenant.slug, slug), tokens["access_token"], tokens["refresh_token"]):
        problem(at.as_(credential).get("/api/v1/tenant"), 401, "token_invalid")
    assert {row["status"] for row in world.rows(made.tenant, "users")} == {"invited"}
    assert all(row["revoked_at"] for row in world.rows(made.tenant, "api_keys"))
    assert ok(world.client(owner).get("/api/v1/account"))["email"] == owner.email, "the former tenant goes on"


# Hostile


def lines(change: Callable[[dict[str, Any]], dict[str, Any]], table: str) -> Callable[[str, bytes], bytes]:
    """Change the rows of a table."""

    def apply(name: str, data: bytes) -> bytes:
        if not name.startswith(f"tables/{table}/"):
            return data
        return b"".join(json.dumps(change(json.loads(line))).encode() + b"\n" for line in data.splitlines())

    return apply


def with_(**values: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: {**row, **values}


FORGED: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "a path upwards": ("files", lambda row: {**row, "path": f"../{row['path']}"}),
    "a NUL in a path": ("files", lambda row: {**row, "path": row["path"] + "\0"}),
    "two files of one path": ("files", with_(path="same.txt", deleted_at=None)),
    "another column": ("files", with_(evil=1)),
    "a password": ("users", with_(password_hash="x")),
    "a role that is none": ("users", with_(role="operator")),
    "a user who is none": ("users", with_(email="nobody")),
    "a scope that is none": ("api_keys", with_(scopes=["everything"])),
    "no owner": ("users", with_(role="viewer")),
    "a header in a type": ("versions", with_(content_type="text/plain\r\nX-Evil: 1")),
    "an entity tag that is none": ("versions", with_(etag='"\r\n')),
    "an id that is none": ("versions", with_(id="../../x")),
    "one id for all": ("versions", with_(id="01890000-0000-7000-8000-000000000000")),
    "versions of no file": ("versions", with_(file_id="01890000-0000-7000-8000-000000000000")),
    "other sizes": ("versions", lambda row: {**row, "size_bytes": row["size_bytes"] + 1}),
    "sizes below nought": ("versions", with_(size_bytes=-1)),
    "other digests": ("versions", with_(blake3="0" * 64)),
    "other fingerprints": ("versions", with_(fingerprint="0" * 64)),
    "another bucket": ("versions", with_(bucket_id="01890000-0000-7000-8000-000000000000")),
    "a bucket's name": ("buckets", with_(name="../x")),
    "metadata that is none": ("files", with_(metadata={"a": {"b": 1}})),
    "data that is none": ("events", with_(data=[1])),
    "times that are none": ("access_log", with_(at="at no time")),
    "a file without its version": ("files", with_(version_id="01890000-0000-7000-8000-000000000000")),
}


@pytest.mark.parametrize("forged", FORGED)
def test_rows_that_are_forged(world: World, archive: bytes, slug: str, forged: str) -> None:
    table, change = FORGED[forged]
    with pytest.raises(ExportRefused):
        import_(world, rebuilt(archive, lines(change, table)), slug)
    assert nothing_is_left(world, slug)


def test_ids_of_another_tenant_reach_nothing_of_it(world: World, owner: Account, other: Account, archive: bytes, slug: str) -> None:
    """An archive may well name them: they mean something only below the new tenant's own prefix and in its own schema."""
    (theirs,) = world.rows(other.tenant, "versions")
    mine = next(row for row in rows(archive, "versions") if row["size_bytes"] == len(b"second"))
    swaps = {
        str(mine["id"]): str(theirs["id"]), str(mine["file_id"]): str(theirs["file_id"]), str(mine["bucket_id"]): str(theirs["bucket_id"]),
        str(owner.tenant.id): str(other.tenant.id), str(owner.id): str(other.id),
    }  # fmt: skip
    swaps |= {mine_.replace("-", ""): theirs_.replace("-", "") for mine_, theirs_ in swaps.items()}

    def forge(data: bytes) -> bytes:
        for old, new in swaps.items():
            data = data.replace(old.encode(), new.encode())
        return data

    written = io.BytesIO()
    writer, chain, segments = tar.SegmentWriter(written.write), "", 0
    for name, data in members(archive).items():
        if name.startswith("manifest/"):
            segments += 1
            chain = writer.end_segment(segments, chain)
        elif name == "end.json":
            writer.end_archive(segments=segments, members=writer.members, chain=chain)
        else:
            writer.add(forge(name.encode()).decode(), forge(data))
    made = import_(world, written.getvalue(), slug)
    world.run_jobs()
    assert made.tenant.id not in {owner.tenant.id, other.tenant.id}
    client = world.client(other)
    assert client.get("/api/v1/objects/media/canary.txt").data == CANARY
    assert len(world.rows(other.tenant, "versions")) == len(world.stored(other.tenant)) == 1
    arrived = _signed_in(world, made)
    assert arrived.get("/api/v1/objects/media/a.txt").data == b"second"
    assert CANARY not in b"".join(path.read_bytes() for path in world.stored(made.tenant))
    life.delete(world.runtime, made.tenant.id, now=True)
    world.run_jobs()
    assert client.get("/api/v1/objects/media/canary.txt").data == CANARY


def flipped(archive: bytes, needle: bytes) -> bytes:
    """One bit of what is inside is another."""
    at = archive.index(needle)
    return archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :]


def with_member(archive: bytes, **how: Any) -> bytes:
    """A further member right after the first."""
    info = tarfile.TarInfo(how.pop("name", "tables/users/000099.jsonl"))
    data = how.pop("data", b"")
    info.size = len(data)
    for name, value in how.items():
        setattr(info, name, value)
    block = info.tobuf(tarfile.GNU_FORMAT) + data + b"\0" * (-len(data) % 512)
    first = 512 + (tarfile.TarInfo.frombuf(archive[:512], "ascii", "strict").size + 511) // 512 * 512
    return archive[:first] + block + archive[first:]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no tar": lambda _: b"x" * 2000,
    "a ZIP": lambda _: b"PK\x03\x04" + b"\0" * 2000,
    "half": lambda a: a[: len(a) // 2],
    "without its end": lambda a: a[:-1024],
    "without its last member": lambda a: a[: a.rindex(b"end.json")] + b"\0" * 1024,
    "something after it": lambda a: a + b"more",
    "another bit in a row": lambda a: flipped(a, b"folder/gr"),
    "another bit in bytes": lambda a: flipped(a, b"in the trash"),
    "another bit in a manifest": lambda a: flipped(a, b'"blake3":"'),
    "a path upwards": lambda a: with_member(a, name="../../etc/cron.d/x", data=b"x"),
    "an absolute path": lambda a: with_member(a, name="/etc/cron.d/x", data=b"x"),
    "a symbolic link": lambda a: with_member(a, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": lambda a: with_member(a, type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "a device": lambda a: with_member(a, type=tarfile.CHRTYPE),
    "an extended header": lambda a: with_member(a, type=tarfile.XHDTYPE, data=b"30 path=../../x\n"),
    "a member of a terabyte": lambda a: with_member(a, name="tables/users/000099.jsonl", size=1 << 40),
    "a table that is none": lambda a: with_member(a, name="tables/sessions/000001.jsonl", data=b"{}\n"),
    "a member that no manifest names": lambda a: with_member(a, name="tables/users/000000.jsonl", data=b""),
    "deeply nested JSON": lambda a: with_member(a, name="tables/users/000000.jsonl", data=b"[" * 200_000),
    "without some bytes": lambda a: rebuilt(a, lambda _, data: None if data == b"second" else data),
    "without any tables": lambda a: rebuilt(a, lambda name, data: None if name.startswith("tables/") else data),
    "of another format": lambda a: rebuilt(a, lambda _, data: data.replace(b'"format_version":1', b'"format_version":2')),
    "with a name that is none": lambda a: rebuilt(a, lambda _, data: data.replace(b'"name":"Tenant-', b'"name":"\\u0000')),
    "with a brand that is none": lambda a: rebuilt(a, lambda _, data: data.replace(b'"#123456"', b'"</style>"')),
}


@pytest.mark.parametrize("how", BROKEN)
def test_archives_that_are_none(world: World, archive: bytes, slug: str, how: str) -> None:
    with pytest.raises(DomainError) as caught:
        import_(world, BROKEN[how](archive), slug)
    assert caught.value.code in {"export_refused", "validation_failed"}
    assert caught.value.detail
    assert nothing_is_left(world, slug)


def test_more_than_the_plan_has_room_for(world: World, archive: bytes, slug: str) -> None:
    for limits in ({"quota_bytes": 1000}, {"quota_files": 2}, {"quota_buckets": 0}):
        with pytest.raises(QuotaExceeded):
            import_(world, archive, slug, limits=limits)
        assert nothing_is_left(world, slug)
    assert import_(world, archive, slug).tenant.slug == slug


def test_a_slug_that_is_taken(world: World, owner: Account, archive: bytes) -> None:
    with pytest.raises(AlreadyExists):
        import_(world, archive, owner.tenant.slug)
    ok(world.client(owner).get("/api/v1/account"))


def test_nobody_reaches_a_tenant_that_is_being_imported(world: World, archive: bytes, slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in its midst it is found, and removed, by housekeeping; `tenant create` does not take it up."""
    with monkeypatch.context() as patch:
        patch.setattr("strongroom.takeout.arriving.Arriving._end", lambda _: (_ for _ in ()).throw(Killed()))
        patch.setattr("strongroom.takeout.importing._remove", lambda *_: None)
        with pytest.raises(Killed):
            import_(world, archive, slug)
    problem(Client(world.app, f"{slug}.localhost").get("/api/v1/account"), 404, "unknown_host")
    with pytest.raises(AlreadyExists):
        world.create_tenant(slug)
    world.look_for_lost_work()
    assert not nothing_is_left(world, slug), "it may still be going on"
    world.sql("UPDATE strongroom.tenants SET updated_at = now() - interval '2 hours' WHERE slug = %(slug)s", slug=slug)
    world.look_for_lost_work()
    assert nothing_is_left(world, slug)
    assert import_(world, archive, slug).tenant.status == TenantStatus.ACTIVE


def test_memory_is_fixed_whatever_the_size(world: World, tenant: Tenant, tmp_path: Path, slug: str) -> None:
    """The kilobytes that Python holds on the way out and in, of a file many times as large."""
    owner = world.create_user(tenant, "owner")
    world.create_bucket(tenant)
    world.upload(world.client(owner), "large.bin", bytes(LARGE))
    world.run_jobs()
    path, made = tmp_path / "archive.tar", service.begin(world.runtime, tenant, None)
    tracemalloc.start()
    try:
        world.run_jobs()
        export = service.get(world.runtime, tenant, made.id)
        with path.open("wb") as file:
            for piece in service.pieces(world.runtime, tenant, export):
                file.write(piece)
        del piece
        with path.open("rb") as source:
            imported = importing.import_tenant(world.runtime, source, slug=slug)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert imported.size_bytes == LARGE
    assert path.stat().st_size > LARGE
    assert peak < LARGE / 4
