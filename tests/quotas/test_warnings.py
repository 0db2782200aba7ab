"""Soft warnings: once for each time that a level is reached, in the feed and by mail."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from strongroom.quotas import service as quotas
from strongroom.quotas.models import FULL, SOON, Use

from tenants.models import Tenant
from tests.factories import Account, Client, World, ok
from tests.services.mail import MailServer
from tests.slow import all_at_once


@pytest.fixture
def account(world: World) -> Account:
    made = world.create_user(world.create_tenant(name="Example & Sons", quota_bytes=100, quota_files=1000, quota_users=10), "owner")
    world.create_bucket(made.tenant, versioning=False, trash_days=0)
    return made


@pytest.fixture
def client(world: World, account: Account) -> Client:
    return world.client(account)


def fill(world: World, client: Client, size: int) -> None:
    """Have one file of that size, and everything done that follows."""
    world.upload(client, "only.txt", b"x" * size)
    world.run_jobs()


def told(world: World, tenant: Tenant) -> list[tuple[str, int]]:
    events = world.rows(tenant, "events", "kind = 'quota.warning' ORDER BY id")
    return [(each["data"]["resource"], each["data"]["percent"]) for each in events]


# When it is told


def test_each_level_is_told_once_until_it_falls_well_below(world: World, account: Account) -> None:
    levels = [
        (79, []), (80, [80]), (85, [80]), (79, [80]), (90, [80]), (100, [80, 100]), (95, [80, 100]), (100, [80, 100]), (85, [80, 100]),
        (100, [80, 100, 100]), (60, [80, 100, 100]), (81, [80, 100, 100, 80]), (1, [80, 100, 100, 80]), (100, [80, 100, 100, 80, 100]),
    ]  # fmt: skip
    for used, expected in levels:
        world.tenant_sql(account.tenant, "UPDATE {t}.counters SET used_bytes = %(used)s", used=used)
        quotas.check(world.runtime, account.tenant)
        assert told(world, account.tenant) == [("bytes", percent) for percent in expected], used


def test_an_upload_that_passes_a_level_is_told_soon_after(world: World, account: Account, client: Client) -> None:
    fill(world, client, 80)
    (event,) = world.rows(account.tenant, "events", "kind = 'quota.warning'")
    assert event["data"] == {"resource": "bytes", "percent": 80, "used": 80, "limit": 100}


def test_users_and_buckets_are_told_too(world: World, account: Account, client: Client) -> None:
    for number in range(6):
        ok(client.post("/api/v1/users", json={"email": f"{number}@example.com"}), 201)
    world.run_jobs()
    assert told(world, account.tenant) == []
    added = ok(client.post("/api/v1/users", json={"email": "eighth@example.com"}), 201)
    world.run_jobs()
    assert told(world, account.tenant) == [("users", 80)]
    ok(client.delete(f"/api/v1/users/{added['id']}"), 204)
    world.run_jobs()
    ok(client.post("/api/v1/users", json={"email": "eighth@example.com"}), 201)
    world.run_jobs()
    assert told(world, account.tenant) == [("users", 80)], "70 % is not well below"


def test_transfer_is_told_anew_each_month(world: World) -> None:
    account = world.create_user(world.create_tenant(quota_transfer_bytes=100))
    world.create_bucket(account.tenant)
    client = world.client(account)
    fill(world, client, 80)
    assert told(world, account.tenant) == [("transfer", 80)]
    world.tenant_sql(account.tenant, "UPDATE {t}.transfer SET month = month - interval '1 month'")
    world.tenant_sql(account.tenant, "UPDATE {t}.counters SET warned = '{\"transfer 2001-01-01\": 80}'")
    fill(world, client, 90)
    assert told(world, account.tenant) == [("transfer", 80), ("transfer", 80)]


def test_a_smaller_plan_is_told(world: World, account: Account, client: Client, operator: Client) -> None:
    fill(world, client, 50)
    ok(operator.patch(f"/operator/api/v1/tenants/{account.tenant.slug}", json={"limits": {"quota_bytes": 60}}))
    world.run_jobs()
    assert told(world, account.tenant) == [("bytes", 80)]
    name = f"tiny-{account.tenant.slug}"[:40].strip("-")
    ok(operator.post("/operator/api/v1/plans", json={"name": name}), 201)
    ok(operator.patch(f"/operator/api/v1/tenants/{account.tenant.slug}", json={"plan": name, "limits": {}}))
    ok(operator.patch(f"/operator/api/v1/plans/{name}", json={"limits": {"quota_bytes": 50}}))
    world.run_jobs()
    assert told(world, account.tenant) == [("bytes", 80), ("bytes", 100)]


def test_of_many_who_look_at_once_one_tells(world: World, account: Account, client: Client) -> None:
    world.upload(client, "a.txt", b"x" * 90)
    found = all_at_once([lambda: quotas.check(world.runtime, account.tenant)] * 8)
    assert sorted(len(each) for each in found) == [0] * 7 + [1]
    assert told(world, account.tenant) == [("bytes", 80)]


@hypothesis_settings(max_examples=50)
@given(used=st.lists(st.integers(0, 120), min_size=1, max_size=30))
def test_no_level_is_told_twice_in_a_row_without_having_fallen(used: list[int]) -> None:
    level, lowest = 0, {SOON: 0, FULL: 0}
    for each in used:
        lowest = {name: min(low, each) for name, low in lowest.items()}
        use = Use("bytes", each, 0, 100, level)
        if use.next_level > level:
            assert each >= use.next_level
            assert lowest[use.next_level] < use.next_level - 10
        level = use.next_level
        lowest.update({name: 101 for name in lowest if name <= level} if level else {})
        assert level == 100 or each < 100, "nobody who is at the limit has not been told"


# Mail


def world_with_mail(world: World, server: MailServer, **settings: Any) -> World:
    return world.again(smtp_host="127.0.0.1", smtp_port=server.port, smtp_security="none", mail_from="storage@example.com", **settings)


def test_owners_and_admins_get_a_mail(world: World, account: Account, client: Client, mail_server: MailServer) -> None:
    mailing = world_with_mail(world, mail_server)
    admin, _ = world.create_user(account.tenant, "admin"), world.create_user(account.tenant, "member")
    gone = world.create_user(account.tenant, "admin")
    ok(client.patch(f"/api/v1/users/{gone.id}", json={"disabled": True}))
    world.upload(client, "a.txt", b"x" * 90)
    world.run_jobs(mailing)
    assert sorted(each.to for each in mail_server.mails) == sorted([account.email, admin.email])
    mail = mail_server.mails[0].message
    assert mail["From"] == "storage@example.com"
    assert mail["Subject"] == "Example & Sons: Storage: 90 % used"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    assert "90 bytes of 100 bytes" in text
    assert world.settings.tenant_url(account.tenant.slug, "/console/") in text
    assert len({each.message["Message-ID"] for each in mail_server.mails}) == 2
    world.run_jobs(mailing)
    assert len(mail_server.mails) == 2


def test_without_a_mail_server_no_mail_is_queued(world: World, account: Account, client: Client) -> None:
    fill(world, client, 90)
    assert told(world, account.tenant) == [("bytes", 80)]
    assert world.jobs(account.tenant, kind=quotas.MAIL) == []


def test_a_mail_that_was_put_off_is_sent_once_later(world: World, account: Account, client: Client, mail_server: MailServer) -> None:
    mailing = world_with_mail(world, mail_server)
    mail_server.answer = "451 try later"
    world.upload(client, "a.txt", b"x" * 90)
    world.run_jobs(mailing)
    (job,) = world.jobs(account.tenant, kind=quotas.MAIL)
    assert (job["state"], job["attempts"]) == ("queued", 1)
    assert "MailUnavailable" in job["error"]
    first = [each.message["Message-ID"] for each in mail_server.refused]
    mail_server.answer = ""
    world.run_jobs(mailing)
    assert [each.message["Message-ID"] for each in mail_server.mails] == first
    assert world.jobs(account.tenant, kind=quotas.MAIL)[0]["state"] == "done"


def test_a_server_that_is_not_there_is_tried_again(world: World, account: Account, client: Client, mail_server: MailServer) -> None:
    mailing = world_with_mail(world, mail_server)
    mail_server.stop()
    world.upload(client, "a.txt", b"x" * 90)
    world.run_jobs(mailing)
    assert world.jobs(account.tenant, kind=quotas.MAIL)[0]["state"] == "queued"


def test_a_mail_that_is_refused_for_good_is_not_tried_again(
    world: World, account: Account, client: Client, mail_server: MailServer
) -> None:
    mailing = world_with_mail(world, mail_server)
    mail_server.answer = "550 no such user"
    world.upload(client, "a.txt", b"x" * 90)
    world.run_jobs(mailing)
    assert [each["state"] for each in world.jobs(account.tenant, kind=quotas.MAIL)] == ["done"]
    assert mail_server.mails == []


def test_what_is_not_true_any_more_is_not_mailed(world: World, account: Account, client: Client, mail_server: MailServer) -> None:
    mailing = world_with_mail(world, mail_server)
    world.upload(client, "a.txt", b"x" * 90)
    quotas.check(mailing.runtime, account.tenant)
    world.tenant_sql(account.tenant, "UPDATE {t}.counters SET warned = '{}'")
    world.sql("DELETE FROM strongroom.jobs WHERE kind <> %(kind)s", kind=quotas.MAIL)
    assert world.run_jobs(mailing) == 1
    assert mail_server.mails == []


@pytest.mark.parametrize("email", ["a,victim@example.com", '"a b"@example.com', "<x>@example.com", "ünï@example.com"])
def test_strange_addresses_reach_nobody_else(world: World, account: Account, mail_server: MailServer, email: str) -> None:
    mailing = world_with_mail(world, mail_server)
    client = world.client(account)
    world.create_user(account.tenant, "admin", email="plain@example.com")
    world.tenant_sql(account.tenant, "UPDATE {t}.users SET email = %(email)s WHERE email = 'plain@example.com'", email=email)
    world.upload(client, "a.txt", b"x" * 90)
    world.run_jobs(mailing)
    assert {each.to for each in mail_server.mails} <= {account.email, email}
    assert account.email in {each.to for each in mail_server.mails}
    assert {each["state"] for each in world.jobs(account.tenant, kind=quotas.MAIL)} == {"done"}


def test_a_tenants_name_makes_no_header(world: World, account: Account, client: Client, mail_server: MailServer) -> None:
    mailing = world_with_mail(world, mail_server)
    world.sql(
        "UPDATE strongroom.tenants SET brand = %(brand)s::jsonb WHERE id = %(id)s",
        brand='{"name": "Evil\\r\\nBcc: victim@example.com"}', id=account.tenant.id,
    )  # fmt: skip
    world.upload(client, "a.txt", b"x" * 90)
    world.run_jobs(mailing)
    (mail,) = mail_server.mails
    assert (mail.to, mail.message["Bcc"]) == (account.email, None)


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # the test server does not see that its TLS begins with the connection
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_over_tls_to_a_server_that_asks_for_a_password(
    world: World, account: Account, client: Client, make_mail_server: Any, security: str
) -> None:
    server = make_mail_server(security)
    settings = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_security": security, "smtp_ca_file": str(server.ca_file)}
    trusted = world.again(**settings, smtp_user="strongroom", smtp_password="right")
    world.upload(client, "a.txt", b"x" * 90)
    untrusting = world.again(**{**settings, "smtp_ca_file": None}, smtp_user="strongroom", smtp_password="right")
    wrong = world.again(**settings, smtp_user="strongroom", smtp_password="wrong")
    for each in (untrusting, wrong):
        world.run_jobs(each)
        assert server.mails == []
        assert [job["state"] for job in world.jobs(account.tenant, kind=quotas.MAIL)] == ["queued"]
    world.run_jobs(trusted)
    assert [each.to for each in server.mails] == [account.email]
    assert server.mails[0].message["From"] == "no-reply@localhost"
