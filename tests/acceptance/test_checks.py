"""Point 5: within seconds a worker has read the bytes once, and the truth of it is in the file."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.acceptance.client import Client, assert_problem
from tests.acceptance.content import EICAR, ELF, MIB, TEXT, noise, pdf, png, sha256
from tests.acceptance.deployment import Tenant
from tests.acceptance.waiting import wait_until

SCAN = {"verdict", "engine", "signatures_at", "scanned_bytes", "reason"}
SECONDS = 20.0


def zipped(name: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return packed.getvalue()


def test_a_clean_file_and_the_truth_of_its_scan(owner: Client) -> None:
    data = TEXT * 100
    fresh = owner.upload("media", "a.txt", data, "text/plain")
    assert set(fresh["scan"]) == SCAN
    assert (fresh["status"], fresh["scan"]["verdict"], fresh["sha256"]) == ("pending", "pending", None)
    assert fresh["scan"]["scanned_bytes"] in {None, 0}
    file = owner.checked(fresh, SECONDS)
    assert (file["status"], file["scan"]["verdict"]) == ("available", "clean")
    assert file["sha256"] == sha256(data)
    assert file["detected_type"] == "text/plain"
    assert file["scan"]["scanned_bytes"] == len(data)
    assert "yara" in file["scan"]["engine"].lower()
    assert file["scan"]["signatures_at"]
    assert file["etag"] == fresh["etag"], "a verdict changes no byte"


def test_eicar_is_quarantined_and_nobody_gets_it(owner: Client, tenant: Tenant) -> None:
    viewer, member = tenant.user("viewer"), tenant.user("member")
    file = owner.checked(owner.upload("media", "invoice.com", EICAR), SECONDS)
    assert (file["status"], file["scan"]["verdict"]) == ("quarantined", "infected")
    assert file["scan"]["reason"]
    assert "eicar" in file["scan"]["reason"].lower()
    path = f"/api/v1/files/{file['id']}"
    for client in (owner, viewer, member):
        assert_problem(client.download("media", "invoice.com"), 403, "file_quarantined")
        assert_problem(client.download("media", "invoice.com", headers={"Range": "bytes=0-9"}), 403, "file_quarantined")
        assert_problem(client.get(f"{path}/content"), 403, "file_quarantined")
        assert_problem(client.get(f"{path}/content", params={"version": file["version_id"]}), 403, "file_quarantined")
        assert client.request("HEAD", client.object_path("media", "invoice.com")).status_code == 403
    assert owner.request("DELETE", path).status_code == 204


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("archive.zip", zipped("inner/eicar.com", EICAR)),
        ("nested.zip", zipped("inner.zip", zipped("eicar.com", EICAR))),
        ("with-eicar.txt.zip", zipped("a.txt", TEXT) + b""),
    ],
)
def test_archives_are_looked_into(owner: Client, name: str, data: bytes) -> None:
    file = owner.checked(owner.upload("media", name, data), SECONDS)
    expected = ("available", "clean") if name.startswith("with-") else ("quarantined", "infected")
    assert (file["status"], file["scan"]["verdict"]) == expected


def test_a_bomb_is_never_called_clean(owner: Client) -> None:
    bomb = zipped("zeros", bytes(300 * MIB))
    file = owner.checked(owner.upload("media", "bomb.zip", zipped("bomb.zip", bomb)), 60)
    assert file["scan"]["verdict"] in {"unscanned", "infected", "invalid"}
    assert file["scan"]["reason"]


def test_an_elf_named_png_is_refused_at_once(owner: Client, tenant: Tenant) -> None:
    for path, content_type in (("picture.png", None), ("picture.png", "image/png"), ("picture", "image/png")):
        problem = assert_problem(owner.put("media", path, ELF, content_type), 415, "type_mismatch")
        assert problem["detected_type"] != "image/png"
    assert owner.files("media") == []
    wait_until(lambda: owner.quota()["reserved_bytes"] == 0 and not tenant.stored(), 10, "nothing to be left")


def test_what_only_the_whole_file_shows_is_rejected(owner: Client) -> None:
    broken = png(64, 64)[:60]
    file = owner.checked(owner.upload("media", "broken.png", broken, "image/png"), SECONDS)
    assert (file["status"], file["scan"]["verdict"]) == ("rejected", "invalid")
    assert file["scan"]["reason"]
    assert_problem(owner.download("media", "broken.png"), 403, "file_quarantined")


def test_real_files_of_their_type_pass(owner: Client) -> None:
    for path, data, detected in (
        ("a.png", png(), "image/png"),
        ("a.pdf", pdf(), "application/pdf"),
        ("a.zip", zipped("a", TEXT), "application/zip"),
    ):
        file = owner.store("media", path, data)
        assert (file["status"], file["content_type"], file["detected_type"]) == ("available", detected, detected)


def test_every_version_has_its_own_verdict(owner: Client) -> None:
    good = owner.store("media", "a.txt", TEXT)
    bad = owner.store("media", "a.txt", EICAR)
    assert bad["status"] == "quarantined"
    assert_problem(owner.download("media", "a.txt"), 403, "file_quarantined")
    path = f"/api/v1/files/{good['id']}"
    assert owner.get(f"{path}/content", params={"version": good["version_id"]}).content == TEXT
    restored = owner.post(f"{path}/versions/{good['version_id']}/restore")
    assert restored.json()["status"] == "available"
    assert owner.download("media", "a.txt").content == TEXT
    assert_problem(owner.post(f"{path}/versions/{bad['version_id']}/restore"), 403, "file_quarantined")


def test_a_big_infected_file(owner: Client) -> None:
    data = noise(9 * MIB, 3) + zipped("eicar.com", EICAR)
    file = owner.checked(owner.upload("media", "hidden.bin", data), SECONDS)
    assert file["scan"]["verdict"] != "clean" or file["scan"]["scanned_bytes"] == len(data)
