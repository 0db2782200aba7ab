"""The routes that are tried: all of a tenant's, from the application's own table of addresses, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask
from werkzeug.routing import MapAdapter, Rule

from strongroom.access import Realm
from strongroom.http.permissions import permission_of
from strongroom.probe.things import SEND

ONLY_READING = frozenset({"GET", "HEAD"})
OF_TENANTS = frozenset({Realm.TENANT, Realm.CONSOLE, Realm.PUBLIC})
NAMELESS = frozenset({"number", "path", "filename", "digest", "version"})
"""Arguments that name nothing by themselves."""


@dataclass(frozen=True)
class Route:
    """One method of one endpoint."""

    endpoint: str
    method: str
    realm: Realm
    arguments: frozenset[str]

    @property
    def send(self) -> dict[str, Any]:
        """What a request carries so that it comes as far as looking for what it names."""
        return SEND.get(self.endpoint, {})

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"{self.method} {self.endpoint}"


def routes(app: Flask) -> list[Route]:
    """Return all routes of tenants, HEAD only where it is not a GET without its body."""
    return [each for rule in app.url_map.iter_rules() for each in _of(app, rule)]


def _of(app: Flask, rule: Rule) -> Iterator[Route]:
    realm = permission_of(app, rule.endpoint).realm
    if realm not in OF_TENANTS:
        return
    methods = (rule.methods or set()) - {"OPTIONS"}
    for method in sorted(methods - {"HEAD"} if "GET" in methods else methods):
        yield Route(rule.endpoint, method, realm, frozenset(rule.arguments))


def address(app: Flask, route: Route, arguments: Mapping[str, str]) -> str:
    """Return a route's address with these arguments."""
    adapter: MapAdapter = app.url_map.bind("x")
    return adapter.build(route.endpoint, {name: arguments[name] for name in route.arguments}, method=route.method)
