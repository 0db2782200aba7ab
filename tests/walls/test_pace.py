"""The wall of pace: what one tenant does slowly, often or at once, no other tenant feels."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tenants.models import Tenant
from tests.factories import Account, Client, World, object_url, ok, problem, put_object
from tests.slow import BOUND_S, InBackground, SlowBody, slow_upload

ACCOUNT = "/api/v1/account"


@pytest.fixture
def neighbour(world: World) -> Account:
    made = world.create_user(world.create_tenant())
    world.create_bucket(made.tenant)
    return made


@pytest.fixture
def narrow(world: World) -> World:
    """A process with four threads, of which a tenant may hold two."""
    return world.again(threads=4, tenant_thread_share=0.5)


@pytest.mark.usefixtures("bucket")
def test_a_tenant_holds_its_share_of_threads_only(narrow: World, owner: Account, neighbour: Account) -> None:
    mine, other = narrow.client(owner), narrow.client(neighbour)
    with slow_upload(mine, "1.txt") as first, slow_upload(mine, "2.txt") as second:
        response = mine.get(ACCOUNT)
        problem(response, 429, "tenant_busy")
        assert int(response.headers["Retry-After"]) > 0
        problem(Client(narrow.app, mine.host).get(ACCOUNT), 429, "tenant_busy")
        ok(other.get(ACCOUNT))
        narrow.upload(other, "quick.txt")
        assert first().status_code == 201
        ok(mine.get(ACCOUNT))
        assert second().status_code == 201
    ok(mine.get(ACCOUNT))


@pytest.mark.usefixtures("bucket")
def test_a_slow_download_holds_a_thread_until_its_end(narrow: World, owner: Account) -> None:
    mine = narrow.client(owner)
    narrow.upload(mine, "a.txt")
    base = {"base_url": f"http://{mine.host}", "headers": mine.headers}
    raw = narrow.app.test_client(use_cookies=False)
    running = [raw.get(object_url("media", "a.txt"), buffered=False, **base) for _ in range(2)]
    assert [each.status_code for each in running] == [200, 200]
    problem(mine.get(ACCOUNT), 429, "tenant_busy")
    running[0].close()
    ok(mine.get(ACCOUNT))
    assert running[1].data == b"some text"
    running[1].close()
    ok(mine.get(ACCOUNT))


@pytest.mark.usefixtures("bucket")
def test_failed_requests_give_their_threads_back(narrow: World, owner: Account) -> None:
    mine = narrow.client(owner)
    for _ in range(5):
        problem(put_object(mine, "nowhere", "a.txt"), 404, "not_found")
        problem(mine.get("/api/v1/nowhere"), 404, "not_found")
        problem(mine.as_("nonsense").get(ACCOUNT), 401, "token_invalid")
        problem(mine.get(object_url("media", "none.txt")), 404, "not_found")
    ok(mine.get(ACCOUNT))


def test_request_rate_of_a_tenant(world: World, neighbour: Account) -> None:
    tenant = world.create_tenant(requests_per_s=3)
    mine = world.client(world.create_user(tenant))
    other = world.client(neighbour)
    answers = [mine.get(ACCOUNT) for _ in range(20)]
    assert {each.status_code for each in answers} <= {200, 429}
    refused = [each for each in answers if each.status_code == 429]
    assert refused
    problem(refused[0], 429, "too_many_requests")
    assert int(refused[0].headers["Retry-After"]) >= 0
    assert [other.get(ACCOUNT).status_code for _ in range(20)] == [200] * 20


def test_parallel_uploads_of_a_tenant(world: World, neighbour: Account) -> None:
    tenant: Tenant = world.create_tenant(parallel_uploads=2)
    world.create_bucket(tenant)
    mine = world.client(world.create_user(tenant))
    with ExitStack() as running:
        finish = [running.enter_context(slow_upload(mine, f"{number}.txt")) for number in range(2)]
        response = put_object(mine, "media", "third.txt")
        problem(response, 429, "too_many_uploads")
        assert int(response.headers["Retry-After"]) > 0
        world.upload(world.client(neighbour), "elsewhere.txt")
        assert finish[0]().status_code == 201
        world.upload(mine, "third.txt")
    assert world.totals(tenant) == {"used_bytes": 17, "used_files": 3, "reserved_bytes": 0, "reserved_files": 0}


def test_wrong_passwords_are_slowed_down_for_that_user_at_that_tenant_only(world: World, owner: Account, neighbour: Account) -> None:
    client = world.client(owner.tenant)
    wrong = {"email": owner.email, "password": "wrong password"}
    answers = [client.post("/api/v1/auth/login", json=wrong).status_code for _ in range(25)]
    assert set(answers) == {401, 429}
    assert answers.count(401) <= 20  # ten a minute; a minute may end meanwhile
    right = {"email": owner.email.upper(), "password": owner.password}
    problem(client.post("/api/v1/auth/login", json=right), 429, "too_many_requests")
    colleague = world.create_user(owner.tenant)
    ok(client.post("/api/v1/auth/login", json={"email": colleague.email, "password": colleague.password}))
    same_mail = world.create_user(neighbour.tenant, email=owner.email)
    ok(world.client(neighbour.tenant).post("/api/v1/auth/login", json={"email": same_mail.email, "password": same_mail.password}))


def test_addresses_of_one_network_are_one_caller_who_guesses(world: World, owner: Account) -> None:
    client = world.client(owner.tenant)

    def guess(number: int, remote: str) -> int:
        body = {"email": f"{number}@{owner.email}", "password": "wrong password"}
        return client.post("/api/v1/auth/login", json=body, environ_overrides={"REMOTE_ADDR": remote}).status_code

    answers = [guess(number, f"2001:db8::{number:x}") for number in range(130)]
    assert set(answers) == {401, 429}
    assert answers.count(401) <= 120  # sixty a minute; a minute may end meanwhile
    assert guess(130, "2001:db8:0:1::1") == 401


def test_wrong_passwords_of_operators_are_slowed_down(world: World) -> None:
    someone = world.create_operator()
    client = world.client("localhost")
    wrong = {"email": someone.email, "password": "wrong password"}
    assert {client.post("/operator/api/v1/auth/login", json=wrong).status_code for _ in range(25)} == {401, 429}


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_no_connection_is_held_while_a_small_body_travels(world: World, owner: Account, method: str) -> None:
    """A body that is announced and does not come, whatever the method, costs nobody a connection."""
    one = world.again(pool_size=1, pool_timeout_s=0.2)
    client = one.client(owner)
    body = SlowBody(b'{"a": 1}')
    overrides = {"wsgi.input": body, "CONTENT_LENGTH": "8"}
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"silent {method}"}
    asked = InBackground(lambda: client.open(method, "/api/v1/files/none", headers=headers, environ_overrides=overrides))
    try:
        assert body.reached.wait(BOUND_S), "the body is read"
        ok(client.get(ACCOUNT))
    finally:
        body.go.set()
        asked.result()
