"""Making an account at the console: without a script, with errors where they belong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.factories import PASSWORD, World, ok
from tests.signup.conftest import LINK, Door, set_policy, text_of

PAGE, LOGIN = "/console/signup", "/console/login"
MakeDoor = Callable[..., Door]


def shown(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, answer.data
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    return str(answer.get_data(as_text=True))


def cookies_of(answer: Any) -> dict[str, str]:
    return {"Cookie": "; ".join(each.partition(";")[0] for each in answer.headers.getlist("Set-Cookie"))}


def test_from_the_sign_in_page_to_ones_files(make_door: MakeDoor) -> None:
    door = make_door("domains", domains=("example.com",), name="Example & Sons")
    client = door.client
    assert f'href="{PAGE}"' in shown(client.get(LOGIN))
    form = shown(client.get(PAGE))
    assert "Example &amp; Sons" in form
    assert "example.com" in form
    sent = client.post(PAGE, data={"email": "Ada@example.com", "name": "Ada <b>"})
    assert (sent.status_code, sent.headers["Location"]) == (303, f"{PAGE}/sent")
    assert "Ada@example.com" in shown(client.get(f"{PAGE}/sent", headers=cookies_of(sent)))
    assert "the address you gave" in shown(client.get(f"{PAGE}/sent"))
    found = LINK.search(text_of(door.mails()[0]))
    assert found is not None
    url = f"{PAGE}/{found[1]}"
    opened = shown(client.get(url))
    assert 'value="Ada &lt;b&gt;"' in opened
    assert "Ada@example.com" in opened
    wrong = shown(client.post(url, data={"name": "Ada Lovelace", "password": "short"}), 422)
    assert ('id="password-error"' in wrong, 'value="Ada Lovelace"' in wrong, "short" in wrong) == (True, True, False)
    done = client.post(url, data={"name": "Ada Lovelace", "password": PASSWORD})
    assert (done.status_code, done.headers["Location"]) == (303, "/console/")
    inside = client.with_headers(cookies_of(done))
    assert "Ada Lovelace" in shown(inside.get("/console/account/"))
    assert inside.get(PAGE).headers["Location"] == "/console/"
    again = shown(client.post(url, data={"name": "x", "password": "of somebody else's"}), 409)
    assert (LOGIN in again, "sign in" in again) == (True, True)


@pytest.mark.parametrize(("email", "status"), [("no address", 422), ("a@evil.test", 403), ("", 422), ("a@example.com\nBcc: b@c.d", 422)])
def test_what_is_wrong_is_told_at_its_field(make_door: MakeDoor, email: str, status: int) -> None:
    door = make_door("domains", domains=("example.com",))
    page = shown(door.client.post(PAGE, data={"email": email, "name": "Kept"}), status)
    assert 'id="email-error"' in page
    assert 'value="Kept"' in page
    assert door.world.jobs(door.tenant) == []


def test_the_page_after_it_tells_nobody_who_has_an_account(door: Door) -> None:
    door.world.create_user(door.tenant, "member", email="known@example.com")
    pair = [door.client.post(PAGE, data={"email": f"{name}@example.com", "name": ""}) for name in ("known", "other")]
    assert pair[0].data == pair[1].data
    assert [each.status_code for each in pair] == [303, 303]
    assert len({len(str(each.headers.getlist("Set-Cookie"))) for each in pair}) == 1


def test_where_it_is_closed_there_is_no_way_to_it(door: Door) -> None:
    set_policy(door.world, door.tenant, mode="closed")
    assert PAGE not in shown(door.client.get(LOGIN))
    assert "invitation" in shown(door.client.get(PAGE), 404)
    assert "invitation" in shown(door.client.post(PAGE, data={"email": "a@example.com", "name": ""}), 404)


def test_where_no_mail_can_be_sent_there_is_none_either(world: World) -> None:
    tenant = world.create_tenant()
    set_policy(world, tenant, mode="open")
    assert PAGE not in shown(world.client(tenant).get(LOGIN))
    assert "invitation" in shown(world.client(tenant).get(PAGE), 404)


def test_links_that_do_not_work(door: Door, make_door: MakeDoor) -> None:
    token, other = door.token(), make_door()
    for text in ("x", token[:-4] + "AAAA"):
        assert "no longer works" in shown(door.client.get(f"{PAGE}/{text}"), 404)
        assert "no longer works" in shown(door.client.post(f"{PAGE}/{text}", data={"password": PASSWORD}), 404)
    assert "no longer works" in shown(other.client.get(f"{PAGE}/{token}"), 404)
    set_policy(door.world, door.tenant, mode="domains", domains=["other.com"])
    assert "any more" in shown(door.client.get(f"{PAGE}/{token}"), 403)
    set_policy(door.world, door.tenant, mode="closed")
    assert "invitation" in shown(door.client.get(f"{PAGE}/{token}"), 403)


def test_another_sites_form_is_refused(door: Door) -> None:
    foreign, token = {"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}, door.token()
    assert door.client.post(PAGE, data={"email": "b@example.com", "name": ""}, headers=foreign).status_code == 403
    assert door.client.post(f"{PAGE}/{token}", data={"name": "", "password": PASSWORD}, headers=foreign).status_code == 403
    assert len(door.mails()) == 1


def test_no_room_is_told_on_the_form(make_door: MakeDoor) -> None:
    door = make_door(quota_users=1)
    page = shown(door.client.post(f"{PAGE}/{door.token()}", data={"name": "Ada", "password": PASSWORD}), 507)
    assert 'role="alert"' in page
    assert 'value="Ada"' in page


# The settings' page


def test_the_policy_on_the_settings_page(door: Door) -> None:
    browser, page = door.world.browser(door.owner), "/console/settings/"
    present = ok(door.manage().get("/api/v1/tenant/settings"))
    form = {
        "version": str(present["version"]), "allowed_types": "", "max_size": "", "max_size_unit": "GB", "trash_days": "30",
        "cache_max_age_s": "300", "access_token_lifetime_s": "", "session_lifetime_s": "", "versioning": "1",
        "uploader_gets_unchecked": "1", "buckets_may_serve_unscanned": "1",
    }  # fmt: skip
    before = shown(browser.get(page))
    assert 'name="sign_up_mode"' in before
    assert "STRONGROOM_SMTP_HOST" not in before
    for domains in ("", "no domain", "*.example.com"):
        wrong = {"sign_up_mode": "domains", "sign_up_domains": domains, "sign_up_role": "viewer"}
        assert 'id="sign_up_domains-error"' in shown(browser.post(page, data={**form, **wrong}), 422), domains
    assert 'id="sign_up_role-error"' in shown(
        browser.post(page, data={**form, "sign_up_mode": "open", "sign_up_domains": "", "sign_up_role": "owner"}), 422
    )
    good = {"sign_up_mode": "domains", "sign_up_domains": "Example.COM\nmüller.example\n", "sign_up_role": "viewer"}
    assert browser.post(page, data={**form, **good}).status_code == 303
    changed = ok(door.manage().get("/api/v1/tenant/settings"))
    assert changed["sign_up"] == {"mode": "domains", "domains": ["example.com", "xn--mller-kva.example"], "role": "viewer"}
    assert changed["version"] == present["version"] + 1
    assert "müller.example" in shown(browser.get(page))
    assert browser.post(page, data={**form, **good, "version": str(changed["version"])}).status_code == 303
    assert ok(door.manage().get("/api/v1/tenant/settings"))["version"] == changed["version"], "what changes nothing is no version"


def test_the_settings_page_says_when_no_mail_can_be_sent(world: World) -> None:
    owner = world.create_user(world.create_tenant(), "owner")
    assert "STRONGROOM_SMTP_HOST" in shown(world.browser(owner).get("/console/settings/"))
