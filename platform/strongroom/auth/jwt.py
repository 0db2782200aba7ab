"""Access and refresh tokens (flask-jwt-extended): signed with the tenant's own key, so that no other tenant's verifies.

The key is chosen by the tenant that the request is bound to, never by anything the token says; the algorithm is fixed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from uuid import UUID

import jwt as pyjwt
from flask import Flask, g
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token
from jwt.types import Options

from strongroom.auth.models import SessionGrant
from strongroom.auth.service import session_lifetime_s
from strongroom.config import Settings
from strongroom.errors import TokenExpired, TokenInvalid
from strongroom.http.context import runtime
from strongroom.security.tokens import ALGORITHM, unverified_claims
from tenants.models import Tenant

REMEMBERED = 1024


def install_jwt(app: Flask, settings: Settings) -> None:
    """Give the app its token manager."""
    app.config.update(
        JWT_ALGORITHM=ALGORITHM,
        JWT_DECODE_ALGORITHMS=[ALGORITHM],
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(seconds=settings.access_token_lifetime_s),
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ENCODE_NBF=False,
    )
    manager = JWTManager(app)
    manager.encode_key_loader(lambda _identity: _key())
    manager.decode_key_loader(lambda _headers, _claims: _key())


def _key() -> bytes:
    tenant: Tenant | None = g.get("tenant")
    keys = runtime().keys
    return keys.operator_key("session") if tenant is None else keys.tenant_key(tenant.id, "session")


def access_lifetime_s(tenant: Tenant | None) -> int:
    """Return how long an access token is good: as the tenant chose, else as the deployment's settings say."""
    chosen = tenant.settings.sessions.access_token_lifetime_s if tenant else None
    return chosen or runtime().settings.access_token_lifetime_s


def token_pair(grant: SessionGrant) -> dict[str, Any]:
    """Return what sign-in and refresh answer."""
    tenant: Tenant | None = g.get("tenant")
    lifetime_s = access_lifetime_s(tenant)
    claims = {"sid": str(grant.session_id), "tenant": tenant.slug if tenant else None}
    access = create_access_token(str(grant.subject_id), additional_claims=claims, expires_delta=timedelta(seconds=lifetime_s))
    refresh = create_refresh_token(
        str(grant.subject_id),
        additional_claims={**claims, "rid": str(grant.refresh_id)},
        expires_delta=timedelta(seconds=session_lifetime_s(runtime().settings, tenant)),
    )
    return {
        "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in_s": lifetime_s,
    }  # fmt: skip


@lru_cache(REMEMBERED)
def _signed_claims(token: str, key: bytes) -> Mapping[str, Any]:
    """Return what a token says that was signed with this key: for ever the same, but for whether its time is over.

    It is not held against `iat`: on a machine whose clock is behind it would be one of the future.

    Raises:
        jwt.InvalidTokenError: never remembered, so that nobody can fill the memory with what is no token.
    """
    options: Options = {"require": ["exp", "sub"], "verify_iat": False, "verify_exp": False}
    claims: dict[str, Any] = pyjwt.decode(token, key, algorithms=[ALGORITHM], options=options)
    if not isinstance(claims["exp"], int):
        raise pyjwt.DecodeError("Expiration Time claim (exp) must be an integer.")
    return MappingProxyType(claims)


def session_of(token: str, purpose: str) -> tuple[UUID, UUID | None]:
    """Return (session id, refresh id) of a token of the given purpose, `access` or `refresh`.

    Raises:
        TokenExpired, TokenInvalid
    """
    try:
        claims = _signed_claims(token, _key())
    except pyjwt.InvalidTokenError:
        raise TokenInvalid from None
    if claims["exp"] <= time.time():
        raise TokenExpired
    if claims.get("type") != purpose:
        raise TokenInvalid(f"This is not {'an access' if purpose == 'access' else 'a refresh'} token.")
    try:
        return UUID(claims["sid"]), UUID(claims["rid"]) if "rid" in claims else None
    except (KeyError, ValueError, TypeError):
        raise TokenInvalid from None


def named_tenant(token: str) -> str | None:
    """Return the slug that a token names, without believing it: only to know whose key it must then verify with."""
    slug = unverified_claims(token).get("tenant")
    return slug if isinstance(slug, str) else None
