"""What every page of both consoles needs: its security headers and nonce, and where its forms come from and lead to."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from flask import Response, g, redirect, request
from strongroom.errors import CsrfFailed

from admin import notices

CONSOLE, OPERATOR = "/console", "/operator"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SEE_OTHER = 303


def nonce() -> str:
    """Return this request's nonce for the one style block of a page."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def page(html: str, status: int = 200) -> Response:
    """Return a page with the headers that keep it from running, showing or leaking anything but itself."""
    response = Response(html, status=status, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY.format(nonce=nonce())
    response.headers["Cache-Control"] = "no-store"
    notices.forget_shown(response)
    return response


def go(address: str) -> Response:
    """Send the browser elsewhere after a form; it asks there with GET."""
    response = redirect(address, SEE_OTHER)
    response.headers["Cache-Control"] = "no-store"
    return response  # type: ignore[return-value]  # it is Flask's own response class


def root_of(path: str) -> str:
    """Return which console a path belongs to."""
    return OPERATOR if path == OPERATOR or path.startswith(OPERATOR + "/") else CONSOLE


def check_same_origin() -> None:
    """See that a form without a session (sign-in, invitation) was sent by our own page.

    Raises:
        CsrfFailed
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site not in {"same-origin", "none"}:
        raise CsrfFailed
    if site is None and origin is not None and urlsplit(origin).netloc != request.host:
        raise CsrfFailed
