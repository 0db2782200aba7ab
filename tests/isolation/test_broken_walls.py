"""Each wall taken down alone, and the probe sees it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from flask import Response, after_this_request
from strongroom.auth import gate
from strongroom.errors import DomainError, NotFound
from strongroom.files import links
from strongroom.http import idempotency
from strongroom.jobs.queue import Job
from strongroom.operating import providers as operated
from strongroom.probe import bytes as fetching
from strongroom.probe.stage import SYSTEM
from strongroom.runtime import Runtime
from strongroom.security.keys import KeyRing
from strongroom.storage.bound import TenantStorage
from strongroom.storage.keys import object_key

from tenants import providers, registry, repository, service
from tenants.models import Tenant
from tests.factories import World, number
from tests.isolation.probing import probe
from tests.services.shared import s3_server
from workers import handlers

pytestmark = pytest.mark.slow
SHARED = UUID(int=7)


def walls(said: Any) -> set[str]:
    return {each["wall"] for each in said["findings"]}


Break = Callable[[pytest.MonkeyPatch], None]


def one_key_for_all(patch: pytest.MonkeyPatch) -> None:
    real = KeyRing.tenant_key
    patch.setattr(KeyRing, "tenant_key", lambda self, _tenant_id, purpose: real(self, SHARED, purpose))


def names_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    """Credential and host need not agree: the signature alone decides."""
    patch.setattr(gate, "_slug_named", lambda: None)


def nobody_is_asked_for_a_credential(patch: pytest.MonkeyPatch) -> None:
    real = gate._principal

    def lenient(permission: Any) -> Any:
        try:
            return real(permission)
        except DomainError:
            return replace(SYSTEM, session_id=SHARED)

    patch.setattr(gate, "_principal", lenient)
    names_are_not_compared(patch)


def one_prefix_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TenantStorage, "_key", lambda _self, bucket_id, version_id: object_key(f"tn-{SHARED.hex}/", bucket_id, version_id))


def listings_know_no_prefix(patch: pytest.MonkeyPatch) -> None:
    def all_of_it(self: TenantStorage) -> Iterator[Any]:
        for path in self._whole._root.rglob("*"):  # type: ignore[attr-defined]  # the file system's
            if path.is_file() and len(path.name) == 32:
                yield SHARED, UUID(hex=path.name), None

    patch.setattr(TenantStorage, "list", all_of_it)


def one_key_for_links(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(links, "_key", lambda runtime, _tenant: runtime.keys.tenant_key(SHARED, "download"))


def jobs_believe_their_ids(patch: pytest.MonkeyPatch) -> None:
    real = handlers.handle

    def handle(runtime: Runtime, job: Job) -> None:
        named = job.ids.get("tenant_id")
        real(runtime, replace(job, tenant_id=UUID(named)) if named else job)

    patch.setattr("strongroom.probe.work.handle", handle)


def one_cache_entry_for_all_hosts(patch: pytest.MonkeyPatch) -> None:
    real = registry.Registry._remembered

    def remembered(self: registry.Registry, key: str, **how: Any) -> Tenant | None:
        return real(self, "slug:" if key.startswith("slug:") else key, **how)

    patch.setattr(registry.Registry, "_remembered", remembered)


def one_store_of_kept_answers(patch: pytest.MonkeyPatch) -> None:
    """What is kept for a caller's key is given to whoever sends the same key."""
    kept: dict[str, Any] = {}
    real = idempotency._claim

    def claim(principal: Any, key: str) -> Any:
        answer = real(principal, key)
        if answer is None:

            @after_this_request
            def keep(response: Any) -> Any:
                kept.setdefault(key, (response.get_data(), response.status_code))
                return response

            if key in kept:
                return Response(*kept[key], content_type="application/json", headers={"Idempotency-Replayed": "true"})
        return answer

    patch.setattr(idempotency, "_claim", claim)


def foreign_things_have_words_of_their_own(patch: pytest.MonkeyPatch) -> None:
    """Not found either way, but it tells which ids somebody else has."""

    def get_owned(databases: Any, tenant_id: UUID, provider_id: UUID) -> Any:
        with databases.control() as connection:
            info = repository.get_provider(connection, provider_id=provider_id)
        if info.tenant_id != tenant_id:
            raise NotFound("It is somebody else's.")
        return info

    patch.setattr(providers, "get_owned", get_owned)


BREAKS: Mapping[Break, str] = {
    one_key_for_all: "identity",
    names_are_not_compared: "identity",
    nobody_is_asked_for_a_credential: "identity",
    one_prefix_for_all: "bytes",
    listings_know_no_prefix: "bytes",
    one_key_for_links: "links",
    jobs_believe_their_ids: "jobs",
    one_cache_entry_for_all_hosts: "state",
    one_store_of_kept_answers: "state",
    foreign_things_have_words_of_their_own: "objects",
}


@pytest.mark.parametrize("break_", BREAKS, ids=lambda each: each.__name__)
def test_a_wall_that_is_down_is_found(world: World, busy: Tenant, monkeypatch: pytest.MonkeyPatch, break_: Break) -> None:
    with monkeypatch.context() as patch:
        break_(patch)
        said = probe(world, busy)
    world.runtime.registry.forget()
    assert said["ok"] is False
    assert BREAKS[break_] in walls(said), said["findings"][:3]
    (noted,) = world.sql("SELECT ok, findings FROM strongroom.isolation_probes WHERE tenant_id = %(id)s", id=busy.id)
    assert (noted["ok"], noted["findings"]) == (False, len(said["findings"]))


# Of a database of its own; roles are the whole cluster's, and are left as they are
ROW_BREAKS = {
    "a grant to everybody": "GRANT USAGE ON SCHEMA {t} TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA {t} TO PUBLIC",
    "set_config": "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC",
    "the procedural language": "GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC",
    "a login role that may read": "GRANT USAGE ON SCHEMA {t} TO strongroom_app; GRANT SELECT ON ALL TABLES IN SCHEMA {t} TO strongroom_app",
    "the jobs": "GRANT INSERT ON strongroom.jobs TO PUBLIC; GRANT USAGE ON SCHEMA strongroom TO PUBLIC",
}


@pytest.mark.parametrize("name", ROW_BREAKS)
def test_a_door_of_the_database_that_is_open_is_found(empty_world: World, name: str) -> None:
    tenant = empty_world.create_tenant()
    empty_world.tenant_sql(tenant, ROW_BREAKS[name])
    said = probe(empty_world, tenant)
    assert said["ok"] is False
    assert ("jobs" if name == "the jobs" else "rows") in walls(said), said["findings"][:3]


def test_findings_tell_no_secret(world: World, busy: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.probe.stage.new_canary", lambda: "canary-of-this-test")
    nobody_is_asked_for_a_credential(monkeypatch)
    said = probe(world, busy)
    assert said["findings"]
    assert "canary-of-this-test" not in json.dumps(said)


@pytest.fixture
def at_s3(world: World) -> Tenant:
    """A tenant at a server that signs addresses."""
    server, name = s3_server("rclone"), f"probed-{number()}"
    operated.add_provider(world.runtime, "test", name=name, kind="s3", config=server.config(), secrets=server.secrets())
    return service.create_tenant(world.runtime.databases, slug=name, provider=name)


def test_signed_addresses(world: World, at_s3: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """They name one key, and nothing else is opened by them."""
    said = probe(world, at_s3)
    assert (said["findings"], said["complete"]) == ([], True)
    assert not [each for each in said["left_out"] if each.startswith("bytes")]
    assert "signed address of another" in {each["credential"] for each in said["tried"]}
    real = fetching._fetch
    opened = "a canary"  # as from a server that looks at no signature

    def lenient(pool: Any, url: str, headers: Any) -> tuple[int, bytes]:
        status, data = real(pool, url, headers)
        return (200, opened.encode()) if status == 403 else (status, data)

    monkeypatch.setattr(fetching, "_fetch", lenient)
    assert walls(probe(world, at_s3)) == {"bytes"}
