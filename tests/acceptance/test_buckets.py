"""Buckets and their policy."""

from __future__ import annotations

import pytest

from tests.acceptance.client import Client, assert_problem
from tests.acceptance.content import TEXT, noise, pdf, png

POLICY = {
    "allowed_types",
    "max_size_bytes",
    "versioning",
    "trash_days",
    "serve_unscanned",
    "public",
    "cache_max_age_s",
    "redirect_downloads",
}


def test_a_bucket_with_a_policy(owner: Client) -> None:
    made = owner.bucket("pictures", allowed_types=["image/*", "application/pdf"], max_size_bytes=2000, versioning=False)
    assert set(made) >= POLICY | {"id", "name", "used_bytes", "used_files", "created_at"}
    assert (made["allowed_types"], made["max_size_bytes"], made["versioning"]) == (["image/*", "application/pdf"], 2000, False)
    assert owner.get("/api/v1/buckets/pictures").json() == made
    assert [each["name"] for each in owner.listed("/api/v1/buckets")] == ["media", "pictures"]
    assert owner.upload("pictures", "a.png", png())["content_type"] == "image/png"
    assert owner.upload("pictures", "a.pdf", pdf(), "application/pdf")["detected_type"] == "application/pdf"
    assert_problem(owner.put("pictures", "a.txt", TEXT), 415, "type_not_allowed")
    assert_problem(owner.put("pictures", "a.png", TEXT), 415, "type_mismatch")
    assert_problem(owner.put("pictures", "none", TEXT), 415, "type_not_allowed")
    assert_problem(owner.put("pictures", "b.png", noise(2001), "image/png"), 413, "file_too_large")
    now = owner.get("/api/v1/buckets/pictures").json()
    assert (now["used_files"], now["used_bytes"]) == (2, len(png()) + len(pdf()))


def test_the_policy_can_be_changed(owner: Client) -> None:
    changed = owner.request("PATCH", "/api/v1/buckets/media", json={"allowed_types": ["text/plain"], "max_size_bytes": 100})
    assert changed.status_code == 200
    assert changed.json()["allowed_types"] == ["text/plain"]
    assert_problem(owner.put("media", "a.png", png(), "image/png"), 415, "type_not_allowed")
    assert_problem(owner.put("media", "a.txt", b"x" * 101), 413, "file_too_large")
    owner.upload("media", "a.txt", b"x" * 100)
    assert owner.request("PATCH", "/api/v1/buckets/media", json={"max_size_bytes": None}).json()["max_size_bytes"] is None
    owner.upload("media", "b.txt", b"x" * 101)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a..b", "x" * 64, "ä", "a/b", "a b"])
def test_names_that_no_bucket_may_have(owner: Client, name: str) -> None:
    problem = assert_problem(owner.post("/api/v1/buckets", json={"name": name}), 422, "validation_failed")
    assert "name" in problem["errors"]


def test_wrong_policies(owner: Client) -> None:
    wrong = [("allowed_types", ["image"]), ("allowed_types", "image/*"), ("max_size_bytes", 0), ("max_size_bytes", "1"), ("trash_days", -1)]
    for field, value in [*wrong, ("versioning", "perhaps"), ("nonsense", 1)]:
        problem = assert_problem(owner.post("/api/v1/buckets", json={"name": "b", field: value}), 422, "validation_failed")
        assert field in problem["errors"], (field, value)
    assert_problem(owner.get("/api/v1/buckets/b"), 404, "not_found")


def test_twice_the_same_name(owner: Client) -> None:
    assert_problem(owner.post("/api/v1/buckets", json={"name": "media"}), 409, "already_exists")


def test_only_an_empty_bucket_can_be_removed(owner: Client) -> None:
    file = owner.upload("media", "a.txt", TEXT)
    assert_problem(owner.request("DELETE", "/api/v1/buckets/media"), 409, "bucket_not_empty")
    owner.request("DELETE", f"/api/v1/files/{file['id']}")
    assert_problem(owner.request("DELETE", "/api/v1/buckets/media"), 409, "bucket_not_empty")
    owner.bucket("empty")
    assert owner.request("DELETE", "/api/v1/buckets/empty").status_code == 204
    assert_problem(owner.get("/api/v1/buckets/empty"), 404, "not_found")
    assert_problem(owner.request("DELETE", "/api/v1/buckets/empty"), 404, "not_found")
