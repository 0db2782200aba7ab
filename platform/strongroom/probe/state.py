"""What is kept between requests is nothing to another tenant: cursors, idempotency keys, entity tags, the registry's cache."""

from __future__ import annotations

from typing import Any

from strongroom.isolation.models import Wall
from strongroom.probe.door import holds
from strongroom.probe.stage import Party, Stage
from strongroom.probe.tally import HERE, STAND_IN, Tally
from strongroom.probe.things import PATH

OK, MADE, BAD = 200, 201, 400
ROUNDS = 3


def state(stage: Stage, tally: Tally) -> None:
    """Try them all."""
    _cursors(stage, tally)
    _idempotency(stage, tally)
    _entity_tags(stage, tally)
    _registry(stage, tally)


def _ask(stage: Stage, party: Party, method: str, path: str, **options: Any) -> Any:
    return stage.door.ask(method, stage.door.host(party.tenant), path, party.owner, **options)


def _cursors(stage: Stage, tally: Tally) -> None:
    for listing in ("/api/v1/buckets", f"/api/v1/buckets/{stage.victim.things['bucket']}/files"):
        cursor = (_ask(stage, stage.victim, "GET", f"{listing}?limit=1").get_json() or {}).get("next_cursor")
        tally.control(Wall.STATE, STAND_IN, f"a cursor of {listing}", lambda cursor=cursor: bool(cursor))  # type: ignore[misc]  # bound now
        here = listing.replace(stage.victim.things["bucket"], stage.attacker.things["bucket"])
        answer = _ask(stage, stage.attacker, "GET", here, query_string={"cursor": cursor})
        found = "" if answer.status_code == BAD else f"taken with status {answer.status_code}"
        tally.attempt(Wall.STATE, stage.attacker.owner.name, STAND_IN, f"a cursor of another at GET {listing}", found)


def _idempotency(stage: Stage, tally: Tally) -> None:
    """The same key and the same request at two tenants make two things."""
    options = {"json": {"name": "probe-idempotent"}, "headers": {"Idempotency-Key": stage.victim.canary}}
    first = _ask(stage, stage.victim, "POST", "/api/v1/buckets", **options)
    again = _ask(stage, stage.victim, "POST", "/api/v1/buckets", **options)
    tally.control(Wall.STATE, STAND_IN, "its own idempotency key", lambda: bool(again.headers.get("Idempotency-Replayed")))
    other = _ask(stage, stage.attacker, "POST", "/api/v1/buckets", **options)
    kept = other.headers.get("Idempotency-Replayed") or (other.get_json() or {}).get("id") == (first.get_json() or {}).get("id")
    found = "another's answer was given" if kept or other.status_code != MADE else ""
    tally.attempt(Wall.STATE, stage.attacker.owner.name, STAND_IN, "an idempotency key of another", found)


def _entity_tags(stage: Stage, tally: Tally) -> None:
    """The same path at two tenants: the tag of the one is no tag of the other."""
    attacker, tag = stage.attacker, f'"{stage.victim.things["etag"].strip(chr(34))}"'
    url = f"/api/v1/objects/{attacker.things['bucket']}/{PATH}"
    answer = _ask(stage, attacker, "GET", url, headers={"If-None-Match": tag})
    found = "" if answer.status_code == OK and not holds(answer, stage.victim.secrets) else f"answered with status {answer.status_code}"
    tally.attempt(Wall.STATE, attacker.owner.name, STAND_IN, "an entity tag of another as If-None-Match", found)
    answer = _ask(stage, attacker, "DELETE", url, headers={"If-Match": tag})
    found = "" if answer.status_code == 412 else f"answered with status {answer.status_code}"  # noqa: PLR2004 - HTTP
    tally.attempt(Wall.STATE, attacker.owner.name, STAND_IN, "an entity tag of another as If-Match", found)


def _registry(stage: Stage, tally: Tally) -> None:
    """Hosts in turn, so that a cache that mixes tenants up is seen."""
    for _ in range(ROUNDS):
        for party in (stage.attacker, stage.victim):
            answer = _ask(stage, party, "GET", "/api/v1/tenant")
            said = (answer.get_json() or {}).get("id")
            found = "" if said == str(party.tenant.id) else f"status {answer.status_code}, and not this tenant's own id"
            tally.attempt(Wall.STATE, party.owner.name, STAND_IN, "whose tenant a host leads to", found)
        for other in (stage.target.tenant, *stage.others):
            known = stage.runtime.registry.by_host(stage.door.host(other))
            found = "" if known is not None and known.id == other.id else "a host leads to another tenant"
            tally.attempt(Wall.STATE, "no credential", HERE, "whose tenant a host leads to", found)
