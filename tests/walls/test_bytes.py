"""The wall of bytes: a tenant's view of a provider cannot even name what lies outside its prefix."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest
from strongroom.db.ids import new_id
from strongroom.errors import NotFound, StorageUnavailable
from strongroom.storage.base import Provider
from strongroom.storage.bound import TenantStorage
from strongroom.storage.filesystem import FilesystemProvider
from strongroom.storage.keys import object_key, tenant_prefix

from tenants.models import Tenant
from tests.factories import World

CONTENT = b"bytes of the other"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "provider"
    folder.mkdir()
    return folder


@pytest.fixture
def provider(root: Path) -> FilesystemProvider:
    return FilesystemProvider(root)


def put(provider: Provider, key: str, data: bytes = CONTENT) -> None:
    writer = provider.writer(key, len(data))
    writer.write(data)
    writer.complete()


@pytest.mark.parametrize(
    "prefix",
    [
        "", "/", "tn-", "tn-" + "0" * 32, "tn-" + "0" * 31 + "/", "tn-" + "0" * 33 + "/", "tn-" + "G" * 32 + "/", "../tn-" + "0" * 32 + "/",
        "tn-" + "0" * 32 + "/../", "tn-" + "0" * 32 + "//", "tn-" + "A" * 32 + "/", "tn-" + "0" * 32 + "/\n", "\0", "*",
    ],
)  # fmt: skip
def test_view_refuses_what_is_no_prefix(provider: FilesystemProvider, prefix: str) -> None:
    with pytest.raises(ValueError, match="not a tenant's prefix"):
        TenantStorage(provider, prefix)
    with pytest.raises(NotFound):
        list(provider.list(prefix))
    with pytest.raises(NotFound):
        provider.delete_prefix(prefix)


def test_view_sees_and_removes_only_its_own(provider: FilesystemProvider) -> None:
    mine, other = TenantStorage(provider, tenant_prefix(new_id())), TenantStorage(provider, tenant_prefix(new_id()))
    bucket, version = new_id(), new_id()
    for storage in (mine, other):
        writer = storage.writer(bucket, version, 3)
        writer.write(b"abc")
        writer.complete()
    only_mine = new_id()
    writer = mine.writer(bucket, only_mine, 1)
    writer.write(b"x")
    writer.complete()
    assert {each[1] for each in other.list()} == {version}
    for act in (other.open, other.head):
        with pytest.raises(NotFound):
            act(bucket, only_mine)
    other.delete([(bucket, only_mine)])
    other.delete_all()
    assert {each[1] for each in mine.list()} == {version, only_mine}
    assert list(other.list()) == []


def test_keys_are_made_of_ids_alone(world: World, tenant: Tenant) -> None:
    """Whatever a user types ends up in no key."""
    world.create_bucket(tenant, "media")
    client = world.client(world.create_user(tenant))
    file = world.upload(client, "folder/näme with %2e%2e and; $(things).txt")
    (path,) = world.stored(tenant)
    version = world.rows(tenant, "versions")[0]
    assert str(path.relative_to(world.files_dir)) == object_key(tenant.prefix, version["bucket_id"], version["id"])
    assert file["version_id"] == str(version["id"])


BAD_KEYS = [
    "", ".", "..", "/", "x", "../x", "/etc/passwd", "tn-{0}/../tn-{0}/{0}", "tn-{0}/{0}/../{0}", "tn-{0}/{0}/{0}/../../x", "tn-{0}/{0}",
    "tn-{0}/{0}/{0}/", "tn-{0}//{0}/{0}", "/tn-{0}/{0}/{0}", "tn-{0}/{0}/{0}\0", "tn-{0}/{0}/{0}\n", "tn-{0}\\{0}\\{0}",
    "tn-{0}/{0}/{0}.part",
    "TN-{0}/{0}/{0}", "tn-{0}/{0}/%2e%2e", "xtn-{0}/{0}/{0}", "tn-{0}x/{0}/{0}", "tn-{0}/./{0}", "tn-{0}/{0}/~", "tn-{0}/{0}/٠" + "0" * 31,
]  # fmt: skip


@pytest.mark.parametrize("form", BAD_KEYS)
def test_provider_refuses_keys_that_are_none(provider: FilesystemProvider, root: Path, form: str) -> None:
    key = form.format(uuid4().hex)
    before = sorted(root.rglob("*"))
    for act in (provider.open, provider.head, lambda each: provider.delete([each]), lambda each: provider.writer(each, 1)):
        with pytest.raises(NotFound):
            act(key)
    assert sorted(root.rglob("*")) == before


def test_provider_follows_no_symlinked_folder(provider: FilesystemProvider, root: Path, tmp_path: Path) -> None:
    """Neither a tenant's nor a bucket's folder may lead out of the root, or to another tenant."""
    mine, other = tenant_prefix(new_id()), tenant_prefix(new_id())
    bucket, version = new_id(), new_id()
    put(provider, object_key(other, bucket, version))
    (root / mine).mkdir()
    (root / mine / bucket.hex).symlink_to(root / other / bucket.hex)
    linked = tenant_prefix(new_id())
    (root / linked.rstrip("/")).symlink_to(root / other)
    outside = tmp_path / "outside"
    outside.mkdir()
    for prefix in (mine, linked):
        key = object_key(prefix, bucket, version)
        for act in (provider.open, provider.head, lambda each: provider.delete([each]), lambda each: provider.writer(each, 1)):
            with pytest.raises(StorageUnavailable):
                act(key)
    with pytest.raises(StorageUnavailable):
        provider.delete_prefix(linked)
    assert list(provider.list(mine)) == []
    assert (root / object_key(other, bucket, version)).read_bytes() == CONTENT


def test_listing_does_not_follow_a_tenants_symlink(provider: FilesystemProvider, root: Path) -> None:
    other, linked = tenant_prefix(new_id()), tenant_prefix(new_id())
    put(provider, object_key(other, new_id(), new_id()))
    (root / linked.rstrip("/")).symlink_to(root / other)
    with pytest.raises(StorageUnavailable):
        list(provider.list(linked))


def test_provider_follows_no_symlinked_file(provider: FilesystemProvider, root: Path, tmp_path: Path) -> None:
    prefix, bucket, version = tenant_prefix(new_id()), new_id(), new_id()
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    put(provider, object_key(prefix, bucket, new_id()))
    (root / object_key(prefix, bucket, version)).symlink_to(secret)
    with pytest.raises(StorageUnavailable):
        provider.open(object_key(prefix, bucket, version))
    planted = object_key(prefix, bucket, new_id())
    (root / f"{planted}.part").symlink_to(secret)
    with pytest.raises(StorageUnavailable):
        provider.writer(planted, 3)
    provider.delete([object_key(prefix, bucket, version), planted])
    assert secret.read_bytes() == b"secret"


def test_similar_prefixes_are_apart(provider: FilesystemProvider, root: Path) -> None:
    """What merely begins alike is not below a prefix."""
    prefix = tenant_prefix(new_id())
    for name in (prefix.rstrip("/") + "-secret", prefix.rstrip("/") + "0", prefix.rstrip("/")[:-1]):
        (root / name / "b").mkdir(parents=True)
        (root / name / "b" / "file").write_bytes(b"x")
    put(provider, object_key(prefix, new_id(), new_id()))
    assert len(list(provider.list(prefix))) == 1
    provider.delete_prefix(prefix)
    assert len([path for path in root.rglob("*") if path.is_file()]) == 3


def test_files_are_private(provider: FilesystemProvider, root: Path) -> None:
    key = object_key(tenant_prefix(new_id()), new_id(), new_id())
    put(provider, key)
    path = root / key
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    assert path.stat().st_nlink == 1
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - names
