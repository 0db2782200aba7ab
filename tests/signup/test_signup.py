"""Making an account of one's own: the mail, its link, and what is allowed when it comes back."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from strongroom.errors import ValidationFailed
from strongroom.security.tokens import sign
from strongroom.signup import service
from strongroom.users.addresses import read

from tests.factories import PASSWORD, Statements, World, host_of, ok, problem
from tests.signup.conftest import COMPLETE, LINK, SIGN_UP, Door, set_policy, text_of, token_of, url_of
from tests.slow import all_at_once

MakeDoor = Callable[..., Door]
LOGIN = "/api/v1/auth/login"


def users(door: Door) -> list[str]:
    return sorted(row["email"] for row in door.world.rows(door.tenant, "users") if not row["email"].endswith("@boss.test"))


def test_an_account_is_made_by_whoever_reads_the_mailbox(make_door: MakeDoor) -> None:
    door = make_door(name="Example & Sons", role="viewer")
    answer = ok(door.ask("Ada@Example.com", name="Ada L."), 202)
    assert answer == {"status": "mail_sent", "expires_in_s": 86400}
    assert users(door) == [], "nothing is kept before the address is proven"
    (mail,) = door.mails()
    assert (mail.to, mail.message["From"], mail.message["To"]) == ("Ada@example.com", "storage@example.com", "Ada@example.com")
    assert mail.message["Subject"] == "Example & Sons: confirm your email address"
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert f"{url_of(door.tenant)}/console/signup/" in text_of(mail)
    assert "24 hours" in text_of(mail)
    made = ok(door.complete(token_of(mail)), 201)
    assert (made["email"], made["name"], made["role"], made["status"]) == ("Ada@example.com", "Ada L.", "viewer", "active")
    (event,) = door.world.rows(door.tenant, "events", "kind = 'user.created' AND subject = %(id)s", id=UUID(made["id"]))
    assert event["actor"] == {"user_id": made["id"], "signed_up": True}
    assert event["data"] == {"email": "Ada@example.com", "role": "viewer"}
    ok(door.client.post(LOGIN, json={"email": "ada@example.com", "password": PASSWORD}))


def test_the_name_can_be_another_when_the_link_is_opened(door: Door) -> None:
    assert ok(door.complete(door.token(name="Whatever"), name="Ada Lovelace"), 201)["name"] == "Ada Lovelace"


# What is allowed


def test_closed_is_how_it_begins(door: Door, mailing: World) -> None:
    tenant = mailing.create_tenant()
    problem(mailing.client(tenant).post(SIGN_UP, json={"email": "a@example.com"}), 403, "sign_up_closed")
    assert door.mails() == []


ADMITTED = ["a@example.com", "a@EXAMPLE.com", "a@müller.example", "a@xn--mller-kva.example", "a@MÜLLER.example", "a.b+c@example.com"]
REFUSED = [
    "a@sub.example.com", "a@notexample.com", "a@example.com.evil.test", "user@example.com@evil.test", "a@com", "a@exаmple.com",
    "a@evil.test", "a@example.co",
]  # fmt: skip
WRONG = ["a@example.com.", "a@", "@example.com", "a b@example.com", "a@exa mple.com", "a@[127.0.0.1]", "a@127.0.0.1", '"a@b"@example.com',
    "a%evil.test@example.com", "evil.test!a@example.com", "a@evil.test,b@example.com", "<a@evil.test>b@example.com", ".a@example.com",
    "a..b@example.com", "a@example.com\r\nBcc: b@evil.test", "a\r\nBcc:b@example.com", "x" * 65 + "@example.com", "ªdmin@example.com",
    "a@example.com。", "a@exam_ple.com", "a@-example.com", "a" + "@" + "x" * 64 + ".com",
]  # fmt: skip


def test_only_addresses_of_the_domains(make_door: MakeDoor) -> None:
    door = make_door("domains", domains=("example.com", "xn--mller-kva.example"))
    for email in REFUSED[:4] + REFUSED[5:]:
        answer = door.ask(email)
        assert answer.status_code in {403, 422}, email
        if answer.status_code == 403:
            problem(answer, 403, "email_domain_not_allowed")
    for email in ADMITTED[:5]:
        ok(door.ask(email.replace("a@", f"a{ADMITTED.index(email)}@")), 202)
    assert [each.to.partition("@")[2] for each in door.mails()] == ["example.com"] * 2 + ["xn--mller-kva.example"] * 3


@pytest.mark.parametrize("email", [*WRONG, "user@example.com@evil.test", "a@com"], ids=ascii)
def test_what_is_no_address(email: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        read(email)
    assert set(refused.value.extra["errors"]) == {"email"}  # type: ignore[call-overload]  # a dictionary


def test_no_address_is_mailed_to_that_is_none(door: Door) -> None:
    for email in ("", "no address", "a@example.com\r\nBcc: b@evil.test", "user@example.com@evil.test", "x" * 330):
        assert set(problem(door.ask(email), 422, "validation_failed")["errors"]) == {"email"}
    assert door.world.jobs(door.tenant) == []


@pytest.mark.parametrize("name", ["a\r\nBcc: b@evil.test", "a\nb", "\x1b[31m", "x" * 201])
def test_what_is_no_name(door: Door, name: str) -> None:
    assert set(problem(door.ask(name=name), 422, "validation_failed")["errors"]) == {"name"}
    token = door.token()
    assert set(problem(door.complete(token, name=name), 422, "validation_failed")["errors"]) == {"name"}


def test_without_a_mail_server(world: World) -> None:
    tenant = world.create_tenant()
    set_policy(world, tenant, mode="open")
    told = problem(world.client(tenant).post(SIGN_UP, json={"email": "a@example.com"}), 503, "mail_not_set_up")
    assert "STRONGROOM_SMTP_HOST" in told["detail"]
    assert world.jobs(tenant) == []


def test_the_policy_is_looked_at_again_when_the_link_is_opened(make_door: MakeDoor) -> None:
    door = make_door("domains", domains=("example.com",))
    token = door.token()
    set_policy(door.world, door.tenant, mode="domains", domains=["other.com"])
    problem(door.complete(token), 403, "email_domain_not_allowed")
    set_policy(door.world, door.tenant, mode="closed")
    problem(door.complete(token), 403, "sign_up_closed")
    set_policy(door.world, door.tenant, mode="open", role="viewer")
    assert ok(door.complete(token), 201)["role"] == "viewer"


def test_a_policy_that_was_closed_before_the_mail_went_out(door: Door) -> None:
    ok(door.ask(), 202)
    set_policy(door.world, door.tenant, mode="closed")
    assert door.mails() == []


# Who has an account is told by mail alone


def known_ones(door: Door) -> dict[str, str]:
    """One user of each status, and an address of nobody."""
    world, tenant = door.world, door.tenant
    owner = door.manage()
    world.create_user(tenant, "member", email="active@example.com")
    shut_out = world.create_user(tenant, "member", email="disabled@example.com")
    ok(owner.patch(f"/api/v1/users/{shut_out.id}", json={"disabled": True}))
    ok(owner.post("/api/v1/users", json={"email": "invited@example.com", "role": "admin"}), 201)
    return {each: f"{each}@example.com" for each in ("active", "disabled", "invited", "nobody")}


def test_the_answer_tells_nobody_who_has_an_account(door: Door) -> None:
    emails = known_ones(door)
    ok(door.ask("first@example.com"), 202)  # whatever is done once for a tenant is done
    found = {}
    for status, email in emails.items():
        with Statements(door.world.runtime) as counted:
            answer = door.ask(email)
        kept = sorted((name, value) for name, value in answer.headers if name != "X-Request-Id" and "RateLimit" not in name)
        found[status] = (answer.status_code, answer.data, kept, [each for each in counted.texts if "strongroom.tenants" not in each])
    assert found["active"] == found["disabled"] == found["invited"] == found["nobody"], "the statements of the database, too"
    jobs = door.world.jobs(door.tenant, kind=service.MAIL)
    assert len(jobs) == 5
    assert "example.com" not in str([each["ids"] for each in jobs]), "what somebody typed is sealed until it is mailed to"


def test_the_mail_tells_it_to_its_reader(door: Door) -> None:
    for email in known_ones(door).values():
        ok(door.ask(email, name="Buy at http://evil.test now"), 202)
    texts = {each.to.partition("@")[0]: text_of(each) for each in door.mails()}
    assert sorted(texts) == ["active", "disabled", "invited", "nobody"]
    assert [name for name, text in texts.items() if LINK.search(text)] == ["nobody"]
    assert f"{url_of(door.tenant)}/console/login" in texts["active"]
    assert "invitation" in texts["invited"]
    assert "administrator" in texts["disabled"]
    assert not [text for text in texts.values() if "evil" in text], "nobody has words of theirs sent from here"
    assert len({each.message["Message-ID"] for each in door.server.mails}) == 4


def test_an_invitation_in_another_script_is_known(door: Door) -> None:
    door.world.create_user(door.tenant, "member", email="a@xn--mller-kva.example")
    door.world.create_user(door.tenant, "member", email="b@MÜLLER.example")
    for email in ("a@müller.example", "b@xn--mller-kva.example"):
        ok(door.ask(email), 202)
    assert not [mail for mail in door.mails() if LINK.search(text_of(mail))]


def test_who_signs_up_in_another_script_signs_in_as_it_is_shown(door: Door) -> None:
    made = ok(door.complete(door.token("Ada@MÜLLER.example")), 201)
    assert made["email"] == "Ada@müller.example"
    ok(door.client.post(LOGIN, json={"email": "ada@müller.example", "password": PASSWORD}))


def test_a_sharp_s_is_not_two() -> None:
    """`email_key` makes one of them; then the address stays in ASCII, so that nobody is taken for somebody else."""
    assert read("a@straße.example").email == "a@xn--strae-oqa.example"
    assert read("a@straße.example").keys.isdisjoint(read("a@strasse.example").keys)


# The link


def test_a_link_is_good_once(door: Door) -> None:
    token = door.token()
    ok(door.complete(token), 201)
    problem(door.complete(token, password="of somebody else's"), 409, "already_exists")
    problem(door.client.post(LOGIN, json={"email": "ada@example.com", "password": "of somebody else's"}), 401, "invalid_credentials")


def test_of_two_links_one_makes_the_account(door: Door) -> None:
    first, second = door.token(), door.token()
    ok(door.complete(second), 201)
    problem(door.complete(first), 409, "already_exists")


def test_of_many_at_once_one_makes_the_account(door: Door) -> None:
    token = door.token()
    answers = all_at_once([lambda n=n: door.complete(token, password=f"password number {n}") for n in range(6)])
    assert sorted(each.status_code for each in answers) == [201] + [409] * 5
    assert users(door) == ["ada@example.com"]


def test_a_link_brings_no_removed_user_back(door: Door) -> None:
    """Somebody who lost the account, and the mailbox, but kept a link that was never used."""
    unused, used = door.token(), door.token()
    made = ok(door.complete(used), 201)
    owner = door.manage()
    ok(owner.delete(f"/api/v1/users/{made['id']}"), 204)
    for token in (unused, used):
        problem(door.complete(token), 404, "not_found")
    ok(door.complete(door.token()), 201)


def test_a_link_lets_nobody_in_who_was_shut_out_or_invited_meanwhile(door: Door) -> None:
    door.world.create_user(door.tenant, "member", email="other@example.com")
    token = door.token()
    owner = door.manage()
    invited = ok(owner.post("/api/v1/users", json={"email": "ADA@example.com", "role": "admin"}), 201)
    problem(door.complete(token), 409, "already_exists")
    ok(owner.patch(f"/api/v1/users/{invited['id']}", json={"disabled": True}))
    problem(door.complete(token), 409, "already_exists")
    assert [row["status"] for row in door.world.rows(door.tenant, "users", "email = 'ADA@example.com'")] == ["disabled"]


def test_an_expired_link(door: Door) -> None:
    late = service.make_token(door.world.runtime, door.tenant, read("a@example.com"), "", asked_at=1.0)
    problem(door.complete(late), 401, "token_expired")


def test_a_link_is_good_from_when_it_was_asked_for(door: Door) -> None:
    """However long its mail waited."""
    ok(door.ask(), 202)
    door.world.sql("UPDATE strongroom.jobs SET created_at = now() - interval '25 hours' WHERE kind = %(kind)s", kind=service.MAIL)
    assert door.mails() == []


def test_another_tenants_link(door: Door, make_door: MakeDoor) -> None:
    other, token = make_door(), door.token()
    problem(other.complete(token), 401, "token_invalid")
    ok(door.complete(token), 201)


def test_a_link_is_good_for_nothing_else(door: Door) -> None:
    token, mine = door.token(), door.client
    problem(mine.post("/api/v1/auth/invite/accept", json={"token": token, "password": PASSWORD}), 401, "token_invalid")
    problem(mine.as_(token).get("/api/v1/account"), 401, "token_invalid")
    problem(mine.post("/api/v1/auth/refresh", json={"refresh_token": token}), 401, "token_invalid")
    assert mine.get(f"/api/v1/links/{token}").status_code == 404
    cookie = mine.with_headers({"Cookie": f"sr_console={token}"})
    assert cookie.get("/api/v1/account").status_code == 401


def test_nothing_else_is_a_link(door: Door) -> None:
    runtime, tenant = door.world.runtime, door.tenant
    claims = {"name": "", "ends": 9e9}
    for purpose, key in (("invite", "invite"), ("invite", "signup"), ("signup", "invite"), ("signup", "session"), ("download", "signup")):
        forged = sign(runtime.keys.tenant_key(tenant.id, key), purpose, "ada@example.com", 60, **claims)
        problem(door.complete(forged), 401, "token_invalid")
    for sub, more in (("no address", claims), ("ada@example.com", {}), ("ada@example.com", {"name": "", "ends": "never"})):
        wrong = sign(runtime.keys.tenant_key(tenant.id, "signup"), "signup", sub, 60, **more)
        problem(door.complete(wrong), 401, "token_invalid")
    for text in ("", "x", "a.b.c"):
        assert door.complete(text).status_code in {401, 422}
    assert users(door) == []


def test_a_short_password_uses_no_link_up(door: Door) -> None:
    token = door.token()
    assert set(problem(door.complete(token, password="short"), 422, "validation_failed")["errors"]) == {"password"}
    ok(door.complete(token), 201)


# Room


def test_the_quota_is_exact_at_its_edge(make_door: MakeDoor) -> None:
    door = make_door(quota_users=4)  # its owner is one
    tokens = [
        service.make_token(door.world.runtime, door.tenant, read(f"u{n}@example.com"), "", asked_at=4e9) for n in range(20)
    ]  # fmt: skip
    answers = all_at_once([lambda each=each: door.complete(each) for each in tokens])
    assert sorted(each.status_code for each in answers) == [201] * 3 + [507] * 17
    assert len(users(door)) == 3
    refused = next(each for each in answers if each.status_code == 507)
    told = problem(refused, 507, "quota_exceeded")
    assert (told["resource"], "limit" in told, "used" in told) == ("users", False, False), "how many there are is no stranger's business"
    door.world.run_jobs()
    assert door.world.rows(door.tenant, "events", "kind = 'quota.warning' AND data->>'percent' = '100'")


def test_a_link_stays_good_until_there_is_room(make_door: MakeDoor) -> None:
    door = make_door(quota_users=2)
    member = door.world.create_user(door.tenant, "member")
    token = door.token()
    problem(door.complete(token), 507, "quota_exceeded")
    owner = door.manage()
    ok(owner.delete(f"/api/v1/users/{member.id}"), 204)
    ok(door.complete(token), 201)


# Mail


def test_a_mail_that_is_put_off_is_sent_again(door: Door) -> None:
    door.server.answer = "451 later"
    ok(door.ask(), 202)
    assert door.mails() == []
    door.server.answer = ""
    first, second = door.server.refused[0].message, door.mails()[0].message
    assert first["Message-ID"] == second["Message-ID"]
    ok(door.complete(token_of(door.server.mails[0])), 201)


def test_a_mail_that_is_refused_for_good_is_let_be(door: Door) -> None:
    door.server.answer = "550 no such user"
    ok(door.ask(), 202)
    assert door.mails() == []
    assert [each["state"] for each in door.world.jobs(door.tenant, kind=service.MAIL)] == ["done"]


def test_the_link_leads_to_where_it_was_asked_for(door: Door) -> None:
    domain = f"files-{door.tenant.slug}.example.org"
    door.world.sql(
        "INSERT INTO strongroom.domains (domain, tenant_id, token, verified_at) VALUES (%(domain)s, %(id)s, 'x', now())",
        domain=domain, id=door.tenant.id,
    )  # fmt: skip
    ok(door.world.client(domain).post(SIGN_UP, json={"email": "ada@example.com"}), 202)
    assert f"http://{domain}/console/signup/" in text_of(door.mails()[0])
    stranger = door.client.with_headers({"X-Forwarded-Host": "evil.test", "Origin": "http://evil.test"})
    ok(stranger.post(SIGN_UP, json={"email": "eve@example.com"}), 202)
    assert f"http://{host_of(door.tenant)}/console/signup/" in text_of(door.mails()[1])


def test_on_the_platforms_host_the_header_names_the_tenant(door: Door) -> None:
    platform = door.world.client().with_headers({"X-Tenant": door.tenant.slug})
    ok(platform.post(SIGN_UP, json={"email": "ada@example.com"}), 202)
    token = token_of(door.mails()[0])
    assert url_of(door.tenant) in text_of(door.mails()[0])
    ok(platform.post(COMPLETE, json={"token": token, "password": PASSWORD}), 201)
