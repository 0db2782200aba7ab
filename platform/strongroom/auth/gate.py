"""The gate before every view: request id, host, tenant, credential, permission. What it lets through is bound to one tenant.

On a tenant's own host the host names the tenant, and the credential must be that tenant's. On the platform's host the
credential names it (or `X-Tenant`, where a setting allows that). A host that is neither gets 404.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import unquote_to_bytes

from flask import Flask, Response, current_app, g, request
from sqlalchemy import Connection

from strongroom.access import Anonymous, OperatorPrincipal, Permission, Principal, Realm
from strongroom.auth import cookies, jwt, operators, service
from strongroom.db.ids import new_id
from strongroom.errors import (
    BadRequest,
    CsrfFailed,
    DomainError,
    Forbidden,
    InvalidPath,
    NotFound,
    TokenInvalid,
    Unauthenticated,
    UnknownHost,
)
from strongroom.fleet.behind import catch_up
from strongroom.http.body import streams_body
from strongroom.http.context import SAFE_METHODS, bind_tenant, current_tenant, runtime
from strongroom.http.hosts import host_name, is_platform_host
from strongroom.http.pace import ThreadShares, hold_thread
from strongroom.http.permissions import permission_of
from tenants.models import Tenant

API_KEY_PATTERN = re.compile(r"sr_(?P<tenant>[a-z0-9-]{1,40})_(?P<key_id>[0-9a-f]{12})_(?P<secret>[0-9a-f]{64})")
REFRESH_ENDPOINT = "auth.refresh"
BODILESS = frozenset({"GET", "HEAD", "DELETE"})
ON_A_TENANT = frozenset({Realm.PUBLIC, Realm.TENANT, Realm.CONSOLE})
ON_THE_PLATFORM = frozenset({Realm.PLATFORM, Realm.OPERATOR, Realm.OPERATOR_CONSOLE})


def install_gate(app: Flask, shares: ThreadShares) -> None:
    """Put the gate before every view."""

    @app.before_request
    def _gate() -> None:
        g.request_id = str(new_id())
        _refuse_nul()
        if request.endpoint is None:
            _check_host()
            return  # no such route: answered with 404 or 405 by the router's own exception
        permission = permission_of(app, request.endpoint)
        if permission.realm == Realm.ANYWHERE:
            return
        _bind(permission)
        tenant = g.get("tenant")
        hold_thread(shares, tenant.id if tenant else None)
        if tenant is not None:
            g.tenant = catch_up(runtime(), tenant)
        _authorise(permission)

    @app.teardown_request
    def _let_go(_error: BaseException | None) -> None:
        with suppress(DomainError):  # nothing was written in it
            runtime().let_go()

    @app.after_request
    def _request_id(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        return response


def _refuse_nul() -> None:
    """NUL is in no name, and no part behind can hold it.

    Raises:
        InvalidPath, BadRequest
    """
    if "\0" in request.environ["PATH_INFO"]:
        raise InvalidPath("The path has a NUL.")
    try:
        query = unquote_to_bytes(request.environ.get("QUERY_STRING", "")).decode()
    except UnicodeDecodeError:
        raise BadRequest("The query is not UTF-8.") from None
    if "\0" in query:
        raise BadRequest("The query has a NUL.")


def _check_host() -> bool:
    """Return whether the host is the platform's; bind the tenant when it is a tenant's.

    Raises:
        UnknownHost
    """
    host = host_name(request.environ.get("HTTP_HOST"))
    if is_platform_host(runtime().settings, host):
        return True
    bind_tenant(runtime().registry.by_host(host))
    return False


def _bind(permission: Permission) -> None:
    on_platform = g.on_platform = _check_host()
    if permission.realm in ON_THE_PLATFORM and not on_platform:
        raise NotFound
    if permission.realm in ON_A_TENANT and on_platform:
        bind_tenant(runtime().registry.by_slug(_slug_on_platform(permission)))
    elif permission.realm in ON_A_TENANT and (named := _slug_named()) and not current_tenant().is_named(named):
        raise TokenInvalid("This credential belongs to another address.")


def _slug_on_platform(permission: Permission) -> str:
    """On the platform's host the credential says which tenant is meant.

    Raises:
        Unauthenticated, UnknownHost: there is no credential that names one.
        TokenInvalid: credential and `X-Tenant` disagree.
    """
    named = _slug_named()
    header = request.headers.get("X-Tenant") if runtime().settings.allow_tenant_header else None
    if header and named and header != named:
        raise TokenInvalid("This credential belongs to another tenant than X-Tenant names.")
    slug = header or named
    if not slug and permission.realm == Realm.TENANT:
        raise Unauthenticated
    if not slug:
        raise UnknownHost("On this host a credential must name the tenant. Use the tenant's own address.")
    return slug


def bearer() -> str | None:
    """Return the bearer token of the request, if it carries one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _slug_named() -> str | None:
    token = _refresh_token_in_body() or bearer()
    if token is None:
        return None
    match = API_KEY_PATTERN.fullmatch(token)
    return match["tenant"] if match else jwt.named_tenant(token)


def _refresh_token_in_body() -> str | None:
    """The one credential that may also come in the body."""
    if request.endpoint != REFRESH_ENDPOINT or not request.is_json:
        return None
    body = request.get_json(silent=True)
    token = body.get("refresh_token") if isinstance(body, dict) else None
    return token if isinstance(token, str) else None


def _authorise(permission: Permission) -> None:
    if permission.or_public and _is_anonymous():
        g.anonymous = Anonymous()
    elif permission.realm in {Realm.TENANT, Realm.CONSOLE}:
        g.principal = _principal(permission)
        if not g.principal.may(permission):
            raise Forbidden
    elif permission.realm in {Realm.OPERATOR, Realm.OPERATOR_CONSOLE}:
        g.operator = _operator(permission)
        if not g.operator.may(permission):
            raise Forbidden


def _is_anonymous() -> bool:
    """Tell whether somebody without a credential wants to read, on the tenant's own host. A cookie whose session is over is none."""
    if g.on_platform or request.method not in SAFE_METHODS or request.headers.get("Authorization"):
        return False
    session_id = cookies.console_session()
    return session_id is None or not service.is_living_session(runtime(), current_tenant(), session_id, "console")


def _principal(permission: Permission) -> Principal:
    tenant, token = current_tenant(), bearer()
    if token is None or permission.realm == Realm.CONSOLE:
        return _console_principal(by_form=permission.realm == Realm.CONSOLE)
    match = API_KEY_PATTERN.fullmatch(token)
    session_id = None if match else jwt.session_of(token, "access")[0]
    with _transaction(tenant) as connection:
        if match:
            return service.api_key_principal(connection, match["key_id"], match["secret"])
        assert session_id is not None  # noqa: S101 - it is one or the other
        return service.session_principal(connection, session_id, "api")


@contextmanager
def _transaction(tenant: Tenant) -> Iterator[Connection]:
    """The transaction in which the caller is looked up. The view goes on in it where it begins its own at once.

    It does not where a body is read first: a connection must not be held while one travels.
    """
    process = runtime()
    has_body = bool(request.content_length) or "Transfer-Encoding" in request.headers or request.method not in BODILESS
    if has_body and not streams_body(current_app.view_functions[str(request.endpoint)]):
        with process.tenant(tenant) as connection:
            yield connection
        return
    try:
        yield process.keep_open(tenant, reads=request.method in SAFE_METHODS)
    except BaseException as error:
        process.let_go(error)
        raise


def _console_principal(*, by_form: bool) -> Principal:
    """The signed-in user of the console; its pages call the API too, with the cookie and a header that no form can send."""
    session_id = cookies.console_session()
    if session_id is None:
        raise Unauthenticated
    principal = service.principal_of_session(runtime(), current_tenant(), session_id, "console")
    _check_csrf(cookies.csrf_token(session_id), by_form=by_form)
    return principal


def _operator(permission: Permission) -> OperatorPrincipal:
    token = bearer()
    if permission.realm == Realm.OPERATOR and token is not None:
        session_id, _ = jwt.session_of(token, "access")
        return operators.principal_of_session(runtime(), session_id, "api")
    cookie = cookies.operator_session()
    if cookie is None:
        raise Unauthenticated
    principal = operators.principal_of_session(runtime(), cookie, "console")
    _check_csrf(cookies.csrf_token(cookie), by_form=permission.realm == Realm.OPERATOR_CONSOLE)
    return principal


def _check_csrf(expected: str, *, by_form: bool) -> None:
    if request.method in SAFE_METHODS:
        return
    given = request.headers.get("X-CSRF-Token") or (request.form.get("csrf_token") if by_form else None)
    if not hmac.compare_digest((given or "").encode(), expected.encode()):
        raise CsrfFailed
