"""What a process knows of tenants: heard of at once, bounded, asked for once, and never believed for long when a message is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from strongroom.errors import DatabaseUnavailable
from strongroom.life import service as life
from strongroom.runtime import Runtime

from tenants import repository
from tenants.cache import TenantCache, jittered
from tenants.listening import LOOK_S
from tenants.models import Brand, Limits, Tenant, TenantStatus
from tests.acceptance.waiting import wait_until
from tests.factories import Client, Statements, World, host_of, ok, problem

ACCOUNT = "/api/v1/account"
LISTENING = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'strongroom listener' AND datname = current_database()
"""


def listening(runtime: Runtime) -> Runtime:
    """Wait until a process hears of changes."""
    runtime.registry.by_slug("nobody")
    wait_until(lambda: runtime.registry.listener.is_listening, 10, "listening")
    return runtime


def named(slug: str = "one") -> Tenant:
    limits = Limits(*[1] * 9)
    return Tenant(
        uuid4(), slug, slug, TenantStatus.ACTIVE, "default", uuid4(), slug, "standard", limits, Brand(slug), "0001", datetime.now(UTC)
    )


@pytest.fixture
def believing(world: World) -> World:
    """Another process that believes for ten minutes what it is not told to forget."""
    made = world.again(registry_lifetime_s=600)
    listening(made.runtime)
    return made


def status_at(runtime: Runtime, tenant: Tenant) -> str | None:
    found = runtime.registry.by_slug(tenant.slug)
    return found.status if found else None


def test_another_process_hears_of_a_suspension(world: World, believing: World, tenant: Tenant) -> None:
    client = Client(believing.app, host_of(tenant), world.client(world.create_user(tenant)).token)
    ok(client.get(ACCOUNT))
    life.suspend(world.runtime, tenant.id)
    wait_until(lambda: client.get(ACCOUNT).status_code == 403, 20, "suspended")
    life.resume(world.runtime, tenant.id)
    wait_until(lambda: client.get(ACCOUNT).status_code == 200, 20, "resumed")


def test_whatever_changes_a_tenant_is_heard(world: World, believing: World, tenant: Tenant) -> None:
    registry = believing.runtime.registry
    domain = f"files-{tenant.slug}.example.com"
    assert registry.by_host(domain) is None
    world.sql("INSERT INTO strongroom.domains VALUES (%(d)s, %(t)s, now())", d=domain, t=tenant.id)
    found = wait_until(lambda: registry.by_host(domain), 5)
    assert found is not None
    assert found.id == tenant.id
    world.sql("DELETE FROM strongroom.domains WHERE domain = %(d)s", d=domain)
    wait_until(lambda: registry.by_host(domain) is None, 5)
    world.sql("UPDATE strongroom.tenants SET name = 'Renamed' WHERE id = %(t)s", t=tenant.id)
    wait_until(lambda: getattr(registry.by_id(tenant.id), "name", "") == "Renamed", 5)
    world.sql("UPDATE strongroom.plans SET requests_per_s = requests_per_s + 1 WHERE name = 'standard'")
    wait_until(lambda: getattr(registry.by_id(tenant.id), "limits", tenant.limits) != tenant.limits, 5)
    world.sql("UPDATE strongroom.plans SET requests_per_s = requests_per_s - 1 WHERE name = 'standard'")


def test_a_new_tenant_is_found_where_there_was_none(world: World, believing: World) -> None:
    registry = believing.runtime.registry
    assert registry.by_slug("newcomer-of-registry") is None
    made = world.create_tenant("newcomer-of-registry")
    wait_until(lambda: getattr(registry.by_slug(made.slug), "id", None) == made.id, 5)


def test_only_the_changed_tenant_is_asked_for_again(world: World, believing: World, tenant: Tenant) -> None:
    other = world.create_tenant()
    runtime = believing.runtime
    for each in (tenant, other):
        wait_until(lambda slug=each.slug: getattr(runtime.registry.by_slug(slug), "status", None) == "active", 5)
    life.suspend(world.runtime, tenant.id)
    wait_until(lambda: status_at(runtime, tenant) == "suspended", 5)
    assert status_at(runtime, other) == "active"  # once more: what told of its making was heard before that of the suspension
    life.resume(world.runtime, tenant.id)
    wait_until(lambda: status_at(runtime, tenant) == "active", 5)
    with Statements(runtime) as statements:
        assert status_at(runtime, other) == "active"
    assert statements.texts == []


def test_a_lost_notification(world: World, tenant: Tenant) -> None:
    """The change is made where no trigger sees it: what is believed has an end."""
    runtime = listening(world.again(registry_lifetime_s=0.2).runtime)
    assert status_at(runtime, tenant) == "active"
    world.sql("ALTER TABLE strongroom.tenants DISABLE TRIGGER tell_change")
    try:
        life.suspend(world.runtime, tenant.id)
        wait_until(lambda: status_at(runtime, tenant) == "suspended", 5)
    finally:
        world.sql("ALTER TABLE strongroom.tenants ENABLE TRIGGER tell_change")


def test_a_listener_that_was_killed_comes_back_and_has_everything_forgotten(world: World, tenant: Tenant, believing: World) -> None:
    runtime = believing.runtime
    wait_until(lambda: status_at(runtime, tenant) == "active", 5)
    before = {row["pid"] for row in world.sql(LISTENING)}
    world.sql("ALTER TABLE strongroom.tenants DISABLE TRIGGER tell_change")
    try:
        life.suspend(world.runtime, tenant.id)
    finally:
        world.sql("ALTER TABLE strongroom.tenants ENABLE TRIGGER tell_change")
    assert status_at(runtime, tenant) == "active"  # believed for ten minutes: nobody said a word
    world.sql(f"SELECT pg_terminate_backend(pid) FROM ({LISTENING}) AS them")  # noqa: S608 - a constant
    wait_until(lambda: status_at(runtime, tenant) == "suspended", 10)
    wait_until(lambda: runtime.registry.listener.is_listening, 10)
    assert before.isdisjoint(row["pid"] for row in world.sql(LISTENING))
    life.resume(world.runtime, tenant.id)
    wait_until(lambda: status_at(runtime, tenant) == "active", 20, "heard again")


def test_while_nobody_listens_entries_live_for_a_moment(world: World, tenant: Tenant) -> None:
    nowhere = world.database.app_url.replace("port=", "port=1")
    deaf = world.again(registry_lifetime_s=600, listen_database_url=nowhere).runtime
    assert status_at(deaf, tenant) == "active"
    assert not deaf.registry.listener.is_listening
    life.suspend(world.runtime, tenant.id)
    wait_until(lambda: status_at(deaf, tenant) == "suspended", 20)


def test_closing_ends_the_listener(world: World) -> None:
    runtime = listening(world.again().runtime)
    names = [each.name for each in threading.enumerate()].count("registry-listener")
    runtime.close()
    runtime.close()
    assert [each.name for each in threading.enumerate()].count("registry-listener") == names - 1
    assert runtime.registry.by_slug("nobody") is None
    assert not runtime.registry.listener.is_listening
    runtime.close()


def test_a_stampede_asks_the_database_once(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = listening(world.again(registry_lifetime_s=600).runtime)
    threads, asked, together = 24, [], threading.Barrier(24)
    real = repository.find_by_slug

    def slow(connection: Any, slug: str) -> Tenant | None:
        asked.append(slug)
        found = real(connection, slug)
        connection.exec_driver_sql("SELECT pg_sleep(0.3)")
        return found

    monkeypatch.setattr(repository, "find_by_slug", slow)

    def ask(slug: str) -> UUID | None:
        together.wait(10)
        found = runtime.registry.by_slug(slug)
        return found.id if found else None

    with ThreadPoolExecutor(threads) as pool:
        assert set(pool.map(ask, [tenant.slug] * threads)) == {tenant.id}
        assert asked == [tenant.slug]
        assert set(pool.map(ask, ["nobody-at-all"] * threads)) == {None}
    assert asked == [tenant.slug, "nobody-at-all"]


def test_a_failure_reaches_all_who_wait_and_is_not_remembered(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = world.again(registry_listen=False).runtime
    monkeypatch.setattr(repository, "find_by_slug", lambda *_: (_ for _ in ()).throw(DatabaseUnavailable()))
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            runtime.registry.by_slug(tenant.slug)
    monkeypatch.undo()
    assert status_at(runtime, tenant) == "active"


def test_made_up_hosts_push_nobody_out(world: World, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.registry.MAX_MISSING", 5)
    runtime = listening(world.again(registry_lifetime_s=600, registry_cache_entries=3).runtime)
    registry = runtime.registry
    registry.by_slug(tenant.slug)
    for number in range(30):
        assert registry.by_host(f"host-{number}.example.com") is None
    assert len(registry) <= 6
    with Statements(runtime) as statements:
        assert registry.by_slug(tenant.slug)
    assert statements.texts == []


# The cache by itself


@pytest.fixture
def cache() -> TenantCache:
    return TenantCache(max_entries=3, max_missing=2, lifetime_s=lambda _found: 600)


def never() -> Tenant | None:
    raise AssertionError("asked again")


def test_the_least_recently_used_goes_first(cache: TenantCache) -> None:
    tenants = [named(f"t{number}") for number in range(4)]
    for each in tenants[:3]:
        cache.get(each.slug, lambda each=each: each)
    cache.get("t0", never)
    cache.get("t3", lambda: tenants[3])
    assert cache.get("t0", never) is tenants[0]
    assert len(cache) == 3
    assert cache.get("t1", lambda: tenants[1]) is tenants[1]


def test_forgetting_one_leaves_the_others(cache: TenantCache) -> None:
    one, other = named("one"), named("other")
    cache.get("slug:one", lambda: one)
    cache.get("id:one", lambda: one)
    cache.get("slug:other", lambda: other)
    cache.get("missing", lambda: None)
    cache.forget(one.id)
    assert cache.get("slug:other", never) is other
    assert len(cache) == 1
    assert cache.get("missing", lambda: one) is one


@pytest.mark.parametrize("forget", [lambda cache, tenant: cache.forget(tenant.id), lambda cache, _: cache.forget_all()])
def test_what_was_read_before_a_change_is_not_kept(cache: TenantCache, forget: Callable[[TenantCache, Tenant], None]) -> None:
    """The change is heard while the row is on its way: whoever asked before it may have the old one, nobody after it."""
    old, new = named(), named()

    def read() -> Tenant:
        forget(cache, old)
        assert cache.get("one", lambda: new) is new  # a caller that comes after the change does not wait for the old answer
        return old

    assert cache.get("one", read) is old
    assert cache.get("one", never) is new


def test_an_entry_has_an_end() -> None:
    ends: Iterator[float] = iter([-1.0, 600.0])
    cache = TenantCache(max_entries=3, max_missing=3, lifetime_s=lambda _found: next(ends))
    one, two = named(), named()
    assert cache.get("one", lambda: one) is one
    assert cache.get("one", lambda: two) is two
    assert cache.get("one", never) is two


def test_an_entry_lives_longer_while_changes_are_heard() -> None:
    hears = True
    cache = TenantCache(max_entries=3, max_missing=3, lifetime_s=lambda _found: -1.0, longest_s=600, is_current=lambda: hears)
    one, two = named(), named()
    assert cache.get("one", lambda: one) is one
    assert cache.get("one", never) is one
    assert cache.get("missing", lambda: None) is None
    assert cache.get("missing", lambda: two) is two, "what was not there is asked for again"
    cache.forget(one.id)
    assert cache.get("one", lambda: two) is two
    hears = False
    assert cache.get("one", lambda: one) is one


def test_the_listener_proves_that_it_hears(world: World) -> None:
    listener = listening(world.again().runtime).registry.listener
    first = wait_until(lambda: listener.heard_at, 10, "heard")
    wait_until(lambda: listener.heard_at >= first + LOOK_S, 20, "a proof")
    listener.close()
    assert listener.heard_at == 0.0


def test_jitter_spreads() -> None:
    drawn = [jittered(10) for _ in range(100)]
    assert min(drawn) >= 10
    assert max(drawn) <= 20
    assert max(drawn) - min(drawn) > 2


def test_the_listener_speaks_of_tenants_by_id_alone(world: World, tenant: Tenant) -> None:
    with psycopg.connect(world.database.app_url, autocommit=True) as connection:
        connection.execute("LISTEN strongroom_registry")
        world.sql("UPDATE strongroom.tenants SET name = name WHERE id = %(t)s", t=tenant.id)
        (heard,) = connection.notifies(timeout=5, stop_after=1)
    assert heard.payload == str(tenant.id)


def test_suspended_stays_refused(world: World, tenant: Tenant) -> None:
    life.suspend(world.runtime, tenant.id)
    world.runtime.registry.forget()
    problem(Client(world.app, host_of(tenant)).get(ACCOUNT), 403, "tenant_suspended")
