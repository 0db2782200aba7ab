"""Files put together of uploads that came side by side."""

from __future__ import annotations

from typing import Any

import pytest
from strongroom.errors import DatabaseUnavailable
from strongroom.tus import concatenation
from strongroom.uploads.fingerprint import BLOCK_BYTES

from tenants.models import Tenant
from tests.acceptance.content import noise
from tests.factories import PNG, World, object_url, ok, problem
from tests.slow import all_at_once
from tests.tus.conftest import Place
from tests.tus.talk import URL, VERSION, Talk, meta


def partial(talk: Talk, data: bytes, size: int | None = None) -> str:
    """The address of a partial upload with these bytes."""
    url = talk.begin(len(data) if size is None else size, None, Upload_Concat="partial")  # type: ignore[arg-type]  # a partial upload has no path
    if data:
        assert "Strongroom-File-Id" not in talk.send(url, 0, data).headers
    return url


def final(talk: Talk, *urls: str, path: str = "a.bin", **headers: str) -> Any:
    sent = {**VERSION, "Upload-Concat": f"final;{' '.join(urls)}", "Upload-Metadata": meta(bucket="media", path=path)}
    return talk.client.post(URL, headers={**sent, **{name.replace("_", "-"): value for name, value in headers.items()}})


@pytest.mark.parametrize("sizes", [[100, 200, 300], [BLOCK_BYTES, BLOCK_BYTES + 5], [70_000, 0, 5], [12]])
def test_parts_become_a_file(world: World, tenant: Tenant, talk: Talk, place: Place, sizes: list[int]) -> None:
    pieces = [noise(size, number) for number, size in enumerate(sizes)]
    urls = [partial(talk, piece) for piece in pieces]
    assert world.totals(tenant) == {"used_bytes": 0, "used_files": 0, "reserved_bytes": sum(sizes), "reserved_files": 0}
    assert talk.head(urls[0]).headers["Upload-Concat"] == "partial"
    made = final(talk, *[f"http://{talk.client.host}{url}" for url in urls])
    assert made.status_code == 201, made.data
    data = b"".join(pieces)
    assert talk.client.get(object_url("media", "a.bin")).data == data
    assert world.totals(tenant) == {"used_bytes": len(data), "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}
    head = talk.head(made.headers["Location"])
    assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == str(len(data))
    assert head.headers["Upload-Concat"].startswith("final;http://")
    file = ok(talk.client.get(f"/api/v1/files/{made.headers['Strongroom-File-Id']}"))
    if file["fingerprint"] is not None:
        put = world.upload(talk.client, "put.bin", data)
        assert file["fingerprint"] == put["fingerprint"]
        talk.client.delete(object_url("media", "put.bin"))
    assert (len(sizes) > 1 and sizes[0] % BLOCK_BYTES != 0 and place.parts is None) == (file["fingerprint"] is None)
    world.run_jobs()
    assert len(place.left(tenant)) == len(world.rows(tenant, "versions"))
    assert talk.client.get(object_url("media", "a.bin")).data == data


def test_nothing_can_be_added_to_what_was_put_together(talk: Talk) -> None:
    made = final(talk, partial(talk, b"one"))
    problem(talk.patch(made.headers["Location"], 3, b"x"), 403, "forbidden")


def test_parts_that_are_not_there_yet(world: World, tenant: Tenant, talk: Talk) -> None:
    whole, half = partial(talk, b"one"), partial(talk, b"tw", size=3)
    problem(final(talk, whole, half), 422, "part_invalid")
    assert world.totals(tenant)["reserved_bytes"] == 6
    talk.send(half, 2, b"o")
    assert final(talk, whole, half).status_code == 201
    problem(final(talk, whole, half, path="again.bin"), 410, "upload_gone")


def test_what_cannot_be_put_together(world: World, tenant: Tenant, talk: Talk) -> None:
    one, plain = partial(talk, b"one"), talk.begin(5)
    problem(final(talk, one, plain), 400, "bad_request")
    problem(final(talk, one, one), 400, "bad_request")
    problem(final(talk), 400, "bad_request")
    problem(final(talk, one, "/api/v1/tus/nonsense"), 400, "bad_request")
    problem(final(talk, one, f"{URL}/01890000-0000-7000-8000-000000000000"), 404, "not_found")
    problem(talk.create(5, Upload_Concat="another"), 400, "bad_request")
    other = Talk(world.client(world.create_user(tenant, "member")))
    problem(final(other, one), 404, "not_found")
    stranger = world.create_tenant()
    world.create_bucket(stranger, "media")
    problem(final(Talk(world.client(world.create_user(stranger, "owner"))), one), 404, "not_found")
    assert final(talk, one).status_code == 201


def test_a_wrong_type_leaves_the_parts(world: World, tenant: Tenant, talk: Talk) -> None:
    urls = [partial(talk, b"no picture"), partial(talk, b" at all")]
    problem(final(talk, *urls, path="a.png"), 415, "type_mismatch")
    assert world.totals(tenant) == {"used_bytes": 0, "used_files": 0, "reserved_bytes": 17, "reserved_files": 0}
    assert final(talk, *urls, path="a.txt").status_code == 201
    halves = [partial(talk, PNG[:20]), partial(talk, PNG[20:])]
    made = final(talk, *halves, path="b.png")
    assert ok(talk.client.get(f"/api/v1/files/{made.headers['Strongroom-File-Id']}"))["content_type"] == "image/png"


def test_conditions(world: World, tenant: Tenant, talk: Talk) -> None:
    one = partial(talk, b"one")
    world.upload(talk.client, "a.bin", b"there")
    problem(final(talk, one, If_None_Match="*"), 412, "precondition_failed")
    assert world.totals(tenant)["reserved_bytes"] == 3
    assert final(talk, one).status_code == 201


def test_a_database_that_goes_away_leaves_the_parts(world: World, tenant: Tenant, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [partial(talk, b"one"), partial(talk, b"two")]

    def down(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(concatenation, "complete_patiently", down)
        problem(final(talk, *urls), 503, "database_unavailable")
    world.run_due_jobs()
    assert world.totals(tenant) == {"used_bytes": 0, "used_files": 0, "reserved_bytes": 6, "reserved_files": 0}
    assert final(talk, *urls).status_code == 201
    assert talk.client.get(object_url("media", "a.bin")).data == b"onetwo"


def test_the_same_parts_make_one_file_only(world: World, tenant: Tenant, talk: Talk) -> None:
    urls = [partial(talk, b"one"), partial(talk, b"two")]
    answers = all_at_once([lambda name=name: final(talk, *urls, path=name).status_code for name in ("1", "2", "3", "4")])
    assert answers.count(201) == 1
    assert set(answers) <= {201, 410}
    assert world.totals(tenant) == {"used_bytes": 6, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}
    world.run_jobs()


def test_the_same_request_again_is_given_the_same_upload(world: World, tenant: Tenant, talk: Talk) -> None:
    """Its answer may have been lost. What has become of the partial uploads' bytes meanwhile makes no difference."""
    urls = [partial(talk, b"one"), partial(talk, b"two")]
    first = final(talk, *urls, If_None_Match="*")
    world.run_jobs()
    totals = world.totals(tenant)
    again = final(talk, *urls, If_None_Match="*")
    assert (first.status_code, again.status_code) == (201, 201), again.data
    names = ("Location", "Strongroom-File-Id", "Upload-Offset")
    assert [again.headers[name] for name in names] == [first.headers[name] for name in names]
    assert world.totals(tenant) == totals
    assert len(world.rows(tenant, "versions")) == 1
    talk.client.delete(object_url("media", "a.bin"))
    assert final(talk, *urls).headers["Location"] == first.headers["Location"], "as the last request of any upload is answered"


def test_another_request_with_the_same_parts_is_none_again(world: World, tenant: Tenant, talk: Talk) -> None:
    world.create_bucket(tenant, "other")
    urls = [partial(talk, b"one"), partial(talk, b"two")]
    assert final(talk, *urls).status_code == 201
    named = {"bucket": "media", "path": "a.bin"}
    for others, said in (
        (urls[::-1], named),
        (urls[:1], named),
        ([*urls, partial(talk, b"three")], named),
        (urls, {**named, "path": "b.bin"}),
        (urls, {**named, "bucket": "other"}),
        (urls, {**named, "colour": "red"}),
    ):
        problem(final(talk, *others, Upload_Metadata=meta(**said)), 410, "upload_gone")


def test_the_same_request_of_somebody_else(world: World, tenant: Tenant, talk: Talk) -> None:
    """Only an administrator learns what became of another's uploads; what an administrator made of them is not theirs."""
    member, other = (Talk(world.client(world.create_user(tenant, "member"))) for _ in range(2))
    url, taken = partial(member, b"one"), partial(member, b"two")
    first, second = final(member, url), final(talk, taken, path="b.bin")
    assert (first.status_code, second.status_code) == (201, 201)
    problem(final(other, url), 404, "not_found")
    assert final(talk, url).headers["Location"] == first.headers["Location"]
    problem(final(member, taken, path="b.bin"), 404, "not_found")


def test_the_same_request_after_its_upload_was_forgotten(talk: Talk) -> None:
    url = partial(talk, b"one")
    assert talk.terminate(final(talk, url).headers["Location"]).status_code == 204
    problem(final(talk, url), 404, "not_found")


def test_the_same_request_at_the_same_time(world: World, tenant: Tenant, talk: Talk) -> None:
    urls = [partial(talk, b"one"), partial(talk, b"two")]
    answers = all_at_once([lambda: final(talk, *urls, If_None_Match="*")] * 4)
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({(answer.headers["Location"], answer.headers["Strongroom-File-Id"]) for answer in answers}) == 1
    assert world.totals(tenant) == {"used_bytes": 6, "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}
    world.run_jobs()


def test_parts_that_nobody_puts_together_are_swept(world: World, tenant: Tenant, talk: Talk, place: Place) -> None:
    partial(talk, b"one")
    partial(talk, b"", size=3)
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET expires_at = now() - interval '1 second'")
    world.run_jobs()
    assert place.left(tenant) == []
    assert set(world.totals(tenant).values()) == {0}
