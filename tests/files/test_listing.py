"""Listings: by code point, by prefix, delimiter and cursor, against a model of one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongroom.errors import InvalidPath
from strongroom.files.paths import check_path, check_prefix

from tenants.models import Tenant
from tests.factories import Client, Statements, World, ok, problem

pytestmark = pytest.mark.usefixtures("bucket")
LIST = "/api/v1/buckets/media/files"
FILL = """
WITH made AS (
    INSERT INTO {t}.files (id, bucket_id, path, version_id)
    SELECT gen_random_uuid(), (SELECT id FROM {t}.buckets), path, gen_random_uuid() FROM unnest(%(paths)s::text[]) AS path
    RETURNING id, bucket_id, version_id
)
INSERT INTO {t}.versions (id, file_id, bucket_id, provider_id, size_bytes, content_type, detected_type, etag, status)
SELECT version_id, id, bucket_id, gen_random_uuid(), 1, 'text/plain', 'text/plain', 'e', 'available' FROM made
"""


def fill(world: World, tenant: Tenant, paths: Sequence[str]) -> None:
    """Rows of files without their bytes: for listings they are all that counts."""
    world.tenant_sql(tenant, "DELETE FROM {t}.versions; DELETE FROM {t}.files")
    world.tenant_sql(tenant, FILL, paths=list(paths))


def pages(client: Client, **query: Any) -> tuple[list[str], list[str]]:
    """All items' paths and all common prefixes, page by page."""
    items: list[str] = []
    prefixes: list[str] = []
    for _ in range(200):
        page = ok(client.get(LIST, query_string=query))
        assert len(page["items"]) + len(page["prefixes"]) <= query.get("limit", 100)
        items += [each["path"] for each in page["items"]]
        prefixes += page["prefixes"]
        if page["next_cursor"] is None:
            return items, prefixes
        query["cursor"] = page["next_cursor"]
    raise AssertionError("the listing does not end")


def model(paths: Sequence[str], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
    below = sorted(path for path in paths if path.startswith(prefix))
    if not delimiter:
        return below, []
    rests = [(path, path.removeprefix(prefix).partition(delimiter)) for path in below]
    return [path for path, rest in rests if not rest[1]], sorted({prefix + rest[0] + "/" for _, rest in rests if rest[1]})


def test_empty_bucket(client: Client) -> None:
    assert ok(client.get(LIST)) == {"items": [], "prefixes": [], "next_cursor": None}


def test_folders_are_told_once(world: World, client: Client, tenant: Tenant) -> None:
    fill(world, tenant, ["a/1", "a/2", "a/b/3", "b", "c/4", "a", "a.txt", "ab"])
    assert pages(client, delimiter="/", limit=2) == (["a", "a.txt", "ab", "b"], ["a/", "c/"])
    assert pages(client, delimiter="/", prefix="a/", limit=1) == (["a/1", "a/2"], ["a/b/"])
    assert pages(client, delimiter="/", prefix="a") == (["a", "a.txt", "ab"], ["a/"])
    assert pages(client, prefix="a/b") == (["a/b/3"], [])
    assert pages(client, prefix="nothing") == ([], [])


@pytest.mark.parametrize("letter", ["%", "_", "'", '"', "*", "?", "[", "$", "^", "%%", "_%", "\u202e", "é"])
def test_letters_that_mean_something_to_others(world: World, client: Client, tenant: Tenant, letter: str) -> None:
    fill(world, tenant, [f"a{letter}b", "axb", "ab", "axxb", f"{letter}", "x"])
    assert pages(client, prefix=f"a{letter}") == ([f"a{letter}b"], [])
    assert pages(client, prefix=letter) == ([letter], [])
    assert pages(client, prefix=letter, delimiter="/") == ([letter], [])
    assert sorted(pages(client, q=letter)[0]) == sorted([f"a{letter}b", letter])


def test_search_looks_anywhere_whatever_the_case(world: World, client: Client, tenant: Tenant) -> None:
    fill(world, tenant, ["Reports/2026.PDF", "reports/old.pdf", "a/REPORT", "other", "Ärger.txt", "ärger.txt"])
    assert pages(client, q="report")[0] == ["Reports/2026.PDF", "a/REPORT", "reports/old.pdf"]
    assert pages(client, q="pdf", limit=1)[0] == ["Reports/2026.PDF", "reports/old.pdf"]
    assert pages(client, q="pdf", prefix="reports/")[0] == ["reports/old.pdf"]


def test_search_knows_letters_beyond_ascii(world: World, client: Client, tenant: Tenant) -> None:
    fill(world, tenant, ["Ärger.txt", "ärger.txt", "other"])
    assert pages(client, q="ärger")[0] == ["Ärger.txt", "ärger.txt"]
    assert pages(client, q="ÄRGER")[0] == ["Ärger.txt", "ärger.txt"]


LETTERS = st.sampled_from(["a", "b", "A", "/", "/", "%", "_", "'", ".", " ", "0", "é", "\uffff", "😀", "\U0010ffff"])
TEXTS = st.text(LETTERS, max_size=6)


def is_path(text: str) -> bool:
    try:
        return check_path(text) == text
    except InvalidPath:
        return False


def is_prefix(text: str) -> bool:
    try:
        return check_prefix(text) == text
    except InvalidPath:
        return False


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    paths=st.lists(TEXTS.filter(is_path), unique=True, max_size=12), prefix=TEXTS.filter(is_prefix), delimiter=st.sampled_from(["", "/"]),
    limit=st.integers(1, 4),
)  # fmt: skip
def test_listing_is_the_models(
    world: World, client: Client, tenant: Tenant, paths: list[str], prefix: str, delimiter: str, limit: int
) -> None:
    fill(world, tenant, paths)
    assert pages(client, prefix=prefix, delimiter=delimiter, limit=limit) == model(paths, prefix, delimiter)


def test_the_last_letter_of_unicode(world: World, client: Client, tenant: Tenant) -> None:
    """A folder in which a name begins with U+10FFFF is told once, and the listing ends."""
    paths = [path for path in ["a/x", "a/\U0010ffff", "a/\U0010ffffx", "b"] if is_path(path)]
    fill(world, tenant, paths)
    assert pages(client, delimiter="/", limit=1) == (["b"], ["a/"])


def test_a_page_costs_few_statements_whatever_its_size(world: World, client: Client, tenant: Tenant) -> None:
    fill(world, tenant, [f"folder {each % 40}/{each}" for each in range(300)])
    counts = []
    for query in ({"limit": 1}, {"limit": 200}, {"limit": 200, "delimiter": "/"}, {"limit": 1, "delimiter": "/"}):
        ok(client.get(LIST, query_string=query))
        with Statements(world.runtime) as statements:
            ok(client.get(LIST, query_string=query))
        counts.append(len(statements.texts))
    assert counts[0] == counts[1]
    assert max(counts) <= 5


def test_changes_between_pages(world: World, client: Client, tenant: Tenant) -> None:
    """A cursor is a position: what goes or comes before it moves nothing behind it."""
    fill(world, tenant, ["b", "d", "f"])
    first = ok(client.get(LIST, query_string={"limit": 2}))
    world.tenant_sql(tenant, "UPDATE {t}.files SET deleted_at = now() WHERE path = 'd'")
    world.tenant_sql(tenant, FILL, paths=["a", "e"])
    second = ok(client.get(LIST, query_string={"limit": 2, "cursor": first["next_cursor"]}))
    assert [each["path"] for each in second["items"]] == ["e", "f"]


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "1001"}, {"limit": "-1"}, {"limit": "x"}, {"delimiter": "x"}, {"delimiter": "//"}, {"q": "x" * 201}],
    ids=str,
)
def test_wrong_queries(client: Client, query: dict[str, str]) -> None:
    answer = problem(client.get(LIST, query_string=query), 422, "validation_failed")
    assert set(answer["errors"]) == set(query)


@pytest.mark.parametrize("prefix", ["\0", "a\\b", "\n", "x" * 1025])
def test_prefixes_that_begin_no_path(client: Client, prefix: str) -> None:
    problem(client.get(LIST, query_string={"prefix": prefix}), 400, "bad_request" if "\0" in prefix else "invalid_path")


@pytest.mark.parametrize("query", [{"q": "\0"}, {"q": "a\0b"}])
def test_searches_for_what_no_text_has(client: Client, query: dict[str, str]) -> None:
    response = client.get(LIST, query_string=query)
    assert response.status_code in {200, 400, 422}
    assert response.status_code != 200 or ok(response)["items"] == []


def test_lists_of_buckets_and_users_page_by_page(client: Client) -> None:
    for name in ("c", "a", "b"):
        ok(client.post("/api/v1/buckets", json={"name": name}), 201)
    names, cursor = [], None
    while True:
        page = ok(client.get("/api/v1/buckets", query_string={"limit": 1, **({"cursor": cursor} if cursor else {})}))
        names += [each["name"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == ["a", "b", "c", "media"]
