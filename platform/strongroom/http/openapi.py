"""The API's description, made whole: every route and method of the URL map, with its headers and every way it can fail.

What the views' schemas tell is there already; the rest follows from facts that the application itself goes by (the
permission of a view, whether it reads a body, whether it is repeated by its key) and from what `describing` marks views with.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from strongroom import errors
from strongroom.access import Permission, Realm
from strongroom.errors import DomainError
from strongroom.http.body import streams_body
from strongroom.http.describing import Described, Failures, description_of
from strongroom.http.header_texts import NAMES
from strongroom.http.idempotency import MUTATING
from strongroom.http.permissions import permission_of
from strongroom.http.problems import CONTENT_TYPE

VARIABLE = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
OTHERS = "other methods"
COMMON = ("X-Request-Id", "RateLimit", "RateLimit-Policy")
WITH_RETRY = frozenset({409, 423, 429, 502, 503})
OF_STATUS = {401: ("WWW-Authenticate",), 405: ("Allow",), 416: ("Content-Range",)}
ALWAYS = (
    errors.BadRequest,
    errors.UnknownHost,
    errors.TooManyRequests,
    errors.TenantBusy,
    errors.InternalError,
    errors.DatabaseUnavailable,
)
BY_CREDENTIAL: Failures = (
    errors.Unauthenticated, errors.TokenInvalid, errors.TokenExpired, errors.Forbidden, errors.CsrfFailed, errors.TenantSuspended,
)  # fmt: skip
BY_REALM: dict[Realm, Failures] = {
    Realm.TENANT: BY_CREDENTIAL, Realm.OPERATOR: BY_CREDENTIAL[:-1], Realm.PUBLIC: (errors.TokenInvalid, errors.TenantSuspended),
    Realm.SHARED: (errors.TenantSuspended,), Realm.PLATFORM: (errors.NotFound,),
}  # fmt: skip
OF_JSON: Failures = (errors.ValidationFailed, errors.UnsupportedMediaType, errors.BodyTooLarge)
ABOUT = """Errors are problem documents (RFC 9457); the codes that an operation can answer with are listed with each status.
Every answer carries `X-Request-Id`, and the headers `Cache-Control`, `Content-Security-Policy`, `Referrer-Policy`,
`X-Content-Type-Options` and `X-Frame-Options` (downloads also `Cross-Origin-Resource-Policy`; behind https all of them
`Strict-Transport-Security`), which are not repeated below."""


def complete(app: Flask, spec: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return the description of what lies below a prefix, whole. `spec`, as the views' schemas tell it, is changed."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith(f"{prefix}/")]
    spec["paths"] = {path: item for path, item in spec["paths"].items() if path.startswith(prefix)}
    writer = _Writer(app, spec)
    for rule in rules:
        writer.add_missing(rule)
    for rule in rules:  # only now, since HEAD is described as GET is
        writer.describe(rule)
    spec["info"]["description"] = ABOUT
    components = spec["components"]
    components["headers"] = {name: {"description": text, "schema": {"type": kind}} for name, (kind, text) in NAMES.items()}
    components["responses"] |= writer.failures
    used = {tag for item in spec["paths"].values() for name, each in item.items() if name != "parameters" for tag in each["tags"]}
    spec["tags"] = [*(tag for tag in spec["tags"] if tag["name"] in used), {"name": OTHERS, "description": "HEAD and OPTIONS of the rest."}]
    return spec


def path_of(rule: Rule) -> str:
    """Return a rule as OpenAPI writes a path."""
    return VARIABLE.sub(r"{\1}", rule.rule)


class _Writer:
    def __init__(self, app: Flask, spec: dict[str, Any]) -> None:
        self._app, self._paths = app, spec["paths"]
        self.failures: dict[str, Any] = {}

    def add_missing(self, rule: Rule) -> None:
        """Add the operations that no schema was made for."""
        item = self._paths.setdefault(path_of(rule), {})
        view = self._app.view_functions[rule.endpoint]
        if "OPTIONS" in (rule.methods or ()):
            allow = {"200": {"description": "The methods are in `Allow`."}}
            item.setdefault("options", {"summary": "Tell which methods this address takes.", "tags": [OTHERS], "responses": allow})
        if "GET" in (rule.methods or ()):
            first_line = (view.__doc__ or "").strip().partition("\n")[0]
            told = {"200": {"description": "It.", "content": {"*/*": {}}}}
            item.setdefault("get", {"summary": first_line, "tags": ["health"], "responses": told})
            item["head"] = _head_of(item["get"])
        names = [name for name in rule.arguments if name not in {each.get("name") for each in item.get("parameters", [])}]
        if names:
            parameters = [{"in": "path", "name": name, "required": True, "schema": {"type": "string"}} for name in names]
            item["parameters"] = [*item.get("parameters", []), *parameters]

    def describe(self, rule: Rule) -> None:
        """Add headers and failures to a rule's operations."""
        view, permission = self._app.view_functions[rule.endpoint], permission_of(self._app, rule.endpoint)
        is_automatic = getattr(rule, "provide_automatic_options", True)
        for method in rule.methods or ():
            said = description_of(view)
            if method == "OPTIONS" and is_automatic:
                said = Described(gives={200: ("Allow", *said.preflight)}, always=said.always)
            self._fill(self._paths[path_of(rule)][method.lower()], method, permission, view, said, has_names=bool(rule.arguments))

    def _fill(
        self, operation: dict[str, Any], method: str, permission: Permission, view: Callable[..., Any], said: Described, *, has_names: bool
    ) -> None:  # fmt: skip
        is_repeatable = method in MUTATING and permission.realm == Realm.TENANT
        failures: list[type[DomainError]] = [
            *ALWAYS,
            *BY_REALM.get(permission.realm, ()),
            *said.fails,
            *([errors.NotFound] if has_names else []),
        ]
        takes_json = "application/json" in operation.get("requestBody", {}).get("content", {})
        queries = {each["name"] for each in operation.get("parameters", []) if each.get("in") == "query"}
        failures += OF_JSON if takes_json else OF_JSON[:1] if queries else ()
        failures += [errors.InvalidCursor] if "cursor" in queries else []
        failures += [errors.IncompleteBody, errors.RequestTimeout] if streams_body(view) else []
        failures += [errors.IdempotencyConflict, errors.IdempotencyInProgress] if is_repeatable else []
        names = [*said.takes, *(["Idempotency-Key"] if is_repeatable else [])]
        present = {each.get("name") for each in operation.get("parameters", [])}
        taken = [_parameter(name) for name in names if name not in present]
        if taken:
            operation["parameters"] = [*operation.get("parameters", []), *taken]
        if permission.realm in {Realm.PUBLIC, Realm.SHARED, Realm.PLATFORM}:
            operation["security"] = []
        self._add(operation, said, failures, is_repeatable=is_repeatable)

    def _add(self, operation: dict[str, Any], said: Described, failures: Iterable[type[DomainError]], *, is_repeatable: bool) -> None:
        responses = operation["responses"]
        for status, names in said.gives.items():
            responses.setdefault(str(status), {"description": HTTPStatus(status).phrase})
            responses[str(status)]["headers"] = {**responses[str(status)].get("headers", {}), **_headers(names)}
        for status, response in responses.items():
            if status != "default" and int(status) < HTTPStatus.BAD_REQUEST:
                more = [*COMMON, *said.always, *(["Idempotency-Replayed"] if is_repeatable else [])]
                response["headers"] = {**response.get("headers", {}), **_headers(more)}
        by_status: dict[int, set[type[DomainError]]] = defaultdict(set)
        for failure in failures:
            by_status[failure.status].add(failure)
        for code, found in by_status.items():
            responses[str(code)] = {"$ref": f"#/components/responses/{self._failure(code, found, said.always)}"}

    def _failure(self, status: int, found: set[type[DomainError]], always: tuple[str, ...]) -> str:
        """Return the name of the component that describes these failures."""
        kinds = sorted(found, key=lambda each: each.code)
        name = ".".join([str(status), *(each.code for each in kinds), *always])
        headers = [*COMMON, *always, *OF_STATUS.get(status, ()), *(["Retry-After"] if status in WITH_RETRY else [])]
        if errors.TusVersionUnsupported in found:
            headers.append("Tus-Version")
        self.failures[name] = {
            "description": "\n".join(f"- `{each.code}`: {each.title}." for each in kinds),
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "headers": _headers(headers),
        }
        return name


def _head_of(get: dict[str, Any]) -> dict[str, Any]:
    """Describe HEAD: what GET answers, without the body."""
    responses = {
        status: response if "$ref" in response else {name: part for name, part in response.items() if name != "content"}
        for status, response in get["responses"].items()
    }
    shared: dict[str, Any] = {name: list(get[name]) for name in ("parameters", "security") if name in get}
    return {"summary": "What GET answers, without the body.", "tags": [OTHERS], "responses": responses, **shared}


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _parameter(name: str) -> dict[str, Any]:
    kind, text = NAMES[name]
    return {"in": "header", "name": name, "description": text, "schema": {"type": kind}}
