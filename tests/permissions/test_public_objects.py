"""What a public bucket opens, by every kind of caller and by every route about its files: reading by path, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import PLATFORM, World, host_of, object_url
from tests.permissions.rows import ROWS
from tests.permissions.test_matrix import CALLERS, Cast, cast  # noqa: F401 - the fixture

READ = ROWS["objects.get_object", "GET"].who
URL = object_url("open", "there.txt")
# Who is let in to read: everybody whose credential is good here for reading files, and whoever brings none
LET_IN = {"anonymous", "viewer", "member", "admin", "owner", "key with the scope", "weak key"}
REFUSED = {"key with every other scope": 403, "foreigner": 401, "operator viewer": 401, "operator admin": 401}


@pytest.fixture(scope="module")
def opened(shared_world: World, cast: Cast) -> Any:  # noqa: F811 - pytest's way: a fixture imported and asked for
    """A public bucket with a file that is checked."""
    shared_world.create_bucket(cast.tenant, "open", public=True)
    account: Any = cast.accounts["owner"]
    file = shared_world.upload(shared_world.client(account), "there.txt", bucket="open")
    shared_world.run_jobs()
    return file


def test_every_caller_has_its_line() -> None:
    assert LET_IN | set(REFUSED) == set(CALLERS)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_by_path(world: World, cast: Cast, opened: Any, caller: str, method: str) -> None:  # noqa: F811 - pytest's way: a fixture imported and asked for
    assert opened
    client = world.client(host_of(cast.tenant)).as_(cast.token(caller, READ))
    assert client.open(method, URL).status_code == (200 if caller in LET_IN else REFUSED[caller])
    missing = client.open(method, object_url("open", "not-there.txt")).status_code
    assert missing == (404 if caller in LET_IN else REFUSED[caller])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_not_on_the_platforms_host(world: World, cast: Cast, opened: Any, method: str) -> None:  # noqa: F811 - pytest's way: a fixture imported and asked for
    assert opened
    assert world.client(PLATFORM).open(method, URL).status_code == 401
    named = world.client(PLATFORM).with_headers({"X-Tenant": cast.tenant.slug})
    assert named.open(method, URL).status_code == 401


ABOUT_IT = sorted(
    (endpoint, method) for (endpoint, method), row in ROWS.items() if {"bucket", "file_id"} & set(row.args) and row.who.realm == "tenant"
)


@pytest.mark.parametrize("route", [each for each in ABOUT_IT if each != ("objects.get_object", "GET")], ids=str)
def test_nothing_else_is_open(world: World, cast: Cast, opened: Any, route: tuple[str, str]) -> None:  # noqa: F811 - pytest's way: a fixture imported and asked for
    endpoint, method = route
    row = ROWS[route]
    known = {"bucket": "open", "path": "there.txt", "file_id": opened["id"], "version_id": opened["version_id"]}
    with world.app.test_request_context():
        url = world.app.url_map.bind("x").build(endpoint, {name: known.get(name, value) for name, value in row.args.items()}, method=method)
    response = world.client(host_of(cast.tenant)).open(method, url, **row.send)
    assert response.status_code == 401
    assert response.get_json()["code"] == "unauthenticated"
