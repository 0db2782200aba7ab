"""Answers without a body: they name no type of one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import TestResponse

from tests.factories import Client, World, object_url, put_object
from tests.tus.talk import CHUNK, URL, VERSION, Talk
from tests.uploads.direct_client import Sender

pytestmark = pytest.mark.usefixtures("bucket")


def bodyless(response: TestResponse, status: int) -> TestResponse:
    assert (response.status_code, response.data) == (status, b"")
    assert "Content-Type" not in response.headers
    return response


def test_tus(client: Client) -> None:
    talk = Talk(client)
    bodyless(client.open("OPTIONS", URL), 204)
    made = bodyless(talk.create(4, "a.bin", Idempotency_Key="once"), 201)
    again = bodyless(talk.create(4, "a.bin", Idempotency_Key="once"), 201)
    assert (again.headers["Location"], again.headers["Idempotency-Replayed"]) == (made.headers["Location"], "true")
    url = urlsplit(made.headers["Location"]).path
    bodyless(talk.head(url), 200)
    bodyless(talk.patch(url, 0, b"some"), 204)
    bodyless(talk.terminate(url), 204)


def test_the_rest(world: World, client: Client) -> None:
    file = world.upload(client, "a.txt")
    url = object_url("media", "a.txt")
    bodyless(client.get(url, headers={"If-None-Match": f'"{file["etag"]}"'}), 304)
    bodyless(client.open("OPTIONS", url), 200)
    bodyless(client.open("OPTIONS", "/api/v1/buckets"), 200)
    bodyless(client.delete(url), 204)
    part = urlsplit(Sender(client).begin(b"some")["parts"][0]["url"])
    assert bodyless(client.as_(None).put(f"{part.path}?{part.query}", data=b"some"), 200).headers["ETag"]


@pytest.mark.parametrize(("name", "kind"), [("a.html", "text/html; charset=utf-8"), ("a.json", "application/json")])
def test_a_files_type_is_told_also_without_its_bytes(client: Client, name: str, kind: str) -> None:
    assert put_object(client, "media", name, b"").status_code == 201
    for method in ("GET", "HEAD"):
        response = client.open(method, object_url("media", name))
        assert (response.data, response.headers["Content-Type"]) == (b"", kind)


def test_whatever_tus_answers_says_which_version_it_is(client: Client) -> None:
    missing = f"{URL}/01890000-0000-7000-8000-000000000000"
    answers: list[Any] = [
        client.get(missing), client.put(missing, data=b"x"), client.get(URL), client.patch(URL), client.head(missing, headers=VERSION),
        client.as_(None).get(missing), client.as_(None).patch(missing, headers={**VERSION, **CHUNK}), client.get(f"{URL}/a/b"),
        client.open("OPTIONS", missing),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [405, 405, 405, 405, 404, 405, 401, 404, 204]
    assert {answer.headers.get("Tus-Resumable") for answer in answers} == {"1.0.0"}
    assert answers[0].headers["Allow"]
    for elsewhere in ("/api/v1/buckets", "/api/v1/tusk"):
        assert "Tus-Resumable" not in client.get(elsewhere).headers
