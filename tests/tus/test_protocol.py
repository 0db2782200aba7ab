"""What the protocol says, status by status."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest

from tenants.models import Tenant
from tests.factories import PLATFORM, PNG, Account, World, object_url, ok, problem, put_object
from tests.tus.conftest import Place
from tests.tus.talk import CHUNK, URL, VERSION, Talk, checksum, meta

DATA = b"Some text that comes in several requests.\n" * 100


def test_options_tell_everything_without_a_credential(world: World, tenant: Tenant, talk: Talk) -> None:
    for url in (URL, talk.begin(10)):
        response = world.client(tenant).open("OPTIONS", url)
        assert response.status_code == 204
        assert response.headers["Tus-Resumable"] == response.headers["Tus-Version"] == "1.0.0"
        assert response.headers["Tus-Max-Size"] == str(tenant.limits.max_file_size_bytes)
        assert response.headers["Tus-Checksum-Algorithm"] == "sha1,sha256,crc32"
        extensions = "creation creation-with-upload creation-defer-length checksum concatenation termination expiration"
        assert set(response.headers["Tus-Extension"].split(",")) == set(extensions.split())
    assert "Tus-Max-Size" not in world.client(PLATFORM).open("OPTIONS", URL).headers


def test_an_upload_in_pieces(world: World, tenant: Tenant, talk: Talk, place: Place) -> None:
    created = talk.create(len(DATA), "texts/a.txt")
    assert created.status_code == 201
    url = created.headers["Location"]
    assert url.startswith(f"http://{tenant.slug}.localhost{URL}/")
    assert parsedate_to_datetime(created.headers["Upload-Expires"])
    url = urlsplit(url).path
    assert talk.offset(url) == 0
    talk.send(url, 0, DATA[:1000])
    head = talk.head(url)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("1000", str(len(DATA)))
    assert head.headers["Cache-Control"] == "no-store"
    assert head.headers["Upload-Metadata"] == meta(bucket="media", path="texts/a.txt")
    talk.send(url, 1000, DATA[1000:1001])
    last = talk.send(url, 1001, DATA[1001:])
    file = ok(talk.client.get(f"/api/v1/files/{last.headers['Strongroom-File-Id']}"))
    assert (file["path"], file["size_bytes"], file["content_type"]) == ("texts/a.txt", len(DATA), "text/plain")
    assert talk.client.get(object_url("media", "texts/a.txt")).data == DATA
    assert talk.offset(url) == len(DATA)
    assert talk.head(url).headers["Strongroom-File-Id"] == file["id"]
    assert talk.send(url, len(DATA), b"").headers["Strongroom-File-Id"] == file["id"]
    assert world.totals(tenant) == {"used_bytes": len(DATA), "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}
    assert len(place.left(tenant)) == 1
    world.run_jobs()
    assert ok(talk.client.get(f"/api/v1/files/{file['id']}"))["status"] == "available"


def test_the_same_hashes_as_by_put(world: World, talk: Talk) -> None:
    put = world.upload(talk.client, "put.txt", DATA)
    talk.send(talk.begin(len(DATA), "once.txt"), 0, DATA)
    url = talk.begin(len(DATA), "twice.txt")
    talk.send(url, 0, DATA[:10])
    talk.send(url, 10, DATA[10:])
    files = {each["path"]: each for each in ok(talk.client.get("/api/v1/buckets/media/files"))["items"]}
    assert files["once.txt"]["blake3"] == put["blake3"]
    assert files["once.txt"]["etag"] == files["twice.txt"]["etag"] == files["twice.txt"]["fingerprint"] == put["fingerprint"]


def test_an_empty_file_is_complete_at_once(talk: Talk) -> None:
    created = talk.create(0)
    assert created.status_code == 201
    assert created.headers["Strongroom-File-Id"]
    assert talk.client.get(object_url("media", "a.txt")).data == b""


def test_creation_with_upload(talk: Talk) -> None:
    created = talk.create(len(DATA), data=DATA[:100])
    assert (created.status_code, created.headers["Upload-Offset"]) == (201, "100")
    talk.send(urlsplit(created.headers["Location"]).path, 100, DATA[100:])
    whole = talk.create(len(DATA), "b.txt", data=DATA)
    assert (whole.status_code, whole.headers["Upload-Offset"]) == (201, str(len(DATA)))
    assert whole.headers["Strongroom-File-Id"]
    assert talk.client.get(object_url("media", "b.txt")).data == DATA


def test_creation_with_bytes_of_a_wrong_type_leaves_nothing(world: World, tenant: Tenant, talk: Talk, place: Place) -> None:
    problem(talk.create(len(DATA), "a.png", data=DATA), 415, "type_mismatch")
    world.run_jobs()
    assert set(world.totals(tenant).values()) == {0}
    assert place.left(tenant) == []


def test_the_size_may_be_told_later(world: World, tenant: Tenant, talk: Talk) -> None:
    url = talk.begin(None)
    assert talk.head(url).headers["Upload-Defer-Length"] == "1"
    talk.send(url, 0, DATA[:100])
    talk.send(url, 100, DATA[100:200], Upload_Length=str(len(DATA)))
    head = talk.head(url)
    assert head.headers["Upload-Length"] == str(len(DATA))
    assert "Upload-Defer-Length" not in head.headers
    assert world.totals(tenant)["reserved_bytes"] == len(DATA)
    problem(talk.patch(url, 200, b"x", Upload_Length=str(len(DATA) + 1)), 400, "bad_request")
    talk.send(url, 200, DATA[200:])
    assert talk.client.get(object_url("media", "a.txt")).data == DATA


def test_the_size_may_be_told_when_all_bytes_are_there(world: World, tenant: Tenant, talk: Talk) -> None:
    url = talk.begin(None)
    talk.send(url, 0, DATA)
    problem(talk.patch(url, len(DATA), b"", Upload_Length=str(len(DATA) - 1)), 400, "bad_request")
    assert talk.send(url, len(DATA), b"", Upload_Length=str(len(DATA))).headers["Strongroom-File-Id"]
    assert talk.client.get(object_url("media", "a.txt")).data == DATA
    assert world.totals(tenant) == {"used_bytes": len(DATA), "used_files": 1, "reserved_bytes": 0, "reserved_files": 0}


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_checksums(talk: Talk, name: str) -> None:
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[:100], Upload_Checksum=checksum(DATA[:100], name))
    answer = problem(talk.patch(url, 100, DATA[100:], Upload_Checksum=checksum(DATA, name)), 460, "upload_checksum_mismatch")
    assert "kept" in talk.client.get(answer["type"]).get_data(as_text=True)
    assert talk.offset(url) == 100
    talk.send(url, 100, DATA[100:], Upload_Checksum=checksum(DATA[100:], name))
    assert talk.client.get(object_url("media", "a.txt")).data == DATA


def test_crc32(talk: Talk) -> None:
    url = talk.begin(9)
    problem(talk.patch(url, 0, b"123456780", Upload_Checksum="crc32 y/Q5Jg=="), 460, "upload_checksum_mismatch")
    talk.send(url, 0, b"123456789", Upload_Checksum="crc32 y/Q5Jg==")


@pytest.mark.parametrize("header", ["md5 AAAA", "sha1", "sha1 !", "sha1:AAAA", ""])
def test_checksums_that_are_none(talk: Talk, header: str) -> None:
    url = talk.begin(10)
    response = talk.patch(url, 0, b"0123456789", Upload_Checksum=header)
    assert response.status_code in {400, 460}
    assert talk.offset(url) == 0


def test_termination(world: World, tenant: Tenant, talk: Talk, place: Place) -> None:
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[:100])
    assert talk.terminate(url).status_code == 204
    assert talk.head(url).status_code == 410
    problem(talk.patch(url, 100, DATA[100:]), 410, "upload_gone")
    problem(talk.terminate(url), 410, "upload_gone")
    world.run_jobs()
    assert place.left(tenant) == []
    assert set(world.totals(tenant).values()) == {0}


def test_termination_of_a_complete_upload_leaves_its_file(talk: Talk) -> None:
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA)
    assert talk.terminate(url).status_code == 204
    assert talk.head(url).status_code == 404
    assert talk.client.get(object_url("media", "a.txt")).data == DATA


def test_expiration(world: World, tenant: Tenant, talk: Talk, place: Place) -> None:
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[:100])
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET expires_at = now() - interval '1 second'")
    assert talk.head(url).status_code == 410
    problem(talk.patch(url, 100, DATA[100:]), 410, "upload_gone")
    world.run_jobs()
    assert talk.head(url).status_code == 404
    assert place.left(tenant) == []
    assert world.rows(tenant, "parts") == []
    assert set(world.totals(tenant).values()) == {0}


def test_each_request_prolongs_it(world: World, tenant: Tenant, talk: Talk) -> None:
    url = talk.begin(len(DATA))
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET expires_at = now() + interval '1 minute'")
    talk.send(url, 0, DATA[:100])
    (left,) = world.tenant_sql(tenant, "SELECT extract(epoch from expires_at - now()) AS s FROM {t}.uploads")
    assert left["s"] > world.settings.upload_lifetime_s - 60


# What is wrong


def test_another_version(talk: Talk) -> None:
    url = talk.begin(10)
    headers = {**CHUNK, "Upload-Offset": "0", "Upload-Length": "10"}
    for version in ({}, {"Tus-Resumable": "0.2.2"}):
        for method, address in (("POST", URL), ("PATCH", url), ("HEAD", url), ("DELETE", url)):
            response = talk.client.open(method, address, headers={**headers, **version}, data=b"x")
            assert response.status_code == 412
            assert response.headers["Tus-Version"] == response.headers["Tus-Resumable"] == "1.0.0"
            if method != "HEAD":
                problem(response, 412, "tus_version_unsupported")


def test_errors_name_the_version_too(world: World, tenant: Tenant, talk: Talk) -> None:
    response = world.client(tenant).post(URL, headers=VERSION)
    problem(response, 401, "unauthenticated")
    assert response.headers["Tus-Resumable"] == "1.0.0"
    assert talk.head(f"{URL}/nonsense").headers["Tus-Resumable"] == "1.0.0"


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Length": ""}, {"Upload-Length": "-1"}, {"Upload-Length": "1.5"}, {"Upload-Length": "1" * 30}, {"Upload-Length": "٣"},
        {"Upload-Length": "10", "Upload-Defer-Length": "1"}, {"Upload-Defer-Length": "2"}, {"Upload-Defer-Length": "0"}, {},
    ],
)  # fmt: skip
def test_lengths_that_are_none(talk: Talk, headers: dict[str, str]) -> None:
    sent = {**VERSION, "Upload-Metadata": meta(bucket="media", path="a.txt")}
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value.encode().decode("latin-1") for name, value in headers.items()}
    problem(talk.client.post(URL, headers=sent, environ_overrides=environ), 400, "bad_request")


@pytest.mark.parametrize("offset", ["", "-1", "x", "1 0", None])
def test_offsets_that_are_none(talk: Talk, offset: str | None) -> None:
    url = talk.begin(10)
    headers = {**VERSION, **CHUNK, **({} if offset is None else {"Upload-Offset": offset})}
    problem(talk.client.patch(url, headers=headers, data=b"x"), 400, "bad_request")


@pytest.mark.parametrize(
    "header",
    ["path", "bucket !", f"{meta(bucket='media', path='a')},,", f"{meta(path='a')},{meta(path='b')}", "bücket eA==", "a eA== eA=="],
)
def test_metadata_that_are_none(talk: Talk, header: str) -> None:
    response = talk.client.post(URL, headers={**VERSION, "Upload-Length": "1"}, environ_overrides={"HTTP_UPLOAD_METADATA": header})
    problem(response, 400, "bad_request")


def test_metadata(talk: Talk) -> None:
    named = meta(bucket="media", filename="bild.png", filetype="image/png", colour="grün", empty="")
    created = talk.client.post(URL, headers={**VERSION, **CHUNK, "Upload-Length": str(len(PNG)), "Upload-Metadata": named}, data=PNG)
    assert created.status_code == 201
    file = ok(talk.client.get(f"/api/v1/files/{created.headers['Strongroom-File-Id']}"))
    assert (file["path"], file["content_type"]) == ("bild.png", "image/png")
    assert file["metadata"] == {"colour": "grün", "empty": ""}


@pytest.mark.parametrize("pairs", [{f"key{number}": "x" for number in range(51)}, {"k" * 129: "x"}, {"key": "x" * 1025}, {"key": "a\0b"}])
def test_metadata_beyond_what_is_kept(talk: Talk, pairs: dict[str, str]) -> None:
    problem(talk.create(1, "a.txt", Upload_Metadata=meta(bucket="media", path="a.txt", **pairs)), 400, "bad_request")


def test_the_bucket_may_be_named_in_the_address(talk: Talk) -> None:
    sent = {**VERSION, "Upload-Length": "3", "Upload-Metadata": meta(name="a.txt")}
    assert talk.client.post(f"{URL}?bucket=media", headers=sent).status_code == 201
    problem(talk.client.post(URL, headers=sent), 400, "bad_request")
    problem(talk.client.post(f"{URL}?bucket=nowhere", headers=sent), 404, "not_found")
    problem(talk.client.post(f"{URL}?bucket=media", headers={**VERSION, "Upload-Length": "3"}), 400, "bad_request")


def test_a_wrong_content_type(talk: Talk) -> None:
    url = talk.begin(10)
    sent = {**VERSION, "Upload-Offset": "0", "Content-Type": "application/octet-stream"}
    problem(talk.client.patch(url, headers=sent, data=b"0123456789"), 415, "unsupported_media_type")
    assert talk.offset(url) == 0


def test_overlapping_offsets(talk: Talk) -> None:
    url = talk.begin(len(DATA))
    talk.send(url, 0, DATA[:100])
    for offset in (0, 50, 99, 101, len(DATA)):
        assert problem(talk.patch(url, offset, DATA[offset : offset + 60]), 409, "offset_conflict")["offset_bytes"] == 100
    talk.send(url, 100, DATA[100:])
    problem(talk.patch(url, 0, DATA), 409, "offset_conflict")
    problem(talk.patch(url, len(DATA), b"x"), 409, "offset_conflict")
    assert talk.client.get(object_url("media", "a.txt")).data == DATA


def test_more_than_was_announced(talk: Talk) -> None:
    url = talk.begin(100)
    problem(talk.patch(url, 0, DATA[:101]), 413, "file_too_large")
    talk.send(url, 0, DATA[:60])
    problem(talk.patch(url, 60, DATA[60:101]), 413, "file_too_large")
    talk.send(url, 60, DATA[60:100])
    assert talk.client.get(object_url("media", "a.txt")).data == DATA[:100]


def test_larger_than_allowed(world: World, tenant: Tenant, talk: Talk) -> None:
    world.create_bucket(tenant, "small", max_size_bytes=100)
    named = {"Upload_Metadata": meta(bucket="small", path="a.txt")}
    problem(talk.create(101, **named), 413, "file_too_large")
    url = talk.begin(None, **named)
    talk.send(url, 0, DATA[:100])
    problem(talk.patch(url, 100, b"x"), 413, "file_too_large")
    problem(talk.patch(url, 100, b"", Upload_Length="101"), 413, "file_too_large")
    talk.send(url, 100, b"", Upload_Length="100")


def test_a_wrong_type_ends_the_upload(world: World, tenant: Tenant, talk: Talk, place: Place) -> None:
    url = talk.begin(100_000, "a.png")
    problem(talk.patch(url, 0, b"no picture " * 9000), 415, "type_mismatch")
    assert talk.head(url).status_code == 410
    world.run_jobs()
    assert place.left(tenant) == []
    assert set(world.totals(tenant).values()) == {0}


def test_a_wrong_type_in_small_pieces(talk: Talk) -> None:
    """The type is told of the first 64 KiB, however many requests bring them."""
    data = b"no picture " * 9000
    url = talk.begin(len(data), "a.png")
    for start in range(0, 60_000, 20_000):
        talk.send(url, start, data[start : start + 20_000])
    problem(talk.patch(url, 60_000, data[60_000:80_000]), 415, "type_mismatch")
    url = talk.begin(20, "a.png")
    talk.send(url, 0, data[:10])
    problem(talk.patch(url, 10, data[10:20]), 415, "type_mismatch")


def test_a_type_that_the_bucket_does_not_take(world: World, tenant: Tenant, talk: Talk) -> None:
    world.create_bucket(tenant, "pictures", allowed_types=["image/*"])
    problem(talk.create(10, Upload_Metadata=meta(bucket="pictures", path="a.txt")), 415, "type_not_allowed")
    url = talk.begin(10, Upload_Metadata=meta(bucket="pictures", path="a"))
    problem(talk.patch(url, 0, b"0123456789"), 415, "type_not_allowed")
    assert talk.head(url).status_code == 410


def test_conditions_hold_at_creation_and_at_completion(world: World, tenant: Tenant, talk: Talk) -> None:
    url = talk.begin(len(DATA), If_None_Match="*")
    talk.send(url, 0, DATA[:10])
    file = world.upload(talk.client, "a.txt", b"meanwhile")
    problem(talk.patch(url, 10, DATA[10:]), 412, "precondition_failed")
    assert talk.head(url).status_code == 410
    assert world.totals(tenant)["reserved_bytes"] == 0
    problem(talk.create(5, If_None_Match="*"), 412, "precondition_failed")
    problem(talk.create(5, If_Match='"another"'), 412, "precondition_failed")
    talk.send(talk.begin(5, If_Match=f'"{file["etag"]}"'), 0, b"other")
    assert talk.client.get(object_url("media", "a.txt")).data == b"other"


def test_methods_by_another_name(talk: Talk) -> None:
    url = talk.begin(len(DATA))
    sent = {**VERSION, **CHUNK, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert talk.client.post(url, headers=sent, data=DATA[:50]).headers["Upload-Offset"] == "50"
    sent = {**VERSION, "X-HTTP-Method-Override": "HEAD"}
    assert talk.client.post(url, headers=sent).headers["Upload-Offset"] == "50"
    sent = {**VERSION, "X-HTTP-Method-Override": "DELETE"}
    assert talk.client.post(url, headers=sent).status_code == 204
    assert talk.head(url).status_code == 410
    problem(talk.client.post(url, headers=VERSION), 405, "method_not_allowed")


# Who


def test_an_upload_is_its_makers(world: World, tenant: Tenant, talk: Talk, member: Account) -> None:
    other, stranger = world.create_user(tenant, "member"), world.create_user(world.create_tenant(), "owner")
    mine = Talk(world.client(member))
    url = mine.begin(len(DATA))
    key = Talk(world.client(tenant, world.create_api_key(member, "files:write")))
    for allowed in (mine, key, talk):
        assert allowed.offset(url) == 0
    for who in (Talk(world.client(other)), Talk(world.client(stranger))):
        assert who.head(url).status_code == 404
        problem(who.patch(url, 0, DATA), 404, "not_found")
        problem(who.terminate(url), 404, "not_found")
    key.send(url, 0, DATA[:10])
    talk.send(url, 10, DATA[10:])


@pytest.mark.parametrize("name", ["nonsense", "..", "%2e%2e", "01890000-0000-7000-8000-000000000000", "0189000000007000800000000000000x"])
def test_ids_that_are_none(talk: Talk, name: str) -> None:
    assert talk.head(f"{URL}/{name}").status_code in {404, 405}
    assert talk.patch(f"{URL}/{name}", 0, b"x").status_code in {404, 405}


def test_uploads_of_other_doors_are_not_told(world: World, tenant: Tenant, talk: Talk) -> None:
    put_object(talk.client, "media", "x.txt", DATA)
    url = talk.begin(5)
    world.tenant_sql(tenant, "UPDATE {t}.uploads SET kind = 'direct'")
    assert talk.head(url).status_code == 404
    problem(talk.patch(url, 0, b"12345"), 404, "not_found")


def test_repeated_creation_with_an_idempotency_key(world: World, tenant: Tenant, talk: Talk) -> None:
    first, second = (talk.create(len(DATA), data=DATA[:10], Idempotency_Key="once") for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    assert second.headers["Upload-Offset"] == "10"
    assert len(world.rows(tenant, "uploads")) == 1
