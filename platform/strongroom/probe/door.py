"""Requests to the application in this process, by anybody, at any host; and how two answers are held against each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tenants.models import Tenant

CHANGING = re.compile(rb'(nonce[-=]"?|request_id": ?"|instance": ?")[^"\' ;]*|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b')
IGNORED = frozenset({"X-Request-Id", "Content-Length", "Date"})
NONCE = re.compile(r"nonce-[^' ]+")
EXPIRES = re.compile(r"Expires=[^;]*")
SEALED = re.compile(r"^(sr_\w+_notice)=([^;]*)")
"""What the next page is to say: encrypted, so every time another text, of the same length for the same words."""


@dataclass(frozen=True)
class Credential:
    """One kind of caller, as reports name it, and what it sends."""

    name: str
    headers: Mapping[str, str] = field(default_factory=dict)


NOBODY = Credential("no credential")


class Door:
    """The way into the application."""

    def __init__(self, app: Flask, base_domain: str, platform_host: str) -> None:
        self.app, self._base_domain, self.platform_host = app, base_domain, platform_host
        self._client = app.test_client(use_cookies=False)

    def host(self, tenant: Tenant) -> str:
        """Return a tenant's host."""
        return f"{tenant.slug}.{self._base_domain}"

    def ask(self, method: str, host: str, path: str, who: Credential = NOBODY, **options: Any) -> TestResponse:
        """Send a request; its answer is read to the end."""
        headers = {**options.pop("headers", {}), **who.headers}
        return self._client.open(path, method=method, base_url=f"http://{host}", headers=headers, buffered=True, **options)


def told(response: TestResponse, typed: Iterable[str]) -> tuple[Any, ...]:
    """Return what an answer tells, without what differs from request to request and what the caller typed itself."""
    body = response.data
    for text in sorted(typed, key=len, reverse=True):
        body = body.replace(text.encode(), b"*")
    kept = [(name, _header(value, typed)) for name, value in response.headers if name not in IGNORED and "RateLimit" not in name]
    return response.status_code, CHANGING.sub(b"", body), kept


def _header(value: str, typed: Iterable[str]) -> str:
    for text in typed:
        value = value.replace(text, "*")
    sealed = SEALED.sub(lambda match: f"{match[1]}={len(match[2])} characters", value)
    return NONCE.sub("nonce", EXPIRES.sub("", sealed))


def holds(response: TestResponse, secrets: Iterable[str]) -> bool:
    """Tell whether any of the secrets is in an answer or its headers."""
    text = response.data + b"\n" + str(response.headers).encode()
    return any(secret.encode() in text for secret in secrets)


def is_refused(response: TestResponse) -> bool:
    """Tell whether an answer lets nobody in: an error, or the way to the sign-in page."""
    if response.status_code in {302, 303}:
        return "/login" in response.headers.get("Location", "")
    return response.status_code >= 400  # noqa: PLR2004 - HTTP
