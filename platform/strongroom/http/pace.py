"""The wall of pace: no tenant holds more than its share of a process's threads, nor makes more requests than its plan allows.

A slow client holds a thread for as long as it sends or receives. Threads are counted per tenant from the moment the
tenant is known until the last byte of the answer has gone. Requests are counted once the caller is known: whoever is refused
at the door uses up nothing of the tenant's.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, TypeVar, cast
from uuid import UUID

from flask import Flask, Response, g, request
from flask_limiter import Limiter, RequestLimit
from flask_limiter.util import get_remote_address

from strongroom.config import Settings
from strongroom.errors import BadRequest, TenantBusy, TooManyRequests, Unauthenticated, ValidationFailed
from strongroom.http.rates import Meter, Rate, storage_uri

View = TypeVar("View", bound=Callable[..., Any])
NO_TENANT = UUID(int=0)
OF_AN_ADDRESS = 200
OF_A_HOUSEHOLD = 64
"""Bits of an IPv6 address that one subscriber does not choose."""
METER, UNCOUNTED = "strongroom.meter", "strongroom_uncounted"


class ThreadShares:
    """Counts the threads that each tenant holds in this process. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._most = max(1, int(settings.threads * settings.tenant_thread_share))
        self._held: Counter[UUID] = Counter()
        self._lock = threading.Lock()

    def take(self, tenant_id: UUID) -> Callable[[], None]:
        """Count one thread for a tenant; return the function, to be called once or more, that gives it back.

        Raises:
            TenantBusy: the tenant holds its share already.
        """
        with self._lock:
            if self._held[tenant_id] >= self._most:
                raise TenantBusy(retry_after_s=1)
            self._held[tenant_id] += 1
        given_back = threading.Event()

        def give_back() -> None:
            with self._lock:
                if not given_back.is_set():
                    given_back.set()
                    self._held[tenant_id] -= 1
                    if not self._held[tenant_id]:
                        del self._held[tenant_id]

        return give_back


def hold_thread(shares: ThreadShares, tenant_id: UUID | None) -> None:
    """Count this request's thread for its tenant until the request ends, or until a stream that took it over does.

    Requests that belong to no tenant are counted together: they too must leave threads to all others.
    """
    g.give_back = shares.take(tenant_id or NO_TENANT)


def hand_over_thread() -> Callable[[], None]:
    """Take over the giving back: for an answer whose body is sent after the request has ended."""
    give_back: Callable[[], None] | None = g.pop("give_back", None)
    return give_back or (lambda: None)


def household(remote: str) -> str:
    """Return what stands for all addresses that one subscriber can choose from."""
    try:
        found = ip_address(remote)
    except ValueError:
        return remote
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, OF_A_HOUSEHOLD), strict=False))


def rate_key() -> str:
    """Requests are counted per tenant; where there is none, per caller."""
    tenant = g.get("tenant")
    return f"tenant:{tenant.id}" if tenant is not None else f"address:{household(get_remote_address())}"


def caller_key(what: str = "") -> str:
    """What is counted per caller is counted so within a tenant."""
    return f"{rate_key()}:{what}{household(get_remote_address())}"


def rate_limit() -> int:
    """Return how many requests in a second the tenant's plan allows."""
    tenant = g.get("tenant")
    return tenant.limits.requests_per_s if tenant is not None else OF_AN_ADDRESS


def login_key() -> str:
    """Failed sign-ins are counted per tenant and e-mail."""
    body = request.get_json(silent=True) if request.is_json else request.form
    email = body.get("email", "") if body is not None and hasattr(body, "get") else ""
    return f"{rate_key()}:login:{str(email).strip().casefold()[:320]}"


def _note_breach(limit: RequestLimit) -> None:
    g.retry_after_s = max(1, math.ceil(limit.reset_at - time.time()))


class MarkedViewsLimiter(Limiter):
    """Looks at the views that are marked, when they are called; its look before each request would find no limit for any other."""

    def _check_request_limit(self, callable_name: str | None = None, in_middleware: bool = True) -> None:
        if callable_name is not None:
            super()._check_request_limit(callable_name, in_middleware)


limiter = MarkedViewsLimiter(rate_key, strategy="fixed-window", on_breach=_note_breach)
"""Counts wrong passwords; requests as such are counted by a `Meter`, in one step with what is left."""


def limit_failed_logins(view: View) -> View:
    """Mark a view that checks a password: ten wrong ones a minute for one e-mail, sixty from one caller, then 429."""
    one = limiter.limit("10/minute", key_func=login_key, deduct_when=_failed, override_defaults=False)
    all_ = limiter.limit("60/minute", key_func=lambda: caller_key("logins:"), deduct_when=_failed)
    return cast(View, one(all_(view)))


def limit_failed_sign_ins(view: View) -> View:
    """Mark a view of a sign-in by an identity provider: sixty that fail a minute from one caller, then 429."""
    marked = limiter.limit("60/minute", key_func=lambda: caller_key("sso:"), deduct_when=_is_problem, override_defaults=False)
    return cast(View, marked(view))


def limit_provider_tests(view: View) -> View:
    """Mark a view that asks a server which the caller names: thirty a minute for a tenant, so that it is not flooded from here."""
    return cast(View, limiter.limit("30/minute", key_func=lambda: f"{rate_key()}:tests", override_defaults=False)(view))


def uncounted(view: View) -> View:
    """Mark a view that one caller asks for everybody, and that costs next to nothing."""
    setattr(view, UNCOUNTED, True)
    return view


def limit_dns_lookups(view: View) -> View:
    """Mark a view that asks name servers which the caller names: thirty a minute for a tenant, so that they are not flooded from here."""
    return cast(View, limiter.limit("30/minute", key_func=lambda: f"{rate_key()}:dns", override_defaults=False)(view))


def _failed(response: Response) -> bool:
    return response.status_code in {Unauthenticated.status, ValidationFailed.status}


def _is_problem(response: Response) -> bool:
    return response.status_code >= BadRequest.status


def _is_counted(app: Flask) -> bool:
    endpoint = request.endpoint
    if endpoint is None or endpoint.rpartition(".")[2] == "static":
        return False
    return not getattr(app.view_functions[endpoint], UNCOUNTED, False)


def install_pace(app: Flask, settings: Settings) -> None:
    """Count requests, tell with each answer how many are left, and give threads back."""
    app.config["RATELIMIT_STORAGE_URI"] = storage_uri(settings.rate_limit_storage)
    app.config["RATELIMIT_IN_MEMORY_FALLBACK_ENABLED"] = False
    app.config["RATELIMIT_SWALLOW_ERRORS"] = True
    limiter.init_app(app)
    meter = app.extensions[METER] = Meter(settings.rate_limit_storage)

    @app.before_request
    def _count() -> None:
        if not _is_counted(app):
            return
        rate = g.rate = meter.count(rate_key(), rate_limit())
        if rate.is_over:
            text = f"At most {rate.limit} requests a second are answered."
            raise TooManyRequests(text, retry_after_s=rate.resets_in_s, limit=rate.limit)

    @app.after_request
    def _tell(response: Response) -> Response:
        rate: Rate | None = g.get("rate")
        if rate is not None:
            response.headers.extend(rate.headers())
        if (retry_after_s := g.pop("retry_after_s", None)) is not None:
            response.headers["Retry-After"] = str(retry_after_s)
        return response

    @app.teardown_request
    def _give_back(_error: BaseException | None) -> None:
        hand_over_thread()()
