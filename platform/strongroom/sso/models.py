"""Values of single sign-on that travel between layers."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


class Trouble(Exception):
    """What a provider did wrong, in words for the tenant's administrators: others are told only that something is."""


@dataclass(frozen=True)
class Provider:
    """What a provider's discovery document says, checked."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    token_auth: tuple[str, ...]
    sends_issuer: bool
    """It promises to name itself in its answers (RFC 9207)."""


@dataclass(frozen=True)
class Flow:
    """A sign-in under way, as the browser that began it carries it. `mode`: `console` or `token`; `after`: a path of the console."""

    id: UUID
    connection: str
    issuer: str
    client_id: str
    mode: str
    after: str | None


@dataclass(frozen=True)
class Person:
    """Whom a provider has signed in. `email` is None unless the provider says that it has verified it."""

    issuer: str
    subject: str
    email: str | None
    name: str
