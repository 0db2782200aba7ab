"""Nobody's mailbox is flooded from here, whoever asks and in whatever way the address is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from strongroom.http.pace import METER, household
from strongroom.signup import limits
from strongroom.users.addresses import flood_key

from tests.factories import World, host_of, ok, problem
from tests.services.mail import MailServer
from tests.signup.conftest import COMPLETE, SIGN_UP, Door, set_policy
from tests.slow import all_at_once

PAGE = "/console/signup"
ONE_MAILBOX = ["ada.l@example.com", "ADA.L@example.com", "adal@EXAMPLE.com", "ada.l+1@example.com", "a.dal+x+y@example.com"]


def test_one_mailbox_gets_three_mails_an_hour(door: Door) -> None:
    answers = [door.ask(email) for email in ONE_MAILBOX[:2]]
    answers.append(door.client.post(PAGE, data={"email": ONE_MAILBOX[2], "name": ""}))
    assert [each.status_code for each in answers] == [202, 202, 303], "the page and the API count together"
    for email in ONE_MAILBOX:
        refused = door.ask(email)
        problem(refused, 429, "too_many_requests")
        assert 0 < int(refused.headers["Retry-After"]) <= 3601
    page = door.client.post(PAGE, data={"email": ONE_MAILBOX[3], "name": ""})
    assert (page.status_code, b'role="alert"' in page.data, ONE_MAILBOX[3].encode() in page.data) == (429, True, True)
    assert len(door.mails()) == 3
    ok(door.ask("somebody.else@example.com"), 202)


def test_of_many_at_once_three_are_mailed(door: Door) -> None:
    answers = all_at_once([door.ask] * 12)
    assert sorted(each.status_code for each in answers) == [202] * 3 + [429] * 9
    assert len(door.mails()) == 3


def test_what_is_no_address_counts_for_nobody(door: Door) -> None:
    for _ in range(5):
        problem(door.ask("no address"), 422, "validation_failed")
        problem(door.client.post(SIGN_UP, json=["email"]), 422, "validation_failed")
    ok(door.ask(), 202)


def test_what_the_policy_refuses_shuts_nobody_out(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the tenant nor a mailbox: only whoever asks is counted."""
    set_policy(door.world, door.tenant, mode="domains", domains=["example.com"])
    counted = []
    monkeypatch.setattr(limits.limiter.limiter, "hit", lambda _item, *keys, **_cost: counted.append(keys[-1]) or True)
    for number in range(3):
        problem(door.ask(f"u{number}@evil.example"), 403, "email_domain_not_allowed")
    assert counted == ["signups of a caller"] * 3
    ok(door.ask(), 202)
    assert set(counted) == {"signups of a caller", "signups of a mailbox", "signups"}


def test_who_asks_for_many_is_stopped(door: Door) -> None:
    def asked(number: int, remote: str) -> int:
        sent = {"json": {"email": f"u{number}@example.com"}, "environ_overrides": {"REMOTE_ADDR": remote}}
        return door.client.post(SIGN_UP, **sent).status_code

    most = int(limits.OF_A_CALLER.partition("/")[0])
    assert {asked(number, "192.0.2.1") for number in range(most)} == {202}
    assert asked(most, "192.0.2.1") == 429
    assert asked(most, "192.0.2.2") == 202
    assert {asked(most + 1 + number, f"2001:db8::{number:x}") for number in range(most)} == {202}
    assert asked(2 * most + 1, "2001:db8::ffff:ffff:ffff:ffff") == 429, "of one subscriber's network"
    assert asked(2 * most + 1, "2001:db8:0:1::1") == 202
    assert door.world.rows(door.tenant, "users", "email = 'u1@example.com'") == []


def test_a_mailbox_that_is_flooded_uses_up_nothing_of_the_tenants(door: Door) -> None:
    """Else one who asks for the same again and again would shut everybody out."""
    counted = []
    real = limits.limiter.limiter.hit

    def hit(item: object, *keys: str, cost: int = 1) -> bool:
        counted.append(keys)
        return bool(real(item, *keys, cost=cost))  # type: ignore[arg-type]  # as the library calls it

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits.limiter.limiter, "hit", hit)
        for _ in range(6):
            door.ask()
    scopes = [each[-1] for each in counted]
    assert (scopes.count("signups of a caller"), scopes.count("signups of a mailbox"), scopes.count("signups")) == (6, 6, 3)


def test_completions_are_counted_too(door: Door) -> None:
    most = int(limits.COMPLETIONS.partition("/")[0])
    statuses = [door.client.post(COMPLETE, json={"token": "x", "password": "y"}).status_code for _ in range(most + 1)]
    assert statuses == [401] * most + [429]
    assert door.client.post(f"{PAGE}/x", data={"password": "y"}).status_code in {404, 429}


def test_two_instances_count_together(world: World, mail_server: MailServer, tmp_path: Path) -> None:
    settings = {"smtp_host": "127.0.0.1", "smtp_port": mail_server.port, "rate_limit_storage": f"shared://{tmp_path}/rates"}
    pair = [world.again(**settings) for _ in range(2)]
    tenant = world.create_tenant()
    set_policy(world, tenant, mode="open")
    for each in pair:
        each.runtime.registry.forget()
    answers = [pair[n % 2].client(host_of(tenant)).post(SIGN_UP, json={"email": "ada@example.com"}) for n in range(4)]
    assert [each.status_code for each in answers] == [202, 202, 202, 429]
    for each in pair:
        each.app.extensions[METER].close()
    world.again()


@pytest.mark.parametrize("email", ONE_MAILBOX)
def test_addresses_of_one_mailbox(email: str) -> None:
    assert flood_key(email) == "adal@example.com"


@pytest.mark.parametrize(
    ("remote", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_addresses_of_one_caller(remote: str, counted: str) -> None:
    assert household(remote) == counted
