"""Users of a tenant: roles, the last owner, invitations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from strongroom.access import Role, Scope
from strongroom.security.tokens import sign
from strongroom.users import service

from tenants.models import Tenant
from tests.factories import PASSWORD, Account, Client, World, host_of, ok, problem
from tests.slow import all_at_once

USERS = "/api/v1/users"
ACCEPT = "/api/v1/auth/invite/accept"


@pytest.fixture
def admin(world: World, tenant: Tenant) -> Client:
    return world.client(world.create_user(tenant, "admin"))


def test_a_user_with_a_password(world: World, client: Client, tenant: Tenant) -> None:
    made = ok(client.post(USERS, json={"email": "new@example.com", "name": "New", "role": "viewer", "password": PASSWORD}), 201)
    assert (made["role"], made["status"], made["name"]) == ("viewer", "active", "New")
    assert made.get("invite_token") is None
    account = Account(tenant, UUID(made["id"]), "new@example.com", Role.VIEWER)
    ok(world.client(account).get("/api/v1/account"))


@pytest.mark.parametrize("body", [
    {}, {"email": "x"}, {"email": "no address"}, {"email": "a b@c.d"}, {"email": "a@b\n.c"}, {"email": "@b.c"}, {"email": "a@"},
    {"email": "x" * 320 + "@y.z"},
    {"email": "a@b.c", "role": "root"}, {"email": "a@b.c", "role": "OWNER"}, {"email": "a@b.c", "password": "short"},
    {"email": "a@b.c", "name": "x" * 201},
    {"email": "a@b.c", "status": "active"}, {"email": "a@b.c", "id": "x"},
], ids=lambda each: str(each)[:50])  # fmt: skip
def test_users_that_are_none(client: Client, body: Any) -> None:
    problem(client.post(USERS, json=body), 422, "validation_failed")


@pytest.mark.parametrize("body", [{"email": "a\0@b.c"}, {"email": "a@b.c", "name": "\0"}, {"email": "\ud800@b.c"}], ids=ascii)
def test_users_of_no_text(client: Client, body: Any) -> None:
    assert client.post(USERS, json=body).status_code in {400, 422}


def test_one_email_is_one_user(client: Client, owner: Account) -> None:
    for email in (owner.email, owner.email.upper(), f" {owner.email} "):
        problem(client.post(USERS, json={"email": email}), 409, "already_exists")


def test_the_same_email_twice_at_once(client: Client) -> None:
    answers = all_at_once([lambda: client.post(USERS, json={"email": "same@example.com"})] * 4)
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]


# Owners


def test_only_owners_make_change_and_remove_owners(world: World, tenant: Tenant, owner: Account, client: Client, admin: Client) -> None:
    member = world.create_user(tenant, "member")
    for response in (
        admin.post(USERS, json={"email": "o@example.com", "role": "owner"}),
        admin.post(USERS, json={"email": "o@example.com", "role": "owner", "password": PASSWORD}),
        admin.patch(f"{USERS}/{member.id}", json={"role": "owner"}),
        admin.patch(f"{USERS}/{owner.id}", json={"role": "member"}),
        admin.patch(f"{USERS}/{owner.id}", json={"disabled": True}),
        admin.patch(f"{USERS}/{owner.id}", json={"name": "renamed"}),
        admin.delete(f"{USERS}/{owner.id}"),
    ):
        problem(response, 403, "forbidden")
    ok(client.patch(f"{USERS}/{member.id}", json={"role": "owner"}))
    ok(client.patch(f"{USERS}/{owner.id}", json={"role": "member"}))
    problem(client.get(USERS), 403, "forbidden")


def test_an_admins_key_makes_no_owners(world: World, tenant: Tenant, owner: Account) -> None:
    key = world.client(tenant, world.create_api_key(world.create_user(tenant, "admin"), Scope.ADMIN))
    problem(key.post(USERS, json={"email": "o@example.com", "role": "owner"}), 403, "forbidden")
    problem(key.delete(f"{USERS}/{owner.id}"), 403, "forbidden")


def test_the_last_owner_stays(world: World, tenant: Tenant, owner: Account, client: Client) -> None:
    url = f"{USERS}/{owner.id}"
    disabled = world.create_user(tenant, "owner")
    ok(client.patch(f"{USERS}/{disabled.id}", json={"disabled": True}))
    ok(client.post(USERS, json={"email": "invited@example.com", "role": "owner"}), 201)
    for response in (client.patch(url, json={"role": "admin"}), client.patch(url, json={"disabled": True}), client.delete(url)):
        problem(response, 409, "last_owner")
    ok(client.patch(url, json={"name": "Still here"}))
    ok(client.patch(f"{USERS}/{disabled.id}", json={"disabled": False}))
    ok(client.delete(url), 204)


def test_two_owners_cannot_step_down_at_once(world: World) -> None:
    for _ in range(5):
        tenant = world.create_tenant()
        pair = [world.create_user(tenant, "owner") for _ in range(2)]
        clients = [world.client(each) for each in pair]
        acts = [
            lambda client=client, account=account: client.patch(f"{USERS}/{account.id}", json={"role": "admin"})
            for client, account in zip(clients, pair, strict=True)
        ]
        answers = all_at_once(acts)
        assert sorted(each.status_code for each in answers) == [200, 409]


def test_owners_cannot_remove_each_other_at_once(world: World) -> None:
    tenant = world.create_tenant()
    pair = [world.create_user(tenant, "owner") for _ in range(2)]
    clients = [world.client(each) for each in pair]
    acts = [
        lambda client=client, other=other: client.delete(f"{USERS}/{other.id}") for client, other in zip(clients, pair[::-1], strict=True)
    ]
    statuses = sorted(each.status_code for each in all_at_once(acts))
    assert statuses in ([204, 401], [204, 409])
    assert len(world.rows(tenant, "users")) == 1


# Invitations


@pytest.fixture
def invitation(client: Client) -> Any:
    return ok(client.post(USERS, json={"email": "guest@example.com", "role": "member"}), 201)


def test_an_invitation_is_good_once(world: World, tenant: Tenant, invitation: Any) -> None:
    assert invitation["status"] == "invited"
    assert invitation["invite_url"] == f"http://{host_of(tenant)}/console/invite/{invitation['invite_token']}"
    door = world.client(tenant)
    body = {"token": invitation["invite_token"], "name": "Guest", "password": "my new password"}
    accepted = ok(door.post(ACCEPT, json=body))
    assert (accepted["status"], accepted["name"], accepted["role"]) == ("active", "Guest", "member")
    problem(door.post(ACCEPT, json={**body, "password": "somebody else's"}), 404, "not_found")
    ok(door.post("/api/v1/auth/login", json={"email": "guest@example.com", "password": "my new password"}))


def test_an_invitation_is_taken_once_of_two_at_once(world: World, tenant: Tenant, invitation: Any) -> None:
    door = world.client(tenant)
    acts = [
        lambda each=each: door.post(ACCEPT, json={"token": invitation["invite_token"], "password": f"password number {each}"})
        for each in range(4)
    ]
    assert sorted(each.status_code for each in all_at_once(acts)) == [200, 404, 404, 404]


def test_an_expired_invitation(world: World, tenant: Tenant, invitation: Any) -> None:
    (row,) = world.rows(tenant, "users", "status = 'invited'")
    key = world.runtime.keys.tenant_key(tenant.id, service.INVITE)
    late = sign(key, service.INVITE, invitation["id"], -1, invite=str(row["invite_id"]))
    problem(world.client(tenant).post(ACCEPT, json={"token": late, "password": PASSWORD}), 401, "token_expired")


def test_an_invitation_that_was_replaced(world: World, tenant: Tenant, invitation: Any) -> None:
    newer = service.invite_again(world.runtime, tenant, UUID(invitation["id"]))
    door = world.client(tenant)
    problem(door.post(ACCEPT, json={"token": invitation["invite_token"], "password": PASSWORD}), 404, "not_found")
    ok(door.post(ACCEPT, json={"token": newer.token, "password": PASSWORD}))


def test_an_invitation_of_a_user_who_was_removed(world: World, tenant: Tenant, client: Client, invitation: Any) -> None:
    ok(client.delete(f"{USERS}/{invitation['id']}"), 204)
    problem(world.client(tenant).post(ACCEPT, json={"token": invitation["invite_token"], "password": PASSWORD}), 404, "not_found")


def test_an_invitation_of_a_user_who_was_disabled(world: World, tenant: Tenant, client: Client, invitation: Any) -> None:
    """Shutting out somebody who has not accepted yet must hold."""
    response = client.patch(f"{USERS}/{invitation['id']}", json={"disabled": True})
    if response.status_code == 200:
        problem(world.client(tenant).post(ACCEPT, json={"token": invitation["invite_token"], "password": PASSWORD}), 404, "not_found")
    else:
        problem(response, 409, "conflict")


def test_a_short_password_uses_no_invitation_up(world: World, tenant: Tenant, invitation: Any) -> None:
    door = world.client(tenant)
    problem(door.post(ACCEPT, json={"token": invitation["invite_token"], "password": "short"}), 422, "validation_failed")
    ok(door.post(ACCEPT, json={"token": invitation["invite_token"], "password": PASSWORD}))


def test_an_access_token_is_no_invitation(world: World, client: Client, tenant: Tenant) -> None:
    problem(world.client(tenant).post(ACCEPT, json={"token": client.token, "password": PASSWORD}), 401, "token_invalid")


def test_removing_a_user_leaves_its_files(world: World, tenant: Tenant, client: Client) -> None:
    world.create_bucket(tenant)
    member = world.create_user(tenant, "member")
    world.upload(world.client(member), "a.txt")
    world.run_jobs()
    ok(client.delete(f"{USERS}/{member.id}"), 204)
    assert client.get("/api/v1/objects/media/a.txt").data == b"some text"
    assert world.rows(tenant, "api_keys") == []


def test_users_page_by_page(client: Client, owner: Account) -> None:
    for name in ("c", "B", "a"):
        ok(client.post(USERS, json={"email": f"{name}@example.com"}), 201)
    found, query = [], {"limit": "1"}
    while True:
        page = ok(client.get(USERS, query_string=query))
        found += [each["email"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == ["a@example.com", "B@example.com", "c@example.com", owner.email]
