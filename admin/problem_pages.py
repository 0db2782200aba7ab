"""Problems as pages: for people in a browser, in the tenant's own look. The API's addresses answer with documents instead."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Response, g, render_template, request
from strongroom import errors
from strongroom.auth import cookies
from strongroom.errors import DomainError
from strongroom.http.context import request_id, runtime
from strongroom.http.hosts import host_name, is_platform_host

from admin import theme
from admin.brand import brand_of
from admin.pages import CONSOLE, OPERATOR, go, nonce, page, root_of
from tenants.models import Tenant, TenantStatus

SIGN_IN = "/api/v1/auth/oidc/"
OWN_TEMPLATES = {errors.Forbidden.code: "403", errors.NotFound.code: "404", errors.InternalError.code: "500"}
WORDS = {
    errors.UnknownHost.code: ("Nothing lives at this address", "Check it for typing mistakes, or ask whoever gave it to you."),
    errors.TenantSuspended.code: ("This service is paused", "Nothing is lost. Whoever runs it can open it again."),
    errors.CsrfFailed.code: ("This form is out of date", "Go back, reload the page and try again."),
    errors.TooManyRequests.code: ("Too many requests", "Wait a few seconds, then reload the page."),
    errors.TenantBusy.code: ("Too many requests at once", "Wait a few seconds, then reload the page."),
    errors.BadRequest.code: ("This request cannot be understood", "Go back, reload the page and try again."),
    errors.MethodNotAllowed.code: ("This address takes forms only", "Go back to the start and find your way from there."),
    errors.InvalidCursor.code: ("This page of the list is gone", "Go back to the start of the list."),
}


def page_for(error: DomainError) -> Response | None:
    """Return the page for a problem at one of the consoles' addresses; None for all other addresses."""
    if _is_sign_in():
        return page(_rendered(error), error.status)
    if not _is_page(request.path):
        return None
    if error.status == errors.Unauthenticated.status:
        return _to_login()
    response = page(_rendered(error), error.status)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _way_back(error: DomainError) -> dict[str, str]:
    """Whoever is refused may have come as somebody else than meant, and the provider would not ask again by itself."""
    if error.code == errors.SsoRefused.code:
        return {"home_url": f"{request.path.removesuffix('/callback')}/start?prompt=login", "home_label": "Use another account"}
    return {"home_url": f"{CONSOLE}/login", "home_label": "Back to sign in"}


def _is_sign_in() -> bool:
    """Tell whether a browser is on its way to or from an identity provider, for itself and not for an app."""
    return request.path.startswith(SIGN_IN) and "text/html" in request.headers.get("Accept", "") and not g.get("answers_apps")


def _is_page(path: str) -> bool:
    if path in {"/", CONSOLE, OPERATOR} or path.startswith(CONSOLE + "/"):
        return True
    return path.startswith(OPERATOR + "/") and not path.startswith(OPERATOR + "/api/")


def _to_login() -> Response:
    root = root_of(request.path)
    back = request.full_path.rstrip("?") if request.method == "GET" else None
    at_start = back is None or back.rstrip("/") == root
    response = go(f"{root}/login" + ("" if at_start else f"?{urlencode({'next': back})}"))
    name = cookies.OPERATOR if root == OPERATOR else cookies.CONSOLE
    if name in request.cookies:
        cookies.clear_session(response, name)
    return response


def _rendered(error: DomainError) -> str:
    tenant: Tenant | None = g.get("tenant")
    on_platform = tenant is None and _on_platform()
    values: dict[str, Any] = {
        "code": error.status, "csp_nonce": nonce(), "csrf_token": "", "operator_page": on_platform,
        "request_id": request_id() if error.status >= errors.InternalError.status else None,
        "brand": _brand(tenant, on_platform=on_platform), "home_url": _home(error, tenant, on_platform=on_platform),
    }  # fmt: skip
    if _is_sign_in() and values["home_url"]:
        values |= _way_back(error)
    if on_platform and error.code == errors.UnknownHost.code:
        example = runtime().settings.tenant_url("your-name", CONSOLE)
        words = ("Nobody’s files are at this address", f"Sign in at your own company’s address instead; it looks like {example}.")
        return render_template("errors/error.html", title=words[0], text=words[1], **values)
    if error.code in OWN_TEMPLATES:
        return render_template(f"errors/{OWN_TEMPLATES[error.code]}.html", **values)
    title, text = WORDS.get(error.code, (error.title, error.detail))
    return render_template("errors/error.html", title=title, text=text, **values)


def _brand(tenant: Tenant | None, *, on_platform: bool) -> dict[str, str | None] | None:
    """The tenant's brand; without its logo when it is suspended, because the logo's address is then closed as well."""
    if tenant is not None:
        brand = brand_of(tenant)
        return {**brand, "logo_url": None} if tenant.status == TenantStatus.SUSPENDED else brand
    return theme.OPERATOR_BRAND if on_platform else None


def _home(error: DomainError, tenant: Tenant | None, *, on_platform: bool) -> str | None:
    if error.code in {errors.TenantSuspended.code, errors.UnknownHost.code} or (tenant is None and not on_platform):
        return None
    return f"{OPERATOR if on_platform else CONSOLE}/"


def _on_platform() -> bool:
    try:
        return is_platform_host(runtime().settings, host_name(request.environ.get("HTTP_HOST")))
    except DomainError:
        return False
