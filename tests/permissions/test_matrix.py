"""Every route, by every kind of caller. A new route without a row in the table fails; so does a row without its route."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from flask import Flask
from strongroom.access import Scope
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from tenants.models import Tenant
from tests.factories import PLATFORM, Account, Client, OperatorAccount, World, host_of
from tests.permissions import rows_consoles
from tests.permissions.rows import ROLES, ROWS, Row, Who

ALL_ROWS: dict[tuple[str, str], Row] = {**ROWS, **rows_consoles.ROWS}
PAGES = frozenset({"console", "operator_console"})
KEYS = ("key with the scope", "key with every other scope", "weak key")
CALLERS = ("anonymous", *ROLES, *KEYS, "foreigner", "operator viewer", "operator admin")
BEYOND = frozenset({401, 403})


@dataclass
class Cast:
    """Everybody who calls."""

    world: World
    tenant: Tenant
    accounts: dict[str, Account | OperatorAccount]

    def token(self, caller: str, who: Who) -> str | None:
        if caller in self.accounts:
            return self.world.client(self.accounts[caller]).token
        return self._key(caller, who) if caller in KEYS else None

    def _key(self, caller: str, who: Who) -> str:
        wanted = Scope(who.scope) if who.scope else Scope.ADMIN
        maker, scopes = {
            "key with the scope": ("owner", [wanted]),
            "key with every other scope": ("owner", [scope for scope in Scope if scope not in {wanted, Scope.ADMIN}]),
            "weak key": ("viewer", [scope for scope in Scope if scope != Scope.ADMIN]),
        }[caller]
        account = self.accounts[maker]
        assert isinstance(account, Account)
        return self.world.create_api_key(account, *scopes).text

    def browser(self, caller: str) -> dict[str, str]:
        """What the browser sends in which this caller is signed in."""
        return self.world.browser(self.accounts[caller]).headers if caller in self.accounts else {}

    def sign_out(self) -> None:
        """Forget everybody's tokens: the route ended their sessions."""
        for account in self.accounts.values():
            account.tokens = {}


@pytest.fixture(scope="module")
def cast(shared_world: World) -> Cast:
    world = shared_world
    tenant = world.create_tenant()
    accounts: dict[str, Account | OperatorAccount] = {role: world.create_user(tenant, role) for role in ROLES}
    accounts["foreigner"] = world.create_user(world.create_tenant(), "owner")
    for role in ("viewer", "admin"):
        accounts[f"operator {role}"] = world.create_operator(role)
    return Cast(world, tenant, accounts)


def routes(app: Flask) -> set[tuple[str, str]]:
    """HEAD counts where it is not just a GET without its body."""

    def methods(rule: Rule) -> set[str]:
        found = (rule.methods or set()) - {"OPTIONS"}
        return found - {"HEAD"} if "GET" in found else found

    return {(rule.endpoint, method) for rule in app.url_map.iter_rules() for method in methods(rule)}


def test_every_route_has_its_row_and_every_row_its_route(app: Flask) -> None:
    found = routes(app)
    assert sorted(found - set(ALL_ROWS)) == [], "routes without a row in tests/permissions/rows*.py"
    assert sorted(set(ALL_ROWS) - found) == [], "rows without a route"


def may(caller: str, who: Who) -> bool | int:
    """Whether a caller is let in; if not, the status that it gets."""
    if who.realm == "public":
        return 401 if caller == "foreigner" else True  # a credential of another address is refused even where none is needed
    if who.realm == "tenant":
        return _may_in_tenant(caller, who)
    if who.realm == "operator":
        return _may_operate(caller, who)
    if who.realm in PAGES:
        return _may_browse(caller, who)
    return True


def _may_in_tenant(caller: str, who: Who) -> bool | int:
    if caller in {"anonymous", "foreigner"} or caller.startswith("operator"):
        return 401
    if caller == "key with the scope":
        return True if who.scope else 403
    if caller == "key with every other scope":
        return 403
    if caller == "weak key":
        return True if "viewer" in who.roles and who.scope not in {None, "admin"} else 403
    return True if caller in who.roles else 403


def _may_operate(caller: str, who: Who) -> bool | int:
    if not caller.startswith("operator"):
        return 401
    return True if caller.removeprefix("operator ") in who.operators else 403


def _may_browse(caller: str, who: Who) -> bool | int:
    if who.realm == "console":
        return True if caller in who.roles else 403 if caller in ROLES else 401
    return _may_operate(caller, who)


def call(
    cast: Cast, route: tuple[str, str], caller: str, method: str | None = None, host: str | None = None, **headers: str
) -> TestResponse:
    endpoint, verb = route
    row = ALL_ROWS[route]
    with cast.world.app.test_request_context():
        url = cast.world.app.url_map.bind("x").build(endpoint, row.args, method=verb)
    at = host or (PLATFORM if row.who.realm in {"platform", "operator", "operator_console"} else host_of(cast.tenant))
    browser = cast.browser(caller) if row.who.realm in PAGES else {}
    client = Client(cast.world.app, at, None if browser else cast.token(caller, row.who), {**browser, **headers})
    response = client.open(method or verb, url, **row.send)
    if endpoint.endswith(("logout", "end_others")):
        cast.sign_out()
    return response


def name_of(route: tuple[str, str]) -> str:
    return f"{route[1]} {route[0]}"


def rows_of(*realms: str) -> list[tuple[str, str]]:
    return [route for route, row in ALL_ROWS.items() if row.who.realm in realms]


def judge(response: TestResponse, expected: bool | int) -> str:
    """What is wrong with an answer; nothing when it is as expected. A page sends those whom it does not know to its door."""
    if expected is True:
        inside = response.status_code not in BEYOND and response.status_code != 405 and response.status_code < 500
        stranger = response.status_code == 404 and b"unknown_host" in response.data
        return "" if inside and not stranger else f"{response.status_code} instead of being let in: {response.data[:200]!r}"
    to_the_door = response.status_code in {302, 303} and "/login" in response.headers["Location"]
    found = 401 if to_the_door else response.status_code
    return "" if found == expected else f"{response.status_code} instead of {expected}"


@pytest.mark.parametrize("route", ALL_ROWS, ids=name_of)
def test_who_may_call(cast: Cast, route: tuple[str, str]) -> None:
    who = ALL_ROWS[route].who
    answers = {caller: judge(call(cast, route, caller), may(caller, who)) for caller in CALLERS}
    assert {caller: answer for caller, answer in answers.items() if answer} == {}


@pytest.mark.parametrize("route", [route for route in ALL_ROWS if route[1] == "GET"], ids=lambda route: route[0])
def test_head_is_as_closed_as_get(cast: Cast, route: tuple[str, str]) -> None:
    for caller in ("anonymous", "viewer", "foreigner"):
        assert call(cast, route, caller, "HEAD").status_code == call(cast, route, caller).status_code, caller


@pytest.mark.parametrize("route", rows_of("tenant"), ids=name_of)
def test_tenants_routes_by_the_platforms_host(cast: Cast, route: tuple[str, str]) -> None:
    """There the credential names the tenant; without one there is nobody to be."""
    assert judge(call(cast, route, "anonymous", host=PLATFORM), 401) == ""
    assert judge(call(cast, route, "owner", host=PLATFORM), expected=True) == ""
    for caller in ("operator viewer", "operator admin"):
        assert judge(call(cast, route, caller, host=PLATFORM), 401) == ""


@pytest.mark.parametrize(
    "route",
    [route for route, row in ALL_ROWS.items() if row.who.realm in {"platform", "operator"}],
    ids=name_of,
)
def test_operators_routes_are_nowhere_else(cast: Cast, route: tuple[str, str]) -> None:
    for caller in ("anonymous", "owner", "operator admin"):
        response = call(cast, route, caller, host=host_of(cast.tenant))
        assert response.status_code == 404, caller


@pytest.mark.parametrize("route", rows_of("shared", "public", "tenant", "platform", "operator", "console", "operator_console"), ids=name_of)
def test_nothing_answers_at_an_unknown_host(cast: Cast, route: tuple[str, str]) -> None:
    for caller in ("anonymous", "owner", "operator admin"):
        response = call(cast, route, caller, host="unknown.example")
        assert response.status_code == 404, caller
        assert not (response.is_json and response.data) or response.get_json()["code"] == "unknown_host"
        assert "Location" not in response.headers


@pytest.mark.parametrize("route", rows_of("console"), ids=name_of)
def test_the_tenants_console_is_not_on_the_platforms_host(cast: Cast, route: tuple[str, str]) -> None:
    for caller in ("anonymous", "owner", "operator admin"):
        assert call(cast, route, caller, host=PLATFORM).status_code == 404, caller


@pytest.mark.parametrize("route", [route for route in rows_of("console", "operator_console") if route[1] != "GET"], ids=name_of)
def test_pages_change_nothing_without_the_sessions_token(cast: Cast, route: tuple[str, str]) -> None:
    """What another site makes a browser send: the cookie without the token, or with one of another session."""
    caller = "owner" if ALL_ROWS[route].who.realm == "console" else "operator admin"
    for token in ("", "0" * 64, cast.browser(caller)["X-CSRF-Token"]):
        assert call(cast, route, caller, **{"X-CSRF-Token": token}).status_code == 403
