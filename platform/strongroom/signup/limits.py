"""How often sign-ups may be asked for: nobody's mailbox is flooded from here, and no tenant sends mail by the thousand.

Counted by all processes together, where the setting `rate_limit_storage` says; by the API and the console's page together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import request

from strongroom.errors import DomainError, ValidationFailed
from strongroom.http.context import current_tenant, runtime
from strongroom.http.pace import caller_key, limiter, rate_key
from strongroom.signup import service
from strongroom.users.addresses import flood_key, read

View = TypeVar("View", bound=Callable[..., Any])
OF_A_MAILBOX, OF_A_CALLER, OF_A_TENANT = "3/hour", "60/hour", "600/hour"
COMPLETIONS = "60/minute"


def limit_sign_ups(view: View) -> View:
    """Mark a view that has a mail sent to an address that a stranger typed. Whoever passes one limit counts for none after it."""
    for limit, scope, key, exempt in (
        (OF_A_CALLER, "signups of a caller", caller_key, _is_no_address),
        (OF_A_MAILBOX, "signups of a mailbox", _mailbox, _mails_nobody),
        (OF_A_TENANT, "signups", rate_key, _mails_nobody),
    ):
        marked = limiter.shared_limit(limit, scope, key_func=key, exempt_when=exempt, override_defaults=False)
        view = cast(View, marked(view))
    return view


def limit_completions(view: View) -> View:
    """Mark a view that takes a sign-up's token and makes a password's hash."""
    return cast(View, limiter.shared_limit(COMPLETIONS, "signup completions", key_func=caller_key, override_defaults=False)(view))


def _mailbox() -> str:
    return f"{rate_key()}:{flood_key(_email())}"


def _mails_nobody() -> bool:
    """What the tenant refuses takes nothing from a mailbox, or from the tenant: otherwise a stranger could shut its sign-up with it."""
    try:
        service.check_open(runtime(), current_tenant())
        service.check_admitted(current_tenant(), read(_email()))
    except DomainError:
        return True
    return False


def _is_no_address() -> bool:
    """No mail goes to what is no address; so it counts for nobody."""
    try:
        flood_key(_email())
    except ValidationFailed:
        return True
    return False


def _email() -> str:
    body = request.get_json(silent=True) if request.is_json else request.form
    return str(body.get("email", "")) if body is not None and hasattr(body, "get") else ""
