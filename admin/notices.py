"""What the next page says once: messages, and secrets that are told a single time (a new API key, an invitation's link).

They travel in a short-lived cookie of the session that they are for, encrypted, so that nothing is kept on the server.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any

from flask import Response, g, request
from strongroom.auth import cookies
from strongroom.errors import DomainError
from strongroom.http.context import runtime

LIFETIME_S = 60
NAMES = {"/console": "sr_console_notice", "/operator": "sr_operator_notice"}


@dataclass(frozen=True)
class Notices:
    """Messages as (tone, text), and values told once, by name."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    once: dict[str, Any] = field(default_factory=dict)


def say(response: Response, tone: str, text: str = "", **once: Any) -> Response:
    """Have the next page show a message (`good`, `bad`, `warn`) and have values told once."""
    root = _root()
    told = {"messages": [(tone, text)] if text else [], "once": once}
    sealed = runtime().keys.seal(json.dumps(told, ensure_ascii=False).encode(), _context(root))
    value = base64.urlsafe_b64encode(sealed).decode()
    secure = runtime().settings.public_scheme == "https"
    response.set_cookie(NAMES[root], value, max_age=LIFETIME_S, secure=secure, httponly=True, samesite="Lax", path=root)
    return response


def take() -> Notices:
    """Return what this page has to say; `forget_shown` then takes it from the browser."""
    root = _root()
    value = request.cookies.get(NAMES[root])
    if not value:
        return Notices()
    g.notices_shown = root
    try:
        told = json.loads(runtime().keys.open(base64.urlsafe_b64decode(value), _context(root)))
    except (DomainError, binascii.Error, ValueError):
        return Notices()  # of another session, or altered
    return Notices([(tone, text) for tone, text in told["messages"]], told["once"])


def forget_shown(response: Response) -> None:
    """Take shown notices from the browser."""
    root = g.pop("notices_shown", None)
    if root is not None:
        response.delete_cookie(NAMES[root], path=root)


def _root() -> str:
    return "/operator" if request.path.startswith("/operator") else "/console"


def _context(root: str) -> str:
    session_id = cookies.operator_session() if root == "/operator" else cookies.console_session()
    tenant = g.get("tenant")
    return f"notice:{tenant.id if tenant else 'operator'}:{session_id}"
