"""Checks of what did not pass through us: digests are learnt, claims are held, and what changed is never called clean."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from blake3 import blake3
from strongroom.checks import service as checks

from tests.factories import EICAR, ok
from tests.uploads.conftest import Place, make_place
from tests.uploads.direct_client import BLOCK, content, fingerprint, hashes

__all__ = ["make_place"]


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    """A tenant whose clients send to the provider itself."""
    return make_place("presigned")


def checked(place: Place, file: Any) -> Any:
    place.world.run_jobs()
    return ok(place.sender.client.get(f"/api/v1/files/{file['id']}"))


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
def test_digests_are_learnt(place: Place, size: int) -> None:
    data = content(size)
    file = checked(place, place.sender.upload(data, sha256=hashlib.sha256(data).hexdigest(), block_hashes=hashes(data)))
    assert (file["status"], file["fingerprint"], file["blake3"]) == ("available", fingerprint(data), blake3(data).hexdigest())
    rows = place.world.rows(place.tenant, "blocks", "true ORDER BY number")
    assert [row["digest"].hex() for row in rows] == (hashes(data) if size > BLOCK else [])
    (version,) = place.world.rows(place.tenant, "versions")
    assert version["claims"] == {"sha256": hashlib.sha256(data).hexdigest()}, "the blocks are in their own table now"


@pytest.mark.parametrize("way", ["presigned", "regions", "relayed"])
@pytest.mark.parametrize("claim", ["sha256", "block_hashes"])
def test_wrong_claims(make_place: Callable[..., Place], way: str, claim: str) -> None:
    place = make_place(way)
    data, other = content(BLOCK + 1), content(BLOCK + 1, 1)
    claims: dict[str, Any] = {"sha256": hashlib.sha256(other).hexdigest(), "block_hashes": hashes(other)}
    file = checked(place, place.sender.upload(data, **{claim: claims[claim]}))
    assert (file["status"], file["scan"]["verdict"], file["scan"]["reason"]) == ("rejected", "invalid", "checksum")
    assert place.sender.client.get(f"/api/v1/files/{file['id']}/content").status_code == 403


def test_a_virus_with_wrong_claims_is_a_virus(place: Place) -> None:
    file = checked(place, place.sender.upload(EICAR, "eicar.com", sha256="0" * 64))
    assert (file["status"], file["scan"]["verdict"]) == ("quarantined", "infected")


@pytest.mark.parametrize("data", [b"as it was altere", b"shorter", b"as it was stored"])
def test_an_object_that_was_exchanged(place: Place, data: bytes) -> None:
    file = place.sender.upload(b"as it was stored")
    assert place.store is not None
    (key,) = place.store.objects
    place.store.put(key, data)
    found = checked(place, file)
    assert (found["status"], found["scan"]["verdict"], found["scan"]["reason"]) == ("rejected", "invalid", "changed")
    assert found["fingerprint"] is None
    (event,) = place.world.rows(place.tenant, "events", "kind = 'file.verdict'")
    assert (event["data"]["status"], event["data"]["reason"]) == ("rejected", "changed")


def test_an_object_that_is_exchanged_while_it_is_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place.sender.upload(b"as it was stored")
    inspect = checks._inspect

    def late(*arguments: Any) -> Any:
        found = inspect(*arguments)
        assert place.store is not None
        (key,) = place.store.objects
        place.store.put(key, EICAR)
        return found

    monkeypatch.setattr(checks, "_inspect", late)
    assert checked(place, file)["scan"]["reason"] == "changed"


def test_an_object_that_is_gone(place: Place) -> None:
    file = place.sender.upload(b"as it was stored")
    assert place.store is not None
    place.store.objects.clear()
    assert checked(place, file)["status"] == "pending"
    assert "StorageUnavailable" in place.world.jobs(place.tenant, kind="files.check")[-1]["error"]


@pytest.mark.parametrize("way", ["regions", "relayed"])
def test_bytes_that_are_not_those_that_passed_through_us(make_place: Callable[..., Place], way: str) -> None:
    """Their fingerprint is known from the parts: whoever altered them since is found, and nothing is decided."""
    place = make_place(way)
    data = content(BLOCK + 1)
    file = place.sender.upload(data)
    assert (file["fingerprint"], file["blake3"]) == (fingerprint(data), None)
    altered = data[:-1] + bytes([data[-1] ^ 1])
    if place.store is None:
        place.world.stored(place.tenant)[0].write_bytes(altered)
    else:
        (key,) = place.store.objects
        place.store.objects[key] = altered
    assert checked(place, file)["status"] == "pending"
    assert "not those that were stored" in place.world.jobs(place.tenant, kind="files.check")[-1]["error"]
