"""How often sign-ups may be asked for: nobody's mailbox is flooded from here, and no tenant sends mail by the thousand.

Counted by all processes together, where the setting `rate_limit_storage` says; by the API and the console's page together.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, TypeVar, cast

from flask import request
from flask_limiter.util import get_remote_address

from strongroom.errors import ValidationFailed
from strongroom.http.pace import limiter, rate_key
from strongroom.signup.addresses import flood_key

View = TypeVar("View", bound=Callable[..., Any])
OF_A_MAILBOX, OF_A_CALLER, OF_A_TENANT = "3/hour", "60/hour", "600/hour"
COMPLETIONS = "60/minute"
OF_A_HOUSEHOLD = 64
"""Bits of an IPv6 address that one subscriber does not choose."""


def limit_sign_ups(view: View) -> View:
    """Mark a view that has a mail sent to an address that a stranger typed. Whoever passes one limit counts for none after it."""
    for limit, scope, key in (
        (OF_A_CALLER, "signups of a caller", _caller), (OF_A_MAILBOX, "signups of a mailbox", _mailbox), (OF_A_TENANT, "signups", rate_key),
    ):  # fmt: skip
        marked = limiter.shared_limit(limit, scope, key_func=key, exempt_when=_is_refused_anyway, override_defaults=False)
        view = cast(View, marked(view))
    return view


def limit_completions(view: View) -> View:
    """Mark a view that takes a sign-up's token and makes a password's hash."""
    return cast(View, limiter.shared_limit(COMPLETIONS, "signup completions", key_func=_caller, override_defaults=False)(view))


def _caller() -> str:
    return f"{rate_key()}:{household(get_remote_address())}"


def household(remote: str) -> str:
    """Return what stands for all addresses that one subscriber can choose from."""
    try:
        found = ip_address(remote)
    except ValueError:
        return remote
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, OF_A_HOUSEHOLD), strict=False))


def _mailbox() -> str:
    return f"{rate_key()}:{flood_key(_email())}"


def _is_refused_anyway() -> bool:
    """No mail goes to what is no address; so it counts for nobody."""
    try:
        flood_key(_email())
    except ValidationFailed:
        return True
    return False


def _email() -> str:
    body = request.get_json(silent=True) if request.is_json else request.form
    return str(body.get("email", "")) if body is not None and hasattr(body, "get") else ""
