"""Clocks that do not agree: an API machine's with the database's, and with another API machine's.

The database's decides what has expired that it keeps: sessions, keys, uploads. What stands in a token alone is up to the
machine that reads it, which bears a small difference.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from strongroom.files import links

from tenants.models import Tenant
from tests.clocks import clock_off_by
from tests.factories import Account, Client, World, object_url, ok, problem
from tests.tus.talk import Talk
from tests.uploads.direct_client import MIB, Sender, content

pytestmark = pytest.mark.usefixtures("bucket")
DAYS = 10 * 86400
BOTH_WAYS = pytest.mark.parametrize("off_by_s", [7200, -7200, DAYS, -DAYS], ids=["ahead", "behind", "days ahead", "days behind"])


@BOTH_WAYS
def test_a_machine_with_a_wrong_clock_does_its_work(world: World, owner: Account, off_by_s: int) -> None:
    """Signing in and everything after it, as long as all of it happens there."""
    with clock_off_by(off_by_s):
        fresh = world.create_user(owner.tenant, "owner")
        client = world.client(fresh)
        world.upload(client, "a.txt", b"abc")
        world.run_jobs()
        assert client.get(object_url("media", "a.txt")).data == b"abc"
        data, sender = content(8 * MIB + 1), Sender(client)
        file = sender.upload(data, "direct.bin")
        url = ok(client.post(f"/api/v1/files/{file['id']}/presign", json={}))["url"]
        world.run_jobs()
        assert world.client(owner.tenant).get(urlsplit(url).path).data == data


@BOTH_WAYS
def test_uploads_expire_by_the_databases_clock(world: World, tenant: Tenant, client: Client, owner: Account, off_by_s: int) -> None:
    kept, over = Talk(client).begin(6, "kept.txt"), Talk(client).begin(6, "over.txt")
    ended = over.rpartition("/")[2]
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET expires_at = now() - interval '1 second' WHERE id::text = %(id)s", id=ended)
    with clock_off_by(off_by_s):
        there = Talk(world.client(world.create_user(owner.tenant, "owner")))  # signed in there: tokens are another matter
        assert there.head(over).status_code == 410
        there.send(kept, 0, b"abc")
    Talk(client).send(kept, 3, b"def")
    assert client.get(object_url("media", "kept.txt")).data == b"abcdef"


@pytest.mark.parametrize("off_by_s", [25, -25], ids=["ahead", "behind"])
def test_tokens_of_a_machine_whose_clock_differs_a_little(world: World, owner: Account, off_by_s: int) -> None:
    """Neither refused as of the future nor as over."""
    file = world.upload(world.client(owner))
    world.run_jobs()
    with clock_off_by(off_by_s):
        fresh = world.create_user(owner.tenant)
        client = world.client(fresh)
        url = ok(client.post(f"/api/v1/files/{file['id']}/presign", json={"expires_in_s": 60}))["url"]
    assert client.get("/api/v1/buckets").status_code == 200
    assert world.client(owner.tenant).get(urlsplit(url).path).status_code == 200


def test_tokens_end(world: World, client: Client, owner: Account) -> None:
    file = world.upload(client)
    world.run_jobs()
    url = ok(client.post(f"/api/v1/files/{file['id']}/presign", json={"expires_in_s": 60}))["url"]
    with clock_off_by(61):
        assert world.client(owner.tenant).get(urlsplit(url).path).status_code == 410
    with clock_off_by(world.settings.access_token_lifetime_s + 60):
        problem(client.get("/api/v1/buckets"), 401, "token_expired")


@BOTH_WAYS
def test_keys_end_by_the_databases_clock(client: Client, off_by_s: int) -> None:
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = ok(client.post("/api/v1/api-keys", json={"name": "k", "scopes": ["files:read"], "expires_at": ends}), 201)
    with clock_off_by(off_by_s):
        assert client.as_(made["key"]).get("/api/v1/buckets/media/files").status_code == 200


def test_a_link_for_once_is_used_whatever_the_clocks_say(world: World, tenant: Tenant, client: Client, owner: Account) -> None:
    """This machine's clock is behind: for the database the link was over long ago, and yet it must not be forgotten."""
    file = world.upload(client)
    world.run_jobs()
    with clock_off_by(-7200):
        signed_in = world.client(world.create_user(owner.tenant))
        url = urlsplit(ok(signed_in.post(f"/api/v1/files/{file['id']}/presign", json={"single_use": True, "expires_in_s": 60}))["url"]).path
        stranger = world.client(tenant)
        assert stranger.get(url).status_code == 200
        links.forget_used(world.runtime, tenant)
        problem(stranger.get(url), 410, "link_used")
    world.tenant_sql(tenant, "UPDATE {t}.used_links SET expires_at = now() - interval '25 hours'")
    assert links.forget_used(world.runtime, tenant) == 1
